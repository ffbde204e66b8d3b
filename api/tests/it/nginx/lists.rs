//! Lists that nginx answers from its cache, compared with those of the service.

use chrono::TimeDelta;
use github_stub::World;
use reqwest::{Method, StatusCode};

use super::harness::Nginx;
use crate::support::{Answer, Mirror};

/// A service behind nginx. If `cached`, its clock is in the future, and nginx asks once for each
/// list; else its clock is in the past, and each entry of the cache is stale at once.
pub(super) async fn service_behind_nginx(cached: bool) -> Option<(Mirror, Nginx)> {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    if cached {
        mirror.clock.advance(TimeDelta::days(365 * 50));
        mirror.refresh("kubernetes").await;
    }
    let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
    let nginx = Nginx::start(&[address]).await?;
    Some((mirror, nginx))
}

/// The headers of conditional requests, of which some fit the list.
async fn conditions(mirror: &Mirror) -> Vec<Vec<(&'static str, String)>> {
    let mut etags = Vec::new();
    for encoding in ["identity", "gzip", "br"] {
        let answer = mirror.get_with("/api/kubernetes", &[("accept-encoding", encoding)]).await;
        etags.push(answer.header("etag").to_owned());
    }
    let modified = mirror.get("/api/kubernetes").await.header("last-modified").to_owned();
    let mut conditions: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("if-modified-since", modified.clone())],
        vec![("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT".into())],
        vec![("if-modified-since", "Fri, 01 Jan 2010 00:00:00 GMT".into())],
        vec![("if-modified-since", "yesterday".into())],
        vec![("if-modified-since", "Friday, 01-Jan-60 00:00:00 GMT".into())],
        vec![("if-modified-since", "Friday, 01-Jan-10 00:00:00 GMT".into())],
        vec![("if-modified-since", "Fri Jan  1 00:00:00 2100".into())],
        vec![("if-modified-since", "Fri Jan  1 00:00:00 2010".into())],
        vec![("if-modified-since", "Mon, 01 Jan 2100 00:00:00 GMT; length=9".into())],
        vec![("if-modified-since", "Mon, 01 Jan 2010 00:00:00 GMT; length=9".into())],
        vec![("if-modified-since", format!("{modified}; length=9"))],
        vec![("if-none-match", "*".into())],
        vec![("if-none-match", "\"0123456789abcdef0123456789abcdef.gzip\"".into())],
        vec![("if-none-match", "\"0123456789abcdef0123456789abcdef-gzip\"".into())],
        vec![("if-none-match", "nonsense".into())],
        vec![("if-none-match", etags.join(", "))],
        vec![("if-none-match", "\"a\"".into()), ("if-modified-since", modified)],
        vec![("if-match", "\"a\"".into())],
        vec![("if-unmodified-since", "Fri, 01 Jan 2010 00:00:00 GMT".into())],
        vec![("range", "bytes=0-9".into())],
    ];
    for etag in &etags {
        conditions.push(vec![("if-none-match", etag.clone())]);
        conditions.push(vec![("if-none-match", format!("W/{etag}"))]);
        for suffix in ["-gzip", "-br", "-zstd", "--gzip"] {
            let suffixed = etag.replace("\"", "") + suffix;
            conditions.push(vec![("if-none-match", format!("\"{suffixed}\""))]);
        }
        conditions.push(vec![
            ("if-none-match", etag.clone()),
            ("if-modified-since", "Fri, 01 Jan 2010 00:00:00 GMT".into()),
        ]);
    }
    conditions
}

/// Compares an answer through nginx with the service's own, header by header.
#[track_caller]
fn assert_equal(proxied: &Answer, direct: &Answer, cached: bool, request: &str) {
    assert_eq!((proxied.status, &proxied.body), (direct.status, &direct.body), "{request}");
    for name in direct.headers.keys().map(|name| name.as_str()) {
        let mut expected = direct.all(name);
        match name {
            "date" | "x-request-id" => continue,
            // The HTTP libraries decide whether a 304 has one.
            "content-length" if direct.status == StatusCode::NOT_MODIFIED => continue,
            // It is addressed to nginx.
            "x-accel-expires" => expected.clear(),
            // nginx adds a line if it looked into its cache.
            "cache-status" if proxied.all(name).len() == 2 => {
                expected.push(if cached { "nginx; hit" } else { "nginx; fwd=stale" });
            }
            _ => {}
        }
        assert_eq!(proxied.all(name), expected, "{name} of {request}");
    }
}

#[tokio::test]
async fn list_equals_that_of_the_service_under_every_condition() {
    for cached in [false, true] {
        let Some((mirror, nginx)) = service_behind_nginx(cached).await else { return };
        let conditions = conditions(&mirror).await;
        for path in [
            "/api/kubernetes",
            "//api/popularity/kubernetes/",
            "/api/activity/kubernetes?",
            "/api/activity/kubernetes?page=1",
            "/api/trending/kubernetes",
            "/api/trending/kubernetes?window=30d",
            "/db/activity/kubernetes",
        ] {
            for encoding in ["", "gzip", "br"] {
                nginx.request(Method::GET, path, &[("accept-encoding", encoding)]).await;
                for condition in &conditions {
                    for method in [Method::GET, Method::HEAD] {
                        let mut headers = vec![("accept-encoding", encoding)];
                        headers.extend(condition.iter().map(|(name, value)| (*name, &**value)));
                        let request = format!("{method} {path} {headers:?}, cached: {cached}");
                        let direct = mirror.request(method.clone(), path, &headers).await;
                        let proxied = nginx.request(method, path, &headers).await;
                        assert_equal(&proxied, &direct, cached, &request);
                    }
                }
            }
        }
        let hit = nginx.get("/api/kubernetes").await;
        assert_eq!(
            hit.all("cache-status"),
            ["memory; hit", if cached { "nginx; hit" } else { "nginx; fwd=stale" }]
        );
    }
}

/// Whether nginx answers a request with these headers from its cache.
async fn is_cached(nginx: &Nginx, headers: &[(&str, &str)]) -> bool {
    nginx.request(Method::GET, "/api/kubernetes", headers).await;
    let answer = nginx.request(Method::GET, "/api/kubernetes", headers).await;
    answer.all("cache-status").contains(&"nginx; hit")
}

#[tokio::test]
async fn condition_is_answered_from_the_cache_if_its_etag_has_the_encoding_of_the_answer() {
    let Some((mirror, nginx)) = service_behind_nginx(true).await else { return };
    for encoding in ["identity", "gzip", "br"] {
        let accept = ("accept-encoding", encoding);
        let list = mirror.get_with("/api/kubernetes", &[accept]).await;
        let (etag, modified) = (list.header("etag"), list.header("last-modified"));
        assert!(is_cached(&nginx, &[accept, ("if-none-match", etag)]).await, "{encoding}");
        assert!(is_cached(&nginx, &[accept, ("if-modified-since", modified)]).await, "{encoding}");
        let other = ("accept-encoding", if encoding == "br" { "gzip" } else { "br" });
        assert!(!is_cached(&nginx, &[other, ("if-none-match", etag)]).await, "{encoding}");
    }
}

#[tokio::test]
async fn encoding_is_that_of_the_service_for_every_accept_encoding() {
    let Some((mirror, nginx)) = service_behind_nginx(true).await else { return };
    for encoding in ["identity", "gzip", "br"] {
        assert!(is_cached(&nginx, &[("accept-encoding", encoding)]).await);
    }
    for accept in [
        "gzip",
        "GZIP",
        "x-gzip",
        "br",
        "gzip, br",
        "br,gzip",
        "gzip, deflate, br, zstd",
        "gzip\t,\tbr",
        "gzip;q=0, br",
        "br;q=0, gzip",
        "br; q=0, gzip",
        "br;q=0",
        "gzip;q=0",
        "br;q=0.0, gzip;q=0.000",
        "br;Q=0",
        "br;q=0.5, gzip;q=0.9",
        "gzip;q=0.5, br;q=0.5",
        "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
        "br;q=nonsense",
        "br;level=9;q=0",
        "*",
        "*;q=0",
        "br;q=0, *",
        "gzip, *;q=0",
        "identity",
        "identity;q=0, gzip",
        "identity, gzip;q=0.5",
        "deflate",
        "bro, xgzip, gzipx, x-br",
        "br gzip",
        ",,br",
        ";br",
        "",
    ] {
        let headers = [("accept-encoding", accept)];
        let direct = mirror.get_with("/api/kubernetes", &headers).await;
        let proxied = nginx.request(Method::GET, "/api/kubernetes", &headers).await;
        assert_eq!(
            proxied.header("content-encoding"),
            direct.header("content-encoding"),
            "{accept:?}"
        );
        assert_eq!(proxied.body, direct.body, "{accept:?}");
    }
    // If the header has two lines, an older nginx reads only the first for its cache.
    for (lines, accepted) in [
        (["*", "br;q=0"], &["gzip"][..]),
        (["br;q=0", "*"], &["gzip"]),
        (["gzip", "br"], &["br", "gzip"]),
        (["deflate", "gzip"], &["gzip", ""]),
        (["gzip;q=0", "br"], &["br"]),
    ] {
        let answer = nginx
            .request(Method::GET, "/api/kubernetes", &lines.map(|line| ("accept-encoding", line)))
            .await;
        assert!(accepted.contains(&answer.header("content-encoding")), "{lines:?}: {answer:?}");
    }
}
