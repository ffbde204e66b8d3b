//! Requests that two servers may read differently, as bytes to the real nginx.

use futures_util::future::join_all;
use github_stub::World;
use reqwest::{Method, StatusCode};

use super::harness::{Nginx, Setup, one_replica};
use crate::support::Mirror;

/// A second request within the first, which nobody has sent.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\nX-Hidden: 1\r\n\r\n";

/// nginx waits for the rest of a request, and for another one, this long only.
const IMPATIENT: &[(&str, &str)] = &[
    ("client_header_timeout 10s;", "client_header_timeout 300ms;"),
    ("client_body_timeout 10s;", "client_body_timeout 300ms;"),
    ("keepalive_timeout 65s;", "keepalive_timeout 300ms;"),
];

/// Requests whose length is told in two ways, or in one that some servers do not read.
fn ambiguous() -> Vec<String> {
    let length = HIDDEN.len();
    let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: {length}, {length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: +{length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: -1\r\n\r\n{HIDDEN}"),
        format!("Content-Length: 0x{length:x}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: 99999999999999999999999\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: identity, chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: \u{b}chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding:\r\n chunked\r\n\r\n{chunked}"),
        format!("Content-Length: 5\r\n\0: 1\r\n\r\n{HIDDEN}"),
    ]
    .into_iter()
    .map(|rest| format!("POST /first HTTP/1.1\r\nHost: x\r\n{rest}"))
    .collect()
}

/// Requests that nginx reads in one way, whatever other servers make of them.
fn odd() -> Vec<String> {
    let length = HIDDEN.len();
    let post = |rest: String| format!("POST /first HTTP/1.1\r\nHost: x\r\n{rest}");
    let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    vec![
        post(format!("Content-Length : {length}\r\n\r\n{HIDDEN}")),
        post(format!("Content_Length: {length}\r\n\r\n{HIDDEN}")),
        post(format!(" Content-Length: {length}\r\n\r\n{HIDDEN}")),
        post(format!("X: 1\r\n Transfer-Encoding: chunked\r\n\r\n{chunked}")),
        post(format!("X: 1\rTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        post(format!("X: 1\nContent-Length: {length}\n\n{HIDDEN}")),
        post(format!("Transfer-Encoding: chunked\n\n{}", chunked.replace("\r\n", "\n"))),
        post(format!("Transfer-Encoding: CHUNKED\r\n\r\n{chunked}")),
        post(format!("Transfer-Encoding: chunked\r\n\r\n0;a=\"\r\n\r\n\"{HIDDEN}")),
        post(format!(
            "Transfer-Encoding: chunked\r\n\r\n{length:x};{}\r\n{HIDDEN}\r\n0\r\nX-A: 1\r\n\r\n",
            "e".repeat(3_000)
        )),
        post(format!("Transfer-Encoding: chunked\r\n\r\n-1\r\n{HIDDEN}")),
        post(format!("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{HIDDEN}")),
        post(format!("Connection: Content-Length\r\nContent-Length: {length}\r\n\r\n{HIDDEN}")),
        post(format!("Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{HIDDEN}")),
        format!(
            "GET /api/kubernetes HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"
        ),
        format!(
            "GET /t/a HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunked}"
        ),
        format!("HEAD /first HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        format!("GET /first HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        format!(
            "GET /first HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n{HIDDEN}"
        ),
        "GET /first\r\n".to_owned(),
        "GET /first HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            .to_owned(),
        "GET /first HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            .to_owned(),
        "GET /api/a%0d%0aX-Hidden:%201 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /t/a%20HTTP/1.1%0d%0aX-Hidden:%201 HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"
            .to_owned(),
        format!("GET http://y/first HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(7_000)),
        "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ]
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn request_whose_length_is_ambiguous_reaches_no_replica() {
    let Some((replica, nginx)) = one_replica(IMPATIENT).await else { return };
    let requests = ambiguous();
    let answers = join_all(requests.iter().map(|request| nginx.raw(request))).await;
    for (request, answer) in requests.iter().zip(answers) {
        assert!(["400", "413", "501"].contains(&status(&answer)), "{request}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer: {request}: {answer}");
    }
    assert_eq!(replica.each(|request| request.uri().to_string()), Vec::<String>::new());
}

/// nginx writes each request anew. One that came from within another would lack nginx's headers.
#[tokio::test]
async fn replica_gets_no_request_that_nginx_did_not_read_as_one() {
    let Some((replica, nginx)) = one_replica(IMPATIENT).await else { return };
    let requests = odd();
    join_all(requests.iter().map(|request| nginx.raw(request))).await;
    // The connections to the replica are still in step.
    for _ in 0..20 {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    }
    let seen = replica.each(|request| {
        let headers = request.headers();
        let is_nginx = headers.get("x-request-id").is_some_and(|id| !id.is_empty())
            && (headers.contains_key("x-forwarded-for") || headers.contains_key("x-ask-others"));
        let is_split = headers.contains_key("x-hidden") && request.uri() != "/hidden"
            || headers.contains_key("transfer-encoding") && headers.contains_key("content-length")
            || headers.get("connection").is_some_and(|value| !value.is_empty());
        (request.uri().to_string(), is_nginx && !is_split)
    });
    assert!(seen.iter().all(|(_, is_whole)| *is_whole), "{seen:?}");
    assert!(seen.iter().any(|(uri, _)| uri == "/first"), "some of them are requests: {seen:?}");
}

/// Headers by which some frameworks take another path, method, host or client for the request's.
const OVERRIDES: [&str; 14] = [
    "X-Original-URL: /update_cache",
    "X-Rewrite-URL: /update_cache",
    "X-Forwarded-Prefix: /update_cache",
    "X-HTTP-Method-Override: POST",
    "X-Method-Override: DELETE",
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    "X-Forwarded-Host: localhost",
    "X-Host: localhost",
    "Forwarded: for=127.0.0.1;host=localhost;proto=https",
    "X-Forwarded-User: admin",
    "X-Ask-Others: 1",
    "Sec-Fetch-Site: same-origin",
    "Authorization: Bearer",
];

/// Requests for maintenance, in each form of a target and version, as bytes.
fn forms(host: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (method, path) in [
        ("POST", "/update_cache"),
        ("GET", "//update_cache/"),
        ("POST", "/%62ootstrap_db"),
        ("GET", "/bootstrap_db"),
        ("DELETE", "/topics/kubernetes"),
        ("DELETE", "//topics/kubernetes?history=true"),
        // An override, if it counted, would make one of these maintenance.
        ("GET", "/"),
        ("GET", "/topics/kubernetes"),
        ("POST", "/api/kubernetes"),
    ] {
        for target in
            [path.to_owned(), format!("http://localhost{path}"), format!("https://{path}")]
        {
            let line =
                format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
            all.extend(OVERRIDES.map(|header| format!("{line}{header}\r\n\r\n")));
            all.push(format!("{method} {target} HTTP/1.0\r\nHost: {host}\r\n\r\n"));
        }
    }
    all
}

async fn assert_refused(mirror: &Mirror, nginx: &Nginx, host: &str) {
    let before = mirror.get("/topics").await.text();
    let requests = forms(host);
    for some in requests.chunks(16) {
        let answers = join_all(some.iter().map(|request| nginx.raw(request))).await;
        for (request, answer) in some.iter().zip(answers) {
            let is_read = request.starts_with("GET")
                && !request.contains("_db")
                && !request.split(' ').nth(1).expect("a target").contains("update_cache");
            let accepted: &[&str] = match is_read {
                true => &["200", "400", "404"],
                false => &["400", "401", "403", "404", "405"],
            };
            assert!(accepted.contains(&status(&answer)), "{request}: {answer}");
        }
    }
    assert_eq!(mirror.stub.world().counters.searches, 1, "only the first refresh asked GitHub");
    assert_eq!(mirror.get("/topics").await.text(), before);
    assert_eq!(mirror.get("/refreshes").await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn maintenance_is_refused_in_every_form_of_request_and_with_every_override() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    let guarded = mirror.replica(&[("MAINTENANCE_TOKEN", "correct-horse")]).await;
    for (service, host) in [(&guarded, "localhost"), (&mirror, "rebound.example")] {
        let address = service.url.trim_start_matches("http://").parse().expect("an address");
        let Some(nginx) = Nginx::start_with(&[address], Setup::default()).await else { return };
        assert_refused(service, &nginx, host).await;
    }
    let token = [("authorization", "Bearer correct-horse")];
    let answer = guarded.request(Method::DELETE, "/topics/kubernetes", &token).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "the token is the right one");
}
