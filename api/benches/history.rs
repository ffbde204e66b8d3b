//! Days of a topic of 35,000 repositories that is kept whole, written as its refreshes write them:
//! each day 2 % of the repositories change. FIRST_DAY and LAST_DAY tell which days; the last is
//! read whole, twice. Prints the seconds as one JSON object. Run by `make bench`; DATABASE_URL
//! names the database.

#![expect(clippy::expect_used, clippy::panic, reason = "a program that only the benchmark runs")]

use std::time::Instant;

use api::config::Config;
use api::github::Item;
use api::model::list::LIST_LENGTH;
use api::model::repository::{Repository, RepositoryId};
use api::model::run::{Outcome, Report, Trigger};
use api::model::topic::{Coverage, Origin, SyncCursor, Topic};
use api::store::{
    self, BeginOutcome, CompleteRun, FinishRun, NewRefresh, Page, Scope, SharedStore,
};
use chrono::{DateTime, TimeDelta, Utc};
use github_stub::World;
use serde_json::json;

const REPOSITORIES: usize = 35_000;
const PER_PAGE: usize = 100;

/// One in so many repositories changes each day.
const CHANGED: usize = 50;

/// The first day, in seconds since 1970.
const START: i64 = 1_750_000_000;

fn main() {
    let runtime = api::server::runtime().expect("threads");
    runtime.block_on(async { tokio::spawn(measure()).await.expect("measured") });
}

async fn measure() {
    let config = Config::read(&|name: &str| std::env::var_os(name)).expect("settings");
    let number = |name: &str| -> usize {
        let text = std::env::var(name).expect("FIRST_DAY and LAST_DAY");
        text.parse().expect("a number")
    };
    let store = store::open(&config.database).await.expect("a database");
    let topic: Topic = "kubernetes".parse().expect("a topic");
    store.bootstrap().await.expect("a schema");
    store.track(&topic, Origin::Requested, None, at(0)).await.expect("stored");
    let mut repositories = repositories(&topic);
    let (first, last) = (number("FIRST_DAY"), number("LAST_DAY"));
    for day in 0..first {
        change(&mut repositories, day);
    }
    let mut slowest = 0_f64;
    for day in first..last {
        let changed = change(&mut repositories, day);
        let shown = if day == 0 { &repositories } else { &changed };
        let began = Instant::now();
        run(&store, &topic, shown, at(day)).await;
        if day > 0 {
            slowest = slowest.max(began.elapsed().as_secs_f64());
        }
    }
    change(&mut repositories, last);
    let mut whole = [0_f64; 2];
    for seconds in &mut whole {
        let began = Instant::now();
        run(&store, &topic, &repositories, at(last)).await;
        *seconds = began.elapsed().as_secs_f64();
    }
    println!(
        "{}",
        json!({ "slowest": slowest, "first_whole": whole[0], "second_whole": whole[1] })
    );
    store.close().await;
}

fn at(day: usize) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(START, 0).expect("a date");
    start + TimeDelta::days(i64::try_from(day).expect("few"))
}

fn repositories(topic: &Topic) -> Vec<Repository> {
    let world = World::generate(REPOSITORIES, 7, topic.as_str());
    let item = |text: &str| Item::read(text).expect("a search item").repository;
    world.repositories().map(|repository| item(&repository.text)).collect()
}

/// Changes the day's share of the repositories, and returns those.
fn change(repositories: &mut [Repository], day: usize) -> Vec<Repository> {
    let is_changed = |place: usize| (place * 7 + day * 13).is_multiple_of(CHANGED);
    let changed = repositories.iter_mut().enumerate().filter(|(place, _)| is_changed(*place));
    let change = |(_, repository): (usize, &mut Repository)| {
        repository.stargazers_count += 1;
        repository.clone()
    };
    changed.map(change).collect()
}

/// A complete run that shows these repositories.
async fn run(store: &SharedStore, topic: &Topic, shown: &[Repository], now: DateTime<Utc>) {
    let refresh = NewRefresh {
        topic: Some(topic),
        parent: None,
        awaited: None,
        trigger: Trigger::CommandLine,
        owner: "bench",
    };
    let begun = store.begin(&refresh, now).await.expect("begun");
    let BeginOutcome::Started(lease) = begun else { panic!("another process refreshes") };
    let report = Report::default();
    for repositories in shown.chunks(PER_PAGE) {
        let page = Page { repositories, unreadable: &[], coverage: Coverage::Complete };
        store.store_page(&lease, topic, &page, &report, now).await.expect("stored");
    }
    let best_match: Vec<RepositoryId> =
        shown.iter().take(LIST_LENGTH).map(|repository| repository.id).collect();
    let count = i64::try_from(REPOSITORIES).expect("few");
    let complete = CompleteRun { best_match: &best_match, found: count, scope: Scope::All };
    let finish = FinishRun {
        topic,
        complete: Some(complete),
        total_count: Some(count),
        shrunk: None,
        cursor: SyncCursor::default(),
    };
    store.finish(&lease, &finish, now).await.expect("finished");
    store.end(&lease, Outcome::Complete, &report, now).await.expect("ended");
}
