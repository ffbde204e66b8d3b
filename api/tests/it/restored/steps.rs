//! The steps of docs/operations.md that back a database up and restore it, as they stand there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use github_stub::{Stub, World};
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::process::Command;

use crate::databases::{self, Database};
use crate::process::{ApiProcess, api, stub};
use crate::redis::Redis;

/// `docker` as the document calls it, in place of containers: the database's programs run here.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
"compose exec -T database "*) shift 4; exec "$@" ;;
"compose stop cron api-a api-b" | "compose up -d --wait") ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
"#;

const DOCUMENT: &str = include_str!("../../../../docs/operations.md");

/// The command of the document that has this in it.
fn command_with(part: &str) -> &'static str {
    let mut codes = DOCUMENT.split('`').skip(1).step_by(2);
    codes.find(|code| code.contains(part)).expect("a command of the document")
}

/// The commands of the numbered steps below a line of the document.
fn steps_below(line: &str) -> Vec<&'static str> {
    let (_, below) = DOCUMENT.split_once(&format!("\n{line}\n\n")).expect("a line of the document");
    let list = below.split("\n\n").next().expect("a list").lines();
    let numbered = list.filter_map(|line| line.split_once(". `"));
    let numbered = numbered.filter(|(number, _)| number.parse::<u8>().is_ok());
    numbered.map(|(_, rest)| rest.split('`').next().expect("the end of the command")).collect()
}

async fn run(folder: &Path, socket: &str, command: &str) {
    let path = std::env::var("PATH").expect("a path");
    let output = Command::new("sh")
        .args(["-euc", command])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("PGHOST", socket)
        .output();
    let output = output.await.expect("a shell");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
}

/// The service, the folder that it runs in, and the address of a database's server, if it has one.
struct Service {
    stub: Stub,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    socket: String,
}

impl Service {
    async fn new(settings: Vec<(&'static str, String)>, socket: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let docker = folder.path().join("docker");
        std::fs::write(&docker, DOCKER).expect("written");
        std::fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).expect("a program");
        let stub = stub(World::generate(40, 7, "kubernetes")).await;
        Self { stub, folder, settings, socket }
    }

    async fn start(&self) -> ApiProcess {
        let url = self.stub.url();
        let mut settings = vec![("GITHUB_API_URL", &*url), ("SCHEDULER", "external")];
        settings.extend(self.settings.iter().map(|(name, value)| (*name, &**value)));
        let process = ApiProcess::start(api(&self.folder, &settings)).await;
        assert_eq!(process.get("/bootstrap_db").await.0, StatusCode::OK);
        process
    }

    /// Gives the last repository more stars than all others, refreshes, and returns the list.
    async fn refresh(&self, process: &ApiProcess, stars: i64) -> String {
        let last = *self.stub.world().ranked("kubernetes", "stars").last().expect("a repository");
        self.stub.world().star(last, stars, chrono::Utc::now());
        assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
        process.get("/api/popularity/kubernetes").await.1
    }

    async fn stop(process: ApiProcess) {
        process.signal("-TERM");
        assert_eq!(process.ended().await.0.code(), Some(0));
    }

    /// Backs up, refreshes twice, restores, and checks that the lists are those of the backup, and
    /// that those of the next refresh follow.
    async fn check(&self, backup: &str, steps: &[&str]) {
        let folder = self.folder.path();
        let process = self.start().await;
        let saved = self.refresh(&process, 5_000_000).await;
        run(folder, &self.socket, backup).await;
        for stars in [6_000_000, 7_000_000] {
            assert_ne!(self.refresh(&process, stars).await, saved);
        }
        Self::stop(process).await;
        for step in steps {
            run(folder, &self.socket, step).await;
        }
        let process = self.start().await;
        for path in ["/db/popularity/kubernetes", "/api/popularity/kubernetes"] {
            assert_eq!(process.get(path).await.1, saved, "{path}");
        }
        let next = self.refresh(&process, 8_000_000).await;
        assert_ne!(next, saved);
        assert_eq!(process.get("/db/popularity/kubernetes").await.1, next);
        Self::stop(process).await;
    }
}

#[tokio::test]
async fn steps_for_one_process_restore_its_backup() {
    let service = Service::new(Vec::new(), String::new()).await;
    let steps = steps_below("One process:");
    assert_eq!(steps.len(), 2, "{steps:?}");
    service.check(command_with(".backup"), &steps).await;
}

/// The document's database is `mirror`, which no other test uses.
#[tokio::test]
async fn steps_for_the_stack_restore_its_backup() {
    let (Some(Database::Postgres(url)), Some(redis)) =
        (databases::postgres(), Redis::start().await)
    else {
        return;
    };
    let (_, socket) = url.split_once("?host=").expect("an address");
    let settings = vec![
        ("DATABASE_URL", format!("postgres://mirror@localhost/mirror?host={socket}")),
        ("REDIS_URL", redis.url()),
    ];
    let service = Service::new(settings, socket.to_owned()).await;
    let steps = steps_below("The stack:");
    assert_eq!(steps.len(), 5, "{steps:?}");
    service.check(command_with("pg_dump"), &steps).await;
}
