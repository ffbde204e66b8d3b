//! A CDN in front: the headers by which it keeps answers, and the purges that end them.

mod stand_in;
mod varnish;

use std::sync::Arc;

use api::cli;
use api::clock::Clock as _;
use chrono::{DateTime, TimeDelta, Utc};
use github_stub::{Stub, World};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use self::stand_in::{Fault, StandIn};
use crate::databases;
use crate::support::{Mirror, TestClock, eventually};

const APIS: [&str; 3] = ["fastly", "cloudflare", "bunny"];

const FOR_A_MINUTE: &str = "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400";

const SERVER_ERROR: Fault = Fault::Status(StatusCode::INTERNAL_SERVER_ERROR);

/// Two topics.
fn world() -> World {
    let mut world = World::generate(20, 7, "kubernetes");
    world.add_generated(10, 8, "mcp");
    world
}

/// A mirror of the first topic alone, with these settings besides.
async fn mirror(settings: &[(&'static str, String)]) -> Mirror {
    let mut all = vec![("ON_DEMAND_TOPICS", "false")];
    all.extend(settings.iter().map(|(name, value)| (*name, &**value)));
    Mirror::start_with(world(), &all).await
}

/// A mirror of both topics behind a stand-in for a CDN's API.
async fn with_cdn(dialect: &'static str) -> (Mirror, StandIn) {
    let clock = TestClock::new();
    let own = Arc::clone(&clock);
    let stub = Stub::start_with_clock(world(), Arc::new(move || own.now()));
    let stub = Arc::new(stub.await.expect("a free port"));
    let cdn = StandIn::start(dialect, Arc::clone(&clock)).await;
    let settings = cdn.settings();
    let mut all = vec![("TOPICS", "kubernetes,mcp")];
    all.extend(settings.iter().map(|(name, value)| (*name, &**value)));
    let database = Arc::new(databases::sqlite());
    let mirror = Mirror::replica_of(stub, clock, database, &all).await;
    mirror.service.bootstrap().await.expect("a schema");
    (mirror, cdn)
}

/// Refreshes every topic.
async fn refresh_all(mirror: &Mirror) {
    let answer = mirror.request(Method::POST, "/update_cache", &[]).await;
    assert_eq!(answer.json()["complete"], true, "{}", answer.text());
}

/// Waits until every change is purged.
async fn purged(mirror: &Mirror) {
    eventually(20, "every change is purged", async || {
        mirror.service.store.unpurged().await.expect("a database").is_empty()
    })
    .await;
}

/// Waits until the CDN was asked so often, and returns the keys of each request.
async fn requests(cdn: &StandIn, count: usize) -> Vec<Vec<String>> {
    eventually(20, "the CDN is asked", async || cdn.purges().len() >= count).await;
    cdn.purges().into_iter().map(|purge| purge.keys).collect()
}

fn edit_star(mirror: &Mirror, topic: &str) {
    let mut world = mirror.stub.world();
    let last = *world.ranked(topic, "stars").last().expect("a repository");
    world.star(last, 1_000_000, mirror.clock.now());
}

#[tokio::test]
async fn each_api_is_asked_once_for_each_topic_that_changed() {
    for dialect in APIS {
        let (mirror, cdn) = with_cdn(dialect).await;
        let mut seen = 0;
        let mut new = || {
            let purges = cdn.purges().split_off(seen);
            seen += purges.len();
            let mut keys: Vec<String> = purges.into_iter().flat_map(|purge| purge.keys).collect();
            keys.sort();
            keys
        };
        for _ in 0..2 {
            refresh_all(&mirror).await;
            purged(&mirror).await;
            assert_eq!(new(), ["t:kubernetes", "t:mcp"], "{dialect}");
        }
        edit_star(&mirror, "mcp");
        mirror.refresh("mcp").await;
        purged(&mirror).await;
        assert_eq!(new(), ["t:mcp"], "{dialect}");
        let deleted = mirror.request(Method::DELETE, "/topics/kubernetes", &[]).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        purged(&mirror).await;
        assert_eq!(new(), ["t:kubernetes"], "{dialect}");
    }
}

#[tokio::test]
async fn topic_is_purged_while_the_round_over_all_topics_still_runs() {
    let (mirror, cdn) = with_cdn("fastly").await;
    {
        let mut world = mirror.stub.world();
        world.add_generated(300, 9, "kubernetes");
        world.settings.latency_millis = 200;
    }
    cdn.watch(format!("{}/refreshes", mirror.url));
    refresh_all(&mirror).await;
    purged(&mirror).await;
    let [first, second] = &cdn.purges()[..] else { panic!("two requests") };
    assert_eq!(first.keys, ["t:mcp"]);
    assert_eq!(second.keys, ["t:kubernetes"]);
    let runs: Vec<Value> = serde_json::from_slice(&first.seen).expect("runs");
    let round = runs.iter().find(|run| run["topic"].is_null()).expect("the round");
    assert_eq!(round["state"], "running", "{round}");
}

#[tokio::test]
async fn import_purges_the_topics_that_it_changes() {
    let (mirror, cdn) = with_cdn("fastly").await;
    let (stub, clock) = (Arc::clone(&mirror.stub), Arc::clone(&mirror.clock));
    let source = Mirror::replica_of(stub, clock, Arc::new(databases::sqlite()), &[]).await;
    source.service.bootstrap().await.expect("a schema");
    source.refresh("kubernetes").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("archive");
    cli::export(&source.service, &archive).await.expect("exported");
    cli::import(&mirror.service, &archive).await.expect("imported");
    assert_eq!(requests(&cdn, 1).await, [["t:kubernetes"]]);
}

#[tokio::test]
async fn keys_beyond_the_limit_of_an_api_go_in_further_requests() {
    for (dialect, expected) in [("fastly", &[256, 5][..]), ("cloudflare", &[100, 100, 61])] {
        let (mirror, cdn) = with_cdn(dialect).await;
        // Rows without a topic are deletions.
        let deleted = |number| (format!("deleted-{number}").parse().expect("a topic"), Some(0));
        let deleted: Vec<_> = (0..260).map(deleted).collect();
        mirror.service.store.note_purged(&deleted).await.expect("a database");
        mirror.refresh("mcp").await;
        purged(&mirror).await;
        let sizes: Vec<usize> = cdn.purges().iter().map(|purge| purge.keys.len()).collect();
        assert_eq!(sizes, expected, "{dialect}");
    }
}

#[tokio::test]
async fn purge_that_fails_is_tried_again_and_then_after_the_next_refresh() {
    for dialect in APIS {
        let (mirror, cdn) = with_cdn(dialect).await;
        cdn.fail(&[Fault::Limited(30), Fault::Limited(3_600), SERVER_ERROR]);
        mirror.refresh("mcp").await;
        assert_eq!(requests(&cdn, 3).await, [["t:mcp"]; 3], "{dialect}");
        let [first, second, third] = &cdn.purges()[..] else { panic!("three requests") };
        assert!(second.at - first.at >= TimeDelta::seconds(30), "the CDN names the pause");
        let pause = third.at - second.at;
        assert!(pause >= TimeDelta::minutes(1) && pause < TimeDelta::minutes(2), "{pause}");
        let left = mirror.service.store.unpurged().await.expect("a database");
        assert_eq!(left.len(), 1, "{dialect}: {left:?}");

        mirror.refresh("kubernetes").await;
        purged(&mirror).await;
        let keys: Vec<_> = cdn.purges()[3..].iter().flat_map(|purge| purge.keys.clone()).collect();
        assert_eq!(keys, ["t:kubernetes", "t:mcp"], "{dialect}");
    }
}

#[tokio::test]
async fn cdn_that_does_not_answer_is_asked_again_after_the_time_out() {
    let (mirror, cdn) = with_cdn("fastly").await;
    cdn.fail(&[Fault::Silent]);
    mirror.refresh("mcp").await;
    purged(&mirror).await;
    assert_eq!(requests(&cdn, 2).await, [["t:mcp"], ["t:mcp"]]);
}

#[tokio::test]
async fn change_that_was_not_purged_is_purged_after_a_restart() {
    let (mirror, cdn) = with_cdn("cloudflare").await;
    cdn.fail(&[SERVER_ERROR; 3]);
    mirror.refresh("mcp").await;
    requests(&cdn, 3).await;
    mirror.service.stop().await;
    let settings = cdn.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    let restarted = mirror.replica(&settings).await;
    purged(&restarted).await;
    assert_eq!(requests(&cdn, 4).await, [["t:mcp"]; 4]);
}

#[tokio::test]
async fn topic_that_is_deleted_before_its_first_purge_is_purged() {
    let (mirror, cdn) = with_cdn("fastly").await;
    cdn.fail(&[SERVER_ERROR; 3]);
    mirror.refresh("mcp").await;
    requests(&cdn, 3).await;
    let deleted = mirror.request(Method::DELETE, "/topics/mcp", &[]).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(requests(&cdn, 4).await, [["t:mcp"]; 4]);
    purged(&mirror).await;
}

#[tokio::test]
async fn purge_comes_after_a_replica_without_redis_serves_the_new_list() {
    let (mirror, cdn) = with_cdn("fastly").await;
    mirror.refresh("mcp").await;
    purged(&mirror).await;
    let settings = cdn.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    let other = mirror.replica(&settings).await;
    let path = "/api/popularity/mcp";
    let old = other.get(path).await;
    cdn.watch(format!("{}{path}", other.url));
    edit_star(&mirror, "mcp");
    mirror.refresh("mcp").await;
    purged(&mirror).await;
    let [_, purge] = &cdn.purges()[..] else { panic!("the replica that refreshed purges") };
    assert_ne!(purge.seen, old.body);
    assert_eq!(purge.seen, mirror.get(path).await.body);
    // The test's clock has no answer on its way, so the time is checked.
    let topic = mirror.get("/topics/mcp").await.json();
    let refreshed_at: DateTime<Utc> =
        topic["refreshed_at"].as_str().expect("text").parse().expect("a time");
    let waited = purge.at - refreshed_at;
    assert!(waited >= TimeDelta::seconds(70), "{waited}");
}

#[tokio::test]
async fn stale_answer_after_a_purge_is_for_a_minute() {
    let (mirror, cdn) = with_cdn("fastly").await;
    mirror.refresh("mcp").await;
    purged(&mirror).await;
    let settings = cdn.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    let other = mirror.replica(&settings).await;
    let list = other.get("/api/popularity/mcp").await.json();
    let name = list[0]["full_name"].as_str().expect("text");
    let paths = [
        "/api/popularity/mcp",
        "/api/popularity/mcp?per_page=2",
        "/topics/mcp/facets",
        "/topics/mcp/history",
        "/exports/mcp.csv",
        "/feeds/mcp/new.atom",
        "/charts/topics/mcp.svg",
        &format!("/badges/mcp/{name}.svg"),
    ];
    let mut old = Vec::new();
    for path in paths {
        let answer = other.get(path).await;
        let cache_control = answer.header("cache-control");
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert!(!cache_control.starts_with("public, max-age=60, stale"), "{path}: {cache_control}");
        old.push(answer);
    }
    edit_star(&mirror, "mcp");
    mirror.refresh("mcp").await;
    purged(&mirror).await;
    other.service.store.close().await;
    for (path, old) in paths.into_iter().zip(old) {
        let stale = other.get(path).await;
        assert_eq!((stale.status, &stale.body), (StatusCode::OK, &old.body), "{path}");
        let unchanged = other.get_with(path, &[("if-none-match", old.header("etag"))]).await;
        assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED, "{path}");
        for answer in [stale, unchanged] {
            assert_eq!(answer.header("cache-control"), FOR_A_MINUTE, "{path}");
        }
    }
}

/// The paths of answers that depend on a topic or a repository, their keys, and whether the CDN may
/// keep them until a purge.
fn tagged([one, two]: [(&str, u64); 2]) -> Vec<(String, String, bool)> {
    let ((name, id), (other, other_id)) = (one, two);
    let topic = "t:kubernetes".to_owned();
    let own = |path: String, keys: String| (path, keys, false);
    let mut all: Vec<_> = [
        "/api/kubernetes",
        "/api/trending/kubernetes",
        "/api/popularity/kubernetes?per_page=2",
        "/topics/kubernetes/facets",
        "/topics/kubernetes/history",
        "/exports/kubernetes.csv",
        "/exports/kubernetes/history.ndjson",
    ]
    .map(|path| (path.to_owned(), topic.clone(), true))
    .into();
    all.extend(
        [
            "/api/kubernetes?created=30d",
            "/t/kubernetes",
            "/feeds/kubernetes/new.atom",
            "/charts/topics/kubernetes.svg",
        ]
        .map(|path| own(path.to_owned(), topic.clone())),
    );
    all.extend([
        own(format!("/badges/kubernetes/{name}.svg"), format!("t:kubernetes r:{id}")),
        own(format!("/charts/{name}.svg"), format!("r:{id}")),
        own(format!("/charts/compare.json?repos={name},{other}"), format!("r:{id} r:{other_id}")),
        own(format!("/api/repos/{name}"), format!("r:{id} t:kubernetes")),
        own(format!("/api/repositories/{id}/history"), format!("r:{id}")),
        own(format!("/r/{name}"), format!("r:{id} t:kubernetes")),
        own(format!("/compare?repos={name},{other}"), format!("r:{id} t:kubernetes r:{other_id}")),
    ]);
    all
}

#[tokio::test]
async fn answers_have_keys_and_a_longer_time_for_the_cdn_only_with_purge_url() {
    let unreachable = [
        ("PURGE_URL", "http://127.0.0.1:1".to_owned()),
        ("PURGE_DIALECT", "varnish".to_owned()),
        ("PURGE_KEY", "key".to_owned()),
    ];
    for settings in [&[][..], &unreachable] {
        let mirror = mirror(settings).await;
        mirror.refresh("kubernetes").await;
        let list = mirror.get("/api/kubernetes").await.json();
        let [one, two] = [0, 1].map(|place| {
            let row = &list[place];
            (row["full_name"].as_str().expect("text"), row["id"].as_u64().expect("an id"))
        });
        let has_cdn = !settings.is_empty();
        for (path, keys, is_kept) in tagged([one, two]) {
            let answer = mirror.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            let keys = if has_cdn { keys } else { String::new() };
            assert_eq!(answer.header("surrogate-key"), keys, "{path}");
            assert_eq!(answer.header("cache-tag"), keys.replace(' ', ","), "{path}");
            assert_eq!(answer.header("cdn-tag"), keys.replace(' ', ","), "{path}");
            let cache_control = answer.header("cache-control");
            assert!(cache_control.starts_with("public, max-age="), "{path}: {cache_control}");
            let shared = cache_control.contains(", s-maxage=3600, ");
            assert_eq!(shared, has_cdn && is_kept, "{path}: {cache_control}");
            let known = [("if-none-match", answer.header("etag"))];
            let unchanged = mirror.get_with(&path, &known).await;
            assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(unchanged.header("surrogate-key"), keys, "{path}");
        }
        for path in ["/api/unknown", "/api/mcp", "/db/kubernetes", "/nothing", "/status"] {
            let answer = mirror.get(path).await;
            assert_eq!(answer.header("cache-control"), "no-store", "{path}: {}", answer.status);
            assert_eq!(answer.header("surrogate-key"), "", "{path}");
        }
    }
}
