//! The cost of a topic of 35,000 repositories: loading its catalogue, its memory, ranking it, and
//! building its lists, as one JSON object. Run by `make bench`; DATABASE_URL names the database.

#![expect(clippy::expect_used, clippy::panic, reason = "a program that only the benchmark runs")]

mod run;

use std::time::Instant;

use api::lists::bundle::Bundle;
use api::lists::facets::facets;
use api::lists::query::{Query, all_fields, answer, export, first};
use api::lists::table::Format;
use api::model::filter::{Choice, Filter};
use api::model::growth::{Period, Window};
use api::model::list::LIST_LENGTH;
use api::model::ranking::{Listing, Ranking};
use api::model::topic::Topic;
use api::store::{Columns, Scope, SharedStore};
use chrono::Utc;
use serde_json::{Map, Value, json};

const REPOSITORIES: usize = 35_000;
const ROUNDS: usize = 9;
const QUERY_ROUNDS: usize = 25;

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
    let queries = queries(&store, &topic).await;
    println!(
        "{}",
        json!({ "load": load, "rank": rank, "build": build,
                "bytes": bytes, "rows": REPOSITORIES, "queries": queries })
    );
    store.close().await;
}

/// The milliseconds that each kind of query takes of a catalogue with every field, what its load
/// takes, and the megabytes of an export with its milliseconds.
async fn queries(store: &SharedStore, topic: &Topic) -> Value {
    let whole = Period { window: Window::LONGEST, day: None };
    let began = Instant::now();
    let load = store.catalogue(topic, whole, Columns::Stored).await;
    let catalogue = load.expect("rows").expect("a list");
    let mut figures = Map::new();
    figures.insert("load".to_owned(), json!(milliseconds(began)));
    figures.insert("bytes".to_owned(), json!(catalogue.size()));
    let listing = Listing::from(Ranking::Popularity);
    let page = Query { limit: 100, ..Query::ready(listing) };
    let language = |name: &str| Filter {
        language: Choice { wanted: vec![Some(name.to_owned())], ..Choice::default() },
        ..Filter::default()
    };
    let words = |words: &[&str]| Filter {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Filter::default()
    };
    let owner = Filter {
        owner: Choice { unwanted: vec![Some("nobody".to_owned())], ..Choice::default() },
        ..Filter::default()
    };
    let kinds = [
        ("rare language", Query { filter: language("c++"), ..page.clone() }),
        ("common language", Query { filter: language("go"), ..page.clone() }),
        ("owner left out", Query { filter: owner, ..page.clone() }),
        ("word that many have", Query { filter: words(&["o"]), ..page.clone() }),
        ("words that nothing has", Query { filter: words(&["unheard", "of"]), ..page.clone() }),
        ("last page", Query { offset: REPOSITORIES - 100, ..page.clone() }),
        ("500 rows", Query { limit: 500, ..page.clone() }),
        (
            "500 rows with all fields",
            Query { fields: all_fields(listing), limit: 500, ..page.clone() },
        ),
    ];
    let times = |run: &dyn Fn()| {
        run();
        let time = |_| {
            let began = Instant::now();
            run();
            milliseconds(began)
        };
        json!(median((0..QUERY_ROUNDS).map(time).collect()))
    };
    for (name, query) in kinds {
        figures.insert(name.to_owned(), times(&|| drop(answer(&catalogue, &query))));
    }
    let all = Filter::default();
    figures.insert("facets".to_owned(), times(&|| drop(facets(&catalogue, &all))));
    for (name, format) in [("ndjson", Format::Ndjson), ("csv", Format::Csv)] {
        let bytes: usize = export(&catalogue, format).map(|part| part.len()).sum();
        let time = times(&|| assert!(export(&catalogue, format).count() > 1));
        figures.insert(name.to_owned(), json!({ "bytes": bytes, "time": time }));
    }
    Value::Object(figures)
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
