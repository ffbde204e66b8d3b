//! octocrab, an independent client, parses the stub's answers and follows its links.

use octocrab::models::Repository;
use octocrab::{Octocrab, Page};

use crate::{install_tls, serve_generated};

#[tokio::test]
async fn octocrab_follows_links_up_to_the_cap() {
    install_tls();
    let stub = serve_generated(1_234).await;
    let client =
        Octocrab::builder().base_uri(stub.url()).expect("an address").build().expect("a client");
    let search =
        client.search().repositories("topic:kubernetes").sort("stars").order("desc").per_page(100);
    let mut page: Page<Repository> = search.send().await.expect("the first page");
    assert_eq!((page.total_count, page.incomplete_results), (Some(1_234), Some(false)));
    let mut ids = Vec::new();
    loop {
        ids.extend(page.items.iter().map(|repository| repository.id.0));
        match client.get_page(&page.next).await.expect("a page") {
            Some(next) => page = next,
            None => break,
        }
    }
    let world = stub.world();
    assert_eq!(ids, world.ranked("kubernetes", "stars")[..1_000]);
    assert_eq!((world.counters.searches, &world.counters.unexpected), (10, &Vec::new()));
}

#[tokio::test]
async fn octocrab_reads_the_star_history_and_the_count() {
    install_tls();
    let stub = serve_generated(20).await;
    let (path, stars) = {
        let world = stub.world();
        let popular = world.repository(world.ranked("kubernetes", "stars")[0]).expect("generated");
        (popular.path.clone(), popular.stars)
    };
    let client =
        Octocrab::builder().base_uri(stub.url()).expect("an address").build().expect("a client");
    let (owner, name) = path.split_once('/').expect("owner/name");
    let starring = client.activity().starring();
    let first = starring.history(owner, name).per_page(30).send().await.expect("a page");
    let weeks = client.all_pages(first).await.expect("pages");
    let total: u64 = weeks.iter().map(|week| week.total).sum();
    assert!(weeks.iter().all(|week| week.days.len() == 7));
    let count = starring.count(owner, name).await.expect("a count").count;
    assert_eq!((total, count), (count, u64::try_from(stars).expect("a count")));
}
