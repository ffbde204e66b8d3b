//! Redis as a cluster of three masters, each with a replica.

use std::time::Duration;

use futures_util::future::join_all;
use github_stub::World;
use reqwest::StatusCode;
use serde_json::Value;

use super::{PATH, PATIENCE, USER, agree, check_cold_replica, delivered, read_until, subscribed};
use crate::databases;
use crate::postgres::free_port;
use crate::process::{ApiProcess, api};
use crate::redis::Redis;
use crate::support::{Mirror, eventually};

/// The slots of the masters. The second one has the topic, and the third one the channel.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// The node that has the topic after the first loss.
const TOPIC: usize = 4;

struct Node {
    redis: Redis,
    port: String,
    bus: String,
}

impl Node {
    async fn start() -> Option<Self> {
        let [port, bus] = [free_port().await, free_port().await].map(|port| port.to_string());
        let listens = ["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus];
        let data = ["--save", "", "--repl-diskless-sync-delay", "0"];
        let timeout = ["--cluster-node-timeout", "2000"];
        let arguments = [&listens[..], &data, &timeout, &USER].concat();
        let redis = Redis::start_with(&arguments).await?;
        Some(Self { redis, port, bus })
    }

    async fn ok(&self, command: &[&str]) {
        let answer = self.redis.command(command).await;
        assert_eq!(answer.trim(), "OK", "{command:?}");
    }

    async fn is_master(&self) -> bool {
        self.redis.command(&["ROLE"]).await.starts_with("master")
    }
}

/// Starts three masters and then their replicas, in the same order.
async fn start() -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    for node in join_all((0..6).map(|_| Node::start())).await {
        nodes.push(node?);
    }
    for (number, (node, (first, last))) in nodes.iter().zip(SLOTS).enumerate() {
        node.ok(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        node.ok(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
    }
    for node in &nodes[1..] {
        nodes[0].ok(&["CLUSTER", "MEET", "127.0.0.1", &node.port, &node.bus]).await;
    }
    let info = async |node: &Node| node.redis.command(&["CLUSTER", "INFO"]).await;
    for node in &nodes {
        eventually(PATIENCE, "every node knows the others", async || {
            let info = info(node).await;
            info.contains("cluster_known_nodes:6") && info.contains("cluster_state:ok")
        })
        .await;
    }
    for (master, replica) in nodes[..3].iter().zip(&nodes[3..]) {
        let id = master.redis.command(&["CLUSTER", "MYID"]).await;
        replica.ok(&["CLUSTER", "REPLICATE", id.trim()]).await;
        eventually(PATIENCE, "the replica has copied its master", async || {
            let replication = replica.redis.command(&["INFO", "replication"]).await;
            replication.contains("master_link_status:up")
        })
        .await;
    }
    for node in &nodes {
        eventually(PATIENCE, "every node knows three masters and their replicas", async || {
            let nodes = node.redis.command(&["CLUSTER", "NODES"]).await;
            info(node).await.contains("cluster_size:3") && nodes.matches("slave").count() == 3
        })
        .await;
    }
    Some(nodes)
}

/// Whether the service at this mirror has found Redis, and a list in it.
async fn can_answer(mirror: &Mirror) -> bool {
    mirror.get("/ready").await.json()["cache"][1]["can_answer"] == true
}

/// Changes a repository's stars, so that the next refresh changes the lists.
fn change(mirror: &Mirror, stars: i64) {
    let id = mirror.expected("kubernetes")[1][7];
    mirror.stub.world().star(id, stars, "2026-09-21T14:13:21Z".parse().expect("a date"));
}

/// Kills a master under load, refreshes changed lists at once, and checks that readers of both
/// replicas and of a new one get them.
async fn check_loss(
    nodes: &mut [Node],
    [master, replica]: [usize; 2],
    stars: i64,
    [a, b]: [&Mirror; 2],
    url: &str,
) {
    nodes[master].redis.kill().await;
    change(a, stars);
    let reads = read_until([a, b], async || nodes[replica].is_master().await);
    let reads = tokio::time::timeout(Duration::from_secs(PATIENCE), reads);
    let (reads, report) = tokio::join!(reads, a.refresh("kubernetes"));
    reads.expect("a new master");
    assert_eq!(report["outcome"], "complete", "{report}");
    delivered(&nodes[TOPIC].redis, a).await;
    agree(a, b).await;
    check_cold_replica(a, url).await;
    // Announcements arrive again: the test's clock stands, so no copy in memory grows old.
    eventually(PATIENCE, "both replicas have found the cluster", async || {
        can_answer(a).await && can_answer(b).await
    })
    .await;
    change(a, stars + 1);
    a.refresh("kubernetes").await;
    delivered(&nodes[TOPIC].redis, a).await;
    agree(a, b).await;
}

#[tokio::test]
async fn reads_lose_nothing_when_masters_of_the_cluster_are_killed() {
    let Some(mut nodes) = start().await else { return };
    let Some(database) = databases::postgres() else { return };
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = format!("redis-cluster://mirror:p%40ss@{}", hosts[..3].join(","));
    let settings = [("REDIS_URL", &*url)];
    let a = Mirror::start_on(database, World::generate(60, 7, "kubernetes"), &settings).await;
    let b = a.replica(&settings).await;
    subscribed(&nodes[2].redis, 2).await;
    a.refresh("kubernetes").await;
    agree(&a, &b).await;
    eventually(5, "the cluster has the lists", async || {
        can_answer(&a).await && can_answer(&b).await
    })
    .await;
    for _ in 0..5 {
        assert!(can_answer(&a).await, "the masters without the topic do not matter");
    }
    check_single_address(&nodes[0], &a).await;
    check_loss(&mut nodes, [1, 4], 9_000_000, [&a, &b], &url).await;
    check_loss(&mut nodes, [2, 5], 9_100_000, [&a, &b], &url).await;
}

/// A service whose REDIS_URL names a node of a cluster as a single server says so, and serves.
async fn check_single_address(node: &Node, mirror: &Mirror) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        ("REDIS_URL", &*format!("redis://mirror:p%40ss@127.0.0.1:{}", node.port)),
        ("DATABASE_URL", &*mirror.database.setting()),
        ("GITHUB_API_URL", &*mirror.stub.url()),
        ("SCHEDULER", "external"),
    ];
    let service = ApiProcess::start(api(&folder, &settings)).await;
    eventually(10, "a single node counts as down", async || {
        assert_eq!(service.get(PATH).await.0, StatusCode::OK);
        let ready: Value = serde_json::from_str(&service.get("/ready").await.1).expect("JSON");
        ready["cache"][1]["can_answer"] == false
    })
    .await;
    service.signal("-TERM");
    let (_, log) = service.ended().await;
    assert_eq!(log.matches("REDIS_URL must begin with redis-cluster://").count(), 1, "{log}");
}
