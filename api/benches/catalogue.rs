//! The cost of a topic of 35,000 repositories: loading its catalogue, its memory, ranking it, and
//! building its lists, as one JSON object. Run by `make bench`; DATABASE_URL names the database.

#![expect(clippy::expect_used, clippy::panic, reason = "a program that only the benchmark runs")]

mod run;

use std::time::Instant;

use api::lists::bundle::Bundle;
use api::lists::query::first;
use api::model::filter::Filter;
use api::model::growth::Period;
use api::model::list::LIST_LENGTH;
use api::model::ranking::Ranking;
use api::model::topic::Topic;
use api::store::{Columns, Scope};
use chrono::Utc;
use serde_json::json;

const REPOSITORIES: usize = 35_000;
const ROUNDS: usize = 9;

fn main() {
    let runtime = api::server::runtime().expect("threads");
    runtime.block_on(async { tokio::spawn(measure()).await.expect("measured") });
}

async fn measure() {
    let topic: Topic = "kubernetes".parse().expect("a topic");
    let store = run::open(&topic, Utc::now()).await;
    let repositories = run::repositories(&topic, REPOSITORIES);
    run::complete_run(&store, &topic, &repositories, Scope::All, Utc::now()).await;
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let catalogue = store
            .catalogue(&topic, Period::default(), Columns::Listed)
            .await
            .expect("rows")
            .expect("a list");
        times[0].push(milliseconds(began));
        bytes = catalogue.size();
        let began = Instant::now();
        for ranking in Ranking::ALL {
            assert_eq!(
                first(&catalogue, (*ranking).into(), &Filter::default(), LIST_LENGTH).len(),
                LIST_LENGTH
            );
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

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
