//! Days of a topic of 35,000 repositories that is kept whole, written as its refreshes write them:
//! each day 2 % of the repositories change. With COVERAGE=top the topic has 1,200 repositories, and
//! all of them change. FIRST_DAY and LAST_DAY tell which days; the last is read whole, twice.
//! Prints the seconds as one JSON object. Run by `make bench`; DATABASE_URL names the database.

#![expect(clippy::expect_used, clippy::panic, reason = "a program that only the benchmark runs")]

mod run;

use std::time::Instant;

use api::model::repository::Repository;
use api::model::topic::Topic;
use api::store::Scope;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

/// A topic, and its changes of a day.
struct Kept {
    repositories: usize,
    /// One in so many repositories changes each day.
    changed: usize,
    /// Of the runs over changes.
    scope: Scope,
}

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
        json!({ "slowest": slowest, "first_whole": whole[0], "second_whole": whole[1] })
    );
    store.close().await;
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
