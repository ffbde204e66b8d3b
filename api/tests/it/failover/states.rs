//! Redis that answers, but refuses what the service needs, counts as down until it takes lists
//! again.

use github_stub::World;
use reqwest::StatusCode;
use serde_json::Value;

use super::{PATH, subscribed};
use crate::postgres::free_port;
use crate::process::{ApiProcess, api};
use crate::redis::Redis;
use crate::support::{Mirror, eventually};

/// A state of a server. The parts of a command are separated by bars.
struct State {
    code: &'static str,
    /// A part of the line in the log.
    advice: &'static str,
    begins: &'static [&'static str],
    ends: &'static str,
}

/// The states of a server that the service knows by the user `mirror`.
const OF_A_USER: [State; 6] = [
    State {
        code: "LOADING",
        advice: "the server loads its data",
        begins: &["CONFIG|SET|key-load-delay|20000", "DEBUG|RELOAD"],
        ends: "CONFIG|SET|key-load-delay|0",
    },
    State {
        code: "READONLY",
        advice: "REDIS_URL must lead to the master",
        begins: &["REPLICAOF|127.0.0.1|1"],
        ends: "REPLICAOF|NO|ONE",
    },
    State {
        code: "NOREPLICAS",
        advice: "min-replicas-to-write",
        begins: &["CONFIG|SET|min-replicas-to-write|1"],
        ends: "CONFIG|SET|min-replicas-to-write|0",
    },
    State {
        code: "NOPERM",
        advice: "lacks a permission",
        begins: &["ACL|SETUSER|mirror|-del"],
        ends: "ACL|SETUSER|mirror|+del",
    },
    State {
        code: "WRONGPASS",
        advice: "does not know the user or the password",
        begins: &["ACL|SETUSER|mirror|resetpass|>other", "CLIENT|KILL|USER|mirror"],
        ends: "ACL|SETUSER|mirror|>p@ss",
    },
    State {
        code: "MISCONF",
        advice: "cannot save to its disk",
        begins: &["CONFIG|SET|dir|/proc", "CONFIG|SET|save|3600 1", "BGSAVE"],
        ends: "CONFIG|SET|save|",
    },
];

const WITHOUT_A_USER: [State; 1] = [State {
    code: "NOAUTH",
    advice: "the server wants a password",
    begins: &["CONFIG|SET|requirepass|other", "-a|other|CLIENT|KILL|USER|default"],
    ends: "-a|other|CONFIG|SET|requirepass|",
}];

const OF_A_CLUSTER: [State; 1] = [State {
    code: "CLUSTERDOWN",
    advice: "the cluster lacks a master",
    begins: &["CLUSTER|DELSLOTSRANGE|0|8191"],
    ends: "CLUSTER|ADDSLOTSRANGE|0|8191",
}];

/// Enough keys for a slow load.
const OTHER_KEYS: &str =
    "for i = 1, 500 do redis.call('SET', 'other:' .. i, string.rep('x', 1024)) end";

/// Begins and ends each state of the server under a service that finds it at `url`.
async fn check_states(redis: &Redis, url: &str, states: &[State]) {
    let mirror = Mirror::refreshed(World::generate(60, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let metrics = format!("127.0.0.1:{}", free_port().await);
    let settings = [
        ("REDIS_URL", url),
        ("DATABASE_URL", &*mirror.database.setting()),
        ("GITHUB_API_URL", &*mirror.stub.url()),
        ("SCHEDULER", "external"),
        ("METRICS_ADDR", &*metrics),
    ];
    let service = ApiProcess::start(api(&folder, &settings)).await;
    subscribed(redis, 1).await;
    let is = async |is_up: bool| {
        let (status, list) = service.get(PATH).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let (status, ready) = service.get("/ready").await;
        assert_eq!(status, StatusCode::OK, "{ready}");
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        let scrape = reqwest::get(format!("http://{metrics}/metrics")).await.expect("an answer");
        let metric = format!("mirror_cache_up{{tier=\"redis\"}} {}", u8::from(is_up));
        let is_metric = scrape.text().await.expect("a body").contains(&metric);
        is_metric && ready["cache"][1]["can_answer"] == is_up
    };
    eventually(10, "Redis has the lists", async || is(true).await).await;
    for State { code, begins, ends, .. } in states {
        let begin = async {
            for command in *begins {
                redis.command(&command.split('|').collect::<Vec<_>>()).await;
            }
        };
        let rest = async {
            eventually(10, &format!("Redis is down by {code}"), async || is(false).await).await;
            redis.command(&ends.split('|').collect::<Vec<_>>()).await;
            eventually(10, &format!("Redis is up after {code}"), async || is(true).await).await;
        };
        tokio::join!(begin, rest);
    }
    service.signal("-TERM");
    let (_, log) = service.ended().await;
    for State { code, advice, .. } in states {
        assert_eq!(log.matches(advice).count(), 1, "{code}: {log}");
    }
}

#[tokio::test]
async fn redis_is_down_while_it_refuses_lists_and_up_afterwards() {
    let port = free_port().await.to_string();
    let listens = ["--port", &port, "--save", "", "--rdbcompression", "no"];
    let debugging = ["--enable-debug-command", "yes", "--enable-protected-configs", "yes"];
    let loads = ["--loading-process-events-interval-bytes", "1024"];
    let users = ["--user", "mirror", "on", ">p@ss", "~*", "&*", "+@all"];
    let arguments = [&listens[..], &debugging, &loads, &users].concat();
    let Some(redis) = Redis::start_with(&arguments).await else { return };
    redis.command(&["EVAL", OTHER_KEYS, "0"]).await;
    let with_user = format!("redis://mirror:p%40ss@127.0.0.1:{port}/0");
    check_states(&redis, &with_user, &OF_A_USER).await;
    let without_user = format!("redis://127.0.0.1:{port}/0");
    check_states(&redis, &without_user, &WITHOUT_A_USER).await;
}

#[tokio::test]
async fn cluster_is_down_while_it_lacks_slots_and_up_afterwards() {
    let [port, bus] = [free_port().await, free_port().await].map(|port| port.to_string());
    let listens = ["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus];
    let Some(redis) = Redis::start_with(&[&listens[..], &["--save", ""]].concat()).await else {
        return;
    };
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let is_ok = async || redis.command(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok");
    eventually(10, "the cluster is ready", is_ok).await;
    let url = format!("redis-cluster://127.0.0.1:{port}");
    check_states(&redis, &url, &OF_A_CLUSTER).await;
}
