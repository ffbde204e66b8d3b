//! The program itself: how it starts, stops, dies and comes back.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use github_stub::{Fault, FaultKind, Stub, World};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::databases;

/// The program with nothing of this process's environment but these settings.
pub(crate) fn api(folder: &TempDir, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().current_dir(folder).kill_on_drop(true);
    command
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("LOG_FORMAT", "json")
        .envs(settings.iter().copied());
    command
}

async fn output(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().await.expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

/// A running program and where it listens.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) url: String,
    log: tokio::task::JoinHandle<String>,
}

impl Running {
    /// Starts the program and reads its log until it says where it listens.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut log = String::new();
        loop {
            let line = lines
                .next_line()
                .await
                .expect("a log")
                .unwrap_or_else(|| panic!("it ended: {log}"));
            log.extend([line.as_str(), "\n"]);
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = entry["address"].as_str() {
                let url = format!("http://{address}");
                let rest = tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        log.extend([line.as_str(), "\n"]);
                    }
                    log
                });
                return Self { child, url, log: rest };
            }
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent =
            std::process::Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// The exit status and the whole log.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        (self.child.wait().await.expect("it ends"), self.log.await.expect("its log"))
    }
}

pub(crate) async fn stub(world: World) -> Stub {
    crate::support::set_up_tls();
    Stub::start(world).await.expect("a free port")
}

#[tokio::test]
async fn wrong_settings_are_told_all_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = api(
        &folder,
        &[("TOPICS", "not ok"), ("GITHUB_TOKEN", "hunter2 hunter2"), ("SCHEDULER", "x")],
    );
    command.args(["--refresh-schedule", "often", "serve"]);
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 2, "{stderr}");
    for expected in [
        "4 settings are wrong",
        "TOPICS",
        "GITHUB_TOKEN",
        "SCHEDULER",
        "REFRESH_SCHEDULE: \"often\"",
    ] {
        assert!(stderr.contains(expected), "{expected} in {stderr}");
    }
    assert!(!stderr.contains("hunter2"));
    let mut command = api(&folder, &[]);
    command.arg("--no-such-flag");
    assert_eq!(output(command).await.0, 2);
}

#[tokio::test]
async fn what_it_cannot_have_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, _, stderr) = output(api(&folder, &[("LISTEN_ADDR", &address)])).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("LISTEN_ADDR"), "{stderr}");

    std::fs::write(folder.path().join("file"), "").expect("written");
    let (code, _, stderr) = output(api(&folder, &[("DATA_DIR", "file/below")])).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.contains("file/below/mirror.sqlite") && stderr.contains("DATA_DIR"), "{stderr}");
}

#[tokio::test]
async fn the_flag_wins_over_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = api(&folder, &[("DATA_DIR", "from-environment")]);
    command.args(["bootstrap", "--data-dir", "from-flag"]);
    let (code, stdout, stderr) = output(command).await;
    assert_eq!((code, stdout.as_str()), (0, "the schema is there\n"), "{stderr}");
    assert!(
        folder.path().join("from-flag/mirror.sqlite").exists()
            && !folder.path().join("from-environment").exists()
    );
}

#[tokio::test]
async fn the_command_line_refreshes_and_shows_how_far() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    stub.world().settings.latency_millis = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("RUST_LOG", "off")];
    let mut command = api(&folder, &settings);
    command.args(["refresh", "kubernetes"]);
    let (code, stdout, stderr) = output(command).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("kubernetes: ") && stdout.contains(" found, "), "{stdout}");
    assert!(stderr.contains(" of about 15 requests done"), "{stderr}");

    stub.world().faults.push(Fault::from(FaultKind::Unauthorized).times(100));
    let mut command = api(&folder, &settings);
    command.arg("refresh");
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 1);
    assert!(
        stderr.lines().last().is_some_and(|line| line.contains("the refresh failed: kubernetes: ")),
        "{stderr}"
    );
    let mut command = api(&folder, &settings);
    command.args(["refresh", "not_a_topic"]);
    assert_eq!(output(command).await.0, 2);
}

#[tokio::test]
async fn version_and_health_can_be_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = api(&folder, &[]);
    command.arg("--version");
    assert_eq!(output(command).await.1, format!("api {}\n", env!("CARGO_PKG_VERSION")));

    let stub = stub(World::default()).await;
    let running = Running::start(api(&folder, &[("GITHUB_API_URL", &stub.url())])).await;
    let address = running.url.trim_start_matches("http://").to_owned();
    let healthcheck = async || {
        let mut command = api(&folder, &[("LISTEN_ADDR", &address)]);
        command.arg("healthcheck");
        output(command).await.0
    };
    assert_eq!(healthcheck().await, 0);
    running.signal("-TERM");
    assert_eq!(running.ended().await.0.code(), Some(0));
    assert_eq!(healthcheck().await, 1);
}

#[tokio::test]
async fn metrics_stand_on_a_listener_of_their_own() {
    let stub = stub(World::generate(10, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
        .to_string();
    let settings =
        [("GITHUB_API_URL", &*stub.url()), ("METRICS_ADDR", &free), ("SCHEDULER", "external")];
    let running = Running::start(api(&folder, &settings)).await;
    running.get("/api/kubernetes").await;
    assert_eq!(running.get("/metrics").await.0, StatusCode::NOT_FOUND);
    let metrics = reqwest::get(format!("http://{free}/metrics"))
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(
        metrics.contains("http_requests_total{route=\"/api/{topic}\",status=\"200\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn without_github_it_lives_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = Running::start(api(&folder, &[("GITHUB_API_URL", "http://127.0.0.1:1")])).await;
    let answer = reqwest::get(format!("{}/api/kubernetes", running.url)).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    // A caller who waits learns how it ended; a reader before that, how far it is.
    let (status, problem) = running.get("/update_cache").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    let (_, ready) = running.get("/ready").await;
    assert!(ready.contains("GitHub failed 4 times"), "{ready}");
    running.signal("-TERM");
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(0));
    let told = |line: &&str| {
        line.contains("kubernetes has no list yet")
            && line.contains("next try at")
            && line.contains("make demo")
    };
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
}

#[tokio::test]
async fn killed_in_mid_refresh_it_serves_the_old_lists_and_finishes() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external")];
    let mut running = Running::start(api(&folder, &settings)).await;
    assert_eq!(running.get("/update_cache").await.0, StatusCode::OK);
    let old = running.get("/api/popularity/kubernetes").await.1;

    let first = stub.world().ranked("kubernetes", "stars")[0];
    stub.world().star(first, 9_000_000, chrono::Utc::now());
    stub.world().faults.push(Fault::from(FaultKind::Slow { millis: 600_000 }).on("updated", 5));
    let asked = stub.world().counters.searches;
    let update = format!("{}/update_cache", running.url);
    let hanging = tokio::spawn(reqwest::get(update));
    while stub.world().counters.searches < asked + 15 {
        tokio::task::yield_now().await;
    }
    running.child.start_kill().expect("it runs");
    running.child.wait().await.expect("it ends");
    assert!(hanging.await.expect("no panic").is_err());

    let running = Running::start(api(&folder, &[("GITHUB_API_URL", &stub.url())])).await;
    let (status, lists) = running.get("/api/popularity/kubernetes").await;
    assert_eq!(status, StatusCode::OK, "at once");
    // Pages of the dead run are stored already: either is a whole list.
    assert_eq!(
        serde_json::from_str::<Value>(&lists).expect("JSON").as_array().map(Vec::len),
        Some(500)
    );
    assert_ne!((lists.len(), lists == old), (0, true), "the new count was stored before the kill");
    // The lease of the dead ends within 20 s; then the refresh is finished.
    assert_eq!(running.get("/update_cache").await.0, StatusCode::OK);
    let (_, topic) = running.get("/topics/kubernetes").await;
    assert!(topic.contains("\"complete\":true"), "{topic}");
}

/// Two processes over one PostgreSQL: what the dead one began, the other finishes.
#[tokio::test]
async fn a_holder_killed_in_mid_refresh_is_replaced_by_the_other() {
    let Some(database) = databases::postgres() else { return };
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("GITHUB_API_URL", &*stub.url()),
        ("SCHEDULER", "external"),
        ("DATABASE_URL", &*database.setting()),
    ];
    let mut holder = Running::start(api(&folder, &settings)).await;
    let other = Running::start(api(&folder, &settings)).await;
    assert_eq!(holder.get("/bootstrap_db").await.0, StatusCode::OK);
    stub.world().faults.push(Fault::from(FaultKind::Slow { millis: 600_000 }).on("stars", 4));
    let held = tokio::spawn(reqwest::get(format!("{}/update_cache", holder.url)));
    while stub.world().counters.searches < 9 {
        tokio::task::yield_now().await;
    }
    let waiting = tokio::spawn(reqwest::get(format!("{}/update_cache", other.url)));
    holder.child.start_kill().expect("it runs");
    holder.child.wait().await.expect("it ends");
    assert!(held.await.expect("no panic").is_err());

    let answer = tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .expect("in a minute");
    let report: Value =
        answer.expect("no panic").expect("an answer").json().await.expect("a report");
    assert_eq!(
        (&report["complete"], &report["topics"][0]["complete"]),
        (&true.into(), &true.into()),
        "{report}"
    );
    let mut expected = BTreeSet::new();
    for (path, sort) in [("", "best-match"), ("popularity/", "stars"), ("activity/", "updated")] {
        let list: Value =
            serde_json::from_str(&other.get(&format!("/api/{path}kubernetes")).await.1)
                .expect("a list");
        let ids: Vec<_> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["id"].as_u64().expect("an id"))
            .collect();
        let world = stub.world().ranked("kubernetes", sort)[..500].to_vec();
        assert_eq!(ids.iter().zip(&world).find(|(own, world)| own != world), None, "{sort}");
        expected.extend(world);
    }
    let count = "SELECT count(*)::text || ' ' || count(DISTINCT repository_id)::text FROM topic_repositories";
    let expected = format!("{0} {0}", expected.len());
    assert_eq!(database.query(count).await, [expected], "nothing lost, nothing doubled");
}

#[tokio::test]
async fn told_to_stop_under_load_it_cuts_no_request() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let running =
        Running::start(api(&folder, &[("GITHUB_API_URL", &stub.url()), ("SCHEDULER", "external")]))
            .await;
    assert_eq!(running.get("/update_cache").await.0, StatusCode::OK);
    let (answered, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (url, answered, stopping) = (
                format!("{}/api/kubernetes", running.url),
                Arc::clone(&answered),
                Arc::clone(&stopping),
            );
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                loop {
                    match client.get(&url).send().await {
                        Ok(answer) => {
                            let bytes = answer.bytes().await.expect("a whole body");
                            assert!(bytes.ends_with(b"]"));
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nobody listens any more: the only failure there may be, and only after
                        // the signal.
                        Err(error) => {
                            assert!(
                                error.is_connect() && stopping.load(Ordering::Relaxed),
                                "{error:?}"
                            );
                            return;
                        }
                    }
                }
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    stopping.store(true, Ordering::Relaxed);
    running.signal("-TERM");
    for client in clients {
        client.await.expect("no request was cut");
    }
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
}

/// GitHub hangs, and the next start has to have the lease at once.
#[tokio::test]
async fn told_to_stop_in_mid_refresh_it_gives_the_lease_back() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external"), ("DATA_DIR", ".")];
    let running = Running::start(api(&folder, &settings)).await;
    assert_eq!(running.get("/update_cache").await.0, StatusCode::OK);
    stub.world().faults.push(Fault::from(FaultKind::Slow { millis: 600_000 }).on("stars", 2));
    let asked = stub.world().counters.searches;
    let waiting =
        tokio::spawn(reqwest::get(format!("{}/update_cache?topic=kubernetes", running.url)));
    while stub.world().counters.searches < asked + 7 {
        tokio::task::yield_now().await;
    }
    running.signal("-TERM");
    let answer = waiting.await.expect("no panic").expect("an answer, since it was in flight");
    let report: Value = answer.json().await.expect("a report");
    assert_eq!(
        (&report["outcome"], &report["reason"]),
        (&"partial".into(), &"the service is stopping".into()),
        "{report}"
    );
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");

    let leases = databases::Database::Sqlite(folder)
        .query("SELECT name FROM leases WHERE owner IS NOT NULL")
        .await;
    assert_eq!(leases, Vec::<String>::new());
}
