//! The service speaks to GitHub, its database and its Redis, and to nobody else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use github_stub::{Fault, FaultKind, Stub, World};
use reqwest::{Method, StatusCode};
use tokio::process::Command;

use super::{ApiProcess, api, stub};
use crate::databases;
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::support::{eventually, http_client, send};

/// The program under strace, which writes down every address that a socket is connected to, or a
/// datagram is sent to. `-D` makes the tracer the child.
fn traced(program: &Command, trace: &Path) -> Command {
    let program = program.as_std();
    let mut command = Command::new("strace");
    command.args([
        "-D",
        "-f",
        "-q",
        "-s",
        "0",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "-o",
    ]);
    command.arg(trace).arg(program.get_program());
    command.env_clear().kill_on_drop(true);
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// The address in a line such as `connect(9, {sa_family=AF_INET, sin_port=htons(80),
/// sin_addr=inet_addr("127.0.0.1")}, 16) = 0`; `None` if it has none.
fn peer(line: &str) -> Option<String> {
    let (_, address) = line.split_once("sa_family=")?;
    let (address, _) = address.split_once('}')?;
    let quoted = address.split('"').nth(1);
    let port = address.split_once("htons(").and_then(|(_, rest)| rest.split_once(')'));
    Some(match (quoted, port) {
        (Some(host), Some((port, _))) => format!("{host}:{port}"),
        (Some(path), None) => path.to_owned(),
        _ => address.to_owned(),
    })
}

/// Reads every kind of answer with headers and targets that name another host.
async fn read(process: &ApiProcess, other: &str) {
    let http = http_client();
    let host = other.trim_start_matches("http://");
    let forwarded = format!("host={host};proto=http");
    for path in [
        "/",
        "/api/kubernetes",
        "/api/trending/kubernetes?window=30d&fields=all&format=csv",
        "/db/kubernetes",
        "/t/kubernetes",
        "/compare",
        "/status",
        "/docs",
        "/openapi.json",
        "/topics/kubernetes/facets",
        "/topics/kubernetes/history",
        "/exports/kubernetes.ndjson",
        "/exports/kubernetes/history.csv",
        "/feeds/kubernetes/new.atom",
        "/feeds/kubernetes/trending.json",
        "/feeds.opml",
        "/charts/topics/kubernetes.svg",
        "/ready",
    ] {
        let headers = [
            ("host", host),
            ("x-forwarded-host", host),
            ("forwarded", &forwarded),
            ("referer", other),
        ];
        let url = format!("{}{path}", process.url);
        let answer = send(&http, Method::GET, &url, &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    // A target with a host makes no proxy of the service.
    let proxied = reqwest::Client::builder()
        .proxy(reqwest::Proxy::http(&process.url).expect("an address"))
        .build()
        .expect("a client");
    let answer = send(&proxied, Method::GET, &format!("{other}/health"), &[]).await;
    assert_eq!(answer.text(), "ok", "the service's own");
}

#[tokio::test]
async fn service_connects_to_github_its_database_and_its_redis_alone() {
    let (Some(database), Some(redis)) = (databases::postgres(), Redis::start().await) else {
        return;
    };
    let setting = database.setting();
    let (address, folder) = setting.split_once("?host=").expect("the folder of the socket");
    let to_database = Proxy::to(PathBuf::from(folder).join(".s.PGSQL.5432")).await;
    let (_, name) = address.rsplit_once('/').expect("a name");
    let github = stub(World::generate(700, 7, "kubernetes")).await;
    let elsewhere = Stub::start(World::default()).await.expect("a free port");
    let url = format!("postgres://mirror@127.0.0.1:{}/{name}", to_database.port);
    let settings = [
        ("GITHUB_API_URL", &*github.url()),
        ("GITHUB_TOKEN", "github-secret"),
        ("DATABASE_URL", &url),
        ("REDIS_URL", &redis.url()),
        ("SCHEDULER", "external"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let process = ApiProcess::start(traced(&api(&folder, &settings), &trace)).await;
    let http = http_client();
    let to = format!("{}/search/repositories", elsewhere.url());
    let faults = vec![
        FaultKind::Redirect { to }.into(),
        Fault::from(FaultKind::ForeignLink { origin: elsewhere.url() }).times(100),
    ];
    for (path, faults) in
        [("/bootstrap_db", vec![]), ("/update_cache", vec![]), ("/update_cache", faults)]
    {
        github.world().faults = faults;
        let answer = send(&http, Method::POST, &format!("{}{path}", process.url), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    read(&process, &elsewhere.url()).await;
    process.signal("-TERM");
    process.ended().await;
    let read_trace = || std::fs::read_to_string(&trace).unwrap_or_default();
    eventually(10, "the trace has the end of the program", async || {
        read_trace().lines().next_back().is_some_and(|line| line.contains("+++ exited"))
    })
    .await;
    let mut peers: BTreeSet<String> = read_trace().lines().filter_map(peer).collect();
    // glibc looks there for a cache of the machine's users before it reads their file.
    peers.remove("/var/run/nscd/socket");
    let expected = [
        github.url().trim_start_matches("http://").to_owned(),
        format!("127.0.0.1:{}", to_database.port),
        redis.socket().display().to_string(),
    ];
    assert_eq!(peers, BTreeSet::from(expected));
    assert_eq!(elsewhere.world().counters.requests, []);
}
