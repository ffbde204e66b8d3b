//! The cost of a topic of 35,000 repositories: loading its catalogue, its memory, ranking it, and
//! building its lists, as one JSON object. Run by `make bench`; DATABASE_URL names the database.

#![expect(clippy::expect_used, clippy::panic, reason = "a program that only the benchmark runs")]

use std::time::Instant;

use api::config::Config;
use api::github::Item;
use api::lists::bundle::Bundle;
use api::lists::query::first_rows;
use api::model::growth::Period;
use api::model::list::LIST_LENGTH;
use api::model::ranking::Ranking;
use api::model::repository::{Repository, RepositoryId};
use api::model::run::{Outcome, Report, Trigger};
use api::model::topic::{Coverage, Origin, SyncCursor, Topic};
use api::store::{
    self, BeginOutcome, CompleteRun, FinishRun, NewRefresh, Page, Scope, SharedStore,
};
use chrono::Utc;
use github_stub::World;
use serde_json::json;

const REPOSITORIES: usize = 35_000;
const PER_PAGE: usize = 100;
const ROUNDS: usize = 9;

fn main() {
    let runtime = api::server::runtime().expect("threads");
    runtime.block_on(async { tokio::spawn(measure()).await.expect("measured") });
}

async fn measure() {
    let config = Config::read(&|name: &str| std::env::var_os(name)).expect("settings");
    let store = store::open(&config.database).await.expect("a database");
    let topic: Topic = "kubernetes".parse().expect("a topic");
    store.bootstrap().await.expect("a schema");
    store.track(&topic, Origin::Requested, None, Utc::now()).await.expect("stored");
    fill(&store, &topic).await;
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let catalogue =
            store.catalogue(&topic, Period::default()).await.expect("rows").expect("a list");
        times[0].push(milliseconds(began));
        bytes = catalogue.size();
        let began = Instant::now();
        for ranking in Ranking::ALL {
            assert_eq!(first_rows(&catalogue, *ranking, LIST_LENGTH).len(), LIST_LENGTH);
        }
        times[1].push(milliseconds(began) / 3.0);
        let began = Instant::now();
        Bundle::build(catalogue).await;
        times[2].push(milliseconds(began));
    }
    let [load, rank, build] = times.map(median);
    println!(
        "{}",
        json!({ "load": load, "rank": rank, "build": build,
                "bytes": bytes, "rows": REPOSITORIES })
    );
    store.close().await;
}

/// Stores the repositories as a complete refresh does.
async fn fill(store: &SharedStore, topic: &Topic) {
    let world = World::generate(REPOSITORIES, 7, topic.as_str());
    let repositories: Vec<Repository> = world
        .repositories()
        .map(|repository| Item::read(&repository.text).expect("a search item").repository)
        .collect();
    let refresh = NewRefresh {
        topic: Some(topic),
        parent: None,
        awaited: None,
        trigger: Trigger::CommandLine,
        owner: "bench",
    };
    let begun = store.begin(&refresh, Utc::now()).await.expect("begun");
    let BeginOutcome::Started(lease) = begun else { panic!("another process refreshes") };
    let report = Report::default();
    for repositories in repositories.chunks(PER_PAGE) {
        let page = Page { repositories, unreadable: &[], coverage: Coverage::Top };
        store.store_page(&lease, topic, &page, &report, Utc::now()).await.expect("stored");
    }
    let count = i64::try_from(repositories.len()).expect("few");
    let best_match: Vec<RepositoryId> =
        repositories.iter().take(LIST_LENGTH).map(|repository| repository.id).collect();
    let complete = CompleteRun { best_match: &best_match, found: count, scope: Scope::All };
    let finish = FinishRun {
        topic,
        complete: Some(complete),
        total_count: Some(count),
        shrunk: None,
        cursor: SyncCursor::default(),
    };
    store.finish(&lease, &finish, Utc::now()).await.expect("finished");
    store.end(&lease, Outcome::Complete, &report, Utc::now()).await.expect("ended");
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
