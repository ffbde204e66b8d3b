//! What a refresh costs without GitHub: each step's time, as one JSON object a line. Run by `make
//! bench`.
//!
//! DATABASE_URL names the database, REDIS_URL the cache that two replicas share.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a program that nobody but the benchmark runs"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::cache::{MemoryCache, RedisCache, Tiers};
use api::clock::SystemClock;
use api::config::Config;
use api::lists::Lists;
use api::model::ranking::Ranking;
use api::model::repository::{Repository, RepositoryId};
use api::model::run::{Outcome, Report, Trigger, UpsertCounts};
use api::model::topic::{Origin, SyncCursor, Topic};
use api::store::{
    self, BeginOutcome, CompleteRun, FinishRun, NewRefresh, Page, Scope, SharedStore,
};
use chrono::{TimeDelta, Utc};
use github_stub::World;
use serde_json::json;

const REPOSITORIES: usize = 1_000;
const PER_PAGE: usize = 100;

fn main() {
    let runtime = api::server::runtime().expect("threads");
    // As in the service: what `main` itself awaits is woken by another thread for each answer of
    // the database.
    runtime.block_on(async { tokio::spawn(refreshes()).await.expect("refreshed") });
}

async fn refreshes() {
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
    let mut items: Vec<serde_json::Value> =
        world.repositories().map(|repository| repository.item.clone().into()).collect();

    for round in 0..=rounds {
        let kinds: &[&str] = if round == 0 { &["new"] } else { &["changed", "unchanged"] };
        for kind in kinds {
            if *kind == "changed" {
                for item in &mut items {
                    item["stargazers_count"] =
                        json!(item["stargazers_count"].as_i64().expect("a number") + 1);
                    item["updated_at"] = json!(
                        (Utc::now() - TimeDelta::seconds(1))
                            .format("%Y-%m-%dT%H:%M:%SZ")
                            .to_string()
                    );
                }
            }
            let pages: Vec<Vec<u8>> = items
                .chunks(PER_PAGE)
                .map(|page| serde_json::to_vec(page).expect("plain data"))
                .collect();
            let steps = refresh(&store, &topic, &pages, &own, &other).await;
            println!("{}", json!({ "kind": kind, "steps": steps }));
        }
    }
    store.close().await;
}

fn replica(redis: &redis::ConnectionInfo) -> Tiers {
    let memory = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
    let (redis, pushes) = RedisCache::new(redis.clone()).expect("an address");
    let redis = Arc::new(redis);
    let tiers =
        Tiers::new(vec![Arc::<MemoryCache>::clone(&memory), Arc::<RedisCache>::clone(&redis)]);
    tokio::spawn(async move { redis.watch(pushes, &memory).await });
    tiers
}

/// One refresh of all pages; the milliseconds of each step, and of all together until both replicas
/// have the new lists.
async fn refresh(
    store: &SharedStore,
    topic: &Topic,
    pages: &[Vec<u8>],
    own: &Tiers,
    other: &Tiers,
) -> serde_json::Value {
    let request = NewRefresh {
        topic: Some(topic),
        parent: None,
        cause: Trigger::CommandLine,
        owner: "bench",
    };
    let BeginOutcome::Started(lease) = store.begin(&request, Utc::now()).await.expect("begun")
    else {
        panic!("somebody else's")
    };
    let began = Instant::now();
    let mut last = began;
    let mut lap = || {
        let now = Instant::now();
        let took = now - last;
        last = now;
        took.as_secs_f64() * 1e3
    };
    let (mut parse, mut write) = (0.0, 0.0);
    let mut total = UpsertCounts::default();
    let mut ids: Vec<RepositoryId> = Vec::new();
    for page in pages {
        let repositories: Vec<Repository> = serde_json::from_slice(page).expect("search items");
        ids.extend(repositories.iter().map(|repository| repository.id));
        parse += lap();
        let page = Page { repositories: &repositories, unreadable: &[] };
        let (stored, _) = store
            .store_page(&lease, topic, &page, &Report::default(), Utc::now())
            .await
            .expect("stored");
        total.inserted += stored.inserted;
        total.updated += stored.updated;
        total.unchanged += stored.unchanged;
        write += lap();
    }
    let count = i64::try_from(ids.len()).expect("few");
    let confirmed = CompleteRun {
        best_match: &ids,
        total_count: count,
        found: count,
        scope: Scope::First(500),
    };
    let finish = FinishRun {
        topic,
        complete: Some(confirmed),
        shrunk: None,
        covered: SyncCursor::default(),
    };
    store.finish(&lease, &finish, Utc::now()).await.expect("finished");
    let finish = lap();
    let rows = store.rows(topic, &Ranking::ALL, Utc::now()).await.expect("rows").expect("a list");
    let read = lap();
    let lists = Lists::build(rows).await;
    let build = lap();
    assert!(own.publish(&lists).await, "published");
    let publish = lap();
    let new = async |tiers: &Tiers| {
        let nearest = tiers.nearest(topic).await;
        let found = if nearest.is_some() { nearest } else { tiers.get(topic).await };
        found.is_some_and(|(found, _)| found.standing.revision == lists.standing.revision)
    };
    while !(new(own).await && new(other).await) {
        assert!(began.elapsed() < Duration::from_secs(10), "the other replica hears of it");
        tokio::task::yield_now().await;
    }
    let fresh = lap();
    let all = began.elapsed().as_secs_f64() * 1e3;
    store.end(&lease, Outcome::Complete, &Report::default(), Utc::now()).await.expect("ended");
    json!({
        "parse": parse, "write": write, "finish": finish, "read": read, "build": build, "publish": publish, "fresh": fresh,
        "all": all, "written": total.inserted + total.updated, "rows": count,
    })
}
