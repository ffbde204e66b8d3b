//! The caches' contract: one suite, run on every tier.

use std::sync::Arc;

use api::cache::{Cache, MemoryCache, RedisCache};
use api::lists::{Body, Encoding, List, Lists};
use api::model::list::ListMeta;
use api::model::topic::Topic;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use redis::IntoConnectionInfo;

use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::support::{TestClock, eventually};

fn topic() -> Topic {
    "kubernetes".parse().expect("a topic")
}

fn lists(revision: i64) -> Arc<Lists> {
    let body = Body::new(Bytes::from(format!("[{revision}]")), Encoding::Identity);
    let list = List { identity: body.clone(), gzip: body.clone(), brotli: body };
    let modified_at = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
    let standing = ListMeta {
        revision,
        modified_at,
        refreshed_at: Some(modified_at),
        complete: true,
        total_count: Some(1),
    };
    Arc::new(Lists {
        topic: topic(),
        standing,
        valid_until: None,
        lists: [list.clone(), list.clone(), list],
    })
}

/// The revision that is served without asking further.
async fn revision(cache: &dyn Cache) -> Option<i64> {
    cache
        .get(&topic())
        .await
        .filter(|cached| !cached.stale)
        .map(|cached| cached.lists.standing.revision)
}

async fn keeps_whole_lists(cache: Arc<dyn Cache>) {
    assert_eq!(revision(&*cache).await, None);
    assert!(!cache.can_answer().await, "it has nothing");
    assert!(cache.fill(&lists(1)).await);
    assert_eq!(cache.get(&topic()).await.map(|cached| cached.lists), Some(lists(1)));
    assert!(cache.publish(&lists(2)).await);
    assert_eq!(cache.get(&topic()).await.map(|cached| cached.lists), Some(lists(2)));
    assert!(cache.can_answer().await);
}

/// Read from the database before a refresh, filled in after it.
async fn never_lets_an_old_fill_replace_a_newer_list(cache: Arc<dyn Cache>) {
    cache.publish(&lists(6)).await;
    cache.fill(&lists(5)).await;
    assert_eq!(revision(&*cache).await, Some(6));
}

/// Of two refreshes that end at once, the one that read the database first may come last.
async fn never_lets_an_old_refresh_replace_a_newer_list(cache: Arc<dyn Cache>) {
    cache.publish(&lists(10)).await;
    assert!(cache.publish(&lists(9)).await, "there is nothing to try again");
    assert_eq!(revision(&*cache).await, Some(10));
}

async fn forgets(cache: Arc<dyn Cache>) {
    cache.publish(&lists(1)).await;
    cache.forget(&topic(), 2).await;
    assert_eq!(revision(&*cache).await, None);
    cache.publish(&lists(2)).await;
    assert_eq!(revision(&*cache).await, Some(2), "tracked anew");
}

macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $rule() {
                    super::$rule(super::Arc::new(super::MemoryCache::new(super::TestClock::new()))).await;
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
    };
}

contract![
    keeps_whole_lists,
    never_lets_an_old_fill_replace_a_newer_list,
    never_lets_an_old_refresh_replace_a_newer_list,
    forgets,
];

fn connect(server: &Redis) -> Arc<RedisCache> {
    let (cache, _) =
        RedisCache::new(server.url().into_connection_info().expect("an address")).expect("a cache");
    Arc::new(cache)
}

#[tokio::test]
async fn memory_takes_no_lower_revision_and_asks_again_after_a_minute() {
    let clock = TestClock::new();
    let memory = MemoryCache::new(Arc::<TestClock>::clone(&clock));
    memory.publish(&lists(6)).await;
    memory.publish(&lists(5)).await;
    assert_eq!(revision(&memory).await, Some(6));
    clock.advance(TimeDelta::seconds(61));
    assert_eq!(revision(&memory).await, None);
    assert!(
        memory.get(&topic()).await.is_some_and(|cached| cached.stale),
        "still there for when nothing else answers"
    );
    memory.fill(&lists(6)).await;
    assert_eq!(revision(&memory).await, Some(6));
}

/// The message that a topic has changed may come between the read and the fill.
#[tokio::test]
async fn memory_does_not_trust_a_fill_that_a_message_has_overtaken() {
    let memory = MemoryCache::new(TestClock::new());
    memory.expire(&topic(), 6).await;
    memory.fill(&lists(5)).await;
    assert_eq!(revision(&memory).await, None);
    memory.fill(&lists(6)).await;
    assert_eq!(revision(&memory).await, Some(6));
    memory.expire_all();
    assert_eq!(revision(&memory).await, None);
}

#[tokio::test]
async fn redis_tells_other_processes_at_once() {
    let Some(server) = Redis::start().await else { return };
    let (cache, pushes) =
        RedisCache::new(server.url().into_connection_info().expect("an address")).expect("a cache");
    let memory = Arc::new(MemoryCache::new(TestClock::new()));
    let watching = Arc::clone(&memory);
    tokio::spawn(async move { cache.watch(pushes, &watching).await });
    let channel = "github-topic-mirror:1";
    eventually(5, "a subscription", async || {
        server.command(&["PUBSUB", "NUMSUB", channel]).await.contains('1')
    })
    .await;
    memory.fill(&lists(1)).await;
    connect(&server).publish(&lists(2)).await;
    eventually(1, "memory is told", async || revision(&*memory).await.is_none()).await;
}

#[tokio::test]
async fn redis_that_is_full_is_kept_from_serving_what_is_old() {
    let Some(server) = Redis::start().await else { return };
    let cache = connect(&server);
    cache.publish(&lists(1)).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(!cache.publish(&lists(2)).await);
    assert!(!cache.fill(&lists(2)).await);
    assert_eq!(revision(&*cache).await, None);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(cache.publish(&lists(2)).await);
}

#[tokio::test]
async fn something_else_under_our_key_is_a_miss() {
    let Some(server) = Redis::start().await else { return };
    let key = "github-topic-mirror:1:{kubernetes}";
    for value in ["", "nonsense", "{\"standing\":{}}"] {
        server.command(&["SET", key, value]).await;
        assert_eq!(revision(&*connect(&server)).await, None);
        assert!(connect(&server).publish(&lists(1)).await, "{value} is replaced");
        assert_eq!(revision(&*connect(&server)).await, Some(1));
    }
    server.command(&["DEL", key]).await;
    server.command(&["LPUSH", key, "a list"]).await;
    assert_eq!(revision(&*connect(&server)).await, None);
}

/// A message may have been missed while the connection was cut, and until the subscription is back.
#[tokio::test]
async fn memory_is_doubted_when_the_connection_is_cut_and_when_it_is_back() {
    let Some(server) = Redis::start().await else { return };
    let network = Proxy::to(server.socket()).await;
    let address = format!("redis://127.0.0.1:{}/0", network.port);
    let (cache, pushes) =
        RedisCache::new(address.into_connection_info().expect("an address")).expect("a cache");
    let memory = Arc::new(MemoryCache::new(TestClock::new()));
    let watching = Arc::clone(&memory);
    tokio::spawn(async move { cache.watch(pushes, &watching).await });
    let subscriptions =
        async || server.command(&["PUBSUB", "NUMSUB", "github-topic-mirror:1"]).await;
    eventually(5, "a subscription", async || subscriptions().await.trim_end().ends_with('1')).await;

    memory.fill(&lists(1)).await;
    network.cut();
    eventually(5, "doubted when cut", async || revision(&*memory).await.is_none()).await;
    // Nobody can say now whether this is still so.
    eventually(5, "the server has noticed", async || {
        subscriptions().await.trim_end().ends_with('0')
    })
    .await;
    memory.fill(&lists(1)).await;
    network.heal();
    eventually(5, "doubted when it is back", async || revision(&*memory).await.is_none()).await;
    eventually(5, "a subscription", async || subscriptions().await.trim_end().ends_with('1')).await;
}
