//! Bundles in Redis, shared by every replica: one key a topic, and a channel that announces new
//! lists.
//!
//! Redis may lose everything at any time. It may also be slow or down: a call takes
//! [`CALL_TIMEOUT`] at most, and no call is made while Redis does not answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use metrics::Counter;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    AsyncTypedCommands, Client, Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::context::RuntimeExt;
use tracing::{info, warn};

use super::redis_address::RedisAddress;
use super::redis_format::{FORMAT, decode, digits, encode};
use super::{Cache, CachedBundle, MemoryCache};
use crate::lists::bundle::Bundle;
use crate::model::list::Version;
use crate::model::topic::Topic;
use crate::task::input;
use crate::telemetry::{CACHE_ERRORS, left_out};

/// The longest wait for an answer of Redis.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);

/// How often to check whether Redis answers.
const PING_EVERY: Duration = Duration::from_millis(500);

/// After so many unanswered checks in a row the connection is dropped and another one is opened: a
/// network that swallows everything gives no sign.
const MISSED_PINGS: u32 = 4;

/// How long Redis keeps the lists of a refresh. It is longer than any schedule's period, so that
/// readers have lists while GitHub or the database is down.
const PUBLISHED_SECONDS: u64 = 24 * 60 * 60;

/// How long Redis keeps lists that a reader built from the database while a refresh was changing
/// them.
const UNPUBLISHED_SECONDS: u64 = 60;

/// Stores lists unless Redis has lists of a higher revision in the same epoch: of two refreshes
/// that end at the same time, the one that read the database first may come last. A value begins
/// with the digits of its epoch, then of its revision, in equal parts.
const STORE_UNLESS_NEWER: &str = "
    local held = redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
    local half = #ARGV[1] / 2
    if #held < #ARGV[1] or held:find('%D') or held <= ARGV[1]
        or held:sub(1, half) ~= ARGV[1]:sub(1, half) then
        redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    end";

/// The channel that announces `topic epoch revision` when a topic's lists have changed, and the
/// prefix of the keys. Replicas of another release, with another format, use other ones.
const CHANNEL: &str = FORMAT;

/// The shared tier.
pub struct RedisCache {
    address: RedisAddress,
    config: ConnectionManagerConfig,
    /// `None` until the server to connect to is known.
    connection: RwLock<Option<ConnectionManager>>,
    is_up: AtomicBool,
    /// The server has become a replica, which takes no writes.
    is_read_only: AtomicBool,
}

/// The state of the subscription.
#[derive(Default)]
struct Watch {
    is_subscribed: bool,
    missed_pings: u32,
}

/// Messages of the connection: announcements, and changes of its own state.
pub struct Pushes(mpsc::UnboundedReceiver<PushInfo>);

impl RedisCache {
    /// A cache that connects when it is first used, and the messages that it will receive.
    ///
    /// # Errors
    /// When the address is not one of a Redis server.
    pub fn new(address: RedisAddress) -> RedisResult<(Self, Pushes)> {
        // Prometheus sees the first error only if it has seen the counter without one.
        errors().increment(0);
        let (sender, receiver) = mpsc::unbounded_channel();
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CALL_TIMEOUT))
            .set_response_timeout(Some(CALL_TIMEOUT))
            .set_push_sender(sender)
            .set_automatic_resubscription();
        let connection = match &address {
            RedisAddress::Server(server) => {
                let client = Client::open(server.clone())?;
                Some(open(client, config.clone())?)
            }
            RedisAddress::Sentinels(_) => None,
        };
        let redis = Self {
            address,
            config,
            connection: RwLock::new(connection),
            is_up: AtomicBool::new(true),
            is_read_only: AtomicBool::new(false),
        };
        Ok((redis, Pushes(receiver)))
    }

    /// Marks copies in `memory` as stale when a topic's lists have changed, and all of them when a
    /// message may have been missed. Never returns.
    pub async fn watch(&self, mut pushes: Pushes, memory: &MemoryCache) {
        let mut state = Watch::default();
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(push) = pushes.0.recv() => match push.kind {
                    PushKind::Message => match changed_topic(&push) {
                        Some((topic, version)) => memory.expire(&topic, version).await,
                        None => memory.expire_all(),
                    },
                    PushKind::Disconnection | PushKind::Subscribe => memory.expire_all(),
                    _ => {}
                },
                _ = ping.tick() => {
                    if self.check(&mut state).await {
                        memory.expire_all();
                    }
                }
            }
        }
    }

    /// Checks whether Redis answers, and subscribes at its first answer. True if its state has
    /// changed.
    async fn check(&self, state: &mut Watch) -> bool {
        if state.missed_pings >= MISSED_PINGS || self.is_read_only.swap(false, Ordering::Relaxed) {
            self.set_connection(None);
            *state = Watch::default();
        }
        let answer = self.ask(state.is_subscribed).await;
        state.is_subscribed |= answer.is_ok();
        state.missed_pings = if answer.is_ok() { 0 } else { state.missed_pings + 1 };
        match (answer, self.is_up()) {
            (Ok(()), false) => info!("Redis answers again"),
            (Err(error), true) => warn!(%error, "Redis does not answer; the database serves"),
            _ => return false,
        }
        self.is_up.fetch_not(Ordering::Relaxed);
        true
    }

    /// Looks for the server if it is not known, and then asks it something.
    async fn ask(&self, is_subscribed: bool) -> RedisResult<()> {
        let mut connection = match self.connection() {
            Some(connection) => connection,
            None => {
                let client = self.address.client().await?;
                let config = self.config.clone();
                let connection = open(client, config)?;
                self.set_connection(Some(connection.clone()));
                connection
            }
        };
        if is_subscribed {
            bounded(connection.ping()).await.map(|_| ())
        } else {
            bounded(connection.subscribe(CHANNEL)).await
        }
    }

    fn connection(&self) -> Option<ConnectionManager> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_connection(&self, connection: Option<ConnectionManager>) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// The connection if Redis answers.
    fn connection_that_answers(&self) -> Option<ConnectionManager> {
        self.connection().filter(|_| self.is_up())
    }

    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Sends commands together; false if Redis did not execute them.
    async fn run(&self, commands: &Pipeline) -> bool {
        let Some(mut connection) = self.connection_that_answers() else { return false };
        match bounded(commands.exec_async(&mut connection)).await {
            Ok(()) => true,
            Err(error) => {
                if is_read_only(&error) {
                    self.is_read_only.store(true, Ordering::Relaxed);
                }
                if let Some(left_out) = left_out("Redis did not store the lists") {
                    warn!(%error, left_out, "Redis did not store the lists");
                }
                false
            }
        }
    }
}

/// Whether the server is a replica: the master that it was has failed over.
fn is_read_only(error: &RedisError) -> bool {
    error.to_string().contains("READONLY")
}

/// A connection that opens when it is first used.
fn open(client: Client, config: ConnectionManagerConfig) -> RedisResult<ConnectionManager> {
    let _context = input().enter();
    ConnectionManager::new_lazy_with_config(client, config)
}

/// The answer of a call, or an error after [`CALL_TIMEOUT`].
async fn bounded<T>(call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let answer = match input().wrap(async { timeout(CALL_TIMEOUT, call).await }).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    };
    errors().increment(u64::from(answer.is_err()));
    answer
}

fn errors() -> Counter {
    metrics::counter!(CACHE_ERRORS, "tier" => "redis")
}

/// The hash tag keeps a topic's keys on one node of a cluster.
fn key(topic: &Topic) -> String {
    format!("{CHANNEL}:{{{topic}}}")
}

/// The commands that store a bundle unless Redis has a newer one.
fn store_unless_newer(bundle: &Bundle, seconds: u64) -> Cmd {
    let mut store = redis::cmd("EVAL");
    store.arg(STORE_UNLESS_NEWER).arg(1).arg(key(&bundle.topic));
    store.arg(digits(bundle.meta.version())).arg(&*encode(bundle)).arg(seconds);
    store
}

/// The message that announces a topic's new version.
fn announcement(topic: &Topic, version: Version) -> String {
    let Version { epoch, revision } = version;
    format!("{topic} {epoch} {revision}")
}

/// Reads an [`announcement`].
fn changed_topic(push: &PushInfo) -> Option<(Topic, Version)> {
    let Some(Value::BulkString(message)) = push.data.last() else { return None };
    let (topic, version) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    let (epoch, revision) = version.split_once(' ')?;
    let version = Version { epoch: epoch.parse().ok()?, revision: revision.parse().ok()? };
    Some((topic.parse().ok()?, version))
}

#[async_trait]
impl Cache for RedisCache {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn cache_status(&self) -> &'static str {
        "redis; hit"
    }

    async fn get(&self, topic: &Topic) -> Option<CachedBundle> {
        let mut connection = self.connection_that_answers()?;
        let mut get = redis::cmd("GET");
        get.arg(key(topic));
        let get = get.query_async(&mut connection);
        let value: Option<Bytes> = bounded(get).await.ok()?;
        let bundle = decode(topic, value?);
        if bundle.is_none()
            && let Some(left_out) = left_out("the value in Redis is not a list of this service")
        {
            warn!(%topic, left_out, "the value in Redis is not a list of this service");
        }
        Some(CachedBundle { bundle: Arc::new(bundle?), is_stale: false })
    }

    async fn can_answer(&self) -> bool {
        let Some(mut connection) = self.connection_that_answers() else { return false };
        // The cache holds little but these keys, so one step of a scan finds one of them.
        let mut scan = redis::cmd("SCAN");
        scan.arg(0).arg("MATCH").arg(format!("{CHANNEL}:*")).arg("COUNT").arg(1_000);
        let scan = scan.query_async(&mut connection);
        let found: RedisResult<(u64, Vec<String>)> = bounded(scan).await;
        found.is_ok_and(|(_, keys)| !keys.is_empty())
    }

    async fn takes_lists(&self) -> bool {
        self.is_up()
    }

    async fn fill(&self, bundle: &Arc<Bundle>) -> bool {
        let is_published = bundle.meta.modified_at.is_some();
        let seconds = if is_published { PUBLISHED_SECONDS } else { UNPUBLISHED_SECONDS };
        let mut commands = redis::pipe();
        commands.add_command(store_unless_newer(bundle, seconds)).ignore();
        self.run(&commands).await
    }

    async fn publish(&self, bundle: &Arc<Bundle>) -> bool {
        let (topic, version) = (&bundle.topic, bundle.meta.version());
        let mut commands = redis::pipe();
        commands.atomic();
        commands.add_command(store_unless_newer(bundle, PUBLISHED_SECONDS)).ignore();
        commands.publish(CHANNEL, announcement(topic, version)).ignore();
        let is_stored = self.run(&commands).await;
        if !is_stored {
            // A Redis that is full stores nothing, but can still drop the old lists.
            self.evict(topic, version).await;
        }
        is_stored
    }

    async fn evict(&self, topic: &Topic, below: Version) -> bool {
        // No transaction, since a Redis that is full refuses every command in one.
        let mut commands = redis::pipe();
        commands.del(key(topic)).ignore().publish(CHANNEL, announcement(topic, below)).ignore();
        self.run(&commands).await
    }
}
