//! Redis behind sentinels, Redis as a cluster, and Redis with TLS and a user.

use std::path::Path;
use std::time::Duration;

use api::model::list::Version;
use api::model::ranking::Ranking;
use github_stub::World;
use tempfile::TempDir;
use tokio::process::Command;

use crate::databases;
use crate::postgres::free_port;
use crate::process::{ApiProcess, api};
use crate::redis::Redis;
use crate::support::{Mirror, eventually, stored_list};

mod cluster;
mod states;

/// Seconds. A sentinel that gets no CPU time for two seconds does nothing for thirty more (TILT).
const PATIENCE: u64 = 70;

const PATH: &str = "/api/popularity/kubernetes";

/// The service's user with the permissions that docs/operations.md lists.
const USER: [&str; 17] = [
    "--user",
    "mirror",
    "on",
    ">p@ss",
    "~github-topic-mirror:*",
    "&github-topic-mirror:*",
    "+get",
    "+set",
    "+del",
    "+getrange",
    "+eval",
    "+scan",
    "+publish",
    "+subscribe",
    "+ping",
    "+asking",
    "+cluster|slots",
];

/// A master, its replica, and a sentinel that makes the replica the master if the first one fails.
struct Failover {
    first: Redis,
    second: Redis,
    second_port: String,
    sentinel: Redis,
    url: String,
    _config: TempDir,
}

impl Failover {
    async fn start() -> Option<Self> {
        let [one, two, three] =
            [free_port().await, free_port().await, free_port().await].map(|port| port.to_string());
        let common = ["--save", "", "--repl-diskless-sync-delay", "0"];
        let first = Redis::start_with(&[&["--port", &one][..], &common].concat()).await?;
        let replica = ["--port", &two, "--replicaof", "127.0.0.1", &one];
        let second = Redis::start_with(&[&replica[..], &common].concat()).await?;
        let has_copied = async || {
            second.command(&["INFO", "replication"]).await.contains("master_link_status:up")
        };
        eventually(PATIENCE, "the replica has copied the master", has_copied).await;
        let config = tempfile::tempdir().expect("a temporary folder");
        let path = config.path().join("sentinel.conf");
        let lines = format!(
            "port {three}\nsentinel monitor mirror 127.0.0.1 {one} 1\n\
             sentinel down-after-milliseconds mirror 1000\nsentinel failover-timeout mirror 3000\n"
        );
        std::fs::write(&path, lines).expect("written");
        let path = path.to_str().expect("a path");
        let sentinel = Redis::start_with(&[path, "--sentinel"]).await?;
        let knows_the_replica = async || {
            let replicas = sentinel.command(&["SENTINEL", "REPLICAS", "mirror"]).await;
            replicas.contains(&two) && replicas.contains("master-link-status\nok")
        };
        eventually(PATIENCE, "the sentinel knows the replica", knows_the_replica).await;
        let url = format!("redis+sentinel://127.0.0.1:{three}/mirror/0");
        Some(Self { first, second, second_port: two, sentinel, url, _config: config })
    }

    /// Whether the sentinel names the second server as the master.
    async fn has_failed_over(&self) -> bool {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mirror"];
        self.sentinel.command(&ask).await.contains(&self.second_port)
    }
}

/// Two replicas of the service that find Redis through the sentinel, after a refresh.
async fn replicas(failover: &Failover) -> Option<(Mirror, Mirror)> {
    let database = databases::postgres()?;
    let settings = [("REDIS_URL", &*failover.url)];
    let world = World::generate(60, 7, "kubernetes");
    let a = Mirror::start_on(database, world, &settings).await;
    let b = a.replica(&settings).await;
    subscribed(&failover.first, 2).await;
    a.refresh("kubernetes").await;
    agree(&a, &b).await;
    Some((a, b))
}

/// Waits until that many replicas have found the server.
async fn subscribed(server: &Redis, replicas: usize) {
    let channel = ["PUBSUB", "NUMSUB", "github-topic-mirror:3"];
    let expected = replicas.to_string();
    let all = async || server.command(&channel).await.trim_end().ends_with(&expected);
    eventually(PATIENCE, "the replicas subscribe to the server", all).await;
}

async fn agree(a: &Mirror, b: &Mirror) {
    let expected = a.expected("kubernetes")[1].clone();
    eventually(10, "both replicas have the lists of the refresh", async || {
        a.get(PATH).await.ids() == expected && b.get(PATH).await.ids() == expected
    })
    .await;
}

/// Waits until the server has the lists that the database has. Nobody may read meanwhile: a replica
/// would fill in what the publisher did not deliver.
async fn delivered(server: &Redis, mirror: &Mirror) {
    let topic = "kubernetes".parse().expect("a topic");
    let stored = stored_list(&*mirror.service.store, &topic, Ranking::Popularity).await;
    let Version { epoch, revision } = stored.expect("a list").0.version();
    let version = format!("{epoch:019}{revision:019}");
    let begin = ["GETRANGE", "github-topic-mirror:3:{kubernetes}", "0", "37"];
    let has_lists = async || server.command(&begin).await.trim_end() == version;
    eventually(PATIENCE, "the server has the lists of the refresh", has_lists).await;
}

/// Checks that a new replica finds the lists in Redis.
async fn check_cold_replica(mirror: &Mirror, url: &str) {
    let cold = mirror.replica(&[("REDIS_URL", url)]).await;
    let found = async || cold.get("/ready").await.json()["cache"][1]["can_answer"] == true;
    eventually(PATIENCE, "a new replica finds Redis", found).await;
    let (answer, known) = (cold.get(PATH).await, mirror.get(PATH).await);
    assert_eq!(answer.header("cache-status"), "redis; hit");
    assert_eq!(answer.header("etag"), known.header("etag"));
}

/// Refreshes changed lists, which the second server has in the end, and a new replica reads there.
async fn check_second_server(failover: &Failover, a: &Mirror, b: &Mirror) {
    let id = a.expected("kubernetes")[1][7];
    a.stub.world().star(id, 9_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    a.refresh("kubernetes").await;
    delivered(&failover.second, a).await;
    agree(a, b).await;
    check_cold_replica(a, &failover.url).await;
    let role = failover.second.command(&["ROLE"]).await;
    assert!(role.starts_with("master"), "{role}");
}

/// Reads both replicas a hundred times a second until `has_ended`.
async fn read_until(mirrors: [&Mirror; 2], mut has_ended: impl AsyncFnMut() -> bool) {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for number in 0_usize.. {
        pace.tick().await;
        let answer = mirrors[number % 2].get(PATH).await;
        assert_eq!((answer.status.as_u16(), answer.ids().len()), (200, 60), "read {number}");
        if number.is_multiple_of(20) && has_ended().await {
            return;
        }
    }
}

#[tokio::test]
async fn reads_lose_nothing_when_the_master_is_killed_and_another_one_is_promoted() {
    let Some(mut failover) = Failover::start().await else { return };
    let Some((a, b)) = replicas(&failover).await else { return };
    failover.first.kill().await;
    let ends = read_until([&a, &b], async || failover.has_failed_over().await);
    tokio::time::timeout(Duration::from_secs(PATIENCE), ends).await.expect("a new master");
    subscribed(&failover.second, 2).await;
    check_second_server(&failover, &a, &b).await;
}

#[tokio::test]
async fn lists_go_to_the_new_master_when_the_old_one_becomes_a_replica() {
    let Some(failover) = Failover::start().await else { return };
    let Some((a, b)) = replicas(&failover).await else { return };
    let answer = failover.sentinel.command(&["SENTINEL", "FAILOVER", "mirror"]).await;
    assert_eq!(answer.trim(), "OK");
    let is_replica = async || {
        let role = failover.first.command(&["ROLE"]).await;
        role.starts_with("slave") && failover.has_failed_over().await
    };
    let ends = read_until([&a, &b], is_replica);
    tokio::time::timeout(Duration::from_secs(PATIENCE), ends).await.expect("a new master");
    // Nothing was written since: the check alone finds out that the first server is a replica.
    subscribed(&failover.second, 2).await;
    check_second_server(&failover, &a, &b).await;
}

/// A certificate for these names that is its own authority, in `folder`.
pub(crate) async fn make_certificate(folder: &Path, names: &str) {
    let arguments = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let mut command = Command::new("openssl");
    command.args(arguments).args(["-subj", "/CN=localhost"]);
    command.args(["-addext", &format!("subjectAltName={names}")]);
    command.args(["-addext", "basicConstraints=CA:FALSE"]);
    command.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder);
    let output = command.output().await.expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a server with TLS, a user and these arguments, and a service that finds it at an address
/// of this scheme: once with trust in its certificate, and once without.
async fn check_tls(scheme: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_certificate(folder.path(), "DNS:localhost,IP:127.0.0.1").await;
    let port = free_port().await.to_string();
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let tls = ["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"];
    let listens = ["--port", "0", "--tls-port", &port, "--save", ""];
    let arguments = [&listens[..], &files, &tls, arguments, &USER].concat();
    let Some(redis) = Redis::start_with(&arguments).await else { return };
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let mirror = Mirror::refreshed(World::generate(60, 7, "kubernetes")).await;
    let (database, github) = (mirror.database.setting(), mirror.stub.url());
    let url = format!("{scheme}://mirror:p%40ss@localhost:{port}/0");
    let settings = [
        ("REDIS_URL", &*url),
        ("DATABASE_URL", &*database),
        ("GITHUB_API_URL", &*github),
        ("SCHEDULER", "external"),
    ];
    let trusting = [&settings[..], &[("SSL_CERT_FILE", &*certificate)]].concat();
    for is_trusted in [true, false] {
        let settings = if is_trusted { &trusting[..] } else { &settings };
        let service = ApiProcess::start(api(&folder, settings)).await;
        if is_trusted {
            subscribed(&redis, 1).await;
        }
        let state = async || {
            let (status, _) = service.get(PATH).await;
            assert_eq!(status.as_u16(), 200, "trusted: {is_trusted}");
            let (_, ready) = service.get("/ready").await;
            let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
            ready["cache"][1]["can_answer"] == is_trusted
        };
        eventually(10, "Redis has the lists if its certificate is trusted", state).await;
        redis.command(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn redis_with_tls_and_a_user_answers_those_who_trust_its_authority() {
    check_tls("rediss", &[]).await;
}

#[tokio::test]
async fn cluster_with_tls_and_a_user_answers_those_who_trust_its_authority() {
    let bus = free_port().await.to_string();
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    check_tls("rediss-cluster", &cluster).await;
}
