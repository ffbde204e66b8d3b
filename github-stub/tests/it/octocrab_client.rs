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
