//! Pages: from nginx's cache, and nginx's own errors as pages.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use github_stub::World;
use reqwest::{Method, StatusCode};
use sha2::{Digest, Sha256};

use super::harness::{Nginx, Setup, free_address, one_replica};
use crate::support::{Answer, Mirror, assert_hardened};

/// As browsers send it.
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const GZIP: (&str, &str) = ("accept-encoding", "gzip");

fn address_of(mirror: &Mirror) -> SocketAddr {
    mirror.url.trim_start_matches("http://").parse().expect("an address")
}

async fn open(nginx: &Nginx, path: &str, more: &[(&str, &str)]) -> Answer {
    nginx.request(Method::GET, path, &[&[HTML], more].concat()).await
}

#[tokio::test]
async fn page_without_parameters_comes_from_the_cache_within_its_second() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    for path in ["/", "/t/kubernetes", "/t/kubernetes/newest", "/r/a-b/c.d_e", "/t/kubernetes/"] {
        let before = replica.requests();
        for _ in 0..20 {
            assert_eq!(open(&nginx, path, &[GZIP]).await.status, StatusCode::OK, "{path}");
        }
        let asked = replica.requests() - before;
        assert!(asked < 10, "{path} was asked for {asked} times");
    }
}

#[tokio::test]
async fn page_is_kept_for_its_host_encoding_and_path_alone() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    let asked = |path: &'static str, more: &[(&'static str, &'static str)]| {
        let more = more.to_vec();
        let (nginx, replica) = (&nginx, &replica);
        async move {
            let before = replica.requests();
            assert_eq!(open(nginx, path, &more).await.status, StatusCode::OK);
            replica.requests() > before
        }
    };
    assert!(asked("/t/kubernetes", &[]).await);
    assert!(asked("/t/kubernetes", &[("host", "other.example")]).await);
    assert!(asked("/t/kubernetes", &[GZIP]).await);
    assert!(asked("/t/mcp", &[]).await);
    for (path, more) in [
        ("/t/kubernetes?q=a", &[][..]),
        ("/t/kubernetes", &[("if-none-match", "\"a\"")]),
        ("/t/kubernetes", &[("accept-encoding", "gzip;q=0.5")]),
        ("/compare?repos=a/b,c/d", &[]),
        ("/status", &[]),
    ] {
        assert!(asked(path, more).await && asked(path, more).await, "{path} {more:?}");
    }
}

#[tokio::test]
async fn first_page_is_text_for_clients_that_take_no_html() {
    let mirror = Mirror::start(World::default()).await;
    let Some(nginx) = Nginx::start(&[address_of(&mirror)]).await else { return };
    assert!(open(&nginx, "/", &[]).await.text().contains("<h1>GitHub topics</h1>"));
    let guide = nginx.get("/").await;
    assert_eq!(guide.header("content-type"), "text/plain; charset=utf-8");
    let both = [("accept", "application/json, text/html;q=0.5")];
    let guide = nginx.request(Method::GET, "/", &both).await;
    assert_eq!(guide.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn own_error_is_a_page_for_clients_that_take_html() {
    let dead = [free_address(), free_address()];
    let Some(nginx) = Nginx::start_with(&dead, Setup::default()).await else { return };
    for path in ["/", "/t/kubernetes", "/t/kubernetes?q=a", "/api/kubernetes", "/status"] {
        let more = [("x-request-id", "abc-1")];
        let answer = open(&nginx, path, &more).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(answer.header("x-request-id"), "abc-1");
        assert_eq!(
            (answer.header("retry-after"), answer.header("cache-control")),
            ("2", "no-store")
        );
        assert_hardened(&answer, path);
        let page = answer.text();
        assert!(page.contains("<h1>Bad Gateway</h1>"), "{page}");
        assert!(page.contains("Status 502, request abc-1"), "{page}");
        let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>"));
        let (style, _) = style.expect("a style");
        let hash = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style)));
        assert!(answer.header("content-security-policy").contains(&hash), "{hash}");
    }
    let other = nginx.get("/t/kubernetes").await;
    assert_eq!(other.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn error_of_a_list_is_a_page_for_clients_that_take_html() {
    let mirror = Mirror::start_with(World::default(), &[("ON_DEMAND_TOPICS", "false")]).await;
    let Some(nginx) = Nginx::start(&[address_of(&mirror)]).await else { return };
    for path in ["/api/nobody", "/api/nobody?q=a", "/t/nobody", "/r/no/body", "/nothing"] {
        let answer = open(&nginx, path, &[GZIP]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        let other = nginx.get(path).await;
        assert_eq!(other.header("content-type"), "application/problem+json", "{path}");
    }
    let topics = open(&nginx, "/topics", &[]).await;
    assert_eq!(topics.header("content-type"), "application/json", "data stay data");
}
