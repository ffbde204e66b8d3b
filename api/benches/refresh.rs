//! Measures a refresh without GitHub: one line of JSON for each refresh, with the milliseconds of
//! each step. `make bench` runs it.
//!
//! DATABASE_URL names the database, REDIS_URL the Redis that two replicas share.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "only `make bench` runs this program, and a fault should stop it"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::cache::{MemoryCache, RedisAddress, RedisCache, Tiers};
use api::clock::SystemClock;
use api::config::Config;
use api::github::Item;
use api::lists::bundle::Bundle;
use api::model::growth::Period;
use api::model::repository::{Repository, RepositoryId};
use api::model::run::{Outcome, Report, Trigger, UpsertCounts};
use api::model::topic::{Coverage, Origin, SyncCursor, Topic};
use api::store::{
    self, BeginOutcome, Columns, CompleteRun, FinishRun, Lease, NewRefresh, Page, Scope,
    SharedStore,
};
use chrono::{TimeDelta, Utc};
use github_stub::World;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const REPOSITORIES: usize = 1_000;
const PER_PAGE: usize = 100;

fn main() {
    let runtime = api::server::runtime().expect("threads");
    // The service runs in spawned tasks too. `block_on` polls its own future on this thread, and a
    // worker would have to wake the thread for each response of the database.
    runtime.block_on(async { tokio::spawn(measure_refreshes()).await.expect("refreshed") });
}

async fn measure_refreshes() {
    let config = Config::read(&|name: &str| std::env::var_os(name)).expect("settings");
    let rounds: usize =
        std::env::var("ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number"));
    let store = store::open(&config.database).await.expect("a database");
    let topic: Topic = "kubernetes".parse().expect("a topic");
    store.bootstrap().await.expect("a schema");
    store.track(&topic, Origin::Requested, None, Utc::now()).await.expect("stored");
    let redis = config.redis.expect("REDIS_URL");
    let (own, other) = (replica(&redis), replica(&redis));
    let world = World::generate(REPOSITORIES, 7, topic.as_str());
    let mut items: Vec<Value> =
        world.repositories().map(|repository| repository.item.clone().into()).collect();

    for round in 0..=rounds {
        let kinds: &[&str] = if round == 0 { &["new"] } else { &["changed", "unchanged"] };
        for kind in kinds {
            if *kind == "changed" {
                change(&mut items);
            }
            let pages: Vec<Vec<u8>> = items
                .chunks(PER_PAGE)
                .map(|page| serde_json::to_vec(page).expect("JSON"))
                .collect();
            let steps = measure_refresh(&store, &topic, &pages, &own, &other).await;
            println!("{}", json!({ "kind": kind, "steps": steps }));
        }
    }
    store.close().await;
}

/// Gives every repository a star and an update a second ago.
fn change(items: &mut [Value]) {
    let updated_at = (Utc::now() - TimeDelta::seconds(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for item in items {
        item["stargazers_count"] = json!(item["stargazers_count"].as_i64().expect("a number") + 1);
        item["updated_at"] = json!(updated_at);
    }
}

/// The caches of one replica, which hears what another one publishes.
fn replica(redis: &RedisAddress) -> Tiers {
    let memory = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
    let (redis, pushes) = RedisCache::new(redis.clone()).expect("an address");
    let redis = Arc::new(redis);
    let tiers =
        Tiers::new(vec![Arc::<MemoryCache>::clone(&memory), Arc::<RedisCache>::clone(&redis)]);
    tokio::spawn(async move { redis.watch(pushes, &memory).await });
    tiers
}

struct Stopwatch {
    start: Instant,
    last: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        let start = Instant::now();
        Self { start, last: start }
    }

    /// The milliseconds since the last lap.
    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let took = now - self.last;
        self.last = now;
        took.as_secs_f64() * 1e3
    }
}

/// The rows of all pages, and the milliseconds that parsing and writing took.
struct StoredPages {
    ids: Vec<RepositoryId>,
    total: UpsertCounts,
    parse: f64,
    write: f64,
}

/// Measures one refresh of all pages. Returns the milliseconds of each step, and in `all` those
/// until both replicas have the new lists.
async fn measure_refresh(
    store: &SharedStore,
    topic: &Topic,
    pages: &[Vec<u8>],
    own: &Tiers,
    other: &Tiers,
) -> Value {
    let request = NewRefresh {
        topic: Some(topic),
        parent: None,
        awaited: None,
        trigger: Trigger::CommandLine,
        owner: "bench",
    };
    let BeginOutcome::Started(lease) = store.begin(&request, Utc::now()).await.expect("a database")
    else {
        panic!("another process holds the lease")
    };
    let mut watch = Stopwatch::start();
    let stored = store_pages(store, &lease, topic, pages, &mut watch).await;
    let count = i64::try_from(stored.ids.len()).expect("a small number");
    let scope = Scope::First(500);
    let confirmed = CompleteRun { best_match: &stored.ids, found: count, scope };
    let finish = FinishRun {
        topic,
        complete: Some(confirmed),
        total_count: Some(count),
        shrunk: None,
        cursor: SyncCursor::default(),
        keeps_slices: false,
    };
    store.finish(&lease, &finish, Utc::now()).await.expect("finished");
    let finish = watch.lap();
    store.allot_modified(topic, Utc::now()).await.expect("a Last-Modified");
    let catalogue = store
        .catalogue(topic, Period::default(), Columns::Listed)
        .await
        .expect("a database")
        .expect("a list");
    let read = watch.lap();
    let lists = Bundle::build(catalogue).await;
    let build = watch.lap();
    assert!(own.publish(&lists).await, "every tier takes the lists");
    let publish = watch.lap();
    while !(has_lists(own, &lists).await && has_lists(other, &lists).await) {
        let elapsed = watch.start.elapsed();
        assert!(elapsed < Duration::from_secs(10), "both replicas get the lists within 10 s");
        tokio::task::yield_now().await;
    }
    let fresh = watch.lap();
    let all = watch.start.elapsed().as_secs_f64() * 1e3;
    store.end(&lease, Outcome::Complete, &Report::default(), Utc::now()).await.expect("ended");
    json!({
        "parse": stored.parse,
        "write": stored.write,
        "finish": finish,
        "read": read,
        "build": build,
        "publish": publish,
        "fresh": fresh,
        "all": all,
        "written": stored.total.inserted + stored.total.updated,
        "rows": count,
    })
}

async fn store_pages(
    store: &SharedStore,
    lease: &Lease,
    topic: &Topic,
    pages: &[Vec<u8>],
    watch: &mut Stopwatch,
) -> StoredPages {
    let mut all =
        StoredPages { ids: Vec::new(), total: UpsertCounts::default(), parse: 0.0, write: 0.0 };
    for page in pages {
        let items: Vec<&RawValue> = serde_json::from_slice(page).expect("search items");
        let read = |item: &&RawValue| Item::read(item.get()).expect("an item").repository;
        let repositories: Vec<Repository> = items.iter().map(read).collect();
        all.ids.extend(repositories.iter().map(|repository| repository.id));
        all.parse += watch.lap();
        let page = Page { repositories: &repositories, unreadable: &[], coverage: Coverage::Top };
        let (stored, _) = store
            .store_page(lease, topic, &page, &Report::default(), Utc::now())
            .await
            .expect("stored");
        all.total.inserted += stored.inserted;
        all.total.updated += stored.updated;
        all.total.unchanged += stored.unchanged;
        all.write += watch.lap();
    }
    all
}

/// Whether the first tier that has fresh lists has these.
async fn has_lists(tiers: &Tiers, lists: &Bundle) -> bool {
    let found = tiers.lookup(&lists.topic).await;
    found.is_some_and(|hit| !hit.is_stale && hit.bundle.meta.revision == lists.meta.revision)
}
