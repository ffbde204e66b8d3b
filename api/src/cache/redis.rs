//! Bundles in Redis, shared by every replica: one key a topic, and a channel that announces new
//! lists.
//!
//! Redis may lose everything at any time. It may also be slow or down: a call takes 100 ms at most,
//! and no call is made while Redis does not answer or refuses what the service needs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{Client, Cmd, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::redis_address::RedisAddress;
use super::redis_connection::{Connection, PushSender, errors, refusal};
use super::redis_format::{FORMAT, decode, digits, encode};
use super::{Cache, CachedBundle, MemoryCache};
use crate::lists::bundle::Bundle;
use crate::model::list::Version;
use crate::model::topic::Topic;
use crate::telemetry::left_out;

/// How often to check whether Redis works.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// After so many failed checks in a row the connection is dropped and another one is opened: a
/// network that swallows everything gives no sign.
const FAILED_CHECKS: u32 = 4;

/// The number of keys that a check deletes besides the channel's name. None of them exists. A
/// server refuses to delete keys in every state in which it takes no lists, except if it is full;
/// it would answer PING as a replica, or as a node of a cluster that has the keys elsewhere. These
/// keys are spread over the slots of a cluster, and the channel's name is in the channel's slot.
const CHECKED_KEYS: usize = 16;

/// How long Redis keeps the lists of a refresh, so that readers have them while GitHub or the
/// database is down. With a longer period of the schedule, the database fills Redis again.
const PUBLISHED_SECONDS: u64 = 24 * 60 * 60;

/// How long Redis keeps lists that a reader built from the database while a refresh was changing
/// them.
const UNPUBLISHED_SECONDS: u64 = 60;

/// Stores lists unless Redis has lists of a higher revision in the same epoch: of two refreshes
/// that end at the same time, the one that read the database first may come last. A value begins
/// with the digits of its epoch, then of its revision, in equal parts. Then it publishes an
/// announcement if there is one: in a cluster, no transaction has both a key and a channel.
const STORE_UNLESS_NEWER: &str = "
    local held = redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
    local half = #ARGV[1] / 2
    if #held < #ARGV[1] or held:find('%D') or held <= ARGV[1]
        or held:sub(1, half) ~= ARGV[1]:sub(1, half) then
        redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    end
    if ARGV[4] then
        redis.call('PUBLISH', ARGV[4], ARGV[5])
    end";

/// The channel that announces `topic epoch revision` when a topic's lists have changed, and the
/// prefix of the keys. Replicas of another release, with another format, use other ones.
const CHANNEL: &str = FORMAT;

/// The shared tier.
pub struct RedisCache {
    address: RedisAddress,
    pushes: PushSender,
    /// `None` until the servers to connect to are known.
    connection: RwLock<Option<Connection>>,
    is_up: AtomicBool,
}

/// The state of the checks.
#[derive(Default)]
struct Watch {
    is_subscribed: bool,
    failed_checks: u32,
    /// The code of the refusal that was logged last, or nothing for a server that does not answer;
    /// `None` while Redis works.
    logged: Option<&'static str>,
}

/// Messages of the connection: announcements, and changes of its own state.
pub struct Pushes(mpsc::UnboundedReceiver<PushInfo>);

impl RedisCache {
    /// A cache and the messages that it will receive. It connects to one server when it is first
    /// used, and finds the servers of sentinels and of a cluster in [`Self::watch`].
    ///
    /// # Errors
    /// When the address is not one of a Redis server.
    pub fn new(address: RedisAddress) -> RedisResult<(Self, Pushes)> {
        // Prometheus sees the first error only if it has seen the counter without one.
        errors().increment(0);
        let (pushes, receiver) = mpsc::unbounded_channel();
        let connection = match &address {
            RedisAddress::Server(server) => {
                Some(Connection::to(Client::open(server.clone())?, &pushes)?)
            }
            RedisAddress::Sentinels(_) | RedisAddress::Cluster(_) => None,
        };
        let is_up = AtomicBool::new(connection.is_some());
        let redis = Self { address, pushes, connection: RwLock::new(connection), is_up };
        Ok((redis, Pushes(receiver)))
    }

    /// Marks copies in `memory` as stale when a topic's lists have changed, and all of them when a
    /// message may have been missed. Never returns.
    pub async fn watch(&self, mut pushes: Pushes, memory: &MemoryCache) {
        let mut state = Watch::default();
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(push) = pushes.0.recv() => match push.kind {
                    PushKind::Message => match changed_topic(&push) {
                        Some((topic, version)) => memory.expire(&topic, version).await,
                        None => memory.expire_all(),
                    },
                    PushKind::Subscribe => memory.expire_all(),
                    PushKind::Disconnection => {
                        // A cluster may have given the channel's slot to another node by now.
                        state.is_subscribed = false;
                        memory.expire_all();
                    }
                    _ => {}
                },
                _ = checks.tick() => {
                    if self.check(&mut state).await {
                        memory.expire_all();
                    }
                }
            }
        }
    }

    /// Checks whether Redis works, and subscribes when it does so first or again. True if its state
    /// has changed.
    async fn check(&self, state: &mut Watch) -> bool {
        if state.failed_checks >= FAILED_CHECKS {
            self.set_connection(None);
            state.failed_checks = 0;
        }
        let answer = self.try_out(state.is_subscribed).await;
        state.is_subscribed = answer.is_ok();
        let was_up = self.is_up.swap(answer.is_ok(), Ordering::Relaxed);
        match answer {
            Ok(()) => {
                if !was_up {
                    info!("Redis answers");
                }
                *state = Watch { is_subscribed: true, ..Watch::default() };
            }
            Err(error) => {
                let (code, advice) = refusal(&error).unzip();
                if state.logged.is_none() || (code.is_some() && state.logged != code) {
                    log_failure(&error, advice);
                }
                state.logged = code.or(state.logged).or(Some(""));
                // The address may lead to another server, the master, by now.
                let is_replica = code == Some("READONLY");
                state.failed_checks += if is_replica { FAILED_CHECKS } else { 1 };
            }
        }
        was_up != self.is_up()
    }

    /// Finds the servers if they are not known, and asks for what the service needs of them.
    async fn try_out(&self, is_subscribed: bool) -> RedisResult<()> {
        let connection = match self.connection() {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(&self.address, &self.pushes).await?;
                self.set_connection(Some(connection.clone()));
                connection
            }
        };
        let keys = (0..CHECKED_KEYS).map(|number| format!("{CHANNEL}:{number}"));
        let deletions: Vec<_> = keys.chain([CHANNEL.to_owned()]).map(Cmd::del).collect();
        try_join_all(deletions.iter().map(|deletion| connection.ask::<()>(deletion))).await?;
        if is_subscribed { Ok(()) } else { connection.subscribe(CHANNEL).await }
    }

    fn connection(&self) -> Option<Connection> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_connection(&self, connection: Option<Connection>) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// The connection if Redis works.
    fn connection_that_answers(&self) -> Option<Connection> {
        self.connection().filter(|_| self.is_up())
    }

    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Runs a command; false if Redis did not execute it.
    async fn run(&self, command: &Cmd) -> bool {
        let Some(connection) = self.connection_that_answers() else { return false };
        match connection.ask::<()>(command).await {
            Ok(()) => true,
            Err(error) => {
                if let Some(left_out) = left_out("Redis did not store the lists") {
                    warn!(%error, left_out, "Redis did not store the lists");
                }
                false
            }
        }
    }
}

fn log_failure(error: &RedisError, advice: Option<&str>) {
    match advice {
        Some(advice) => warn!(%error, advice, "Redis refuses commands; the database serves"),
        None => warn!(%error, "Redis does not answer; the database serves"),
    }
}

/// The hash tag keeps a topic's keys on one node of a cluster.
fn key(topic: &Topic) -> String {
    format!("{CHANNEL}:{{{topic}}}")
}

/// The command that stores a bundle unless Redis has a newer one.
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
        let connection = self.connection_that_answers()?;
        let value: Option<Bytes> = connection.ask(&Cmd::get(key(topic))).await.ok()?;
        let bundle = decode(topic, value?);
        if bundle.is_none()
            && let Some(left_out) = left_out("the value in Redis is not a list of this service")
        {
            warn!(%topic, left_out, "the value in Redis is not a list of this service");
        }
        Some(CachedBundle { bundle: Arc::new(bundle?), is_stale: false })
    }

    async fn can_answer(&self) -> bool {
        let Some(connection) = self.connection_that_answers() else { return false };
        // The cache holds little but these keys, so one step of a scan finds one of them.
        let mut scan = redis::cmd("SCAN");
        scan.arg(0).arg("MATCH").arg(format!("{CHANNEL}:*")).arg("COUNT").arg(1_000);
        let found: RedisResult<Vec<(u64, Vec<String>)>> = connection.ask_masters(scan).await;
        found.is_ok_and(|found| found.iter().any(|(_, keys)| !keys.is_empty()))
    }

    async fn takes_lists(&self) -> bool {
        self.is_up()
    }

    async fn fill(&self, bundle: &Arc<Bundle>) -> bool {
        let is_published = bundle.meta.modified_at.is_some();
        let seconds = if is_published { PUBLISHED_SECONDS } else { UNPUBLISHED_SECONDS };
        self.run(&store_unless_newer(bundle, seconds)).await
    }

    async fn publish(&self, bundle: &Arc<Bundle>) -> bool {
        let (topic, version) = (&bundle.topic, bundle.meta.version());
        let mut store = store_unless_newer(bundle, PUBLISHED_SECONDS);
        store.arg(CHANNEL).arg(announcement(topic, version));
        let is_stored = self.run(&store).await;
        if !is_stored {
            // A Redis that is full stores nothing, but can still drop the old lists.
            self.evict(topic, version).await;
        }
        is_stored
    }

    async fn evict(&self, topic: &Topic, below: Version) -> bool {
        self.run(&Cmd::del(key(topic))).await
            && self.run(&Cmd::publish(CHANNEL, announcement(topic, below))).await
    }
}
