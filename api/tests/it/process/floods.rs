//! Clients that take connections and do nothing with them.

use github_stub::World;
use reqwest::{Method, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{ApiProcess, api, stub};
use crate::databases;
use crate::support::{eventually, http_client, send};

/// The program under a limit of open files that it cannot raise.
fn api_with_files(files: u64, folder: &tempfile::TempDir, settings: &[(&str, &str)]) -> Command {
    let program = api(folder, settings);
    let program = program.as_std();
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -n {files}; exec \"$0\"");
    command.arg("-c").arg(script).arg(program.get_program()).current_dir(folder.path());
    command.env_clear().kill_on_drop(true);
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn service_answers_while_more_clients_than_files_are_silent_or_read_nothing() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external")];
    let process = ApiProcess::start(api_with_files(256, &folder, &settings)).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    let address = process.url.trim_start_matches("http://").to_owned();
    let request = "GET /api/kubernetes HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for sent in ["", "GET /api/kub", request] {
        let mut clients = Vec::new();
        for _ in 0..300 {
            let mut client = TcpStream::connect(&address).await.expect("it listens");
            client.write_all(sent.as_bytes()).await.expect("sent");
            clients.push(client);
        }
        for path in ["/health", "/api/popularity/kubernetes", "/db/kubernetes", "/update_cache"] {
            assert_eq!(process.get(path).await.0, StatusCode::OK, "{path} beside {sent:?}");
        }
    }
    process.signal("-TERM");
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("could not be accepted"), "{log}");
}

#[tokio::test]
async fn log_has_few_lines_when_a_client_repeats_what_is_refused_or_fails() {
    let stub = stub(World::default()).await;
    let limit = github_stub::FaultKind::PrimaryLimit { status: 403, reset_in: 7_200 };
    stub.world().faults.push(limit.into());
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external")];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    let http = http_client();
    for number in 0..200 {
        let url = format!("{}/api/topic-{number}", process.url);
        let answer = send(&http, Method::GET, &url, &[]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    process.signal("-TERM");
    let (_, log) = process.ended().await;
    // Ten topics may be new within an hour, and each has two lines on its refresh.
    assert!(log.lines().count() < 60, "{log}");
    assert!(!log.contains("a request failed or was slow"), "{log}");

    let down = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"), settings[0], settings[1]];
    let process = ApiProcess::start(api(&folder, &down)).await;
    // Each waits for the database.
    for _ in 0..4 {
        let asked = ["/db/kubernetes", "/topics", "/ready"].repeat(10).into_iter().map(|path| {
            let (http, url) = (&http, format!("{}{path}", process.url));
            async move { send(http, Method::GET, &url, &[]).await.status }
        });
        let statuses = futures_util::future::join_all(asked).await;
        assert!(statuses.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE));
    }
    process.signal("-TERM");
    let (_, log) = process.ended().await;
    assert!(log.lines().count() < 20, "{log}");
    assert!(log.contains("the database failed a request"), "{log}");
}

#[tokio::test]
async fn log_has_one_line_when_the_ledger_fails_while_a_refresh_is_waited_for() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let (folder, database) = (tempfile::tempdir().expect("a folder"), databases::sqlite());
    let settings = [
        ("GITHUB_API_URL", &*stub.url()),
        ("DATABASE_URL", &database.setting()),
        ("SCHEDULER", "external"),
    ];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    // `/ready` looks into the ledger only if a topic is not complete.
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    stub.world().settings.latency_millis = 50;
    let searches = stub.world().counters.searches;
    let (http, url) = (http_client(), format!("{}/update_cache", process.url));
    let started = send(&http, Method::POST, &url, &[("prefer", "respond-async")]).await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    eventually(30, "the refresh runs", async || stub.world().counters.searches > searches + 2)
        .await;
    database.query("ALTER TABLE refreshes RENAME TO lost").await;
    // The run tries each second to give its lease back, and looks four times into the ledger.
    let seconds = |ready: &str| ready.contains("for 3 s");
    eventually(30, "3 s have passed", async || seconds(&process.get("/ready").await.1)).await;
    process.signal("-KILL");
    let (_, log) = process.ended().await;
    assert_eq!(log.matches("the ledger could not be read").count(), 1, "{log}");
}
