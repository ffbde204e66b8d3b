//! Days of a topic of 35,000 repositories that is kept whole, written as its refreshes write them:
//! each day 2 % of the repositories change. With COVERAGE=top the topic has 1,200 repositories, and
//! all of them change. FIRST_DAY and LAST_DAY tell which days; the last is read whole, twice.
//! Prints the seconds as one JSON object. Run by `make bench`; DATABASE_URL names the database.

#![expect(clippy::expect_used, clippy::panic, reason = "a program that only the benchmark runs")]

mod run;

use std::time::Instant;

use api::lists::query::{Query, answer};
use api::model::growth::{Measure, Period, Window};
use api::model::ranking::{Order, Trend};
use api::model::repository::Repository;
use api::model::topic::{Origin, Topic};
use api::pictures::badge::{Badge, PlaceIn};
use api::pictures::chart::draw;
use api::pictures::options::Options;
use api::pictures::series::Series;
use api::store::{Columns, Scope, SharedStore};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// A topic, and its changes of a day.
struct Kept {
    repositories: usize,
    /// One in so many repositories changes each day.
    changed: usize,
    /// Of the runs over changes.
    scope: Scope,
}

const ROUNDS: usize = 9;

/// Three years.
const YEARS_OF_DAYS: usize = 1_095;

/// The first day, in seconds since 1970.
const START: i64 = 1_750_000_000;

fn main() {
    let runtime = api::server::runtime().expect("threads");
    runtime.block_on(async { tokio::spawn(measure()).await.expect("measured") });
}

async fn measure() {
    let number = |name: &str| -> usize {
        let text = std::env::var(name).expect("FIRST_DAY and LAST_DAY");
        text.parse().expect("a number")
    };
    // No repository was updated later, so none is in doubt.
    let since = Scope::Since { updated_at: at(100_000), confirmed_at: at(0) };
    let kept = match std::env::var("COVERAGE").as_deref() {
        Ok("top") => Kept { repositories: 1_200, changed: 1, scope: Scope::First(1_200) },
        _ => Kept { repositories: 35_000, changed: 50, scope: since },
    };
    let topic: Topic = "kubernetes".parse().expect("a topic");
    let store = run::open(&topic, at(0)).await;
    let mut repositories = run::repositories(&topic, kept.repositories);
    let (first, last) = (number("FIRST_DAY"), number("LAST_DAY"));
    for day in 0..first {
        change(&mut repositories, kept.changed, day);
    }
    let mut slowest = 0_f64;
    for day in first..last {
        let changed = change(&mut repositories, kept.changed, day);
        let shown = if day == 0 { &repositories } else { &changed };
        let began = Instant::now();
        run::complete_run(&store, &topic, shown, kept.scope, at(day)).await;
        if day > 0 {
            slowest = slowest.max(began.elapsed().as_secs_f64());
        }
    }
    change(&mut repositories, kept.changed, last);
    let mut whole = [0_f64; 2];
    for seconds in &mut whole {
        let began = Instant::now();
        run::complete_run(&store, &topic, &repositories, kept.scope, at(last)).await;
        *seconds = began.elapsed().as_secs_f64();
    }
    println!(
        "{}",
        json!({
            "slowest": slowest, "first_whole": whole[0], "second_whole": whole[1],
            "growth": growth(&store, &topic, at(last)).await,
            "repository": repository(&store).await,
        })
    );
    store.close().await;
}

/// The milliseconds that it takes to load the topic with its growth within a week and a quarter,
/// and as of a past day, and to write a list from it.
async fn growth(store: &SharedStore, topic: &Topic, now: DateTime<Utc>) -> Value {
    let past = (now - TimeDelta::days(10)).date_naive();
    let periods = [
        ("week", Period::default()),
        ("quarter", Period { window: Window::Quarter, day: None }),
        ("past", Period { window: Window::Week, day: Some(past) }),
    ];
    let mut times = serde_json::Map::new();
    for (name, period) in periods {
        let mut loads = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let catalogue = store
                .catalogue(topic, period, Columns::Listed)
                .await
                .expect("rows")
                .expect("a list");
            assert!(!catalogue.rows().is_empty());
            loads.push(milliseconds(began));
            let began = Instant::now();
            let order = Order::Trending(period.window, Measure::Velocity);
            let query = Query { order, ..Query::ready(Trend::Trending.into()) };
            assert!(answer(&catalogue, &query).matched > 0);
            times.insert("list".to_owned(), json!(milliseconds(began)));
        }
        times.insert(name.to_owned(), json!(median(loads)));
    }
    Value::Object(times)
}

/// The milliseconds that it takes to read three years of days of a repository, and to draw a chart
/// of eight such ones, and a badge.
async fn repository(store: &SharedStore) -> Value {
    let topic: Topic = "one".parse().expect("a topic");
    store.track(&topic, Origin::Requested, None, at(0)).await.expect("stored");
    let mut one = run::repositories(&topic, 1);
    one[0].id = 1;
    for day in (0..YEARS_OF_DAYS).step_by(2) {
        one[0].stargazers_count += 3;
        run::complete_run(store, &topic, &one, Scope::First(1), at(day)).await;
    }
    let (mut reads, mut charts, mut badges) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let days = store.repository_days(1, None, None).await.expect("rows").expect("a row");
        reads.push(milliseconds(began));
        assert!(days.seen.len() > YEARS_OF_DAYS / 3);
        let seen = || days.seen.iter().map(|span| (span.first, span.counts.stars));
        let series: Vec<Series> =
            (0..8).map(|line| Series::new(format!("owner/name-{line}"), seen(), [])).collect();
        let began = Instant::now();
        assert!(draw("stars", &series, &Options::default()).len() < 20_000);
        charts.push(milliseconds(began));
        let began = Instant::now();
        assert!(Badge::new("kubernetes", 3, PlaceIn::Popularity).svg().len() > 100);
        badges.push(milliseconds(began));
    }
    let [history, chart, badge] = [reads, charts, badges].map(median);
    json!({ "history": history, "chart": chart, "badge": badge })
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn at(day: usize) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(START, 0).expect("a date");
    start + TimeDelta::days(i64::try_from(day).expect("few"))
}

/// Changes the day's share of the repositories, and returns those.
fn change(repositories: &mut [Repository], changed: usize, day: usize) -> Vec<Repository> {
    let is_changed = |place: usize| (place * 7 + day * 13).is_multiple_of(changed);
    let changed = repositories.iter_mut().enumerate().filter(|(place, _)| is_changed(*place));
    let change = |(_, repository): (usize, &mut Repository)| {
        repository.stargazers_count += 1;
        repository.clone()
    };
    changed.map(change).collect()
}
