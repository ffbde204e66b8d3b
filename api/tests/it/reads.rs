//! A read through memory, Redis and the database: the tier that answers, also when one is slow or
//! has older lists.

use std::sync::Arc;

use api::cache::{Cache, CachedBundle, MemoryCache, RedisAddress, RedisCache, Tiers};
use api::lists::bundle::Bundle;
use api::model::growth::Period;
use api::model::list::Version;
use api::model::topic::Topic;
use api::store::Columns;
use async_trait::async_trait;
use chrono::TimeDelta;
use github_stub::World;
use reqwest::{Method, StatusCode};
use tokio::sync::{Notify, Semaphore};

use crate::databases;
use crate::redis::Redis;
use crate::support::{Mirror, TestClock, eventually};

const PATH: &str = "/api/popularity/kubernetes";

/// A service with its own Redis.
async fn over_redis(world: World, settings: &[(&str, &str)]) -> Option<(Mirror, Redis)> {
    let redis = Redis::start().await?;
    let url = redis.url();
    let settings = [settings, &[("REDIS_URL", &url)]].concat();
    let mirror = Mirror::start_with(world, &settings).await;
    let listening = async || {
        redis
            .command(&["PUBSUB", "NUMSUB", "github-topic-mirror:3"])
            .await
            .trim_end()
            .ends_with('1')
    };
    eventually(5, "the service subscribes", listening).await;
    Some((mirror, redis))
}

/// A tier whose fills block until the test adds a permit.
struct BlockedFill<C> {
    tier: C,
    reached: Notify,
    permits: Semaphore,
}

#[async_trait]
impl<C: Cache> Cache for BlockedFill<C> {
    fn name(&self) -> &'static str {
        self.tier.name()
    }

    fn cache_status(&self) -> &'static str {
        self.tier.cache_status()
    }

    async fn get(&self, topic: &Topic) -> Option<CachedBundle> {
        self.tier.get(topic).await
    }

    async fn can_answer(&self) -> bool {
        self.tier.can_answer().await
    }

    async fn takes_lists(&self) -> bool {
        self.tier.takes_lists().await
    }

    async fn fill(&self, bundle: &Arc<Bundle>) -> bool {
        self.reached.notify_one();
        let _permit = self.permits.acquire().await.expect("an open semaphore");
        self.tier.fill(bundle).await
    }

    async fn publish(&self, bundle: &Arc<Bundle>) -> bool {
        self.tier.publish(bundle).await
    }

    async fn evict(&self, topic: &Topic, below: Version) -> bool {
        self.tier.evict(topic, below).await
    }
}

/// One replica refreshes after the other one has read its rows and before it fills the cache.
#[tokio::test]
async fn fill_of_older_rows_keeps_the_lists_of_a_newer_refresh() {
    let (Some(database), Some(redis)) = (databases::postgres(), Redis::start().await) else {
        return;
    };
    let url = redis.url();
    let mirror =
        Mirror::start_on(database, World::generate(50, 7, "kubernetes"), &[("REDIS_URL", &url)])
            .await;
    mirror.refresh("kubernetes").await;
    redis.command(&["FLUSHALL"]).await;

    let connect =
        || RedisCache::new(RedisAddress::parse(&url).expect("an address")).expect("a cache");
    let (shared, pushes) = connect();
    let (shared, memory) =
        (Arc::new(shared), Arc::new(MemoryCache::new(Arc::<TestClock>::clone(&mirror.clock))));
    let (watched, watching) = (Arc::clone(&shared), Arc::clone(&memory));
    tokio::spawn(async move { watched.watch(pushes, &watching).await });
    let listening = async || {
        redis
            .command(&["PUBSUB", "NUMSUB", "github-topic-mirror:3"])
            .await
            .trim_end()
            .ends_with('2')
    };
    eventually(5, "both replicas subscribe", listening).await;
    let blocked = Arc::new(BlockedFill {
        tier: connect().0,
        reached: Notify::new(),
        permits: Semaphore::new(0),
    });
    let tiers = Tiers::new(vec![memory, Arc::<BlockedFill<RedisCache>>::clone(&blocked)]);

    let topic: Topic = "kubernetes".parse().expect("a topic");
    let build = async || {
        let catalogue = {
            let store = &mirror.service.store;
            store.catalogue(&topic, Period::default(), Columns::Listed).await.expect("a database")
        };
        Bundle::build(catalogue.expect("a list")).await
    };
    let old = build().await;
    let filling = {
        let (tiers, old) = (tiers.clone(), Arc::clone(&old));
        tokio::spawn(async move { tiers.fill(&old).await })
    };
    blocked.reached.notified().await;
    let id = mirror.expected("kubernetes")[1][5];
    mirror.stub.world().star(id, 9_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.refresh("kubernetes").await;
    blocked.permits.add_permits(1);
    filling.await.expect("no panic");

    let new = build().await;
    assert_ne!(new.meta.revision, old.meta.revision);
    let hit = tiers.lookup(&topic).await.expect("Redis has the lists");
    let served = (hit.bundle.meta.revision, hit.cache_status, hit.is_stale);
    assert_eq!(served, (new.meta.revision, "redis; hit", false));
    assert_eq!(mirror.get(PATH).await.ids()[0], id);
}

/// If Redis lost the publish of a refresh, memory still knows its revision.
#[tokio::test]
async fn redis_list_is_not_served_when_memory_knows_a_newer_revision() {
    let Some((mirror, redis)) = over_redis(World::generate(50, 7, "kubernetes"), &[]).await else {
        return;
    };
    let key = "github-topic-mirror:3:{kubernetes}";
    mirror.refresh("kubernetes").await;
    redis.command(&["COPY", key, "old"]).await;
    let id = mirror.expected("kubernetes")[1][5];
    mirror.stub.world().star(id, 9_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.refresh("kubernetes").await;
    redis.command(&["RENAME", "old", key]).await;
    mirror.clock.advance(TimeDelta::seconds(61));
    let answer = mirror.get(PATH).await;
    assert_eq!((answer.ids()[0], answer.header("cache-status")), (id, "memory; hit"));
}

#[tokio::test]
async fn concurrent_misses_read_redis_once() {
    let Some((mirror, redis)) = over_redis(World::generate(500, 7, "kubernetes"), &[]).await else {
        return;
    };
    mirror.refresh("kubernetes").await;
    let cold = mirror.replica(&[("REDIS_URL", &redis.url())]).await;
    redis.command(&["CONFIG", "RESETSTAT"]).await;
    let answers = futures_util::future::join_all((0..100).map(|_| cold.get(PATH))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let stats = redis.command(&["INFO", "commandstats"]).await;
    let gets = stats.lines().find(|line| line.starts_with("cmdstat_get:")).expect("Redis was read");
    assert!(gets.starts_with("cmdstat_get:calls=1,"), "{gets}");
}

/// A read that Redis answers does not reach the database, which still has to know the time of the
/// last read.
#[tokio::test]
async fn on_demand_topic_is_kept_when_redis_or_the_database_answers_its_reads() {
    let mut world = World::generate(10, 7, "kubernetes");
    for (seed, topic) in [(8, "cached"), (9, "stored"), (10, "unread")] {
        world.add_generated(10, seed, topic);
    }
    let Some((mirror, _redis)) = over_redis(world, &[]).await else { return };
    for topic in ["cached", "stored", "unread"] {
        assert_eq!(mirror.get(&format!("/api/{topic}")).await.status, StatusCode::OK);
    }
    for _ in 0..8 {
        mirror.clock.advance(TimeDelta::days(1));
        for path in ["/api/cached", "/db/stored"] {
            assert_eq!(mirror.get(path).await.status, StatusCode::OK);
            let topic: Topic = path[path.len() - 6..].parse().expect("a topic");
            let noted = async || {
                let state =
                    mirror.service.store.topic(&topic).await.expect("a database").expect("tracked");
                mirror.service.clock.now() - state.last_read_at < TimeDelta::minutes(1)
            };
            eventually(5, "the time of the read is stored", noted).await;
        }
        assert_eq!(mirror.request(Method::POST, "/update_cache", &[]).await.status, StatusCode::OK);
    }
    let topics = mirror.get("/topics").await.json();
    let topics: Vec<_> =
        topics.as_array().expect("topics").iter().map(|topic| topic["topic"].clone()).collect();
    assert_eq!(topics, ["kubernetes", "cached", "stored"]);
}

/// An entry of Redis lives for a day.
#[tokio::test]
async fn unknown_topic_is_fetched_again_after_an_hour_when_redis_has_its_list() {
    for path in ["/api/no-such-topic", "/db/no-such-topic"] {
        let Some((mirror, _redis)) = over_redis(World::default(), &[]).await else { return };
        assert_eq!(mirror.get(path).await.ids().len(), 0);
        mirror.stub.world().add_generated(3, 7, "no-such-topic");
        mirror.clock.advance(TimeDelta::minutes(59));
        assert_eq!(mirror.get(path).await.ids().len(), 0, "{path}");
        mirror.clock.advance(TimeDelta::minutes(2));
        assert_eq!(mirror.get(path).await.ids().len(), 3, "{path}");
    }
}

/// With SCHEDULER=external, a read can come before the first refresh.
#[tokio::test]
async fn configured_topic_without_a_list_is_fetched_when_on_demand_is_off() {
    let settings = [("ON_DEMAND_TOPICS", "false"), ("SCHEDULER", "external"), ("TOPICS", "mcp")];
    let mirror = Mirror::start_with(World::generate(10, 7, "mcp"), &settings).await;
    mirror
        .service
        .store
        .delete_topic(&"mcp".parse().expect("a topic"), false, mirror.service.clock.now())
        .await
        .expect("a database");
    assert_eq!(mirror.get("/api/mcp").await.ids().len(), 10);
    assert_eq!(mirror.get("/topics/mcp").await.json()["origin"], "configured");
    assert_eq!(mirror.get("/api/other").await.status, StatusCode::NOT_FOUND);
}

/// The publisher retries without a reader.
#[tokio::test]
async fn publish_is_retried_when_redis_was_down() {
    let Some((mirror, mut redis)) = over_redis(World::generate(10, 7, "kubernetes"), &[]).await
    else {
        return;
    };
    redis.kill().await;
    mirror.refresh("kubernetes").await;
    redis.restart().await;
    let published = async || {
        let seconds = redis.command(&["TTL", "github-topic-mirror:3:{kubernetes}"]).await;
        seconds.trim().parse::<i64>().is_ok_and(|seconds| seconds > 60)
    };
    eventually(10, "Redis has the published lists, which live longer than a fill", published).await;
}

#[tokio::test]
async fn eviction_is_retried_when_redis_did_not_answer() {
    let Some((mirror, redis)) = over_redis(World::generate(10, 7, "kubernetes"), &[]).await else {
        return;
    };
    mirror.refresh("kubernetes").await;
    redis.signal("-STOP").await;
    let noticed = async || mirror.get("/ready").await.json()["cache"][1]["can_answer"] == false;
    eventually(5, "the service reports that Redis does not answer", noticed).await;
    assert_eq!(
        mirror.request(Method::DELETE, "/topics/kubernetes", &[]).await.status,
        StatusCode::NO_CONTENT
    );
    redis.signal("-CONT").await;
    let gone = async || {
        redis.command(&["EXISTS", "github-topic-mirror:3:{kubernetes}"]).await.trim_end() == "0"
    };
    eventually(10, "Redis has no lists of the topic", gone).await;
}
