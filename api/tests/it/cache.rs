//! The cache's contract: rules that every tier keeps.

use std::sync::Arc;

use api::cache::{Cache, MemoryCache, RedisAddress, RedisCache};
use api::lists::bundle::Bundle;
use api::lists::catalogue::{Catalogue, Entry};
use api::model::list::{ListMeta, Version};
use api::model::topic::Topic;
use chrono::{DateTime, TimeDelta};

use crate::postgres::free_port;
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::support::{TestClock, eventually};

fn topic() -> Topic {
    "kubernetes".parse().expect("a topic")
}

/// A version in the first life of the database.
fn version(revision: i64) -> Version {
    Version { epoch: 1, revision }
}

/// Lists of one repository, whose id is the revision.
async fn lists(revision: i64) -> Arc<Bundle> {
    lists_of(version(revision)).await
}

async fn lists_of(Version { epoch, revision }: Version) -> Arc<Bundle> {
    let time = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
    let meta = ListMeta {
        epoch,
        revision,
        modified_at: Some(time),
        refreshed_at: Some(time),
        complete: true,
        total_count: Some(1),
        valid_until: None,
        history: None,
    };
    let mut catalogue = Catalogue::new(topic(), meta, None);
    catalogue.push(&Entry {
        id: revision,
        name: "name",
        full_name: "owner/name",
        html_url: "https://github.com/owner/name",
        updated_at: Some(time),
        stars: 1,
        best_match: Some(0),
        ..Entry::default()
    });
    Bundle::build(catalogue.finish()).await
}

/// The cached revision, unless it is stale.
async fn revision(cache: &dyn Cache) -> Option<i64> {
    cache
        .get(&topic())
        .await
        .filter(|cached| !cached.is_stale)
        .map(|cached| cached.bundle.meta.revision)
}

async fn get_returns_whole_lists_after_fill_and_publish(cache: Arc<dyn Cache>) {
    assert_eq!(revision(&*cache).await, None);
    assert!(!cache.can_answer().await, "an empty cache cannot answer");
    assert!(cache.fill(&lists(1).await).await);
    assert_eq!(cache.get(&topic()).await.map(|cached| cached.bundle), Some(lists(1).await));
    assert!(cache.publish(&lists(2).await).await);
    assert_eq!(cache.get(&topic()).await.map(|cached| cached.bundle), Some(lists(2).await));
    assert!(cache.can_answer().await);
}

/// A reader's rows can be older than a refresh that publishes before the reader's fill.
async fn fill_with_an_older_revision_keeps_the_newer_list(cache: Arc<dyn Cache>) {
    cache.publish(&lists(6).await).await;
    cache.fill(&lists(5).await).await;
    assert_eq!(revision(&*cache).await, Some(6));
}

/// If two refreshes end at once, the one that read the database first can publish last.
async fn publish_of_an_older_revision_keeps_the_newer_list(cache: Arc<dyn Cache>) {
    cache.publish(&lists(10).await).await;
    assert!(cache.publish(&lists(9).await).await, "no retry is needed");
    assert_eq!(revision(&*cache).await, Some(10));
}

/// A database that was restored from a backup counts revisions from those of the backup on.
async fn lists_of_another_life_replace_those_of_a_higher_revision(cache: Arc<dyn Cache>) {
    for (epoch, revision) in [(7, 9), (8, 3), (6, 2), (7, 4)] {
        let restored = lists_of(Version { epoch, revision }).await;
        assert!(cache.publish(&restored).await);
        assert_eq!(cache.get(&topic()).await.map(|cached| cached.bundle), Some(restored));
    }
    let filled = lists_of(Version { epoch: 9, revision: 1 }).await;
    cache.fill(&filled).await;
    let cached = cache.get(&topic()).await.expect("lists");
    assert_eq!((cached.bundle, cached.is_stale), (filled, false));
}

async fn evicted_topic_misses_until_published_again(cache: Arc<dyn Cache>) {
    cache.publish(&lists(1).await).await;
    cache.evict(&topic(), version(2)).await;
    assert_eq!(revision(&*cache).await, None);
    cache.publish(&lists(2).await).await;
    assert_eq!(revision(&*cache).await, Some(2), "a topic that is tracked again is cached");
}

/// Makes a test of each rule and tier. If redis-server is not installed, its tests are skipped, or
/// fail if REQUIRE_ALL_BACKENDS is set.
macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $rule() {
                    let memory = super::MemoryCache::new(super::TestClock::new());
                    super::$rule(super::Arc::new(memory)).await;
                }
            )*
        }

        mod redis_server {
            $(
                #[tokio::test]
                async fn $rule() {
                    let Some(server) = super::Redis::start().await else { return };
                    super::$rule(super::connect(&server)).await;
                }
            )*
        }

        mod redis_cluster {
            $(
                #[tokio::test]
                async fn $rule() {
                    let Some((_server, cache)) = super::cluster().await else { return };
                    super::$rule(cache).await;
                }
            )*
        }
    };
}

contract![
    get_returns_whole_lists_after_fill_and_publish,
    fill_with_an_older_revision_keeps_the_newer_list,
    publish_of_an_older_revision_keeps_the_newer_list,
    evicted_topic_misses_until_published_again,
    lists_of_another_life_replace_those_of_a_higher_revision,
];

fn connect(server: &Redis) -> Arc<RedisCache> {
    let (cache, _) = RedisCache::new(RedisAddress::parse(&server.url()).expect("a Redis address"))
        .expect("a cache");
    Arc::new(cache)
}

/// A cluster of one node, and a cache that has found it.
async fn cluster() -> Option<(Redis, Arc<RedisCache>)> {
    let [port, bus] = [free_port().await, free_port().await].map(|port| port.to_string());
    let listens = ["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus];
    let server = Redis::start_with(&[&listens[..], &["--save", ""]].concat()).await?;
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let address = RedisAddress::parse(&format!("redis-cluster://127.0.0.1:{port}"));
    let (cache, pushes) = RedisCache::new(address.expect("a Redis address")).expect("a cache");
    let (cache, memory) = (Arc::new(cache), MemoryCache::new(TestClock::new()));
    let watched = Arc::clone(&cache);
    tokio::spawn(async move { watched.watch(pushes, &memory).await });
    let other = "other".parse().expect("a topic");
    eventually(10, "the cache finds the cluster", async || cache.evict(&other, version(1)).await)
        .await;
    Some((server, cache))
}

#[tokio::test]
async fn memory_keeps_the_higher_revision_and_is_stale_after_a_minute() {
    let clock = TestClock::new();
    let memory = MemoryCache::new(Arc::<TestClock>::clone(&clock));
    memory.publish(&lists(6).await).await;
    memory.publish(&lists(5).await).await;
    assert_eq!(revision(&memory).await, Some(6));
    clock.advance(TimeDelta::seconds(61));
    assert_eq!(revision(&memory).await, None);
    assert!(
        memory.get(&topic()).await.is_some_and(|cached| cached.is_stale),
        "a stale list is kept in case no other tier answers"
    );
    memory.fill(&lists(6).await).await;
    assert_eq!(revision(&memory).await, Some(6));
}

/// The message that a topic has changed can arrive between a read of the database and its fill.
#[tokio::test]
async fn memory_is_stale_when_a_fill_is_older_than_the_announced_revision() {
    let memory = MemoryCache::new(TestClock::new());
    memory.expire(&topic(), version(6)).await;
    memory.fill(&lists(5).await).await;
    assert_eq!(revision(&memory).await, None);
    memory.fill(&lists(6).await).await;
    assert_eq!(revision(&memory).await, Some(6));
    memory.expire_all();
    assert_eq!(revision(&memory).await, None);
}

/// A restored database has announced its lists, and a fill from before the restore comes late.
#[tokio::test]
async fn memory_is_stale_when_a_version_of_another_life_is_announced() {
    let memory = MemoryCache::new(TestClock::new());
    memory.fill(&lists(9).await).await;
    memory.expire(&topic(), Version { epoch: 2, revision: 3 }).await;
    assert_eq!(revision(&memory).await, None);
}

#[tokio::test]
async fn redis_publish_makes_the_memory_of_other_processes_stale() {
    let Some(server) = Redis::start().await else { return };
    let (cache, pushes) =
        RedisCache::new(RedisAddress::parse(&server.url()).expect("a Redis address"))
            .expect("a cache");
    let memory = Arc::new(MemoryCache::new(TestClock::new()));
    let watching = Arc::clone(&memory);
    tokio::spawn(async move { cache.watch(pushes, &watching).await });
    let channel = "github-topic-mirror:3";
    eventually(5, "the cache subscribes", async || {
        server.command(&["PUBSUB", "NUMSUB", channel]).await.contains('1')
    })
    .await;
    memory.fill(&lists(1).await).await;
    connect(&server).publish(&lists(2).await).await;
    eventually(1, "memory is stale after the message", async || revision(&*memory).await.is_none())
        .await;
}

#[tokio::test]
async fn full_redis_serves_no_old_list_after_a_failed_publish() {
    let Some(server) = Redis::start().await else { return };
    let cache = connect(&server);
    cache.publish(&lists(1).await).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(!cache.publish(&lists(2).await).await);
    assert!(!cache.fill(&lists(2).await).await);
    assert_eq!(revision(&*cache).await, None);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(cache.publish(&lists(2).await).await);
}

#[tokio::test]
async fn redis_misses_when_the_key_has_a_foreign_value() {
    let Some(server) = Redis::start().await else { return };
    let key = "github-topic-mirror:3:{kubernetes}";
    for value in ["", "nonsense", "{\"standing\":{}}"] {
        server.command(&["SET", key, value]).await;
        assert_eq!(revision(&*connect(&server)).await, None);
        assert!(connect(&server).publish(&lists(1).await).await, "publish replaces {value}");
        assert_eq!(revision(&*connect(&server)).await, Some(1));
    }
    server.command(&["DEL", key]).await;
    server.command(&["LPUSH", key, "a list"]).await;
    assert_eq!(revision(&*connect(&server)).await, None);
}

/// The old connection stays silent for ever after the network is back.
#[tokio::test]
async fn redis_answers_within_seconds_after_the_network_was_silent() {
    let Some(server) = Redis::start().await else { return };
    let network = Proxy::to(server.socket()).await;
    let address = format!("redis://127.0.0.1:{}/0", network.port);
    let (cache, pushes) =
        RedisCache::new(RedisAddress::parse(&address).expect("a Redis address")).expect("a cache");
    let (cache, memory) = (Arc::new(cache), Arc::new(MemoryCache::new(TestClock::new())));
    let (watched, watching) = (Arc::clone(&cache), Arc::clone(&memory));
    tokio::spawn(async move { watched.watch(pushes, &watching).await });
    assert!(cache.publish(&lists(1).await).await);

    network.silence();
    eventually(5, "Redis counts as down", async || !cache.takes_lists().await).await;
    network.heal();
    eventually(5, "Redis is up again", async || cache.takes_lists().await).await;
    assert_eq!(revision(&*cache).await, Some(1));
    memory.fill(&lists(1).await).await;
    // The new connection is subscribed as well.
    eventually(5, "announcements arrive", async || {
        connect(&server).publish(&lists(2).await).await;
        revision(&*memory).await.is_none()
    })
    .await;
}

/// Messages can be lost from the moment the connection breaks until the subscription is back.
#[tokio::test]
async fn memory_is_stale_when_the_redis_connection_breaks_and_when_it_returns() {
    let Some(server) = Redis::start().await else { return };
    let network = Proxy::to(server.socket()).await;
    let address = format!("redis://127.0.0.1:{}/0", network.port);
    let (cache, pushes) =
        RedisCache::new(RedisAddress::parse(&address).expect("a Redis address")).expect("a cache");
    let memory = Arc::new(MemoryCache::new(TestClock::new()));
    let watching = Arc::clone(&memory);
    tokio::spawn(async move { cache.watch(pushes, &watching).await });
    let subscriptions =
        async || server.command(&["PUBSUB", "NUMSUB", "github-topic-mirror:3"]).await;
    eventually(5, "the cache subscribes", async || subscriptions().await.trim_end().ends_with('1'))
        .await;

    memory.fill(&lists(1).await).await;
    network.cut();
    eventually(5, "memory is stale after the connection broke", async || {
        revision(&*memory).await.is_none()
    })
    .await;
    eventually(5, "the server drops the subscription", async || {
        subscriptions().await.trim_end().ends_with('0')
    })
    .await;
    memory.fill(&lists(1).await).await;
    network.heal();
    eventually(5, "memory is stale after the connection returned", async || {
        revision(&*memory).await.is_none()
    })
    .await;
    eventually(5, "the cache subscribes", async || subscriptions().await.trim_end().ends_with('1'))
        .await;
}
