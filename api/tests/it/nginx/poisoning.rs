//! Requests of one client change nothing of the lists and pages that nginx keeps for the others.

use std::net::SocketAddr;

use chrono::TimeDelta;
use github_stub::World;
use reqwest::Method;

use super::harness::Nginx;
use crate::support::{Answer, Mirror};

const HOST: &str = "mirror.example";

/// Headers of a first request, which nginx may keep the answer to.
const HEADERS: [&str; 22] = [
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /evil",
    "X-Host: evil.example",
    "Forwarded: host=evil.example;proto=https",
    "X-Original-URL: /topics",
    "X-Rewrite-URL: /topics",
    "X-HTTP-Method-Override: HEAD",
    "X-Accel-Expires: 0",
    "X-Accel-Redirect: /basic_status",
    "X-Ask-Others: 0",
    "Origin: https://evil.example",
    "Cookie: a=b",
    "Authorization: Bearer x",
    "Cache-Control: no-cache, no-store",
    "Range: bytes=0-9",
    "Range: bytes=0-9\r\nIf-Range: \"a\"",
    "Accept-Language: de",
    "Accept-Encoding: br;q=0, gzip;q=0, identity",
    "TE: trailers",
    "Upgrade-Insecure-Requests: 1",
];

/// Other targets that a cache could take for the path.
const TARGETS: [&str; 12] = [
    "PATH?per_page=1",
    "PATH?&",
    "PATH?x=evil",
    "PATH%3fper_page=1",
    "PATH;per_page=1",
    "PATH#fragment",
    "PATH?#fragment",
    "PATH%23fragment",
    "PATH%00",
    "/x/..PATH",
    "http://evil.examplePATH",
    "PATH/.",
];

/// Lists that nginx keeps.
const LISTS: [&str; 6] = [
    "/api/kubernetes",
    "/api/popularity/kubernetes",
    "/api/activity/kubernetes",
    "/api/newest/kubernetes",
    "/api/trending/kubernetes",
    "/api/falling/kubernetes",
];

/// First requests, as bytes.
fn attacks(path: &str, accept: &str) -> Vec<String> {
    let request = |method: &str, target: &str, host: &str, header: &str| {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\
             Connection: close\r\n{header}\r\n\r\n"
        )
    };
    let mut all = vec![
        request("HEAD", path, HOST, "X: 1"),
        request("GET", path, "evil.example", "X: 1"),
        request("GET", path, "MIRROR.example:80", "X: 1"),
        request("OPTIONS", path, HOST, "X: 1"),
        request("POST", path, HOST, "Content-Length: 0"),
        request("GET", path, HOST, "Content-Length: 12") + "per_page=1&a",
        request("GET", path, HOST, "Accept: text/csv"),
        format!("GET {path} HTTP/1.0\r\nHost: {HOST}\r\nAccept: {accept}\r\n\r\n"),
    ];
    all.extend(HEADERS.map(|header| request("GET", path, HOST, header)));
    all.extend(TARGETS.map(|target| request("GET", &target.replace("PATH", path), HOST, "X: 1")));
    all
}

/// The parts of an answer that must not depend on others' requests.
fn parts(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let own = [
        "date",
        "x-request-id",
        "cache-status",
        "connection",
        "transfer-encoding",
        "server",
        "accept-ranges",
    ];
    let headers = answer.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let mut headers: Vec<_> = headers
        .filter(|(name, _)| !own.contains(&&**name) && !name.starts_with("x-accel-"))
        .collect();
    headers.sort();
    (answer.status.as_u16(), headers, answer.text())
}

#[tokio::test]
async fn kept_answer_is_the_services_own_whatever_the_first_client_sent() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    // nginx keeps what it gets until the service's present second is over: for years, here.
    mirror.clock.advance(TimeDelta::days(365 * 50));
    mirror.refresh("kubernetes").await;
    let address: SocketAddr = mirror.url.trim_start_matches("http://").parse().expect("an address");
    // The page of a repository has links with the host and the scheme of the request.
    let rows = mirror.get("/api/kubernetes").await.json();
    let page = |place: usize| format!("/r/{}", rows[place]["full_name"].as_str().expect("a name"));
    let pages: [String; LISTS.len()] = std::array::from_fn(page);
    for (paths, accept) in [(LISTS.map(str::to_owned), "*/*"), (pages, "text/html")] {
        let headers = [("host", HOST), ("accept", accept)];
        let attacks_of: Vec<_> = paths.iter().map(|path| attacks(path, accept)).collect();
        for first in (0..attacks_of[0].len()).step_by(paths.len()) {
            // An empty cache for the next attacks, each of which has a path of its own.
            let Some(nginx) = Nginx::start(&[address]).await else { return };
            for (place, path) in paths.iter().enumerate() {
                let Some(attack) = attacks_of[place].get(first + place) else { continue };
                let first = nginx.raw(attack).await;
                assert!(first.starts_with("HTTP/1.1 "), "{attack}: {first}");
                let own = mirror.get_with(path, &headers).await;
                for _ in 0..2 {
                    let answer = nginx.request(Method::GET, path, &headers).await;
                    assert_eq!(parts(&answer), parts(&own), "{attack}");
                }
            }
        }
    }
}
