//! Queries: lists with parameters, facets, and the formats of lists.

use chrono::{DateTime, Days};
use futures_util::{StreamExt, stream};
use github_stub::World;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::databases::{self, Database};
use crate::support::{Answer, Mirror, START};

mod formats;
mod naive;

use naive::{RandomQuery, matches, sorted};

/// Queries of the property test, on each database.
const QUERIES: u64 = 5_000;

/// Texts that make a query, a path, JSON or CSV hard to read.
const HARD_TEXTS: [&str; 9] = [
    "Café — naïve façade",
    "100% of \"quotes\", 'single' and a comma",
    "=HYPERLINK(\"https://example.com\")",
    "+1 -1 @home",
    "😀 emoji, 日本語 and ÄÖÜ ß",
    "a line\nand another\r\nwith\ttabs",
    "C++ & C# / F* <b>bold</b>; DROP TABLE repositories",
    "dots... dashes--- under_scores",
    "",
];

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).expect("an object")
}

/// A topic of 600 repositories with hard texts, missing values, archived ones and templates.
fn world() -> World {
    let mut world = World::generate(600, 11, "kubernetes");
    let ids: Vec<u64> = world.repositories().map(|repository| repository.id).collect();
    for (place, id) in ids.into_iter().enumerate() {
        let mut fields = object(json!({
            "description": HARD_TEXTS.get(place % 40),
            "archived": place % 7 == 0,
            "is_template": place % 13 == 0,
        }));
        if place % 11 == 0 {
            fields.extend(object(json!({ "language": null, "license": null })));
        }
        if place % 5 == 0 {
            fields.extend(object(json!({ "topics": ["kubernetes", "docker", "none"] })));
        }
        if place % 17 == 0 {
            fields.extend(object(json!({ "created_at": "2016-02-29T23:59:59Z" })));
        }
        world.edit(id, fields).expect("a valid repository");
    }
    world
}

async fn mirror_on(database: Database) -> Mirror {
    let mirror = Mirror::start_on(database, world(), &[("COVERAGE", "complete")]).await;
    mirror.refresh("kubernetes").await;
    mirror
}

/// All pages of a list, joined.
async fn pages(mirror: &Mirror, path: &str) -> Vec<Value> {
    let (mut next, mut rows) = (Some(path.to_owned()), Vec::new());
    while let Some(path) = next {
        let answer = mirror.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        rows.extend(answer.json().as_array().expect("an array").clone());
        next = link(&answer, "next");
    }
    rows
}

/// The address of a relation of the header `Link`.
fn link(answer: &Answer, relation: &str) -> Option<String> {
    let end = format!(">; rel=\"{relation}\"");
    let link = answer.header("link").split(", <").find_map(|link| link.strip_suffix(&end))?;
    Some(link.trim_start_matches('<').to_owned())
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_equals_a_filter_over_all_rows_for_random_parameters() {
    for database in [Some(databases::sqlite()), databases::postgres()].into_iter().flatten() {
        let mirror = mirror_on(database).await;
        let all = pages(&mirror, "/api/popularity/kubernetes?fields=all&per_page=500").await;
        assert_eq!(all.len(), 600);
        let (mirror, all) = (&mirror, &all);
        let today = DateTime::from_timestamp(START, 0).expect("a time").date_naive();
        let queries = stream::iter(0..QUERIES).map(async |seed| {
            let query = RandomQuery::new(seed, all, today);
            let expected = sorted(query.listing, all.iter().filter(|row| matches(row, &query)));
            let answer = mirror.get(&query.path).await;
            assert_eq!(answer.status, StatusCode::OK, "{}: {}", query.path, answer.text());
            assert_eq!(answer.header("x-matched"), expected.len().to_string(), "{}", query.path);
            let rows = answer.json();
            let rows = ids(rows.as_array().expect("an array"));
            assert_eq!(rows, query.page_of(&expected), "{}", query.path);
            usize::from(!rows.is_empty())
        });
        let found: usize = queries.buffer_unordered(4).collect::<Vec<_>>().await.iter().sum();
        assert!(found > 1_000, "{found} of the queries found something");
    }
}

#[tokio::test]
async fn pages_joined_have_every_row_once_in_the_lists_order() {
    let mirror = mirror_on(databases::sqlite()).await;
    let whole = pages(&mirror, "/api/activity/kubernetes?per_page=500").await;
    assert_eq!(whole.len(), 600);
    let small = pages(&mirror, "/api/activity/kubernetes?per_page=37").await;
    assert_eq!(ids(&small), ids(&whole));
    let answer = mirror.get("/api/activity/kubernetes?per_page=37&page=3").await;
    for (relation, page) in [("first", 1), ("prev", 2), ("next", 4), ("last", 17)] {
        let path = format!("/api/activity/kubernetes?page={page}&per_page=37");
        assert_eq!(link(&answer, relation), Some(path));
    }
    let past_the_end = mirror.get("/api/activity/kubernetes?per_page=37&page=18").await;
    assert_eq!((past_the_end.status, past_the_end.text().as_str()), (StatusCode::OK, "[]"));
    assert_eq!(past_the_end.header("x-matched"), "600");
    let without = mirror.get("/api/activity/kubernetes?archived=false").await;
    assert_eq!(without.ids().len(), 500, "without a page, the first 500");
}

#[tokio::test]
async fn parameter_that_is_not_accepted_is_named_with_all_others() {
    let mirror = mirror_on(databases::sqlite()).await;
    let query = "stars=many&language=&page=0&fields=id,nothing&colour=red&q=%20&q=x";
    let answer = mirror.get(&format!("/api/kubernetes?{query}")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let errors = answer.json()["errors"].clone();
    let names: Vec<&str> =
        errors.as_array().expect("faults").iter().filter_map(|e| e["parameter"].as_str()).collect();
    assert_eq!(names, ["fields", "language", "stars", "q", "page", "colour"]);
    for (query, accepted) in [
        ("language=Go,", "language accepts up to 50 languages"),
        ("language=C++", "language accepts up to 50 languages"),
        ("license=-", "license accepts up to 50 SPDX ids"),
        ("owner=--x", "owner accepts up to 50 logins"),
        ("topic=a_b", "topic accepts up to 50 topics"),
        ("stars=1..2..3", "stars accepts a number, or a range"),
        ("created=2026-02-30", "created accepts a day such as 2026-01-31 or 30d"),
        ("archived=yes", "archived accepts true or false"),
        ("q=a+b+c+d+e+f+g+h+i+j+k", "q accepts 1 to 10 words"),
        ("per_page=501", "per_page accepts a number from 1 to 500"),
        ("fields=gained", "fields accepts all, or, with commas between them, id, name,"),
        ("format=xml", "format accepts json, ndjson or csv"),
        ("window=7d", "window is unknown here: this route accepts fields, language,"),
    ] {
        for path in ["/api/kubernetes", "/api/newest/kubernetes"] {
            let answer = mirror.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
            let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
            assert!(detail.starts_with(accepted), "{query}: {detail}");
        }
    }
}

#[tokio::test]
async fn trend_accepts_every_parameter_of_lists_and_fields_of_growth() {
    let mirror = mirror_on(databases::sqlite()).await;
    mirror.clock.advance(chrono::TimeDelta::days(1));
    let starred: Vec<u64> = mirror.expected("kubernetes")[1][..40].to_vec();
    let now = api::clock::Clock::now(&*mirror.clock);
    for (gain, id) in (1..).zip(&starred) {
        let stars = mirror.stub.world().repository(*id).expect("a repository").stars;
        mirror.stub.world().star(*id, stars + gain, now);
    }
    mirror.refresh("kubernetes").await;
    let path = "/api/trending/kubernetes?window=1d&archived=true&fields=id,archived,gained";
    let answer = mirror.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let rows = answer.json().as_array().expect("rows").clone();
    assert!(!rows.is_empty() && rows.len() < 40, "{} rows", rows.len());
    assert_eq!(answer.header("x-matched"), rows.len().to_string());
    assert!(answer.header("x-window").contains('/'));
    let gains: Vec<i64> = rows.iter().map(|row| row["gained"].as_i64().expect("a gain")).collect();
    assert!(gains.is_sorted_by(|one, other| one > other), "{gains:?}");
    for row in &rows {
        assert_eq!(row["archived"], true);
        assert_eq!(row.as_object().expect("a row").len(), 3);
    }
    let all = mirror.get("/api/trending/kubernetes?fields=all&per_page=1").await.json();
    assert_eq!(all[0].as_object().expect("a row").len(), 24 + 13);
}

#[tokio::test]
async fn query_has_the_validators_and_the_facts_of_its_list() {
    let mirror = mirror_on(databases::sqlite()).await;
    let list = mirror.get("/api/kubernetes").await;
    let path = "/api/kubernetes?archived=false";
    let answer = mirror.get(path).await;
    for name in ["last-modified", "x-refreshed-at", "x-complete", "x-total-count", "cache-control"]
    {
        assert_eq!(answer.header(name), list.header(name), "{name}");
        assert!(!answer.header(name).is_empty(), "{name}");
    }
    assert_eq!(answer.header("cache-status"), "database; fwd=miss");
    let again = mirror.get(path).await;
    assert_eq!(again.header("cache-status"), "memory; hit");
    let etag = answer.header("etag").to_owned();
    assert_eq!(mirror.replica(&[]).await.get(path).await.header("etag"), etag);
    for encoding in ["br", "gzip"] {
        let compressed = mirror.get_with(path, &[("accept-encoding", encoding)]).await;
        assert_eq!(compressed.header("content-encoding"), encoding);
        assert!(compressed.body.len() < answer.body.len() / 2);
        let own = compressed.header("etag").to_owned();
        assert_ne!(own, etag);
        let copy = mirror.get_with(path, &[("if-none-match", &own)]).await;
        assert_eq!((copy.status, copy.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let since = [("if-modified-since", answer.header("last-modified"))];
    assert_eq!(mirror.get_with(path, &since).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn filter_by_age_moves_with_the_day_and_has_no_last_modified() {
    let mirror = mirror_on(databases::sqlite()).await;
    let today = DateTime::from_timestamp(START, 0).expect("a time").date_naive();
    let ages = [today, today + Days::new(1)].map(|day| format!("updated={}..", day - Days::new(9)));
    let path = "/api/kubernetes?updated=9d..";
    let answer = mirror.get(path).await;
    assert_eq!(answer.header("last-modified"), "");
    assert_eq!(answer.text(), mirror.get(&format!("/api/kubernetes?{}", ages[0])).await.text());
    mirror.clock.advance(chrono::TimeDelta::days(1));
    let next = mirror.get(path).await;
    assert_eq!(next.text(), mirror.get(&format!("/api/kubernetes?{}", ages[1])).await.text());
    assert_ne!(next.text(), answer.text());
}

#[tokio::test]
async fn query_over_changed_rows_is_answered_anew() {
    let mirror = mirror_on(databases::sqlite()).await;
    let path = "/api/popularity/kubernetes?fields=id&per_page=1";
    let first = mirror.get(path).await.ids();
    let id = mirror.expected("kubernetes")[1][9];
    mirror.stub.world().star(id, 9_000_000, api::clock::Clock::now(&*mirror.clock));
    mirror.refresh("kubernetes").await;
    assert_ne!(first, [id]);
    assert_eq!(mirror.get(path).await.ids(), [id]);
}

#[tokio::test]
async fn facets_count_the_values_of_the_rows_that_match() {
    let mirror = mirror_on(databases::sqlite()).await;
    for query in ["", "archived=true", "language=-none&q=cloud", "topic=docker"] {
        let path = format!("/api/kubernetes?fields=all&per_page=500&{query}");
        let path = path.trim_end_matches('&').replace("/kubernetes?", "/popularity/kubernetes?");
        let rows = pages(&mirror, &path).await;
        let answer = mirror.get(&format!("/topics/kubernetes/facets?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let facets = answer.json();
        assert_eq!(facets["matched"], rows.len(), "{query}");
        for (facet, expected) in naive::facets(&rows) {
            assert_eq!(facets[&facet], expected, "{facet} of {query}");
        }
    }
    let unknown = mirror.get("/topics/unknown/facets").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let paged = mirror.get("/topics/kubernetes/facets?page=2").await;
    assert_eq!(paged.status, StatusCode::BAD_REQUEST);
}
