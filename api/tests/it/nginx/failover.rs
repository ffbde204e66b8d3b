//! Requests and replicas that fail.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use super::harness::{Nginx, free_address, problem, two_replicas};
use super::replica::Replica;
use crate::support::eventually;

#[tokio::test]
async fn requests_alternate_between_replicas_over_kept_connections() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for _ in 0..20 {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    }
    for replica in [a, b] {
        assert_eq!((replica.requests(), replica.connections()), (10, 1));
    }
}

#[tokio::test]
async fn dead_replica_is_skipped_until_it_is_back() {
    let alive = Replica::start().await;
    let dead = free_address();
    let Some(nginx) = Nginx::start(&[dead, alive.address]).await else { return };
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
        for _ in 0..3 {
            assert_eq!(
                nginx.request(method.clone(), "/topics/kubernetes", &[]).await.status,
                StatusCode::OK,
                "{method}"
            );
        }
    }
    assert_eq!(alive.requests(), 12);
    let back = Replica::start_at(dead).await;
    eventually(5, "it is asked again", async || {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
        back.requests() > 0
    })
    .await;
}

#[tokio::test]
async fn request_goes_to_the_other_replica_when_one_fails() {
    for path in ["/api/topic", "/db/topic", "/topics/topic", "/api/topic?a=b&x="] {
        let faults: [fn(&Replica); 2] =
            [|replica| replica.set_status(502), Replica::break_connections];
        for fault in faults {
            let Some((a, b, nginx)) = two_replicas().await else { return };
            // Each replica fails once, in the same two seconds, and nginx leaves out neither.
            for replica in [&a, &b] {
                fault(replica);
                // A new topic each time, because nginx has cached those before.
                for number in 0.. {
                    assert_eq!(
                        nginx.get(&format!("{path}{number}")).await.status,
                        StatusCode::OK,
                        "{path}"
                    );
                    if replica.requests() > 0 {
                        break;
                    }
                }
                replica.heal();
            }
        }
    }
}

/// nginx has no replica left to try, too, if the name of a dead one disappears while a request
/// waits for it.
#[tokio::test]
async fn request_is_tried_once_more_when_no_replica_is_left() {
    let weighed = ("accept-encoding", "gzip;q=0.5");
    let br = ("accept-encoding", "br");
    for (path, headers, status) in [
        ("/topics", &[][..], 200),
        ("/api/kubernetes", &[], 200),
        ("/api/kubernetes", &[br], 200),
        ("/api/kubernetes", &[weighed], 200),
        ("/api/kubernetes?a=b", &[br], 200),
        ("/update_cache", &[], 502),
    ] {
        // A new nginx each time: if a kept connection breaks, nginx tries the same replica again by
        // itself.
        let replica = Replica::start().await;
        let Some(nginx) = Nginx::start(&[replica.address]).await else { return };
        replica.break_next(1);
        let answer = nginx.request(Method::GET, path, headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert_eq!(replica.requests(), if status == 200 { 2 } else { 1 }, "{path} {headers:?}");
        assert_eq!(replica.last_target().as_deref(), Some(path));
        if status != 200 {
            problem(&answer, status, path);
        }
    }
}

/// This happens when both replicas are replaced, one after the other: nginx leaves out the new one
/// for the failures of its predecessor.
#[tokio::test]
async fn replica_that_is_left_out_is_asked_when_the_other_fails() {
    let Some((back, gone, nginx)) = two_replicas().await else { return };
    back.break_connections();
    // Every second request goes to it, and after five failures nginx leaves it out.
    for _ in 0..10 {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    }
    back.heal();
    gone.break_connections();
    let asked = back.requests();
    assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    assert_eq!(back.requests(), asked + 1);
}

#[tokio::test]
async fn status_503_is_passed_on_and_is_no_failure_of_a_replica() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for replica in [&a, &b] {
        replica.set_status(503);
    }
    for _ in 0..10 {
        let answer = nginx.get("/api/kubernetes").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "a replica's answer")
        );
        for (name, value) in [("retry-after", "7"), ("cache-control", "max-age=60")] {
            assert_eq!(
                answer.headers.get_all(name).iter().collect::<Vec<_>>(),
                [value],
                "sent once, as it was"
            );
        }
    }
    assert_eq!((a.requests(), b.requests()), (5, 5), "each was sent once");
    for replica in [&a, &b] {
        replica.set_status(200);
    }
    assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK, "at once");
}

/// Takes six seconds: nginx waits five for a list, and without a limit for a refresh.
#[tokio::test]
async fn list_goes_to_the_other_replica_when_one_hangs_and_refresh_does_not() {
    let (hanging, alive) = (Replica::start().await, Replica::start().await);
    let Some(nginx) = Nginx::start(&[hanging.address, alive.address]).await else { return };
    hanging.set_delay(Duration::from_secs(6));
    let asked = std::time::Instant::now();
    let (list, refresh) = tokio::join!(nginx.get("/api/kubernetes"), async {
        // The list was the first request, so the next one goes to the other replica, and the
        // refresh to the hanging one.
        eventually(5, "the list is asked for", async || hanging.requests() == 1).await;
        nginx.get("/topics").await;
        nginx.get("/update_cache").await
    });
    assert_eq!((list.status, refresh.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!((hanging.requests(), alive.requests()), (2, 2));
    assert!(asked.elapsed() > Duration::from_secs(5));
}

/// Ruby's and Java's defaults have weights, which a replica judges.
const ACCEPTED: [&str; 5] =
    ["gzip", "br", "identity", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3", "*;q=0.5"];

#[tokio::test]
async fn list_comes_from_the_other_replica_when_one_has_nothing() {
    let Some((empty, full, nginx)) = two_replicas().await else { return };
    empty.have_nothing();
    for number in 0..20 {
        for accept in ACCEPTED {
            for headers in [
                &[("accept-encoding", accept)][..],
                &[("accept-encoding", accept), ("if-none-match", "\"a\", \"b\"")],
            ] {
                let path = format!("/api/topic{number}");
                let answer = nginx.request(Method::GET, &path, headers).await;
                assert_eq!(answer.status, StatusCode::OK, "{path} {headers:?}");
            }
        }
    }
    // The replica was never left out: it gets every second request for what is no list.
    let (before, other) = (empty.requests(), full.requests());
    empty.heal();
    for _ in 0..10 {
        nginx.get("/topics").await;
    }
    assert_eq!((empty.requests() - before, full.requests() - other), (5, 5));
}

#[tokio::test]
async fn answer_is_the_services_503_when_no_replica_has_anything() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for replica in [&a, &b] {
        replica.have_nothing();
    }
    for accept in ACCEPTED {
        let headers = [("accept-encoding", accept)];
        let answer = nginx.request(Method::GET, "/api/kubernetes", &headers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{accept}");
        assert_eq!(answer.text(), "a replica's answer", "{accept}");
        assert_eq!(answer.header("retry-after"), "7", "{accept}");
    }
}

#[tokio::test]
async fn kept_list_is_served_in_an_encoding_that_the_client_takes_when_no_replica_can() {
    let faults: [fn(&Replica); 3] =
        [Replica::break_connections, Replica::have_nothing, |replica| replica.set_status(502)];
    for fault in faults {
        for (kept, accept, condition, status) in [
            ("gzip", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3", "", 200),
            ("br", "gzip;q=0.5, br;q=0.1", "", 200),
            ("br", "*", "", 200),
            ("identity", "gzip;q=0.5", "", 200),
            ("identity", "deflate", "\"a\", \"b\"", 200),
            ("gzip", "gzip", "\"a\", \"b\"", 200),
            ("gzip", "br, gzip", "\"a\", \"b\"", 200),
            ("gzip", "gzip;q=0, br;q=0.5", "", 0),
            ("identity", "br;q=0.5, *;q=0", "", 0),
            ("br", "br;q=0.0, gzip", "", 0),
        ] {
            let replica = Replica::start().await;
            let Some(nginx) = Nginx::start(&[replica.address]).await else { return };
            let keep = [("accept-encoding", kept)];
            assert_eq!(nginx.request(Method::GET, "/api/a", &keep).await.status, 200);
            fault(&replica);
            let mut headers = vec![("accept-encoding", accept)];
            if !condition.is_empty() {
                headers.push(("if-none-match", condition));
            }
            let answer = nginx.request(Method::GET, "/api/a", &headers).await;
            let served = if answer.status == 200 { 200 } else { 0 };
            assert_eq!(served, status, "{kept} kept, {headers:?}: {answer:?}");
            let query = nginx.request(Method::GET, "/api/a?page=2", &headers).await;
            assert_ne!(query.status, 200, "the kept list has no query");
        }
    }
}
