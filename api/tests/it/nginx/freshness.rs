//! The age of cached lists, and the requests that nginx sends for them.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Utc;
use reqwest::StatusCode;

use super::harness::one_replica;
use super::replica::Replica;
use crate::support::{Answer, eventually, http_client};

type Fault = fn(&Replica);

/// Waits until nginx's clock, which counts whole seconds, shows the next one.
async fn next_second() {
    let gone = Duration::from_millis(Utc::now().timestamp_subsec_millis().into());
    // A few milliseconds more, since nginx reads the clock only when an event arrives.
    tokio::time::sleep(Duration::from_millis(1_010).saturating_sub(gone)).await;
}

fn version(answer: &Answer) -> usize {
    answer.header("x-version").parse().unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[tokio::test]
async fn cache_shrinks_to_its_maximum_when_it_is_full() {
    let edits = [("max_size=64m", "max_size=64k"), ("min_free=32m ", "")];
    let Some((replica, nginx)) = one_replica(&edits).await else { return };
    for number in 0..200 {
        assert_eq!(nginx.get(&format!("/api/topic{number}")).await.status, StatusCode::OK);
    }
    assert_eq!(replica.requests(), 200);
    // nginx looks every ten seconds.
    eventually(30, "nginx evicts the least recently used lists", async || {
        // A pause, so that the test does not read the folder all the time nginx works in it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        nginx.cached().1 <= 64 * 1_024
    })
    .await;
}

#[tokio::test]
async fn list_is_fetched_once_a_second_when_it_is_read_all_the_time() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    let (started, mut answers) = (std::time::Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
        answers += 1;
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).expect("few") + 2;
    assert!(
        (2..=seconds).contains(&replica.requests()),
        "{} requests for {answers} answers",
        replica.requests()
    );
    assert!(answers > 2 * seconds, "only {answers} answers");
}

#[tokio::test]
async fn list_is_never_older_than_a_second() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    // More than a second, since nginx reads the clock only when an event arrives, and other tests
    // share the machine.
    let late = Duration::from_millis(1_150);
    let mut ended = Vec::new();
    for next in 1..400 {
        let version = version(&nginx.get("/api/kubernetes").await);
        if let Some(ended) = ended.get(version) {
            let age = std::time::Instant::elapsed(ended);
            assert!(age < late, "{age:?} after the replica had a newer one");
        }
        replica.set_version(next);
        ended.push(std::time::Instant::now());
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
}

#[tokio::test]
async fn list_is_new_for_every_reader_after_a_time_without_readers() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    assert_eq!(version(&nginx.get("/api/kubernetes").await), 0);
    for round in 1..=3 {
        replica.set_version(round);
        // Slow enough that the others ask while the first one waits.
        replica.set_delay(Duration::from_millis(30));
        next_second().await;
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (http, url) = (http_client(), format!("{}/api/kubernetes", nginx.url));
            readers.spawn(async move {
                http.get(url).send().await.expect("an answer").headers()["x-version"].clone()
            });
        }
        let versions: BTreeSet<String> = readers
            .join_all()
            .await
            .iter()
            .map(|version| version.to_str().expect("text").to_owned())
            .collect();
        assert_eq!(versions, BTreeSet::from([round.to_string()]));
    }
}

#[tokio::test]
async fn list_is_fetched_once_when_many_ask_for_a_new_one() {
    let edits = [("proxy_cache_lock_timeout 20ms;", "proxy_cache_lock_timeout 5s;")];
    let Some((replica, nginx)) = one_replica(&edits).await else { return };
    replica.set_delay(Duration::from_millis(100));
    // The waiting requests look again after half a second, which must be in the same second.
    next_second().await;
    let many = (0..30).map(|_| nginx.get("/api/kubernetes"));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(replica.requests(), 1);
}

#[tokio::test]
async fn list_of_a_slow_replica_delays_its_first_reader_alone() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    replica.set_delay(Duration::from_secs(4));
    let first = nginx.get("/api/kubernetes");
    let others = async {
        eventually(3, "the first has asked", async || replica.requests() == 1).await;
        replica.set_delay(Duration::ZERO);
        let asked = std::time::Instant::now();
        assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
        asked.elapsed()
    };
    let (first, waited) = tokio::join!(first, others);
    assert_eq!(first.status, StatusCode::OK);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn cached_list_is_served_when_the_replicas_fail() {
    let faults: [(&str, Fault); 6] = [
        ("500", |replica| replica.set_status(500)),
        ("502", |replica| replica.set_status(502)),
        ("503", |replica| replica.set_status(503)),
        ("504", |replica| replica.set_status(504)),
        ("broken connections", Replica::break_connections),
        ("a hanging replica", |replica| replica.set_delay(Duration::from_secs(60))),
    ];
    let edits = [("proxy_read_timeout 5s;", "proxy_read_timeout 500ms;")];
    for (name, fault) in faults {
        let Some((replica, nginx)) = one_replica(&edits).await else { return };
        replica.set_version(1);
        let fresh = nginx.get("/api/kubernetes").await;
        assert_eq!((fresh.status, fresh.header("cache-control")), (StatusCode::OK, "max-age=60"));
        replica.set_version(2);
        fault(&replica);
        next_second().await;
        for _ in 0..3 {
            let answer = nginx.get("/api/kubernetes").await;
            assert_eq!((answer.status, version(&answer)), (StatusCode::OK, 1), "{name}");
            assert_eq!(
                answer.header("cache-status"),
                "nginx; hit; detail=stale-if-error",
                "{name}"
            );
            let for_a_minute =
                "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400";
            assert_eq!(answer.all("cache-control"), [for_a_minute], "{name}");
        }
        replica.heal();
        // nginx leaves out a replica for two seconds after its failures.
        eventually(5, "the new list", async || version(&nginx.get("/api/kubernetes").await) == 2)
            .await;
    }
}

#[tokio::test]
async fn refusal_is_passed_on_and_not_cached() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    for status in [503, 404, 400, 429, 500, 301, 204] {
        let path = format!("/api/topic{status}");
        replica.set_status(status);
        for _ in 0..2 {
            assert_eq!(nginx.get(&path).await.status.as_u16(), status);
        }
        replica.heal();
        assert_eq!(nginx.get(&path).await.status, StatusCode::OK, "at once after {status}");
    }
    assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
    replica.set_status(404);
    next_second().await;
    assert_eq!(
        nginx.get("/api/kubernetes").await.status,
        StatusCode::NOT_FOUND,
        "the topic was deleted"
    );
}
