//! The answers that nginx caches, and the keys of its cache.

use reqwest::{Method, StatusCode};

use super::harness::one_replica;
use super::lists::service_behind_nginx;
use crate::support::Answer;

const LISTS: [&str; 7] = [
    "/api/kubernetes",
    "/api/popularity/kubernetes",
    "/api/activity/kubernetes",
    "/api/newest/kubernetes",
    "/api/trending/kubernetes",
    "/api/falling/kubernetes",
    // A ranking that the API does not have yet.
    "/api/a-later_ranking2/kubernetes",
];

const OTHER_PATHS: [&str; 33] = [
    "/",
    "/test",
    "/db/kubernetes",
    "/db/popularity/kubernetes",
    "/topics",
    "/topics/kubernetes",
    "/refreshes",
    "/ready",
    "/update_cache",
    "/api",
    "/api/",
    "/api/popularity/a/b",
    "/API/kubernetes",
    "/api/kubernetes.json",
    "/api/repos/kubernetes",
    "/api/repos/kubernetes/kubernetes",
    "/api/repos/kubernetes/kubernetes/history",
    "//api//repos/kubernetes/kubernetes/",
    "/api/repos%2fkubernetes",
    "/api/x/../repos/kubernetes",
    "/api/repositories/20580498",
    "/api/repositories/20580498/history",
    "/topics/kubernetes/history",
    "/topics/kubernetes/events",
    "/charts/kubernetes/kubernetes.svg",
    "/charts/topics/kubernetes.json",
    "/charts/compare.svg",
    "/badges/kubernetes/kubernetes/kubernetes.svg",
    "/feeds/kubernetes/new.atom",
    "/feeds.opml",
    "/exports/kubernetes.csv",
    "/exports/kubernetes/history.ndjson",
    "/api/charts/kubernetes/kubernetes.svg",
];

/// Whether nginx looked into its cache for this answer.
fn is_of_the_cache(answer: &Answer) -> bool {
    answer.all("cache-status").iter().any(|line| line.starts_with("nginx;"))
}

#[tokio::test]
async fn list_is_cached_whatever_its_ranking() {
    for accept in ["identity", "gzip", "br"] {
        let Some((replica, nginx)) = one_replica(&[]).await else { return };
        for (before, path) in LISTS.iter().enumerate() {
            let headers = [("accept-encoding", accept)];
            let answer = nginx.request(Method::GET, path, &headers).await;
            assert_eq!(answer.all("cache-status"), ["nginx; fwd=miss"], "{path}");
            assert_eq!(replica.last_target().as_deref(), Some(*path));
            assert_eq!(replica.last_header("accept-encoding").expect("sent"), accept);
            assert_eq!(nginx.cached().0, before + 1, "{path}");
        }
        for path in ["/api/repos", "/api/repositories", "/api/reposit/x", "/api/a/b"] {
            assert!(is_of_the_cache(&nginx.get(path).await), "{path} is a list by its form");
        }
    }
}

#[tokio::test]
async fn list_in_another_format_reaches_a_replica_and_is_not_cached() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    for accept in
        ["text/csv", "application/x-ndjson, */*;q=0.1", "text/html, TEXT/CSV;q=0.9", "text/csv;q=0"]
    {
        let headers = [("accept", accept), ("accept-encoding", "gzip")];
        let answer = nginx.request(Method::GET, "/api/kubernetes", &headers).await;
        assert!(!is_of_the_cache(&answer), "{accept}");
        assert_eq!(replica.last_header("accept").expect("sent"), accept);
    }
    assert_eq!(nginx.cached().0, 0);
    for accept in ["application/json", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8"] {
        let headers = [("accept", accept), ("accept-encoding", "gzip")];
        let answer = nginx.request(Method::GET, "/api/kubernetes", &headers).await;
        assert!(is_of_the_cache(&answer), "{accept}");
    }
    assert_eq!(nginx.cached().0, 1);
}

#[tokio::test]
async fn list_with_a_query_reaches_a_replica_with_it_and_is_not_cached() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    let encodings = ["identity", "gzip", "br", "gzip;q=0.5"];
    // nginx has each list, and must not answer with it.
    for path in LISTS {
        for accept in encodings {
            nginx.request(Method::GET, path, &[("accept-encoding", accept)]).await;
        }
    }
    let (entries, _) = nginx.cached();
    assert_eq!(entries, 3 * LISTS.len());
    for path in LISTS {
        for query in ["language=rust&q=%22a+b%22", "page=2", "&", "a", "?", "a=b|GET|||", "%00"] {
            for accept in encodings {
                let (before, target) = (replica.requests(), format!("{path}?{query}"));
                let headers = [("accept-encoding", accept), ("x-odd", "1")];
                for method in [Method::GET, Method::GET, Method::HEAD] {
                    let answer = nginx.request(method, &target, &headers).await;
                    assert_eq!(answer.status, StatusCode::OK, "{target}");
                    assert!(!is_of_the_cache(&answer), "{target}");
                    assert_eq!(replica.last_target().as_deref(), Some(&*target));
                    assert_eq!(replica.last_header("accept-encoding").expect("sent"), accept);
                    assert_eq!(replica.last_header("x-odd").expect("sent"), "1");
                }
                assert_eq!(replica.requests(), before + 3, "{target}");
            }
        }
    }
    assert_eq!(nginx.cached().0, entries);
    let answer = nginx.get("/api/kubernetes?").await;
    assert!(is_of_the_cache(&answer), "an empty query is none");
    assert_eq!(nginx.cached().0, entries);
}

#[tokio::test]
async fn path_or_method_that_is_no_list_is_not_cached() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    for path in OTHER_PATHS {
        for _ in 0..2 {
            let answer = nginx.get(path).await;
            assert_eq!(
                (answer.status, is_of_the_cache(&answer)),
                (StatusCode::OK, false),
                "{path}"
            );
        }
    }
    let methods = [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
    for method in &methods {
        for _ in 0..2 {
            let preflight = [("access-control-request-method", "GET")];
            nginx.request(method.clone(), "/api/kubernetes", &preflight).await;
            assert_eq!(replica.last_method().as_ref(), Some(method));
            assert_eq!(replica.last_header(preflight[0].0).expect("sent"), "GET");
        }
    }
    assert_eq!(
        (replica.requests(), nginx.cached().0),
        (2 * (OTHER_PATHS.len() + methods.len()), 0)
    );
}

#[tokio::test]
async fn list_has_one_entry_for_each_encoding_whatever_clients_send() {
    let Some((mirror, nginx)) = service_behind_nginx(true).await else { return };
    let (before, _) = nginx.cached();
    assert_eq!(before, 0);
    for number in 0..300 {
        let odd = format!("x-{number}");
        let query = match number % 3 {
            0 => String::new(),
            1 => "?".to_owned(),
            _ => format!("?q={number}&per_page={}", number + 1),
        };
        let spellings = [
            "/api/kubernetes",
            "//api///kubernetes",
            "/api/kubernetes//",
            "/api/x/../kubernetes",
            "/api/%6bubernetes",
        ];
        let path = format!("{}{query}", spellings[number % spellings.len()]);
        for accept in [
            format!("gzip, {odd}"),
            format!("{odd}, br"),
            odd.clone(),
            format!("gzip;q=0.{number}"),
            format!("{odd};q=1, br, *;q=0.{number}"),
        ] {
            let headers: [(&str, &str); 6] = [
                ("accept-encoding", &accept),
                ("cookie", &odd),
                ("accept", &odd),
                ("user-agent", &odd),
                ("vary", &odd),
                ("if-none-match", &odd),
            ];
            let headers = &headers[..if number % 2 == 0 { 5 } else { 6 }];
            let answer = nginx.request(Method::GET, &path, headers).await;
            // The service does not know some of the spellings; if nginx asks for its cache, it
            // sends one that the service knows.
            assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&answer.status), "{path}");
        }
    }
    assert_eq!(nginx.cached().0, 3, "identity, gzip and br of one list");
    // These are no lists of their own.
    for path in ["/api/KUBERNETES", "/api/kubernetes%0a", "/api/kubernetes%00", "/api/kubernetes;a"]
    {
        let (direct, proxied) = (mirror.get(path).await, nginx.get(path).await);
        assert!(
            proxied.status == direct.status || proxied.status == StatusCode::BAD_REQUEST,
            "{path}: {proxied:?}"
        );
    }
    for path in ["/api/a%2fkubernetes", "/api/a/kubernetes", "/api/POPULARITY/kubernetes"] {
        assert_eq!(nginx.get(path).await.status, StatusCode::NOT_FOUND, "{path}: no such ranking");
    }
    assert_eq!(nginx.cached().0, 3);
    for path in ["/api/popularity/kubernetes", "/api/popularity%2fkubernetes"] {
        assert_eq!(nginx.get(path).await.status, StatusCode::OK);
    }
    assert_eq!(nginx.cached().0, 4);
}
