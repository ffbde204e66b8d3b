//! Lists: their order, bytes and headers.

use std::io::Read;

use chrono::{DateTime, TimeDelta, Utc};
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Mirror, assert_lists};

const PATHS: [&str; 3] =
    ["/api/kubernetes", "/api/popularity/kubernetes", "/api/activity/kubernetes"];

#[tokio::test]
async fn list_has_githubs_order_from_cache_and_database() {
    let mirror = Mirror::refreshed(World::generate(2_000, 7, "kubernetes")).await;
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    for path in PATHS {
        let (cached, stored) =
            (mirror.get(path).await, mirror.get(&path.replace("/api", "/db")).await);
        assert_eq!(cached.ids().len(), 500);
        assert_eq!(cached.body, stored.body);
        let keys: Vec<String> =
            cached.json()[0].as_object().expect("an object").keys().cloned().collect();
        let mut expected = [
            "id",
            "name",
            "full_name",
            "html_url",
            "language",
            "updated_at",
            "pushed_at",
            "stargazers_count",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }
}

#[tokio::test]
async fn list_has_headers_of_completeness_and_caching() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    let answer = mirror.get("/api/popularity/kubernetes").await;
    for (name, expected) in [
        ("content-type", "application/json"),
        ("x-complete", "true"),
        ("x-total-count", "700"),
        ("x-refreshed-at", "2026-09-21T14:13:20Z"),
        ("cache-control", "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400"),
        ("vary", "Accept, Accept-Encoding"),
        ("access-control-allow-origin", "*"),
        ("cache-status", "memory; hit"),
        ("content-encoding", ""),
    ] {
        assert_eq!(answer.header(name), expected, "{name}");
    }
    assert!(
        answer.header("last-modified").starts_with("Mon, 21 Sep 2026 14:13:2"),
        "{}",
        answer.header("last-modified")
    );

    let stored = mirror.get("/db/popularity/kubernetes").await;
    assert_eq!((stored.header("cache-control"), stored.header("x-complete")), ("no-store", "true"));
    let stored =
        mirror.get_with("/db/popularity/kubernetes", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!((stored.header("content-encoding"), stored.ids().len()), ("", 500));

    // After a minute a list in memory is compared with the database, and is still current.
    mirror.clock.advance(TimeDelta::seconds(61));
    assert_eq!(
        mirror.get("/api/popularity/kubernetes").await.header("cache-status"),
        "memory; hit"
    );
    assert_eq!(
        mirror.get("/api/popularity/kubernetes").await.header("cache-status"),
        "memory; hit"
    );
}

#[tokio::test]
async fn list_has_its_own_etag_for_each_encoding() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    let mut etags = Vec::new();
    let plain = mirror.get("/api/kubernetes").await;
    for (accept, encoding) in [
        ("identity", ""),
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, br", "br"),
        ("gzip;q=0, br;q=0", ""),
    ] {
        let answer = mirror.get_with("/api/kubernetes", &[("accept-encoding", accept)]).await;
        assert_eq!(answer.header("content-encoding"), encoding, "{accept}");
        let mut body = Vec::new();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut body),
            "br" => brotli::Decompressor::new(&*answer.body, 4096).read_to_end(&mut body),
            _ => (&*answer.body).read_to_end(&mut body),
        }
        .expect("a body in the encoding of its header");
        assert_eq!(body, plain.body);
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        etags.push(answer.header("etag").to_owned());
    }
    assert!(
        etags.iter().all(|etag| etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')),
        "{etags:?}"
    );
    assert_eq!(etags[2], etags[3]);
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 3);
}

#[tokio::test]
async fn list_returns_304_when_etag_or_date_matches() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    let whole = mirror.get("/api/kubernetes").await;
    let gzip_etag = mirror
        .get_with("/api/kubernetes", &[("accept-encoding", "gzip")])
        .await
        .header("etag")
        .to_owned();
    let suffixed = |suffix: &str| format!("\"{}{suffix}\"", whole.header("etag").replace('"', ""));
    for headers in [
        [("if-none-match", whole.header("etag"))],
        [("if-none-match", &gzip_etag)],
        [("if-none-match", "\"other\", *")],
        [("if-none-match", &suffixed("-gzip"))],
        [("if-none-match", &suffixed("-zstd"))],
        [("if-modified-since", whole.header("last-modified"))],
        [("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")],
        [("if-modified-since", "Thursday, 01-Jan-60 00:00:00 GMT")],
        [("if-modified-since", "Fri Jan  1 00:00:00 2100")],
        [("if-modified-since", "Mon, 01 Jan 2100 00:00:00 GMT; length=20480")],
    ] {
        let answer = mirror.get_with("/api/kubernetes", &headers).await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{headers:?}"
        );
        for name in [
            "etag",
            "last-modified",
            "cache-control",
            "vary",
            "x-complete",
            "x-refreshed-at",
            "x-total-count",
        ] {
            assert_eq!(answer.header(name), whole.header(name), "{name}");
        }
    }
    for headers in
        [[("if-none-match", "\"other\"")], [("if-modified-since", "Mon, 01 Jan 2018 00:00:00 GMT")]]
    {
        assert_eq!(
            mirror.get_with("/api/kubernetes", &headers).await.status,
            StatusCode::OK,
            "{headers:?}"
        );
    }
    let stored =
        mirror.get_with("/db/kubernetes", &[("if-none-match", whole.header("etag"))]).await;
    assert_eq!(stored.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn head_returns_the_headers_of_get_and_no_body() {
    let mirror = Mirror::refreshed(World::generate(200, 7, "kubernetes")).await;
    for path in PATHS {
        let (get, head) = (mirror.get(path).await, mirror.request(Method::HEAD, path, &[]).await);
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        for name in ["etag", "content-length", "content-type", "last-modified"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
    }
}

/// A client that compares by Last-Modified alone must never keep an old list.
#[tokio::test]
async fn last_modified_differs_when_the_bytes_differ() {
    let mirror = Mirror::refreshed(World::generate(300, 7, "kubernetes")).await;
    let now: DateTime<Utc> = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for stars in 0..5 {
        // The clock stays within one second.
        let first = mirror.expected("kubernetes")[1][0];
        mirror.stub.world().star(first, 1_000_000 + stars, now);
        mirror.refresh("kubernetes").await;
        let answer = mirror.get("/api/popularity/kubernetes").await;
        assert!(
            seen.iter()
                .all(|(date, body)| date != answer.header("last-modified") && *body != answer.body)
        );
        let conditional = [("if-modified-since", seen.last().map_or("", |(date, _)| date))];
        assert_eq!(
            mirror.get_with("/api/popularity/kubernetes", &conditional).await.status,
            StatusCode::OK
        );
        seen.push((answer.header("last-modified").to_owned(), answer.body));
    }
}

#[tokio::test]
async fn list_orders_equal_stars_by_id_and_keeps_null_languages() {
    let mirror = Mirror::refreshed(World::generate(900, 3, "kubernetes")).await;
    let list = mirror.get("/api/popularity/kubernetes").await.json();
    let list = list.as_array().expect("an array");
    let keys: Vec<_> = list
        .iter()
        .map(|item| (-item["stargazers_count"].as_i64().expect("stars"), item["id"].as_i64()))
        .collect();
    assert!(keys.is_sorted());
    assert!(keys.windows(2).any(|pair| pair[0].0 == pair[1].0), "the world has equal stars");
    assert!(list.iter().any(|item| item["language"] == Value::Null));
}
