//! Exports: the counts of every day of a topic's repositories.

use std::io::Read;
use std::ops::ControlFlow;

use api::archive;
use api::lists::bundle::Encoding;
use api::model::counts::Span;
use api::model::list::ListMeta;
use api::store::CountsSink;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use github_stub::World;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::databases::{self, Database};
use crate::events::{edit, rename};
use crate::nginx::Nginx;
use crate::support::{Mirror, START, http_client};

const NDJSON: &str = "/exports/kubernetes/history.ndjson";
const CSV: &str = "/exports/kubernetes/history.csv";

/// A service over 20 days of a past, and a refresh of today. Its topic has more repositories than
/// one statement reads.
async fn with_a_past(database: Database) -> Mirror {
    let today = DateTime::from_timestamp(START, 0).expect("a date").date_naive();
    let topics = ["kubernetes", "mcp"].map(str::to_owned);
    let world = World::generate_with_history(120, 7, &topics, 20, today);
    let folder = tempfile::tempdir().expect("a temporary folder");
    github_stub::archive::write(&world, folder.path()).expect("an archive");
    let mirror = Mirror::start_on(database, world, &[("TOPICS", "kubernetes:complete")]).await;
    let (store, now) = (&*mirror.service.store, mirror.service.clock.now());
    archive::import(store, folder.path(), now, |_, _| ()).await.expect("an import");
    mirror.refresh("kubernetes").await;
    mirror
}

/// The lines of an NDJSON export.
async fn rows(mirror: &Mirror) -> Vec<Value> {
    let answer = mirror.get(NDJSON).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The rows that the histories of the topic's single repositories make.
async fn expected(mirror: &Mirror) -> Vec<Value> {
    let mut ids = mirror.get("/api/popularity/kubernetes").await.ids();
    ids.sort_unstable();
    let mut rows = Vec::new();
    for id in ids {
        let history = mirror.get(&format!("/api/repositories/{id}/history")).await.json();
        for day in history["days"].as_array().expect("days") {
            let mut row = day.clone();
            row["repository_id"] = json!(id);
            row["full_name"] = history["full_name"].clone();
            rows.push(row);
        }
    }
    rows
}

fn fields(line: &str) -> Vec<&str> {
    line.split(',').collect()
}

#[tokio::test]
async fn history_has_the_rows_of_each_repository_in_both_formats_and_databases() {
    for database in [Some(databases::sqlite()), databases::postgres()].into_iter().flatten() {
        let mirror = with_a_past(database).await;
        let (rows, expected) = (rows(&mirror).await, expected(&mirror).await);
        assert!(rows.len() > 1_000 && rows == expected, "{} of {}", rows.len(), expected.len());

        let csv = mirror.get(CSV).await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
        let disposition = csv.header("content-disposition");
        assert_eq!(disposition, "attachment; filename=\"kubernetes-history.csv\"");
        let text = csv.text();
        let mut lines = text.strip_suffix("\r\n").expect("a last line").split("\r\n");
        let names = fields(lines.next().expect("a header"));
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let of_row =
            |row: &Value| -> Vec<_> { names.iter().map(|name| text(&row[*name])).collect() };
        assert_eq!(names.len(), rows[0].as_object().expect("an object").len());
        assert!(lines.map(fields).eq(rows.iter().map(of_row)));

        let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
        let Some(nginx) = Nginx::start(&[address]).await else { return };
        assert!(nginx.get(CSV).await.body == csv.body);
    }
}

#[tokio::test]
async fn history_has_the_headers_of_the_list_and_is_compressed() {
    let mirror = with_a_past(databases::sqlite()).await;
    let (list, plain) = (mirror.get("/api/kubernetes").await, mirror.get(CSV).await);
    for name in [
        "last-modified",
        "x-complete",
        "x-total-count",
        "x-refreshed-at",
        "cache-control",
        "access-control-allow-origin",
    ] {
        assert_eq!(plain.headers.get(name), list.headers.get(name), "{name}");
    }
    let gzip = mirror.get_with(CSV, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!((gzip.header("content-encoding"), gzip.header("vary")), ("gzip", "Accept-Encoding"));
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&*gzip.body).read_to_end(&mut read).expect("gzip");
    assert!(read == plain.body && gzip.body.len() < plain.body.len() / 5);
    let again = mirror.replica(&[]).await.get(CSV).await;
    assert_eq!((again.header("etag"), again.body == plain.body), (plain.header("etag"), true));
    let etags = [&plain, &gzip, &mirror.get(NDJSON).await].map(|own| own.header("etag").to_owned());
    assert!(etags[0] != etags[1] && etags[0] != etags[2], "{etags:?}");
}

#[tokio::test]
async fn history_is_304_until_the_topic_changes() {
    let mirror = with_a_past(databases::sqlite()).await;
    let whole = mirror.get_with(CSV, &[("accept-encoding", "gzip")]).await;
    let etag = whole.header("etag").to_owned();
    let condition = [("if-none-match", &*etag)];
    // The counts are not read.
    mirror.database.query("ALTER TABLE counts RENAME TO lost").await;
    for (name, value) in [condition[0], ("if-modified-since", whole.header("last-modified"))] {
        let unchanged = mirror.get_with(CSV, &[(name, value)]).await;
        assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(unchanged.header("x-complete"), "true");
    }
    mirror.database.query("ALTER TABLE lost RENAME TO counts").await;
    assert_eq!(mirror.get_with(NDJSON, &condition).await.status, StatusCode::OK);
    let id = mirror.stub.world().ranked("kubernetes", "stars")[0];
    mirror.clock.advance(TimeDelta::hours(1));
    edit(&mirror, id, &json!({ "open_issues_count": 77_777 }));
    mirror.refresh("kubernetes").await;
    let changed = mirror.get_with(CSV, &condition).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert!(changed.text().contains(",77777\r\n"));
}

#[tokio::test]
async fn history_of_rows_that_are_not_published_has_no_etag_and_is_not_kept() {
    let mirror = with_a_past(databases::sqlite()).await;
    // As a page of a refresh that runs.
    mirror.database.query("UPDATE topics SET revision = revision + 1").await;
    let during = mirror.get(CSV).await;
    assert_eq!((during.status, during.header("cache-control")), (StatusCode::OK, "no-store"));
    for name in ["etag", "last-modified"] {
        assert!(!during.headers.contains_key(name), "{name}");
    }
}

/// A reader that is so slow that a refresh changes the topic after the first repository.
struct SlowReader<'a> {
    mirror: &'a Mirror,
    facts: Option<ListMeta>,
    rows: Vec<(String, Vec<Span>)>,
}

#[async_trait]
impl CountsSink for SlowReader<'_> {
    async fn begin(&mut self, meta: ListMeta) -> ControlFlow<()> {
        self.facts = Some(meta);
        ControlFlow::Continue(())
    }

    async fn repository(&mut self, full_name: &str, spans: &[Span]) -> ControlFlow<()> {
        if self.rows.is_empty() {
            let ids = self.mirror.stub.world().ranked("kubernetes", "stars");
            for id in ids {
                rename(self.mirror, id, &format!("renamed/r{id}"));
                edit(self.mirror, id, &json!({ "stargazers_count": 3 }));
            }
            self.mirror.clock.advance(TimeDelta::hours(1));
            let report = self.mirror.refresh("kubernetes").await;
            assert_eq!(report["complete"], true, "{report}");
        }
        self.rows.push((full_name.to_owned(), spans.to_vec()));
        ControlFlow::Continue(())
    }
}

#[tokio::test]
async fn refresh_in_the_middle_of_a_slow_read_does_not_show_in_it() {
    for database in [Some(databases::sqlite()), databases::postgres()].into_iter().flatten() {
        let mirror = with_a_past(database).await;
        let before = expected(&mirror).await;
        let topic = "kubernetes".parse().expect("a topic");
        let mut reader = SlowReader { mirror: &mirror, facts: None, rows: Vec::new() };
        let found = mirror.service.public.counts(&topic, &mut reader).await;
        assert!(found.expect("a database"));
        let row = |name: &str, span: &Span| -> Vec<Value> {
            let row = |day| json!([span.repository, name, day, span.counts.stars]);
            span.days().map(row).collect()
        };
        let spans = |(name, spans): &(String, Vec<Span>)| -> Vec<Value> {
            spans.iter().flat_map(|span| row(name, span)).collect()
        };
        let read: Vec<Value> = reader.rows.iter().flat_map(spans).collect();
        let keys = ["repository_id", "full_name", "day", "stargazers_count"];
        let row = |row: &Value| keys.iter().map(|key| row[*key].clone()).collect::<Value>();
        let old = before.iter().map(row);
        assert!(read.into_iter().eq(old), "as of the instant in which it began");
        assert_ne!(rows(&mirror).await, before);
    }
}

#[tokio::test]
async fn history_that_the_database_breaks_off_does_not_end_as_if_whole() {
    let mirror = with_a_past(databases::sqlite()).await;
    let last = "UPDATE counts SET last_day = 'never' WHERE repository_id =
        (SELECT max(repository_id) FROM topic_repositories WHERE topic = 'kubernetes')";
    mirror.database.query(last).await;
    let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
    let Some(nginx) = Nginx::start(&[address]).await else { return };
    for (url, encoding) in [
        (&mirror.url, "identity"),
        (&mirror.url, "gzip"),
        (&nginx.url, "identity"),
        (&nginx.url, "gzip"),
    ] {
        let request = http_client().get(format!("{url}{CSV}")).header("accept-encoding", encoding);
        // The connection may break before the head is sent, for which nginx answers 502.
        let read = async { request.send().await?.error_for_status()?.bytes().await };
        assert!(read.await.is_err(), "{url} {encoding}");
    }
}

#[tokio::test]
async fn exports_refuse_what_they_do_not_know_and_start_no_fetch() {
    let mirror = Mirror::start(World::generate(5, 7, "mcp")).await;
    for (path, status) in [
        ("/exports/mcp/history.csv", StatusCode::NOT_FOUND),
        ("/exports/kubernetes/history.csv", StatusCode::SERVICE_UNAVAILABLE),
        ("/exports/kubernetes/history.csv?from=2026-01-01", StatusCode::BAD_REQUEST),
        ("/exports/kubernetes/history.json", StatusCode::NOT_FOUND),
        ("/exports/no_topic/history.csv", StatusCode::BAD_REQUEST),
    ] {
        let problem = mirror.get(path).await;
        assert_eq!(problem.status, status, "{path}: {}", problem.text());
        assert_eq!(problem.header("content-type"), "application/problem+json", "{path}");
    }
    assert_eq!(mirror.stub.world().counters.requests, []);
}

#[tokio::test]
async fn export_is_503_while_as_many_are_read_as_allowed() {
    let mirror = with_a_past(databases::sqlite()).await;
    let endless = || {
        mirror.service.exports.start(Encoding::Identity, |outlet| async move {
            let _outlet = outlet;
            std::future::pending::<()>().await;
        })
    };
    while endless().is_ok() {}
    let refused = mirror.get(CSV).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "10")
    );
}

#[tokio::test]
async fn export_of_repositories_equals_the_list_with_all_fields() {
    for database in [Some(databases::sqlite()), databases::postgres()].into_iter().flatten() {
        let mirror = Mirror::start_on(
            database,
            World::generate(300, 7, "kubernetes"),
            &[("COVERAGE", "complete")],
        )
        .await;
        mirror.refresh("kubernetes").await;
        let list = mirror.get("/api/popularity/kubernetes?fields=all").await.json();
        let mut rows = list.as_array().expect("rows").clone();
        rows.sort_by_key(|row| row["id"].as_i64());
        let answer = mirror.get("/exports/kubernetes.ndjson").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let text = answer.text();
        let exported = text.lines().map(|line| serde_json::from_str(line).expect("an object"));
        assert_eq!(exported.collect::<Vec<Value>>(), rows);
        assert_eq!(
            answer.header("content-disposition"),
            "attachment; filename=\"kubernetes.ndjson\""
        );
        for name in ["x-refreshed-at", "x-complete", "x-total-count", "last-modified"] {
            assert!(!answer.header(name).is_empty(), "{name}");
        }
        let etag = [("if-none-match", answer.header("etag"))];
        let copy = mirror.get_with("/exports/kubernetes.ndjson", &etag).await;
        assert_eq!(copy.status, StatusCode::NOT_MODIFIED);
        let csv = mirror.get("/exports/kubernetes.csv").await;
        assert_ne!(csv.header("etag"), answer.header("etag"));
        let whole = mirror.get("/api/popularity/kubernetes?fields=all&format=csv").await;
        let mut lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
        let mut expected: Vec<String> = whole.text().lines().map(str::to_owned).collect();
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
        for path in ["/exports/kubernetes.json", "/exports/kubernetes", "/exports/unheard-of.csv"] {
            assert_eq!(mirror.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
