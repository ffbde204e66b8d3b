//! `GET /search/repositories`: pages, the cap, `Link`, sorts, qualifiers and errors.

use github_stub::World;
use serde_json::json;

use crate::{SEARCH, get, get_with, repository, send, serve, serve_generated};

#[tokio::test]
async fn link_has_the_adjacent_the_first_and_the_last_page() {
    for (count, page, links) in [
        (100, 1, ""),
        (200, 1, "next=2 last=2"),
        (200, 2, "prev=1 first=1"),
        (1_500, 1, "next=2 last=10"),
        (1_500, 5, "prev=4 next=6 last=10 first=1"),
        (1_500, 10, "prev=9 first=1"),
    ] {
        let stub = serve_generated(count).await;
        let answer = get(&stub, &format!("{SEARCH}&per_page=100&page={page}")).await;
        assert_eq!(
            (answer.status, answer.links().as_str()),
            (200, links),
            "page {page} of {count}"
        );
        assert_eq!(
            (answer.json()["total_count"].as_u64(), answer.ids().len()),
            (Some(count as u64), 100)
        );
        assert_eq!(answer.header("link").is_none(), links.is_empty());
        let next = format!(
            "<{}/search/repositories?per_page=100&q=topic%3Akubernetes&page=2>; rel=\"next\"",
            stub.url()
        );
        assert_eq!(
            answer.header("link").is_some_and(|link| link.starts_with(&next)),
            page == 1 && count > 100
        );
    }
}

#[tokio::test]
async fn page_is_refused_when_it_begins_beyond_the_first_thousand() {
    let stub = serve_generated(1_500).await;
    let ranked = stub.world().ranked("kubernetes", "stars");
    let last = get(&stub, &format!("{SEARCH}&sort=stars&page=34")).await;
    assert_eq!(
        (last.links().as_str(), last.ids().as_slice()),
        ("prev=33 first=1", &ranked[990..1_020])
    );
    for page in ["page=35", "per_page=100&page=11", "page=18446744073709551615"] {
        let refused = get(&stub, &format!("{SEARCH}&sort=stars&{page}")).await;
        assert_eq!((refused.status, &refused.json()["status"]), (422, &json!("422")), "{page}");
        assert_eq!(refused.json()["message"], "Only the first 1000 search results are available");
    }
    assert_eq!(stub.world().counters.unexpected.len(), 3);
}

#[tokio::test]
async fn bad_query_returns_422_with_its_reason() {
    let stub = serve_generated(1).await;
    let long = format!("?q={}", "x".repeat(257));
    for (query, code, text) in [
        ("", "missing", None),
        ("?q=+", "missing", None),
        (&long, "invalid", Some("longer than 256")),
    ] {
        let refused = get(&stub, &format!("/search/repositories{query}")).await;
        let (body, error) = (refused.json(), &refused.json()["errors"][0]);
        assert_eq!(
            (refused.status, &body["message"]),
            (422, &json!("Validation Failed")),
            "{query}"
        );
        assert_eq!(
            (&error["resource"], &error["field"], &error["code"]),
            (&json!("Search"), &json!("q"), &json!(code))
        );
        assert!(
            text.is_none_or(|text| error["message"]
                .as_str()
                .is_some_and(|message| message.contains(text))),
            "{error}"
        );
    }
    let foreign = get(&stub, "/search/repositories?q=topic:kubernetes+user:someone").await;
    assert_eq!(foreign.status, 422, "a qualifier that is not modelled is refused");
}

#[tokio::test]
async fn best_match_follows_neither_stars_nor_ids() {
    let stub = serve_generated(200).await;
    let best = get(&stub, &format!("{SEARCH}&per_page=100")).await.ids();
    let stars = stub.world().ranked("kubernetes", "stars");
    let mut by_id = best.clone();
    by_id.sort_unstable();
    assert!(best != by_id && best != stars[..100], "{best:?}");
    assert_eq!(best, stub.world().ranked("kubernetes", "best-match")[..100]);
    assert_eq!(
        best,
        get(&stub, &format!("{SEARCH}&per_page=100&order=asc")).await.ids(),
        "best match ignores `order`"
    );
}

#[tokio::test]
async fn equal_ranks_are_in_order_of_ids_unless_shuffled() {
    let fields = |stars: i64, forks: i64, day: u32, push: u32| {
        json!({
            "stargazers_count": stars,
            "forks_count": forks,
            "updated_at": format!("2024-01-0{day}T00:00:00Z"),
            "pushed_at": format!("2023-01-0{push}T00:00:00Z"),
        })
    };
    let ranks = [
        (5, fields(7, 1, 1, 3)),
        (3, fields(7, 2, 2, 2)),
        (4, fields(9, 2, 2, 1)),
        (1, fields(7, 1, 3, 1)),
    ];
    let stub =
        serve(World::new(ranks.into_iter().map(|(id, fields)| repository(id, fields)).collect()))
            .await;
    let ids = async |sort: &str| get(&stub, &format!("{SEARCH}&sort={sort}")).await.ids();
    assert_eq!(ids("stars").await, [4, 1, 3, 5]);
    assert_eq!(ids("stars&order=asc").await, [1, 3, 5, 4]);
    assert_eq!(ids("forks").await, [3, 4, 1, 5]);
    assert_eq!(ids("updated").await, [1, 3, 4, 5]);
    stub.world().settings.updated_by_push = true;
    assert_eq!(ids("updated").await, [5, 3, 1, 4]);
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..20 {
        stub.world().settings.shuffle = Some(seed);
        orders.insert(ids("stars").await);
    }
    assert!(
        orders.len() > 1 && orders.iter().all(|order| order[0] == 4),
        "only equal ranks are shuffled: {orders:?}"
    );
}

#[tokio::test]
async fn search_is_limited_by_its_qualifiers() {
    let world = World::new(vec![
        repository(
            1,
            json!({"topics": ["kubernetes", "cli"], "stargazers_count": 5, "language": "Go"}),
        ),
        repository(
            2,
            json!({"stargazers_count": 10, "archived": true, "pushed_at": "2021-03-01T12:00:00Z"}),
        ),
        repository(3, json!({"stargazers_count": 20, "fork": true, "language": "Rust"})),
        repository(4, json!({"stargazers_count": 30, "created_at": "2019-05-05T05:05:05Z"})),
    ]);
    let stub = serve(world).await;
    for (q, expected) in [
        ("topic:kubernetes", &[1, 2, 4][..]),
        ("topic:kubernetes+topic:cli", &[1]),
        ("topic:kubernete", &[]),
        ("topic:kubernetes+stars:5..10", &[1, 2]),
        ("topic:kubernetes+stars:<10+stars:>20", &[1, 4]),
        ("topic:kubernetes+fork:true", &[1, 2, 3, 4]),
        ("topic:kubernetes+fork:only", &[3]),
        ("topic:kubernetes+archived:false+is:public", &[1, 4]),
        ("topic:kubernetes+language:go", &[1]),
        ("topic:kubernetes+created:2019-05-05..2019-05-05T05:05:05%2B00:00", &[4]),
        ("topic:kubernetes+created:<2019-05-05T05:05:05Z", &[]),
        ("topic:kubernetes+pushed:2021-03-01", &[2]),
        ("name-4", &[4]),
    ] {
        let answer = get(&stub, &format!("/search/repositories?q={q}&sort=stars&order=asc")).await;
        assert_eq!((answer.status, answer.ids()), (200, expected.to_vec()), "{q}");
    }
}

#[tokio::test]
async fn search_leaves_dropped_repositories_out_and_stays_complete() {
    let stub = serve_generated(50).await;
    let top = stub.world().ranked("kubernetes", "stars")[0];
    assert_eq!(get(&stub, &format!("{SEARCH}&sort=stars")).await.ids()[0], top);
    stub.world().settings.drop.insert(top);
    let answer = get(&stub, &format!("{SEARCH}&sort=stars&per_page=100")).await;
    assert!(!answer.ids().contains(&top));
    assert_eq!(
        (answer.json()["total_count"].as_u64(), &answer.json()["incomplete_results"]),
        (Some(49), &json!(false))
    );
}

#[tokio::test]
async fn search_shows_edits_between_its_pages() {
    let stub = serve_generated(50).await;
    let last = *stub.world().ranked("kubernetes", "stars").last().expect("fifty repositories");
    get(&stub, &format!("{SEARCH}&sort=stars")).await;
    let now = "2027-01-01T00:00:00Z".parse().expect("a date");
    stub.world().star(last, 1_000_000, now);
    let item = get(&stub, &format!("{SEARCH}&sort=stars")).await.json()["items"][0].clone();
    assert_eq!(
        (item["id"].as_u64(), &item["updated_at"]),
        (Some(last), &json!("2027-01-01T00:00:00Z"))
    );
    stub.world().remove(last);
    assert_ne!(get(&stub, &format!("{SEARCH}&sort=stars")).await.ids()[0], last);
}

#[tokio::test]
async fn request_without_user_agent_is_refused_in_plain_text() {
    let stub = serve_generated(1).await;
    crate::install_tls();
    let refused = send(reqwest::Client::new().get(stub.url() + SEARCH)).await;
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("text/plain")));
    assert!(
        refused.text.starts_with("Request forbidden by administrative rules."),
        "{}",
        refused.text
    );
    assert_eq!(stub.world().counters.unexpected.len(), 1);
}

#[tokio::test]
async fn search_has_an_etag_only_when_the_setting_is_on() {
    let stub = serve_generated(5).await;
    let plain = get_with(&stub, SEARCH, "if-none-match", "*").await;
    assert_eq!(
        (plain.status, plain.header("etag"), plain.header("last-modified")),
        (200, None, None)
    );
    assert_eq!(plain.header("cache-control"), Some("no-cache"));
    stub.world().settings.search_etag = true;
    let etag = get(&stub, SEARCH).await.header("etag").expect("switched on").to_owned();
    let fresh = get_with(&stub, SEARCH, "if-none-match", &etag).await;
    assert_eq!((fresh.status, fresh.text.as_str()), (304, ""));
}

#[tokio::test]
async fn counters_record_every_request() {
    let stub = serve_generated(5).await;
    get(&stub, SEARCH).await;
    let slash = get(&stub, "/search/repositories/?q=topic:kubernetes").await;
    assert_eq!((slash.status, &slash.json()["message"]), (404, &json!("Not Found")));
    let world = stub.world();
    let requests: Vec<&str> =
        world.counters.requests.iter().map(|(_, request)| request.as_str()).collect();
    assert_eq!(
        requests,
        [format!("GET {SEARCH}").as_str(), "GET /search/repositories/?q=topic:kubernetes"]
    );
    assert_eq!(world.counters.unexpected, ["GET /search/repositories/?q=topic:kubernetes"]);
}
