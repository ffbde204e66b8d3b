//! More requests than the service can answer in time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;

use api::error::Error;
use api::lists::document::Document;
use api::model::list::Version;
use futures_util::future::join_all;
use github_stub::World;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::support::Mirror;

/// As many answers are written at a time, or wait in a line that refuses none of them, for each
/// thread that writes.
const FEW: usize = 18;

type Written = Result<Document, Error>;

fn world() -> World {
    World::generate(100, 7, "kubernetes")
}

#[tokio::test]
async fn requests_are_refused_soon_while_many_others_wait() {
    let cdn =
        [("PURGE_URL", "http://127.0.0.1:1"), ("PURGE_DIALECT", "varnish"), ("PURGE_KEY", "key")];
    let mirror = Mirror::start_with(world(), &cdn).await;
    mirror.refresh("kubernetes").await;
    let [kept, new] = ["stars=1..", "stars=2.."].map(|q| format!("/api/newest/kubernetes?{q}"));
    let old = mirror.get(&kept).await;
    let cache_control = old.header("cache-control");
    assert!(cache_control.contains("s-maxage=3600"), "{cache_control}");
    let changed = old.ids()[0];
    mirror.stub.world().star(changed, 1_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.refresh("kubernetes").await;

    let reads = Arc::new(AtomicUsize::new(0));
    let cores = available_parallelism().expect("cores").get();
    let (mut gates, mut makings) = (Vec::new(), JoinSet::new());
    for number in 0..2 * FEW * cores {
        let (gate, opened) = mpsc::channel::<()>();
        gates.push(gate);
        let (documents, reads) = (mirror.service.documents.clone(), Arc::clone(&reads));
        let gather = move || async move {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(move || -> Written {
                let _ = opened.recv();
                Err(Error::Internal)
            })
        };
        makings.spawn(async move { documents.get(format!("slow {number}"), None, gather).await });
    }
    let first = makings.join_next().await.expect("a making").expect("no panic");
    assert!(matches!(first, Err(Error::NotYet { .. })), "{first:?}");
    let refused = mirror.get(&new).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    let stale = mirror.get(&kept).await;
    assert_eq!(stale.body, old.body, "the kept answer is sent");
    let cache_control = stale.header("cache-control");
    assert!(!cache_control.contains("s-maxage"), "{cache_control}");
    for path in ["/health", "/ready", "/api/kubernetes"] {
        assert_eq!(mirror.get(path).await.status, StatusCode::OK, "{path}");
    }
    let begun = reads.load(Ordering::Relaxed);
    assert!(begun <= cores + 1, "{begun} had their data read, on {cores} cores");
    drop(gates);
    makings.join_all().await;
    assert_ne!(mirror.get(&kept).await.body, old.body, "the refresh has changed it");
}

#[tokio::test]
async fn answers_that_wait_for_data_keep_no_other_from_being_written() {
    let mirror = Mirror::refreshed(world()).await;
    for number in 0..200 {
        let documents = mirror.service.documents.clone();
        let endless = || std::future::pending::<Result<fn() -> Written, Error>>();
        let making = async move { documents.get(format!("endless {number}"), None, endless).await };
        tokio::spawn(making);
    }
    let answer = mirror.get("/api/newest/kubernetes?stars=1..").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn answer_that_was_begun_for_an_older_version_is_stale() {
    let mirror = Mirror::refreshed(world()).await;
    let [old, new] = [1, 2].map(|revision| Some(Version { epoch: 1, revision }));
    let (opener, opened) = oneshot::channel();
    let gather = || async move {
        opened.await.expect("it is opened");
        let no_store = HeaderValue::from_static("no-store");
        Ok(|| Ok(Document::new("text/plain", no_store, Vec::new())))
    };
    let never = || std::future::pending::<Result<fn() -> Written, Error>>();
    let documents = &mirror.service.documents;
    let (first, second, ()) = tokio::join!(
        documents.get("one".to_owned(), old, gather),
        documents.get("one".to_owned(), new, never),
        async { opener.send(()).expect("it waits") },
    );
    let is_stale = [first, second].map(|served| served.expect("an answer").is_stale);
    assert_eq!(is_stale, [false, true]);
}

#[tokio::test]
async fn cold_replica_answers_few_pages_at_once() {
    let cold = Mirror::refreshed(world()).await.replica(&[]).await;
    let pages = (0..FEW).map(|stars| format!("/t/kubernetes?stars={stars}.."));
    for answer in join_all(pages.map(async |path| cold.get(&path).await)).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
}
