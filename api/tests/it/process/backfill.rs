//! `api backfill`.

use chrono::Utc;
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, Stub, World};
use tempfile::TempDir;

use super::{ApiProcess, api, output, stub};
use crate::databases::Database;

const TOPIC: &str = "kubernetes";

/// A stub whose 12 repositories have pasts, and a folder whose database knows them.
async fn refreshed() -> (Stub, TempDir) {
    let today = Utc::now().date_naive();
    let stub = stub(World::generate_with_history(12, 7, &[TOPIC.to_owned()], 30, today)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, stderr) = run(&stub, &folder, &["refresh", TOPIC]).await;
    assert_eq!(code, 0, "{stderr}");
    stub.world().counters.requests.clear();
    (stub, folder)
}

/// Runs a command to its end.
async fn run(stub: &Stub, folder: &TempDir, command: &[&str]) -> (i32, String, String) {
    let settings = [("GITHUB_API_URL", &*stub.url()), ("DATA_DIR", "."), ("RUST_LOG", "off")];
    let mut program = api(folder, &settings);
    program.args(command);
    output(program).await
}

/// The paths, without the pages, of the requests since the last call.
fn asked(stub: &Stub) -> Vec<String> {
    let requests = std::mem::take(&mut stub.world().counters.requests);
    let path = |line: String| line.split(['?']).next().unwrap_or_default().to_owned();
    let mut paths: Vec<String> = requests.into_iter().map(|(_, line)| path(line)).collect();
    paths.dedup();
    paths
}

/// The repositories with backfilled days, and the number of those days.
async fn days(folder: TempDir) -> (Vec<String>, TempDir) {
    let database = Database::Sqlite(folder);
    let days = "SELECT repository_id || ' ' || sum(julianday(last_day) - julianday(first_day) + 1)
        FROM backfilled GROUP BY repository_id ORDER BY repository_id";
    let days = database.query(days).await;
    let Database::Sqlite(folder) = database else { panic!("it is SQLite") };
    (days, folder)
}

#[tokio::test]
async fn backfill_command_shows_progress_beside_the_service_and_asks_once() {
    let (stub, folder) = refreshed().await;
    let settings = [("GITHUB_API_URL", &*stub.url()), ("DATA_DIR", "."), ("SCHEDULER", "external")];
    let service = ApiProcess::start(api(&folder, &settings)).await;
    let (code, stdout, stderr) = run(&stub, &folder, &["backfill", TOPIC]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("kubernetes: 12 of 12 repositories done, "), "{stdout}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!((lines.len(), lines[0]), (13, "0 of 12 repositories done"), "{stderr}");
    assert_eq!(lines[12], "12 of 12 repositories done");
    assert_eq!(asked(&stub).len(), 12);
    let (code, stdout, _) = run(&stub, &folder, &["backfill", TOPIC]).await;
    assert_eq!(
        (code, &*stdout),
        (0, "kubernetes: 12 of 12 repositories done, 0 requests\n"),
        "a second run has nothing to ask for"
    );
    assert_eq!(asked(&stub), Vec::<String>::new());
    assert_eq!(service.get("/api/kubernetes").await.0, 200);
    assert_eq!(days(folder).await.0.len(), 12);
}

#[tokio::test]
async fn backfill_command_goes_on_after_it_was_killed_or_interrupted() {
    for signal in ["-KILL", "-INT", "-TERM"] {
        let (stub, folder) = refreshed().await;
        // The second page of the fourth repository never comes.
        let fourth = {
            let mut world = stub.world();
            let id = world.ranked(TOPIC, "stars")[3];
            let name = world.repository(id).expect("a repository").full_name();
            let path = format!("/repos/{name}/");
            let fault = Fault::from(FaultKind::Slow { millis: 600_000 }).at(&path).skip(1);
            world.faults.push(fault);
            path
        };
        let settings = [("GITHUB_API_URL", &*stub.url()), ("DATA_DIR", ".")];
        let mut program = api(&folder, &settings);
        program.args(["backfill", TOPIC]).stderr(std::process::Stdio::piped());
        let child = program.spawn().expect("the program starts");
        while !stub.world().counters.faults.contains_key("slow") {
            tokio::task::yield_now().await;
        }
        let pid = child.id().expect("a running program").to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
        let ended = child.wait_with_output().await.expect("the program ends");
        if signal != "-KILL" {
            assert_eq!(ended.status.code(), Some(1), "{signal}");
            let log = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(log.ends_with("api: stopped; the next backfill finishes the work\n"), "{log}");
        }
        let first = asked(&stub);
        assert_eq!(first.len(), 4, "{signal}: {first:?}");
        let (before, folder) = days(folder).await;
        assert_eq!(before.len(), 3, "{signal}: a repository has its whole history or none");

        let (code, stdout, stderr) = run(&stub, &folder, &["backfill", TOPIC]).await;
        assert_eq!(code, 0, "{signal}: {stderr}");
        assert!(stdout.starts_with("kubernetes: 12 of 12 repositories done, "), "{stdout}");
        assert!(stderr.starts_with("3 of 12 repositories done\n"), "{signal}: {stderr}");
        let second = asked(&stub);
        assert_eq!(second.len(), 9, "{signal}: {second:?}");
        assert!(second[0].contains(&fourth), "{signal}: {second:?}");
        let (after, _) = days(folder).await;
        assert_eq!(after.len(), 12, "{signal}");
        assert!(before.iter().all(|days| after.contains(days)), "{signal}");
    }
}

#[tokio::test]
async fn backfill_command_exits_0_at_the_reserve_and_says_when_to_go_on() {
    let (stub, folder) = refreshed().await;
    let limit = Limit { with_token: 5_000, without_token: 20 };
    stub.world().settings.core_limit = Some(limit);
    for requests in [16, 0] {
        let (code, stdout, stderr) = run(&stub, &folder, &["backfill", TOPIC]).await;
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(&format!(", {requests} requests\n")), "{stdout}");
        let last = stdout.lines().last().expect("a line");
        let when =
            last.strip_prefix("GitHub's limit is used up to its reserve: run it again after ");
        let when = when.map(str::parse::<chrono::DateTime<Utc>>);
        assert!(when.is_some_and(|when| when.is_ok_and(|when| when > Utc::now())), "{stdout}");
    }
}

#[tokio::test]
async fn backfill_command_exits_1_with_one_line_when_it_cannot_go_on() {
    let (stub, folder) = refreshed().await;
    let (code, stdout, stderr) = run(&stub, &folder, &["backfill", "mcp"]).await;
    let expected = "api: mcp is not tracked; `api refresh mcp` tracks it\n";
    assert_eq!((code, &*stdout, &*stderr), (1, "", expected));
    assert_eq!(asked(&stub), Vec::<String>::new());
    assert_eq!(run(&stub, &folder, &["backfill"]).await.0, 2);

    stub.world().faults.push(Fault::from(FaultKind::Unauthorized).times(1_000));
    let (code, _, stderr) = run(&stub, &folder, &["backfill", TOPIC]).await;
    let last = stderr.lines().last().expect("a line");
    assert_eq!(code, 1, "{stderr}");
    assert!(last.contains("stopped at 0 of 12 repositories; run it again: "), "{last}");
    assert!(last.contains("GITHUB_TOKEN"), "{last}");
}
