//! The six parts of the stack as plain processes: proxy, two replicas, Redis, PostgreSQL,
//! scheduler.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use github_stub::World;
use reqwest::{Method, StatusCode};
use tokio::process::Command;

use crate::databases;
use crate::nginx::Nginx;
use crate::process::{Running, api, stub};
use crate::redis::Redis;
use crate::support::{eventually, http_client};

/// The scheduler, ringing every two seconds: cargo builds it beside the service, for its own tests.
fn cron(url: &str, state_file: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_api")).with_file_name("cron");
    assert!(
        program.exists(),
        "{} is missing: run the tests of the whole workspace",
        program.display()
    );
    let mut command = Command::new(program);
    command.env_clear().kill_on_drop(true).env("API_URL", url).env("STATE_FILE", state_file);
    command
        .env("REFRESH_SCHEDULE", "*/2 * * * * *")
        .env("MAINTENANCE_TOKEN", "correct-horse")
        .env("LOG_FORMAT", "json");
    command
}

#[tokio::test]
async fn six_processes_work_together_and_one_replica_may_die() {
    let (Some(database), Some(redis)) = (databases::postgres(), Redis::start().await) else {
        return;
    };
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("GITHUB_API_URL", &*stub.url()),
        ("DATABASE_URL", &database.setting()),
        ("REDIS_URL", &redis.url()),
        ("SCHEDULER", "external"),
        ("REFRESH_SCHEDULE", "*/2 * * * * *"),
        ("MAINTENANCE_TOKEN", "correct-horse"),
    ];
    let mut a = Running::start(api(&folder, &settings)).await;
    let b = Running::start(api(&folder, &settings)).await;
    let addresses = [&a, &b].map(|running| {
        running.url.trim_start_matches("http://").parse::<SocketAddr>().expect("an address")
    });
    let Some(nginx) = Nginx::start(&addresses).await else { return };

    let state_file = folder.path().join("last-success");
    let mut ringing = cron(&nginx.url, &state_file).spawn().expect("cron starts");
    eventually(60, "cron has made the schema, and a refresh has ended", async || {
        let refreshes = nginx.get("/refreshes").await;
        refreshes.status == StatusCode::OK && refreshes.text().contains("\"outcome\":\"complete\"")
    })
    .await;
    let healthy = async || {
        cron(&nginx.url, &state_file)
            .arg("healthcheck")
            .output()
            .await
            .expect("cron runs")
            .status
            .success()
    };
    assert!(healthy().await);

    for (path, sort) in [("", "best-match"), ("popularity/", "stars"), ("activity/", "updated")] {
        let expected = stub.world().ranked("kubernetes", sort)[..500].to_vec();
        for prefix in ["/api", "/db"] {
            let ids = nginx.get(&format!("{prefix}/{path}kubernetes")).await.ids();
            assert_eq!(
                ids.iter().zip(&expected).find(|(own, expected)| own != expected),
                None,
                "{prefix}/{path}"
            );
        }
    }
    // All asked before any is looked up in the log, which takes a second: else the scheduler,
    // asking once in between each time, could have one replica to itself.
    let ids: Vec<String> = (0..12).map(|index| format!("which-replica-{index}")).collect();
    for id in &ids {
        nginx.request(Method::GET, "/topics", &[("x-request-id", id)]).await;
    }
    let mut served = BTreeSet::new();
    for id in &ids {
        served.insert(
            nginx.logged(|entry| entry["request_id"] == **id).await["upstream"].to_string(),
        );
    }
    assert_eq!(served.len(), 2, "both replicas serve: {served:?}");
    assert_eq!(
        database.query("SELECT count(DISTINCT cause) || ' ' || min(cause) FROM refreshes").await,
        ["1 request"],
        "cron rang"
    );
    assert!(redis.command(&["DBSIZE"]).await.trim() != "0", "Redis has the lists");
    assert_eq!(
        nginx.get("/update_cache").await.status,
        StatusCode::UNAUTHORIZED,
        "not for strangers"
    );

    // A reader notices nothing of a replica that dies, and neither does the scheduler.
    let url = format!("{}/api/popularity/kubernetes", nginx.url);
    let reading = tokio::spawn(async move {
        let http = http_client();
        loop {
            let answer = http.get(&url).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(answer.bytes().await.expect("a whole body").ends_with(b"]"));
        }
    });
    a.child.start_kill().expect("it runs");
    a.child.wait().await.expect("it ends");
    let first = stub.world().ranked("kubernetes", "stars")[0];
    let newest = stub.world().ranked("kubernetes", "stars")[400];
    assert_ne!(first, newest);
    stub.world().star(newest, 9_000_000, chrono::Utc::now());
    eventually(60, "cron's next refresh is served", async || {
        nginx.get("/api/popularity/kubernetes").await.ids()[0] == newest
    })
    .await;
    assert!(!reading.is_finished(), "no read failed");
    reading.abort();

    let pid = ringing.id().expect("it runs").to_string();
    assert!(
        Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs").success()
    );
    assert!(ringing.wait().await.expect("it ends").success(), "cron stops cleanly");
}

const COMPOSE: &str = include_str!("../../../docker-compose.yml");

/// The variables of one part of docker-compose.yml, which begins with this line.
fn environment(part: &str) -> BTreeSet<&'static str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines = COMPOSE.lines().skip_while(|line| *line != part).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || depth(line) > depth(part));
    let mut lines = lines.skip_while(|line| line.trim() != "environment:");
    let outside = depth(lines.next().unwrap_or_else(|| panic!("{part} has no environment")));
    let lines = lines
        .take_while(|line| depth(line) > outside)
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(':').expect("a name").0).collect()
}

/// `.env` is the stack's table of settings, and docker-compose.yml hands each of them to whoever
/// reads it.
#[test]
fn every_setting_reaches_the_stack() {
    let documents =
        concat!(include_str!("../../../README.md"), include_str!("../../../docs/operations.md"));
    let secrets = ["GITHUB_TOKEN_FILE", "MAINTENANCE_TOKEN_FILE"];
    // The stack has PostgreSQL in place of a folder.
    let settings =
        api::config::SETTINGS.iter().map(|setting| setting.name).filter(|name| *name != "DATA_DIR");
    let parts: [(&str, Vec<&str>); 4] = [
        ("x-api: &api", settings.chain(secrets).chain(["RUST_LOG"]).collect()),
        ("  proxy:", vec!["TOPICS", "RATE_LIMIT"]),
        ("  database:", vec!["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"]),
        (
            "  cron:",
            [
                "API_URL",
                "REFRESH_SCHEDULE",
                "STATE_FILE",
                "MAINTENANCE_TOKEN",
                secrets[1],
                "LOG_FORMAT",
                "RUST_LOG",
            ]
            .into(),
        ),
    ];
    for (part, names) in &parts {
        assert_eq!(environment(part), names.iter().copied().collect(), "{part}");
    }
    let keys = include_str!("../../../.env")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    for (key, _) in keys {
        let passed_on = parts.iter().any(|(_, names)| names.contains(&key));
        assert!(
            passed_on || COMPOSE.contains(&format!("${{{key}:-")),
            "docker-compose.yml does not use {key} of .env"
        );
        assert!(documents.contains(&format!("`{key}`")), "no document names {key} of .env");
    }
}
