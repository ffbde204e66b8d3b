//! A simulation: many topics on one token for days, with the service's own scheduler, plans, quota,
//! leases and ledger, over a model of GitHub that has the rules of its search.
//!
//! Time is tokio's, which passes at once while every task waits. `make simulation` runs a week of
//! 1,000 topics and writes its tables into docs/scale.md; `make test` runs a small sample.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::app::App;
use api::clock::Clock;
use api::config::Config;
use api::{scheduler, store};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::databases;
use crate::support::{START, install_tls_provider};

mod github;
mod report;
mod timeless;

use github::{GitHub, Topic};
use report::Report;
use timeless::TimelessStore;

/// The marks in docs/scale.md between which the tables stand.
const MARKS: [&str; 2] = ["<!-- simulated: begin -->\n", "<!-- simulated: end -->\n"];

/// tokio's time, from [`START`] on.
struct SimulatedClock(Instant);

#[async_trait]
impl Clock for SimulatedClock {
    fn now(&self) -> DateTime<Utc> {
        start() + self.0.elapsed()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        tokio::time::sleep((time - self.now()).to_std().unwrap_or_default()).await;
    }
}

/// Midnight, UTC.
fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(START - START % 86_400, 0).expect("a date")
}

/// A simulation's inputs.
struct Setup {
    topics: Vec<Topic>,
    schedule: &'static str,
    /// Searches a minute.
    limit: i64,
    length: TimeDelta,
}

impl Setup {
    fn config(&self, github: &str, database: &str) -> Config {
        let name = |topic: &Topic| format!("{}:{}", topic.name, topic.coverage());
        let topics: Vec<String> = self.topics.iter().map(name).collect();
        let settings = [
            ("TOPICS", topics.join(",")),
            ("REFRESH_SCHEDULE", self.schedule.to_owned()),
            ("GITHUB_API_URL", github.to_owned()),
            ("GITHUB_TOKEN", "some-token".to_owned()),
            ("DATABASE_URL", database.to_owned()),
        ];
        Config::read(&|name: &str| {
            let setting = settings.iter().find(|(own, _)| *own == name);
            setting.map(|(_, value)| OsString::from(value))
        })
        .expect("valid settings")
    }

    /// Runs the service from an empty database on.
    async fn run(self) -> Report {
        install_tls_provider();
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock(Instant::now()));
        let github = GitHub::start(self.topics.clone(), self.limit, Arc::clone(&clock)).await;
        let database = databases::sqlite();
        let config = self.config(github.url(), &database.setting());
        let period = config.schedule.period(clock.now());
        let opened = store::open(&config.database).await.expect("the file opens");
        let (store, refreshed) = TimelessStore::over(opened);
        let app = App::with_store(config, store, Arc::clone(&clock)).expect("a service");
        let running = tokio::spawn(scheduler::run(Arc::clone(&app)));
        let end = start() + self.length;
        clock.sleep_until(end).await;
        app.stop().await;
        running.await.expect("the scheduler does not panic");
        let refreshed = std::mem::take(&mut *refreshed.lock().expect("no panic"));
        Report::new(self, &github, period, end, &refreshed)
    }
}

#[tokio::test(start_paused = true)]
async fn topics_are_fresh_beside_one_that_takes_longer_than_the_period() {
    let mut topics = Topic::spread(5, 7);
    topics.push(Topic::large(0, 12_000));
    let length = TimeDelta::hours(4);
    let setup = Setup { topics, schedule: "*/20 * * * *", limit: 10, length };
    let report = setup.run().await;
    assert!(!report.fits(), "{report}");
    report.assert_nobody_starves();
    report.assert_fresh_if(|topic| topic.size <= 5_000);
}

/// Four topics take 60 searches, of which there are nine a minute: nine rounds an hour. If each
/// waited for the schedule's next match, there were six.
#[tokio::test(start_paused = true)]
async fn round_that_takes_longer_than_the_period_is_followed_by_the_next_at_once() {
    let topic = |number| Topic { is_complete: false, ..Topic::large(number, 600) };
    let (topics, length) = ((0..4).map(topic).collect(), TimeDelta::hours(1));
    let report = Setup { topics, schedule: "*/5 * * * *", limit: 10, length }.run().await;
    report.assert_refreshes(8..=9);
}

#[tokio::test(start_paused = true)]
#[ignore = "it takes minutes: `make simulation` runs it"]
async fn week_of_1000_topics_starves_none() {
    let hours = std::env::var("SIMULATION").unwrap_or_default();
    let mut tables = String::new();
    for schedule in ["0 */12 * * *", "0 * * * *"].into_iter().filter(|all| all.contains(&hours)) {
        let mut topics = Topic::spread(990, 7);
        topics.extend((0..10).map(|number| Topic::large(number, 35_000)));
        let began = std::time::Instant::now();
        let length = TimeDelta::days(7);
        let report = Setup { topics, schedule, limit: 30, length }.run().await;
        let _ = writeln!(std::io::stderr(), "{report}\n{:?}", began.elapsed());
        report.assert_nobody_starves();
        if report.fits() {
            report.assert_fresh_if(|_| true);
        }
        tables += &report.to_string();
    }
    if hours.is_empty() {
        write_tables(&tables);
    }
}

fn write_tables(tables: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scale.md");
    let page = std::fs::read_to_string(&path).expect("a page");
    let (before, rest) = page.split_once(MARKS[0]).expect("the first mark");
    let (_, after) = rest.split_once(MARKS[1]).expect("the second mark");
    let page = format!("{before}{}\n{tables}{}{after}", MARKS[0], MARKS[1]);
    std::fs::write(path, page).expect("written");
}

/// The latency of a search.
const LATENCY: Duration = Duration::from_millis(700);
