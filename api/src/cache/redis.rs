//! Ready bodies in Redis, shared by every replica: one key a topic, and a channel that says whose
//! lists have changed.
//!
//! Redis may lose everything at any time. It may also be slow or gone: a call takes
//! [`CALL_TIMEOUT`] at most, and while Redis does not answer nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderValue;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncTypedCommands, Client, ConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind,
    RedisResult, Value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Cache, Cached, MemoryCache};
use crate::lists::{Body, List, Lists};
use crate::model::list::ListMeta;
use crate::model::topic::Topic;

/// No read waits longer for Redis.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);

/// How often to see whether Redis answers.
const PING_EVERY: Duration = Duration::from_millis(500);

/// Lists that a refresh has published: until the next one, and some more for when GitHub or we are
/// down.
const PUBLISHED_SECONDS: u64 = 24 * 60 * 60;

/// Lists that were read from the database: should a refresh have overtaken them, they are gone
/// soon.
const FILLED_SECONDS: u64 = 60;

/// Stores lists unless there are ones of a higher revision: of two refreshes that end at once, the
/// one that read the database first may come last. The key's lists begin with their revision, in
/// [`REVISION_DIGITS`] digits.
const STORE_UNLESS_NEWER: &str = "
    local held = redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
    if #held < #ARGV[1] or held:find('%D') or held <= ARGV[1] then
        redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    end";

/// As many as the largest revision has.
const REVISION_DIGITS: usize = 19;

/// Says `topic revision` when a topic's lists have changed. The number is that of [`encode`]'s
/// format.
const CHANNEL: &str = "github-topic-mirror:1";

/// The shared tier.
pub struct RedisCache {
    connection: ConnectionManager,
    up: AtomicBool,
}

/// What the connection says of itself and of the channel.
pub struct Pushes(mpsc::UnboundedReceiver<PushInfo>);

impl RedisCache {
    /// A cache that connects when it is first used, and what it will hear.
    ///
    /// # Errors
    /// When the address cannot be one of Redis'.
    pub fn new(address: ConnectionInfo) -> RedisResult<(Self, Pushes)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // Pushes come in the protocol's version 3 only; without TCP_NODELAY a small write waits for
        // an acknowledgement.
        let settings = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let address = address
            .set_redis_settings(settings)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CALL_TIMEOUT))
            .set_response_timeout(Some(CALL_TIMEOUT))
            .set_push_sender(sender)
            .set_automatic_resubscription();
        let connection = ConnectionManager::new_lazy_with_config(Client::open(address)?, config)?;
        Ok((Self { connection, up: AtomicBool::new(true) }, Pushes(receiver)))
    }

    /// Keeps `memory` true: its copy of a topic is not to be served unasked once the topic has
    /// changed, and none is after a time in which we may have missed a message. Never returns.
    pub async fn watch(&self, mut pushes: Pushes, memory: &MemoryCache) {
        let mut connection = self.connection.clone();
        let mut subscribed = false;
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(push) = pushes.0.recv() => match push.kind {
                    PushKind::Message => match changed(&push) {
                        Some((topic, revision)) => memory.expire(&topic, revision).await,
                        None => memory.expire_all(),
                    },
                    PushKind::Disconnection | PushKind::Subscribe => memory.expire_all(),
                    _ => {}
                },
                _ = ping.tick() => {
                    let answers = if subscribed {
                        bounded(connection.ping()).await.map(|_| ())
                    } else {
                        bounded(connection.subscribe(CHANNEL)).await
                    };
                    subscribed |= answers.is_ok();
                    match (answers, self.up.load(Ordering::Relaxed)) {
                        (Ok(()), false) => info!("Redis answers again"),
                        (Err(error), true) => warn!(%error, "Redis does not answer; the database does its work"),
                        _ => continue,
                    }
                    self.up.fetch_not(Ordering::Relaxed);
                    memory.expire_all();
                }
            }
        }
    }

    /// Sends commands together; false when they did not come through.
    async fn run(&self, commands: &Pipeline) -> bool {
        if !self.up.load(Ordering::Relaxed) {
            return false;
        }
        let mut connection = self.connection.clone();
        match bounded(commands.exec_async(&mut connection)).await {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "Redis did not take the lists");
                false
            }
        }
    }
}

/// What a call answers, or an error in time.
async fn bounded<T>(call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// The hash tag keeps a topic's keys together in a cluster.
fn key(topic: &Topic) -> String {
    format!("{CHANNEL}:{{{topic}}}")
}

/// What says that the topic has changed.
fn announcement(topic: &Topic, revision: i64) -> String {
    format!("{topic} {revision}")
}

/// A revision whose digits sort as it does.
fn digits(revision: i64) -> String {
    format!("{:0REVISION_DIGITS$}", revision.max(0))
}

fn changed(push: &PushInfo) -> Option<(Topic, i64)> {
    let Some(Value::BulkString(message)) = push.data.last() else { return None };
    let (topic, revision) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    Some((topic.parse().ok()?, revision.parse().ok()?))
}

#[async_trait]
impl Cache for RedisCache {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn get(&self, topic: &Topic) -> Option<Cached> {
        if !self.up.load(Ordering::Relaxed) {
            return None;
        }
        let mut get = redis::cmd("GET");
        get.arg(key(topic));
        let value: Option<Bytes> =
            bounded(get.query_async(&mut self.connection.clone())).await.ok()?;
        let lists = decode(topic, value?);
        if lists.is_none() {
            warn!(%topic, "Redis holds something else under our key");
        }
        Some(Cached { lists: Arc::new(lists?), stale: false })
    }

    async fn can_answer(&self) -> bool {
        if !self.up.load(Ordering::Relaxed) {
            return false;
        }
        // It is a cache of little but our keys: one look finds one of them.
        let mut scan = redis::cmd("SCAN");
        scan.arg(0).arg("MATCH").arg(format!("{CHANNEL}:*")).arg("COUNT").arg(1_000);
        let found: RedisResult<(u64, Vec<String>)> =
            bounded(scan.query_async(&mut self.connection.clone())).await;
        found.is_ok_and(|(_, keys)| !keys.is_empty())
    }

    async fn takes_lists(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    async fn fill(&self, lists: &Arc<Lists>) -> bool {
        let mut commands = redis::pipe();
        let (key, value) = (key(&lists.topic), encode(lists));
        commands.cmd("SET").arg(key).arg(&*value).arg("NX").arg("EX").arg(FILLED_SECONDS).ignore();
        self.run(&commands).await
    }

    async fn publish(&self, lists: &Arc<Lists>) -> bool {
        let (topic, revision) = (&lists.topic, lists.standing.revision);
        let mut commands = redis::pipe();
        commands.atomic();
        let store = commands.cmd("EVAL").arg(STORE_UNLESS_NEWER).arg(1).arg(key(topic));
        store.arg(digits(revision)).arg(&*encode(lists)).arg(PUBLISHED_SECONDS).ignore();
        commands.publish(CHANNEL, announcement(topic, revision)).ignore();
        let taken = self.run(&commands).await;
        if !taken {
            // A Redis that is full refuses to store; it can still be kept from serving what is old.
            self.forget(topic, revision).await;
        }
        taken
    }

    async fn forget(&self, topic: &Topic, below: i64) -> bool {
        // No transaction: a Redis that is full refuses every command in one.
        let mut commands = redis::pipe();
        commands.del(key(topic)).ignore().publish(CHANNEL, announcement(topic, below)).ignore();
        self.run(&commands).await
    }
}

/// What stands before the bodies.
#[derive(Deserialize, Serialize)]
struct Head {
    standing: ListMeta,
    valid_until: Option<DateTime<Utc>>,
    /// Each body's length and ETag: identity, gzip and br of each list in turn.
    bodies: Vec<(usize, String)>,
}

/// The revision's digits, the head's length in four bytes, the head as JSON, the bodies.
#[expect(clippy::expect_used, reason = "serializing plain data cannot fail, and ETags are ASCII")]
fn encode(lists: &Lists) -> Bytes {
    let bodies = || lists.lists.iter().flat_map(List::bodies);
    let etag = |body: &Body| body.etag.to_str().expect("ASCII").to_owned();
    let head = Head {
        standing: lists.standing.clone(),
        valid_until: lists.valid_until,
        bodies: bodies().map(|body| (body.bytes.len(), etag(body))).collect(),
    };
    let head = serde_json::to_vec(&head).expect("plain data");
    let mut value = BytesMut::with_capacity(REVISION_DIGITS + 4 + head.len() + lists.size());
    value.put_slice(digits(lists.standing.revision).as_bytes());
    value.put_u32(u32::try_from(head.len()).expect("a few hundred bytes"));
    value.put_slice(&head);
    bodies().for_each(|body| value.put_slice(&body.bytes));
    value.freeze()
}

/// The lists in a value of [`encode`]; their bodies are slices of it.
fn decode(topic: &Topic, mut value: Bytes) -> Option<Lists> {
    take(&mut value, REVISION_DIGITS)?;
    let length = usize::try_from(take(&mut value, 4)?.get_u32()).ok()?;
    let head: Head = serde_json::from_slice(&take(&mut value, length)?).ok()?;
    let mut bodies = Vec::with_capacity(head.bodies.len());
    for (length, etag) in head.bodies {
        bodies.push(Body::with_etag(take(&mut value, length)?, HeaderValue::try_from(etag).ok()?));
    }
    let mut bodies = bodies.into_iter();
    let mut list =
        || Some(List { identity: bodies.next()?, gzip: bodies.next()?, brotli: bodies.next()? });
    let lists = [list()?, list()?, list()?];
    Some(Lists {
        topic: topic.clone(),
        standing: head.standing,
        valid_until: head.valid_until,
        lists,
    })
}

fn take(value: &mut Bytes, length: usize) -> Option<Bytes> {
    (value.len() >= length).then(|| value.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Encoding;

    fn lists() -> Lists {
        let list = |text: &'static str| {
            let body =
                |encoding: Encoding| Body::new(format!("{encoding:?} {text}").into(), encoding);
            List {
                identity: body(Encoding::Identity),
                gzip: body(Encoding::Gzip),
                brotli: body(Encoding::Brotli),
            }
        };
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
        Lists {
            topic: "kubernetes".parse().expect("a topic"),
            standing: ListMeta {
                revision: 7,
                modified_at: at,
                refreshed_at: None,
                complete: false,
                total_count: Some(3),
            },
            valid_until: Some(at),
            lists: [list("best"), list(""), list("active")],
        }
    }

    #[test]
    fn lists_survive_the_trip() {
        let lists = lists();
        assert_eq!(decode(&lists.topic, encode(&lists)), Some(lists));
    }

    #[test]
    fn anything_else_is_no_list_and_no_panic() {
        let (lists, whole) = (lists(), encode(&lists()));
        for length in 0..whole.len() {
            assert_eq!(decode(&lists.topic, whole.slice(..length)), None, "{length}");
        }
        assert_eq!(
            decode(&lists.topic, Bytes::from_static(b"0000000000000000007\xff\xff\xff\xff{}")),
            None
        );
    }
}
