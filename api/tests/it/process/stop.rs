//! SIGTERM and SIGKILL: responses, leases and lists survive them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use github_stub::{Fault, FaultKind, Stub, World};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{ApiProcess, api, stub};
use crate::databases::{self, Database};

/// Makes the stub hold its response to this page of this search.
fn hold_page(stub: &Stub, sort: &str, page: usize) {
    let fault = Fault::from(FaultKind::Slow { millis: 600_000 });
    stub.world().faults.push(fault.on(sort, page));
}

/// Waits until the stub has got that many searches in all.
async fn wait_for_searches(stub: &Stub, count: u64) {
    while stub.world().counters.searches < count {
        tokio::task::yield_now().await;
    }
}

/// Makes the leases of a process that was killed expire at once, as they do within 60 s.
async fn expire_leases(database: &Database) {
    let expire = "UPDATE leases SET expires_at = '2026-01-01T00:00:00+00:00' RETURNING name";
    assert!(!database.query(expire).await.is_empty());
}

fn update_cache(process: &ApiProcess) -> JoinHandle<reqwest::Result<reqwest::Response>> {
    tokio::spawn(reqwest::get(format!("{}/update_cache", process.url)))
}

#[tokio::test]
async fn service_killed_in_a_refresh_serves_lists_at_restart_and_completes_it() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external"), ("DATA_DIR", ".")];
    let mut process = ApiProcess::start(api(&folder, &settings)).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    let old = process.get("/api/popularity/kubernetes").await.1;

    let first = stub.world().ranked("kubernetes", "stars")[0];
    stub.world().star(first, 9_000_000, chrono::Utc::now());
    hold_page(&stub, "updated", 5);
    let before = stub.world().counters.searches;
    let update = update_cache(&process);
    wait_for_searches(&stub, before + 15).await;
    process.kill().await;
    assert!(update.await.expect("no panic").is_err());

    let settings = [("GITHUB_API_URL", &*stub.url()), ("DATA_DIR", ".")];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    let (status, list) = process.get("/api/popularity/kubernetes").await;
    assert_eq!(status, StatusCode::OK, "the list is served right after the start");
    assert_eq!(
        serde_json::from_str::<Value>(&list).expect("JSON").as_array().map(Vec::len),
        Some(500)
    );
    assert_ne!(list, old, "the killed run had stored the new count");
    let database = Database::Sqlite(folder);
    expire_leases(&database).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    let (_, topic) = process.get("/topics/kubernetes").await;
    assert!(topic.contains("\"complete\":true"), "{topic}");
}

#[tokio::test]
async fn other_replica_completes_the_refresh_when_the_lease_holder_is_killed() {
    let Some(database) = databases::postgres() else { return };
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("GITHUB_API_URL", &*stub.url()),
        ("SCHEDULER", "external"),
        ("DATABASE_URL", &*database.setting()),
    ];
    let mut holder = ApiProcess::start(api(&folder, &settings)).await;
    let other = ApiProcess::start(api(&folder, &settings)).await;
    assert_eq!(holder.get("/bootstrap_db").await.0, StatusCode::OK);
    hold_page(&stub, "stars", 4);
    let update = update_cache(&holder);
    wait_for_searches(&stub, 9).await;
    let joined = update_cache(&other);
    holder.kill().await;
    assert!(update.await.expect("no panic").is_err());
    expire_leases(&database).await;

    let response =
        tokio::time::timeout(Duration::from_secs(60), joined).await.expect("a response in 60 s");
    let report: Value =
        response.expect("no panic").expect("a response").json().await.expect("a report");
    assert_eq!(
        (&report["complete"], &report["topics"][0]["complete"]),
        (&true.into(), &true.into()),
        "{report}"
    );
    let mut expected = BTreeSet::new();
    for (path, sort) in [("", "best-match"), ("popularity/", "stars"), ("activity/", "updated")] {
        let list = other.get(&format!("/api/{path}kubernetes")).await.1;
        let ids = ids(&serde_json::from_str(&list).expect("JSON"));
        let world = stub.world().ranked("kubernetes", sort)[..500].to_vec();
        assert_eq!(ids.iter().zip(&world).find(|(own, world)| own != world), None, "{sort}");
        expected.extend(world);
    }
    let count = "SELECT count(*)::text || ' ' || count(DISTINCT repository_id)::text \
         FROM topic_repositories";
    let expected = format!("{0} {0}", expected.len());
    assert_eq!(database.query(count).await, [expected], "each repository is stored once");
}

fn ids(list: &Value) -> Vec<u64> {
    let items = list.as_array().expect("an array");
    items.iter().map(|item| item["id"].as_u64().expect("an id")).collect()
}

/// Reads a list until the service does not listen any more, and counts the responses.
async fn read_until_stopped(url: String, responses: Arc<AtomicUsize>, stopping: Arc<AtomicBool>) {
    let client = reqwest::Client::new();
    loop {
        match client.get(&url).send().await {
            Ok(response) => {
                let bytes = response.bytes().await.expect("a whole body");
                assert!(bytes.ends_with(b"]"));
                responses.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                assert!(
                    error.is_connect() && stopping.load(Ordering::Relaxed),
                    "only a connection after SIGTERM may fail: {error:?}"
                );
                return;
            }
        }
    }
}

#[tokio::test]
async fn sigterm_under_load_cuts_no_response() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external")];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    let (responses, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let url = format!("{}/api/kubernetes", process.url);
            tokio::spawn(read_until_stopped(url, Arc::clone(&responses), Arc::clone(&stopping)))
        })
        .collect();
    while responses.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    stopping.store(true, Ordering::Relaxed);
    process.signal("-TERM");
    for client in clients {
        client.await.expect("no response was cut");
    }
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
}

/// If GitHub does not respond, the lease must not block the next start until it expires.
#[tokio::test]
async fn sigterm_in_a_refresh_releases_the_lease() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external"), ("DATA_DIR", ".")];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    hold_page(&stub, "stars", 2);
    let before = stub.world().counters.searches;
    let update =
        tokio::spawn(reqwest::get(format!("{}/update_cache?topic=kubernetes", process.url)));
    wait_for_searches(&stub, before + 7).await;
    process.signal("-TERM");
    let response = update.await.expect("no panic").expect("a response to a request in flight");
    let report: Value = response.json().await.expect("a report");
    assert_eq!(
        (&report["outcome"], &report["reason"]),
        (&"partial".into(), &"the service is stopping".into()),
        "{report}"
    );
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");

    let leases =
        Database::Sqlite(folder).query("SELECT name FROM leases WHERE owner IS NOT NULL").await;
    assert_eq!(leases, Vec::<String>::new());
}
