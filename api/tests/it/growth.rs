//! Growth: every row of every window equals an independent calculation (`tests/growth.py`) that
//! reads nothing but an archive.

use std::path::{Path, PathBuf};

use api::archive;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use github_stub::World;
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::process::Command;

use crate::databases::{self, Database};
use crate::redis::Redis;
use crate::support::{Mirror, START};

/// The last days of the past that the world begins with.
fn today() -> NaiveDate {
    DateTime::from_timestamp(START, 0).expect("a date").date_naive()
}

/// Compares the lists of a service with the script's, of the last day and of past days. Returns the
/// number of rows.
pub(crate) async fn compare(archive: &Path, url: &str, topic: &str, days: &[NaiveDate]) -> u32 {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/growth.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(archive).args([url, topic]).args(days.iter().map(NaiveDate::to_string));
    let output = command.output().await.expect("python3");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{error}");
    let rows = printed.split_once(' ').and_then(|(rows, _)| rows.parse().ok());
    rows.unwrap_or_else(|| panic!("a number of rows: {printed}"))
}

/// A service over the demo's past: 90 days of 300 repositories of each of two topics.
async fn with_a_past(database: Database, settings: &[(&str, &str)]) -> (Mirror, TempDir) {
    with_a_past_of(300, database, settings).await
}

/// A service over 90 days of a past of so many repositories of each of two topics.
pub(crate) async fn with_a_past_of(
    count: usize,
    database: Database,
    settings: &[(&str, &str)],
) -> (Mirror, TempDir) {
    let topics = ["kubernetes", "mcp"].map(str::to_owned);
    let world = World::generate_with_history(count, 7, &topics, 90, today());
    let folder = tempfile::tempdir().expect("a temporary folder");
    github_stub::archive::write(&world, folder.path()).expect("an archive");
    let mirror = Mirror::start_on(database, world, settings).await;
    let (store, now) = (&*mirror.service.store, mirror.service.clock.now());
    archive::import(store, folder.path(), now, |_, _| ()).await.expect("an import");
    (mirror, folder)
}

#[tokio::test]
async fn growth_equals_the_script_on_both_databases_and_replicas() {
    let Some(redis) = Redis::start().await else { return };
    let redis = [("REDIS_URL", &*redis.url())];
    for database in [Some(databases::sqlite()), databases::postgres()] {
        let Some(database) = database else { return };
        let (mirror, past) = with_a_past(database, &redis).await;
        let replica = mirror.replica(&redis).await;
        let days = [1, 7, 33, 80].map(|days| today() - TimeDelta::days(days));
        for topic in ["kubernetes", "mcp"] {
            assert!(compare(past.path(), &mirror.url, topic, &days).await > 100, "{topic}");
            assert!(compare(past.path(), &replica.url, topic, &[]).await > 20, "{topic}");
        }
        // The counts of a refresh are the same day's, or the next one's.
        mirror.refresh("kubernetes").await;
        let exported = tempfile::tempdir().expect("a temporary folder");
        let store = &*mirror.service.store;
        archive::export(store, exported.path(), Utc::now(), |_| ()).await.expect("an export");
        for url in [&mirror.url, &replica.url] {
            assert!(compare(exported.path(), url, "kubernetes", &days).await > 100, "{url}");
        }
    }
}

#[tokio::test]
async fn list_by_growth_has_every_operand_and_names_its_window() {
    let (mirror, _past) = with_a_past(databases::sqlite(), &[]).await;
    let trending = mirror.get("/api/trending/kubernetes").await;
    let (last, first) = (today(), today() - TimeDelta::days(90));
    let window = format!("{}/{last}", last - TimeDelta::days(7));
    assert_eq!(trending.header("x-window"), window, "{}", trending.text());
    assert_eq!(trending.header("x-history-since"), first.to_string());
    assert_eq!(trending.header("x-complete"), "true");
    let rows = trending.json();
    let keys: Vec<_> = rows[0].as_object().expect("an object").keys().collect();
    let expected = [
        "id",
        "name",
        "full_name",
        "html_url",
        "language",
        "updated_at",
        "pushed_at",
        "stargazers_count",
        "created_at",
        "stars_before",
        "day_before",
        "days",
        "stars_after",
        "day_after",
        "gained",
        "percent",
        "velocity",
        "usual",
        "acceleration",
        "best_day",
        "best_day_gained",
        "forks_gained",
    ];
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(rows[0]["stars_after"], rows[0]["stargazers_count"]);
    let same = mirror.get("/api/trending/kubernetes?window=7d&by=gained").await;
    assert_eq!(
        (same.body, same.headers["etag"].clone()),
        (trending.body, trending.headers["etag"].clone())
    );
    let mut fallen = 0;
    for window in ["1d", "7d", "30d", "90d"] {
        let falling = mirror.get(&format!("/api/falling/kubernetes?window={window}")).await.json();
        let rows = falling.as_array().expect("rows");
        let gained: Vec<_> =
            rows.iter().map(|row| row["gained"].as_i64().expect("stars")).collect();
        assert!(gained.is_sorted() && gained.iter().all(|gained| *gained < 0), "{gained:?}");
        fallen += gained.len();
    }
    assert!(fallen > 0, "a repository lost stars");
    let newest = mirror.get("/api/newest/kubernetes").await.json();
    let created: Vec<_> =
        newest.as_array().expect("rows").iter().map(|row| row["created_at"].as_str()).collect();
    assert!(created.len() == 300 && created.is_sorted_by(|one, other| one >= other), "{created:?}");
}

#[tokio::test]
async fn list_by_growth_with_parameters_has_the_headers_of_a_list() {
    let (mirror, _past) = with_a_past(databases::sqlite(), &[]).await;
    let ready = mirror.get("/api/trending/kubernetes").await;
    let path = "/api/trending/kubernetes?window=30d&by=velocity";
    let answer = mirror.get(path).await;
    for name in [
        "last-modified",
        "x-complete",
        "x-total-count",
        "x-refreshed-at",
        "cache-control",
        "vary",
        "access-control-allow-origin",
    ] {
        assert_eq!(answer.headers.get(name), ready.headers.get(name), "{name}");
    }
    assert_eq!(answer.header("cache-status"), "database; fwd=miss");
    let again = mirror.get_with(path, &[("if-none-match", answer.header("etag"))]).await;
    assert_eq!(
        (again.status, again.header("cache-status")),
        (StatusCode::NOT_MODIFIED, "memory; hit")
    );
    assert_eq!(again.header("x-window"), answer.header("x-window"));
}

#[tokio::test]
async fn parameter_of_growth_that_is_not_accepted_is_named() {
    let (mirror, _past) = with_a_past(databases::sqlite(), &[]).await;
    let (last, first) = (today(), today() - TimeDelta::days(90));
    let days = format!("{first} to {last}");
    let (before, after) = (first - TimeDelta::days(1), last + TimeDelta::days(1));
    for (query, expected) in [
        ("window=2d".to_owned(), "window accepts 1d, 7d, 30d or 90d"),
        ("by=stars".to_owned(), "by accepts gained, percent, velocity or acceleration"),
        ("day=yesterday".to_owned(), "day accepts a day such as 2026-01-31"),
        ("day=2026-9-1".to_owned(), "day accepts a day such as 2026-01-31"),
        ("day=%2B12026-09-01".to_owned(), "day accepts a day such as 2026-01-31"),
        ("window=1d&window=7d".to_owned(), "window may be given only once"),
        ("age=1".to_owned(), "age is unknown here: this route accepts window, by, day, fields, "),
        (format!("day={before}"), &days),
        (format!("day={after}"), &days),
    ] {
        let answer = mirror.get(&format!("/api/trending/kubernetes?{query}")).await;
        let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {detail}");
        assert!(detail.contains(expected), "{query}: {detail}");
        let name = query.split('=').next();
        assert_eq!(answer.json()["errors"][0]["parameter"].as_str(), name);
    }
    for path in ["/api/falling/kubernetes?by=gained", "/api/newest/kubernetes?window=1d"] {
        assert_eq!(mirror.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let two = mirror.get("/api/trending/kubernetes?window=2d&by=x").await.json();
    assert_eq!(two["errors"].as_array().map(Vec::len), Some(2), "{two}");
}

/// Trending differs on a new day though no repository changed.
#[tokio::test]
async fn first_refresh_of_a_day_moves_the_window() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let before = mirror.get("/api/trending/kubernetes").await;
    mirror.clock.advance(TimeDelta::hours(1));
    mirror.refresh("kubernetes").await;
    let same_day = mirror.get("/api/trending/kubernetes").await;
    assert_eq!(same_day.header("last-modified"), before.header("last-modified"));
    mirror.clock.advance(TimeDelta::hours(24));
    mirror.refresh("kubernetes").await;
    let next_day = mirror.get("/api/trending/kubernetes").await;
    assert_ne!(next_day.header("last-modified"), before.header("last-modified"));
    let window = format!("{}/{}", today() - TimeDelta::days(6), today() + TimeDelta::days(1));
    assert_eq!(next_day.header("x-window"), window);
    assert_eq!(next_day.header("x-history-since"), today().to_string());
}

#[tokio::test]
async fn list_made_while_the_database_fails_is_made_again_within_a_minute() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let path = "/api/trending/kubernetes?window=30d";
    let old = mirror.get(path).await;
    mirror.clock.advance(TimeDelta::hours(24));
    let id = mirror.lists("kubernetes").await[1][0];
    mirror.stub.world().star(id, 8_000_000, mirror.service.clock.now());
    mirror.refresh("kubernetes").await;
    mirror.database.query("ALTER TABLE counts RENAME TO lost").await;
    let kept = mirror.get(path).await;
    assert_eq!((kept.status, &kept.body), (StatusCode::OK, &old.body), "the last one is served");
    mirror.database.query("ALTER TABLE lost RENAME TO counts").await;
    mirror.clock.advance(TimeDelta::seconds(61));
    let new = mirror.get(path).await;
    assert_eq!(new.ids().first(), Some(&id), "{}", new.text());
}

#[tokio::test]
async fn list_made_while_a_refresh_runs_is_made_again_when_its_rows_are_published() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    // As a page of a refresh of another topic that shares repositories.
    mirror.database.query("UPDATE topics SET revision = revision + 1").await;
    let path = "/api/trending/kubernetes?window=30d";
    let during = mirror.get(path).await;
    assert!(!during.headers.contains_key("last-modified"), "{:?}", during.headers);
    let (topic, now) = ("kubernetes".parse().expect("a topic"), mirror.service.clock.now());
    mirror.service.store.allot_modified(&topic, now).await.expect("a database");
    mirror.clock.advance(TimeDelta::seconds(61));
    let after = mirror.get(path).await;
    assert!(after.headers.contains_key("last-modified"), "{:?}", after.headers);
}
