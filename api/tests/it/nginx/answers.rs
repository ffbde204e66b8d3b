//! Answers of nginx's own, and the headers and log entries that it adds.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::harness::{Nginx, Setup, free_address, one_replica, problem, two_replicas};
use super::replica::Replica;
use crate::support::{Mirror, assert_hardened, http_client};

#[tokio::test]
async fn own_error_is_a_problem_document_for_every_status() {
    let setup = Setup { topics: "kubernetes", rate_limit: 1, edits: &[] };
    let dead = [free_address(), free_address()];
    let Some(nginx) = Nginx::start_with(&dead, setup).await else { return };
    let answer = nginx.get("/api/kubernetes?a=%22").await;
    problem(&answer, 502, "/api/kubernetes");
    assert_eq!(answer.header("retry-after"), "2");
    problem(&nginx.get("/.problem").await, 404, "/.problem");
    problem(
        &nginx.request(Method::GET, "/api/x", &[("x-long", &"a".repeat(9_000))]).await,
        400,
        "/api/x",
    );
    problem(&nginx.get(&format!("/{}", "a".repeat(9_000))).await, 414, "");
    let body = http_client().post(format!("{}/update_cache", nginx.url)).body(vec![b'a'; 20_000]);
    let body = body.send().await.expect("an answer");
    assert_eq!(body.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body.headers()["content-type"], "application/problem+json");
    let answer = nginx.request(Method::TRACE, "/", &[]).await;
    problem(&answer, 405, "/");
    assert_eq!(answer.header("allow"), "GET, HEAD, POST, DELETE");
    let mut limited = nginx.get("/db/x").await;
    for _ in 0..5 {
        limited = nginx.get("/db/x").await;
    }
    problem(&limited, 429, "/db/x");
    assert_eq!(limited.header("retry-after"), "1");
    // A path that JSON would have to escape is left out of the document. A request that is not HTTP
    // gets a document too.
    for request in
        ["GET /\"\\ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"]
    {
        let answer = nginx.raw(request).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("application/problem+json") && !head.contains("nginx/"), "{head}");
        serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    }
}

#[tokio::test]
async fn script_of_another_origin_reads_own_errors_but_those_of_maintenance() {
    let setup = Setup { topics: "kubernetes", rate_limit: 1, edits: &[] };
    let Some(nginx) = Nginx::start_with(&[free_address()], setup).await else { return };
    let mirror = Mirror::start(World::default()).await;
    let exposed = mirror.get("/nothing").await.header("access-control-expose-headers").to_owned();
    for (method, path, status) in [
        (Method::GET, "/api/kubernetes", 502),
        (Method::GET, "/api/kubernetes?a=b", 502),
        (Method::GET, "/topics", 502),
        (Method::TRACE, "/topics", 405),
        (Method::GET, "/.problem", 404),
        (Method::GET, "/update_cache", 502),
        (Method::POST, "//update_cache/?topic=a", 502),
        (Method::GET, "/bootstrap_db", 502),
        (Method::DELETE, "/topics/kubernetes", 502),
    ] {
        let answer = nginx.request(method.clone(), path, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        let is_open = !path.contains("update_cache")
            && !path.contains("bootstrap_db")
            && method != Method::DELETE;
        let expected = if is_open { ("*", &*exposed) } else { ("", "") };
        let (origin, names) = (
            answer.header("access-control-allow-origin"),
            answer.header("access-control-expose-headers"),
        );
        assert_eq!((origin, names), expected, "{method} {path}");
    }
    let mut limited = nginx.get("/db/x").await;
    for _ in 0..5 {
        limited = nginx.get("/db/x").await;
    }
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn preflight_gets_the_answer_of_the_service_and_counts_towards_no_limit() {
    let mirror = Mirror::start(World::default()).await;
    let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
    let setup = Setup { topics: "kubernetes", rate_limit: 1, edits: &[] };
    let Some(nginx) = Nginx::start_with(&[address], setup).await else { return };
    let headers = [("access-control-request-method", "GET")];
    for path in ["/api/kubernetes", "/api/kubernetes?page=2", "/db/kubernetes", "/topics/a"] {
        for _ in 0..5 {
            let answer = nginx.request(Method::OPTIONS, path, &headers).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
            assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD", "{path}");
        }
    }
    let refused = nginx.request(Method::OPTIONS, "/update_cache", &headers).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn every_answer_has_the_headers_for_browsers_once() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
    let Some(nginx) = Nginx::start(&[address]).await else { return };
    let etag = mirror.get("/api/kubernetes").await.header("etag").to_owned();
    for accept in ["*/*", "text/html"] {
        for (method, path, status) in [
            (Method::GET, "/api/kubernetes", 200),
            (Method::HEAD, "/api/kubernetes", 200),
            (Method::GET, "/api/kubernetes?page=1", 200),
            (Method::GET, "/db/kubernetes", 200),
            (Method::GET, "/t/kubernetes", 200),
            (Method::GET, "/charts/topics/kubernetes.svg", 200),
            (Method::GET, "/feeds/kubernetes/new.atom", 200),
            (Method::GET, "/exports/kubernetes.csv", 200),
            (Method::POST, "/update_cache", 200),
            (Method::PUT, "/update_cache", 405),
            (Method::TRACE, "/topics", 405),
            (Method::GET, "/nothing", 404),
            (Method::GET, "/.problem", 404),
            (Method::GET, "/api/_", 400),
        ] {
            for _ in 0..2 {
                let answer = nginx.request(method.clone(), path, &[("accept", accept)]).await;
                assert_eq!(answer.status.as_u16(), status, "{method} {path}");
                assert_hardened(&answer, &format!("{method} {path}, {accept}"));
            }
        }
        let headers = [("accept", accept), ("if-none-match", &*etag)];
        let current = nginx.request(Method::GET, "/api/kubernetes", &headers).await;
        assert_eq!(current.status, StatusCode::NOT_MODIFIED);
        assert_hardened(&current, "304");
    }
}

/// Feeds link to where the client found the service.
#[tokio::test]
async fn host_is_passed_on_with_its_port() {
    let replica = Replica::start().await;
    let Some(nginx) = Nginx::start(&[replica.address]).await else { return };
    nginx.get("/feeds/kubernetes/new.atom").await;
    let address = nginx.url.strip_prefix("http://").expect("an address");
    assert_eq!(replica.last_header("host").expect("passed on"), address);
    assert_eq!(replica.last_header("x-forwarded-proto").expect("passed on"), "http");
}

#[tokio::test]
async fn request_id_is_passed_on_if_harmless_and_replaced_if_not() {
    let replica = Replica::start().await;
    let Some(nginx) = Nginx::start(&[replica.address]).await else { return };
    nginx.request(Method::GET, "/topics", &[("x-request-id", "from-Client-1")]).await;
    assert_eq!(replica.last_header("x-request-id").expect("passed on"), "from-Client-1");
    let entry = nginx.logged(|entry| entry["request_id"] == "from-Client-1").await;
    assert_eq!(
        (&entry["uri"], &entry["status"], &entry["upstream_status"]),
        (&"/topics".into(), &200.into(), &"200".into())
    );
    assert_eq!(entry["upstream"], replica.address.to_string());
    for harmful in ["", "a b", "a\"b", "a_b", "{}", &"a".repeat(65)] {
        nginx.request(Method::GET, "/topics", &[("x-request-id", harmful)]).await;
        let id = replica.last_header("x-request-id").expect("nginx's own");
        let parts: Vec<&str> = id.to_str().expect("text").split('-').collect();
        let has_digits =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        assert!(
            parts.len() == 3 && parts.iter().all(has_digits),
            "time, connection, request: {id:?}"
        );
    }
    let ids: BTreeSet<String> = join_all(
        (0..50).map(async |_| nginx.get("/topics").await.header("x-request-id").to_owned()),
    )
    .await
    .into_iter()
    .collect();
    assert_eq!(ids.len(), 50);
    assert_eq!(replica.last_header("x-forwarded-for").expect("passed on"), "127.0.0.1");
}

#[tokio::test]
async fn cached_list_has_the_id_of_its_own_request_and_no_client_header_reaches_the_replica() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    let headers = [
        ("x-request-id", "first"),
        ("authorization", "Bearer a"),
        ("cookie", "a=b"),
        ("x-odd", "1"),
    ];
    assert_eq!(
        nginx.request(Method::GET, "/api/kubernetes", &headers).await.all("x-request-id"),
        ["first"]
    );
    assert_eq!(replica.last_header("x-request-id").expect("passed on"), "first");
    for name in ["authorization", "cookie", "x-odd"] {
        assert_eq!(replica.last_header(name), None);
    }
    let second = nginx.request(Method::GET, "/api/kubernetes", &[("x-request-id", "second")]).await;
    assert_eq!(second.all("x-request-id"), ["second"]);
    let ids: BTreeSet<String> = {
        let mut ids = BTreeSet::new();
        for _ in 0..3 {
            ids.insert(nginx.get("/api/kubernetes").await.header("x-request-id").to_owned());
        }
        ids
    };
    assert!(ids.len() == 3 && !ids.contains("second"), "{ids:?}");
    let entry = nginx.logged(|entry| entry["cache"] == "HIT").await;
    assert_eq!(entry["uri"], "/api/kubernetes");
}

#[tokio::test]
async fn basic_status_answers_without_a_replica() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    let status = nginx.get("/basic_status").await;
    assert_eq!(status.status, StatusCode::OK);
    assert!(status.text().starts_with("Active connections: "), "{}", status.text());
    assert_eq!(a.requests() + b.requests(), 0);
}
