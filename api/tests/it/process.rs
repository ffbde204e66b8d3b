//! The `api` program as a process of its own.

use std::process::{ExitStatus, Output, Stdio};

use github_stub::{Stub, World};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::support::eventually;

mod backfill;
mod egress;
mod floods;
mod metrics;
mod secrets;
mod start;
mod stop;

/// The program with these settings and nothing else of the environment.
pub(crate) fn api(folder: &TempDir, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().current_dir(folder).kill_on_drop(true);
    command
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("LOG_FORMAT", "json")
        .envs(settings.iter().copied());
    command
}

pub(crate) async fn output(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().await.expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

/// A running program and its address.
pub(crate) struct ApiProcess {
    child: Child,
    pub(crate) url: String,
    /// The text that was logged so far. The channel closes at the end of the log.
    log: watch::Receiver<String>,
}

impl ApiProcess {
    /// Starts the program and reads its log until that names the address.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut log = String::new();
        loop {
            let line = lines
                .next_line()
                .await
                .expect("a log")
                .unwrap_or_else(|| panic!("the program ended: {log}"));
            log.extend([line.as_str(), "\n"]);
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = entry["address"].as_str() {
                let url = format!("http://{address}");
                let (sender, log) = watch::channel(log);
                tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        sender.send_modify(|log| log.extend([line.as_str(), "\n"]));
                    }
                });
                return Self { child, url, log };
            }
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("a response");
        (answer.status(), answer.text().await.expect("a body"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a running program")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.id().to_string();
        let sent =
            std::process::Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) async fn kill(&mut self) {
        self.child.start_kill().expect("a running program");
        self.child.wait().await.expect("the program ends");
    }

    /// Waits until the log has these words.
    pub(crate) async fn has_logged(&self, words: &str) {
        eventually(30, words, async || self.log.borrow().contains(words)).await;
    }

    /// Waits for the end. Returns the exit status and the whole log.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().await.expect("the program ends");
        while self.log.changed().await.is_ok() {}
        let log = self.log.borrow().clone();
        (status, log)
    }
}

pub(crate) async fn stub(world: World) -> Stub {
    crate::support::install_tls_provider();
    Stub::start(world).await.expect("a free port")
}
