//! The stack's six parts as plain processes: proxy, two replicas, Redis, PostgreSQL and scheduler.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use github_stub::{Stub, World};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::databases::{self, Database};
use crate::nginx::Nginx;
use crate::process::{ApiProcess, api, stub};
use crate::redis::Redis;
use crate::support::{eventually, http_client};

/// The scheduler, which rings every two seconds. Cargo builds the program beside `api` if the tests
/// of the whole workspace are built.
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

struct Stack {
    stub: Stub,
    database: Database,
    redis: Redis,
    a: ApiProcess,
    _b: ApiProcess,
    nginx: Nginx,
    cron: Child,
    cron_state: PathBuf,
    _folder: TempDir,
}

impl Stack {
    async fn start() -> Option<Self> {
        let (Some(database), Some(redis)) = (databases::postgres(), Redis::start().await) else {
            return None;
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
        let a = ApiProcess::start(api(&folder, &settings)).await;
        let b = ApiProcess::start(api(&folder, &settings)).await;
        let addresses = [&a, &b].map(|process| {
            process.url.trim_start_matches("http://").parse::<SocketAddr>().expect("an address")
        });
        let nginx = Nginx::start(&addresses).await?;
        let cron_state = folder.path().join("last-success");
        let cron = cron(&nginx.url, &cron_state).spawn().expect("cron starts");
        Some(Self { stub, database, redis, a, _b: b, nginx, cron, cron_state, _folder: folder })
    }

    async fn check_first_refresh(&self) {
        let complete = "\"outcome\":\"complete\"";
        eventually(60, "cron has made the schema, and a refresh is complete", async || {
            let refreshes = self.nginx.get("/refreshes").await;
            refreshes.status == StatusCode::OK && refreshes.text().contains(complete)
        })
        .await;
        // cron hears of the refresh's end when it asks for it the next time.
        eventually(60, "cron is healthy", async || {
            let mut healthcheck = cron(&self.nginx.url, &self.cron_state);
            let output = healthcheck.arg("healthcheck").output().await.expect("cron runs");
            output.status.success()
        })
        .await;
    }

    async fn check_lists(&self) {
        for (path, sort) in [("", "best-match"), ("popularity/", "stars"), ("activity/", "updated")]
        {
            let expected = self.stub.world().ranked("kubernetes", sort)[..500].to_vec();
            for prefix in ["/api", "/db"] {
                let ids = self.nginx.get(&format!("{prefix}/{path}kubernetes")).await.ids();
                assert_eq!(
                    ids.iter().zip(&expected).find(|(own, expected)| own != expected),
                    None,
                    "{prefix}/{path}"
                );
            }
        }
    }

    async fn check_both_replicas_serve(&self) {
        // All requests are sent before any is looked up in the log, which takes a second each time.
        // Else cron could send one request between each two and get one replica to itself.
        let ids: Vec<String> = (0..12).map(|index| format!("which-replica-{index}")).collect();
        for id in &ids {
            self.nginx.request(Method::GET, "/topics", &[("x-request-id", id)]).await;
        }
        let mut replicas = BTreeSet::new();
        for id in &ids {
            let entry = self.nginx.logged(|entry| entry["request_id"] == **id).await;
            replicas.insert(entry["upstream"].to_string());
        }
        assert_eq!(replicas.len(), 2, "both replicas serve: {replicas:?}");
    }

    async fn check_cron_and_redis(&self) {
        let causes = "SELECT count(DISTINCT cause) || ' ' || min(cause) FROM refreshes";
        assert_eq!(self.database.query(causes).await, ["1 request"], "cron started every refresh");
        assert!(self.redis.command(&["DBSIZE"]).await.trim() != "0", "Redis has the lists");
        assert_eq!(
            self.nginx.get("/update_cache").await.status,
            StatusCode::UNAUTHORIZED,
            "maintenance needs the token"
        );
    }

    /// Kills a replica. Every read still succeeds, and cron still refreshes.
    async fn check_kill_of_a_replica(&mut self) {
        let url = format!("{}/api/popularity/kubernetes", self.nginx.url);
        let reader = tokio::spawn(async move {
            let http = http_client();
            loop {
                let response = http.get(&url).send().await.expect("a response");
                assert_eq!(response.status(), StatusCode::OK);
                assert!(response.bytes().await.expect("a whole body").ends_with(b"]"));
            }
        });
        self.a.kill().await;
        let first = self.stub.world().ranked("kubernetes", "stars")[0];
        let newest = self.stub.world().ranked("kubernetes", "stars")[400];
        assert_ne!(first, newest);
        self.stub.world().star(newest, 9_000_000, chrono::Utc::now());
        // If the replica was refreshing, its lease has to expire first.
        eventually(120, "the lists show cron's next refresh", async || {
            self.nginx.get("/api/popularity/kubernetes").await.ids()[0] == newest
        })
        .await;
        assert!(!reader.is_finished(), "no read failed");
        reader.abort();
    }

    async fn check_cron_stops_at_sigterm(&mut self) {
        let pid = self.cron.id().expect("a running program").to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(kill.expect("kill runs").success());
        assert!(self.cron.wait().await.expect("cron ends").success());
    }
}

#[tokio::test]
async fn stack_serves_and_refreshes_when_one_replica_is_killed() {
    let Some(mut stack) = Stack::start().await else { return };
    stack.check_first_refresh().await;
    stack.check_lists().await;
    stack.check_both_replicas_serve().await;
    stack.check_cron_and_redis().await;
    stack.check_kill_of_a_replica().await;
    stack.check_cron_stops_at_sigterm().await;
}

const COMPOSE: &str = include_str!("../../../docker-compose.yml");

/// The variables of the part of docker-compose.yml that begins with this line.
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

/// `.env` is the stack's table of settings, and docker-compose.yml passes each one to the parts
/// that read it.
#[test]
fn docker_compose_passes_every_setting_to_its_part() {
    let documents =
        concat!(include_str!("../../../README.md"), include_str!("../../../docs/operations.md"));
    let secrets = ["GITHUB_TOKEN_FILE", "MAINTENANCE_TOKEN_FILE", "PURGE_KEY_FILE"];
    let way_to_github = ["HTTPS_PROXY", "NO_PROXY", "SSL_CERT_DIR"];
    // The stack uses PostgreSQL and has no DATA_DIR.
    let settings =
        api::config::SETTINGS.iter().map(|setting| setting.name).filter(|name| *name != "DATA_DIR");
    let parts: [(&str, Vec<&str>); 4] = [
        ("x-api: &api", settings.chain(secrets).chain(way_to_github).chain(["RUST_LOG"]).collect()),
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
