//! Backfills: GitHub's star history in the database, within GitHub's limits.

use std::collections::{BTreeMap, BTreeSet};

use api::backfill::Backfill;
use api::clock::Clock;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, World};
use reqwest::Method;

use crate::databases::{self, Database};
use crate::support::{Mirror, START, http_client, send};

const HISTORY: &str = "/stargazers/history";

/// The time so many days after START.
fn days_after_start(days: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(START, 0).expect("a date") + TimeDelta::days(days)
}

/// The UTC day of START.
fn today() -> NaiveDate {
    days_after_start(0).date_naive()
}

fn world(count: usize) -> World {
    World::generate_with_history(count, 7, &["kubernetes".to_owned()], 60, today())
}

/// A service whose topic was refreshed, and a stub that has forgotten the requests for that.
async fn refreshed(database: Database, count: usize, settings: &[(&str, &str)]) -> Mirror {
    let mirror = Mirror::start_on(database, world(count), settings).await;
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["found"], count, "{report}");
    mirror.stub.world().counters.requests.clear();
    mirror
}

async fn backfill(mirror: &Mirror) -> anyhow::Result<Backfill> {
    let topic = "kubernetes".parse().expect("a topic");
    let app = &mirror.service;
    api::backfill::backfill(&*app.store, &app.github, &*app.clock, &topic, |_| {}).await
}

/// The names of the repositories of the histories that the stub was asked for since the last call,
/// and how often.
fn asked(mirror: &Mirror) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for (_, line) in std::mem::take(&mut mirror.stub.world().counters.requests) {
        let name = line.strip_prefix("GET /repos/").and_then(|rest| rest.split_once(HISTORY));
        let (name, _) = name.unwrap_or_else(|| panic!("{line} is no request for a history"));
        *asked.entry(name.to_owned()).or_default() += 1;
    }
    asked
}

/// Days with the stars held at the end of each, by repository.
type Series = BTreeMap<String, BTreeMap<NaiveDate, i64>>;

/// The stub's own series up to the day before today: the sums of the stars of each day.
async fn series_of_the_stub(mirror: &Mirror) -> Series {
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    let (http, mut all) = (http_client(), Series::new());
    for id in ids {
        let (name, created) = {
            let world = mirror.stub.world();
            let repository = world.repository(id).expect("a repository");
            (repository.full_name().to_owned(), repository.created.date_naive())
        };
        let mut given = BTreeMap::new();
        for page in 1.. {
            let url = format!("{}/repos/{name}{HISTORY}?page={page}", mirror.stub.url());
            let weeks = send(&http, Method::GET, &url, &[("user-agent", "test")]).await.json();
            let weeks = weeks.as_array().expect("weeks").clone();
            for week in &weeks {
                let second = week["week"].as_i64().expect("a second");
                let first = DateTime::from_timestamp(second, 0).expect("a date").date_naive();
                let days = week["days"].as_array().expect("days");
                let days = days.iter().map(|stars| stars.as_i64().expect("a number"));
                given.extend(first.iter_days().zip(days));
            }
            if weeks.is_empty() {
                break;
            }
        }
        let mut held = 0;
        given.retain(|day, stars| {
            held += *stars;
            *stars = held;
            *day >= created && *day < today()
        });
        all.insert(name, given);
    }
    mirror.stub.world().counters.requests.clear();
    all
}

/// The series in the database.
async fn series(mirror: &Mirror) -> Series {
    let spans = "SELECT full_name || ' ' || first_day || ' ' || last_day || ' ' ||
            backfilled.stargazers_count
        FROM backfilled JOIN repositories ON id = repository_id";
    let mut all = Series::new();
    for span in mirror.database.query(spans).await {
        let fields: Vec<&str> = span.split(' ').collect();
        let [name, first, last, stars] = fields[..] else { panic!("{span} has other fields") };
        let [first, last]: [NaiveDate; 2] = [first, last].map(|day| day.parse().expect("a date"));
        assert!(first <= last, "{span} has no day");
        let days = all.entry(name.to_owned()).or_default();
        for day in first.iter_days().take_while(|day| *day <= last) {
            let twice = days.insert(day, stars.parse().expect("a number"));
            assert_eq!(twice, None, "{name} has {day} twice");
        }
    }
    all
}

/// Compares two series. The message names the first day that differs.
#[track_caller]
fn assert_series(actual: &Series, expected: &Series) {
    assert_eq!(actual.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, days) in expected {
        let (actual, expected) = (actual[name].iter(), days.iter());
        let lengths = (actual.len(), expected.len());
        let differing = actual.zip(expected).find(|(actual, expected)| actual != expected);
        assert_eq!(differing, None, "{name}");
        assert_eq!(lengths.0, lengths.1, "{name}");
    }
}

async fn check_series(database: Database) {
    let mirror = refreshed(database, 25, &[]).await;
    let seen = "SELECT count(*) || ' ' || sum(stargazers_count) FROM counts";
    let before = mirror.database.query(seen).await;
    let expected = series_of_the_stub(&mirror).await;
    let backfilled = backfill(&mirror).await.expect("a backfill");
    let requests = i64::try_from(asked(&mirror).values().sum::<usize>()).expect("a number");
    let all_done = Backfill { all: 25, done: 25, requests, ..Backfill::default() };
    assert_eq!(backfilled, all_done);
    assert_series(&series(&mirror).await, &expected);
    assert!(expected.values().any(|days| days.len() > 1_000), "some histories have many pages");
    assert_eq!(mirror.database.query(seen).await, before, "counts that were seen stay");
    assert_eq!(mirror.stub.world().counters.unexpected, Vec::<String>::new());

    mirror.clock.advance(TimeDelta::days(1));
    assert_eq!(backfill(&mirror).await.expect("a backfill").done, 25);
    assert_eq!(asked(&mirror), BTreeMap::new(), "no repository is asked for again");
}

#[tokio::test]
async fn backfilled_series_equals_the_stubs_own_on_sqlite() {
    check_series(databases::sqlite()).await;
}

#[tokio::test]
async fn backfilled_series_equals_the_stubs_own_on_postgres() {
    let Some(database) = databases::postgres() else { return };
    check_series(database).await;
}

#[tokio::test]
async fn backfill_ends_at_the_reserve_and_goes_on_when_the_window_has_ended() {
    let mirror = refreshed(databases::sqlite(), 25, &[]).await;
    let expected = series_of_the_stub(&mirror).await;
    let limit = Limit { with_token: 5_000, without_token: 60 };
    mirror.stub.world().settings.core_limit = Some(limit);
    let (mut done, mut runs) = (BTreeSet::new(), 0);
    loop {
        let began = mirror.clock.now();
        let backfilled = backfill(&mirror).await.expect("a backfill");
        let asked = asked(&mirror);
        assert!(asked.keys().all(|name| !done.contains(name)), "{asked:?} after {done:?}");
        done.extend(series(&mirror).await.into_keys());
        assert_eq!((done.len(), backfilled.done), (backfilled.done, done.len()));
        runs += 1;
        let Some(until) = backfilled.limited_until else { break };
        assert_eq!(asked.values().sum::<usize>(), 48, "a fifth of the limit is in reserve");
        assert!(until > began && until < began + TimeDelta::minutes(61), "{began} {until}");
        assert!(backfilled.done < 25);
        mirror.clock.sleep_until(until).await;
    }
    assert!(runs > 2);
    assert_series(&series(&mirror).await, &expected);
    let counters = mirror.stub.world().counters.clone();
    assert_eq!((counters.over_limit, counters.impatient), (0, 0));
}

#[tokio::test]
async fn repository_without_a_history_is_asked_for_again_on_another_day() {
    for kind in [FaultKind::NotFound, FaultKind::Unprocessable, FaultKind::Unavailable] {
        let mirror = refreshed(databases::sqlite(), 5, &[]).await;
        let name = {
            let mut world = mirror.stub.world();
            let id = world.ranked("kubernetes", "stars")[1];
            let name = world.repository(id).expect("a repository").full_name().to_owned();
            world.faults.push(Fault::from(kind.clone()).at(&format!("/repos/{name}/")));
            name
        };
        let backfilled = backfill(&mirror).await.expect("a backfill");
        assert_eq!((backfilled.done, backfilled.not_offered), (5, 1), "{kind:?}");
        assert_eq!(series(&mirror).await.len(), 4, "{kind:?}");
        assert_eq!(asked(&mirror)[&name], 1, "{kind:?}");
        let backfilled = backfill(&mirror).await.expect("a backfill");
        assert_eq!((backfilled.done, asked(&mirror).len()), (5, 0), "{kind:?}");

        mirror.clock.advance(TimeDelta::days(1));
        backfill(&mirror).await.expect("a backfill");
        assert_eq!(asked(&mirror).into_keys().collect::<Vec<_>>(), [name], "{kind:?}");
        assert_eq!(series(&mirror).await.len(), 5, "{kind:?}");
    }
}

#[tokio::test]
async fn history_that_fails_is_read_again_in_the_same_run() {
    for kind in [
        FaultKind::HtmlError { status: 502 },
        FaultKind::NotJson,
        FaultKind::Cut,
        FaultKind::LoopLink,
        FaultKind::Forbidden,
        FaultKind::Unauthorized,
        FaultKind::SecondaryLimit { status: 403, retry_after: Some(60) },
        FaultKind::SecondaryLimit { status: 429, retry_after: None },
        FaultKind::PrimaryLimit { status: 403, reset_in: 40 },
    ] {
        let mirror = refreshed(databases::sqlite(), 25, &[]).await;
        let expected = series_of_the_stub(&mirror).await;
        // Its history has a second page with stars, and a third one.
        let is_popular = |days: &BTreeMap<NaiveDate, i64>| {
            let held = |ago| days.get(&(today() - Days::new(ago)));
            held(430).is_some() && held(400) < held(230)
        };
        let popular = expected.iter().find(|(_, days)| is_popular(days));
        let path = format!("/repos/{}/", popular.expect("a popular repository").0);
        mirror.stub.world().faults.push(Fault::from(kind.clone()).at(&path).skip(1));
        let backfilled = backfill(&mirror).await.expect("a backfill");
        assert_eq!((backfilled.done, backfilled.limited_until), (25, None), "{kind:?}");
        assert_series(&series(&mirror).await, &expected);
        let counters = mirror.stub.world().counters.clone();
        let faults: Vec<_> = counters.faults.values().collect();
        assert_eq!((faults, counters.impatient), (vec![&1], 0), "{kind:?}");
    }
}

#[tokio::test]
async fn backfill_fails_after_five_failures_in_a_row_and_goes_on_the_next_time() {
    for (kind, reason, requests) in [
        (FaultKind::HtmlError { status: 502 }, "status 502", 5),
        (FaultKind::NotJson, "a star history that cannot be read", 5),
        (FaultKind::Forbidden, "status 403", 5),
        (FaultKind::SecondaryLimit { status: 403, retry_after: Some(1) }, "again and again", 5),
    ] {
        let mirror = refreshed(databases::sqlite(), 5, &[]).await;
        let expected = series_of_the_stub(&mirror).await;
        let fault = Fault::from(kind.clone()).at("/repos/").skip(20).times(1_000);
        mirror.stub.world().faults.push(fault);
        let error = format!("{:#}", backfill(&mirror).await.expect_err("a failure"));
        assert!(error.contains(" of 5 repositories; run it again"), "{kind:?}: {error}");
        assert!(error.contains(reason), "{kind:?}: {error}");
        let asked = asked(&mirror).values().sum::<usize>();
        assert_eq!(asked, 20 + requests, "{kind:?}: {error}");
        mirror.stub.world().faults.clear();
        mirror.clock.advance(TimeDelta::minutes(1));
        assert_eq!(backfill(&mirror).await.expect("a backfill").done, 5, "{kind:?}");
        assert_series(&series(&mirror).await, &expected);
    }
}

#[tokio::test]
async fn history_refused_to_the_token_is_read_without_it() {
    let settings = [("GITHUB_TOKEN", "github-secret")];
    let mirror = refreshed(databases::sqlite(), 5, &settings).await;
    let expected = series_of_the_stub(&mirror).await;
    let policy = Fault::from(FaultKind::TokenPolicy).at("/repos/").times(1_000);
    mirror.stub.world().faults.push(policy);
    assert_eq!(backfill(&mirror).await.expect("a backfill").done, 5);
    assert_series(&series(&mirror).await, &expected);
}

#[tokio::test]
async fn series_leaves_out_the_present_day_and_its_stars() {
    let mirror = refreshed(databases::sqlite(), 5, &[]).await;
    let now: DateTime<Utc> = mirror.clock.now();
    let first = mirror.stub.world().ranked("kubernetes", "stars")[0];
    let (name, stars) = {
        let mut world = mirror.stub.world();
        let repository = world.repository(first).expect("a repository");
        let (name, stars) = (repository.full_name().to_owned(), repository.stars);
        world.star(first, stars + 1_000, now);
        (name, stars)
    };
    backfill(&mirror).await.expect("a backfill");
    let series = series(&mirror).await;
    let last = series[&name].last_key_value().expect("days");
    assert_eq!(last, (&(today() - Days::new(1)), &stars));
}
