//! A connection to Redis: to one server, or to all the nodes of a cluster.

use std::collections::HashMap;
use std::time::Duration;

use metrics::Counter;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Client, Cmd, FromRedisValue, PushInfo, RedisError, RedisResult};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::context::RuntimeExt;

use super::redis_address::{RedisAddress, tcp_settings};
use crate::task::input;
use crate::telemetry::CACHE_ERRORS;

/// The longest wait for an answer of Redis.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);

/// The longest wait for sentinels to name the master, and for the master to confirm that it is one;
/// and for a cluster to name its nodes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a command follows the redirections of a cluster. Together with the waits between, this
/// takes less than [`CALL_TIMEOUT`], after which the error would not be known.
const CLUSTER_RETRIES: u32 = 3;
const LONGEST_RETRY_MILLIS: u64 = 10;

/// The receiver of what servers send unasked.
pub(super) type PushSender = mpsc::UnboundedSender<PushInfo>;

/// The codes of the errors with which a server says that it takes no lists, and what to do.
const REFUSALS: [(&str, &str); 9] = [
    ("READONLY", "the server is a replica: REDIS_URL must lead to the master or to sentinels"),
    ("LOADING", "the server loads its data; it answers when it is done"),
    ("MOVED", "the server is a node of a cluster: REDIS_URL must begin with redis-cluster://"),
    ("NOAUTH", "the server wants a password: REDIS_URL must have it"),
    ("WRONGPASS", "the server does not know the user or the password of REDIS_URL"),
    ("NOPERM", "the user of REDIS_URL lacks a permission; docs/operations.md lists them"),
    ("CLUSTERDOWN", "the cluster lacks a master; redis-cli --cluster check says which"),
    ("MISCONF", "the server cannot save to its disk; make room, or turn its persistence off"),
    ("NOREPLICAS", "the server has fewer replicas than its min-replicas-to-write"),
];

/// A connection, which reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub(super) enum Connection {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    /// A connection that opens when it is first used.
    pub(super) fn to(client: Client, pushes: &PushSender) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CALL_TIMEOUT))
            .set_response_timeout(Some(CALL_TIMEOUT))
            .set_push_sender(pushes.clone())
            .set_automatic_resubscription();
        let _context = input().enter();
        ConnectionManager::new_lazy_with_config(client, config).map(Self::Server)
    }

    /// A connection to the server, to the present master, or to the nodes that the cluster has now.
    ///
    /// # Errors
    /// When no sentinel answers or knows the master, when the master does not confirm that it is
    /// one, or when no node of the cluster answers.
    pub(super) async fn open(address: &RedisAddress, pushes: &PushSender) -> RedisResult<Self> {
        let open = async {
            match address {
                RedisAddress::Server(server) => Self::to(Client::open(server.clone())?, pushes),
                RedisAddress::Sentinels(sentinels) => Self::to(sentinels.master().await?, pushes),
                RedisAddress::Cluster(nodes) => {
                    let client = ClusterClientBuilder::new(nodes.clone())
                        .retries(CLUSTER_RETRIES)
                        .min_retry_wait(1)
                        .max_retry_wait(LONGEST_RETRY_MILLIS)
                        .connection_timeout(CALL_TIMEOUT)
                        .response_timeout(CALL_TIMEOUT)
                        .tcp_settings(tcp_settings())
                        .push_sender(pushes.clone())
                        .build()?;
                    client.get_async_connection().await.map(Self::Cluster)
                }
            }
        };
        within(OPEN_TIMEOUT, open).await
    }

    /// The answer to a command. In a cluster its first key says which node is asked.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let answer = async {
            match self {
                Self::Server(server) => command.query_async(&mut server.clone()).await,
                Self::Cluster(cluster) => command.query_async(&mut cluster.clone()).await,
            }
        };
        within(CALL_TIMEOUT, answer).await
    }

    /// The answer of the server, or those of all the masters of a cluster.
    pub(super) async fn ask_masters<T: FromRedisValue>(&self, command: Cmd) -> RedisResult<Vec<T>> {
        let Self::Cluster(cluster) = self else { return Ok(vec![self.ask(&command).await?]) };
        let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let mut cluster = cluster.clone();
        let answers = within(CALL_TIMEOUT, cluster.route_command(command, masters)).await?;
        let by_address: HashMap<String, T> = redis::from_redis_value(answers)?;
        Ok(by_address.into_values().collect())
    }

    /// Subscribes to a channel. In a cluster one node sends what is published through any of them.
    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<()> {
        let subscribe = async {
            match self {
                Self::Server(server) => server.clone().subscribe(channel).await,
                Self::Cluster(cluster) => cluster.clone().subscribe(channel).await,
            }
        };
        within(CALL_TIMEOUT, subscribe).await
    }
}

/// The result of a call, or an error if it takes longer than `limit`.
async fn within<T>(limit: Duration, call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let result = match input().wrap(async { timeout(limit, call).await }).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    };
    errors().increment(u64::from(result.is_err()));
    result
}

pub(super) fn errors() -> Counter {
    metrics::counter!(CACHE_ERRORS, "tier" => "redis")
}

/// The code and the advice for a server that refuses commands; `None` if it does not answer.
pub(super) fn refusal(error: &RedisError) -> Option<(&'static str, &'static str)> {
    // An error of all the nodes of a cluster has their code in its text alone.
    let text = format!("{} {error}", error.code().unwrap_or_default());
    REFUSALS.into_iter().find(|(code, _)| text.contains(code))
}
