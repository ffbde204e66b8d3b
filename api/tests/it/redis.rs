//! A Redis server for each test.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::say_not_run;

/// A server on a socket in a temporary folder, which ends when this is dropped.
pub(crate) struct Redis {
    folder: TempDir,
    server: Child,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server. If `redis-server` is not installed, this prints that the test is skipped,
    /// or panics if REQUIRE_ALL_BACKENDS is set.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&["--port", "0", "--save", ""]).await
    }

    /// The same for a server with these arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let Some(server) = launch(&folder, &arguments).await else {
            assert!(
                std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(),
                "redis-server is not installed"
            );
            say_not_run("redis-server is not installed; `make test` installs it");
            return None;
        };
        Some(Self { folder, server, arguments })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// The value of REDIS_URL.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Runs a command with redis-cli and returns its output.
    pub(crate) async fn command(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("redis-cli").arg("-s").arg(self.socket()).args(arguments).output();
        String::from_utf8(output.await.expect("redis-cli runs").stdout).expect("text")
    }

    pub(crate) async fn kill(&mut self) {
        self.server.kill().await.expect("a running server");
    }

    pub(crate) async fn restart(&mut self) {
        self.server =
            launch(&self.folder, &self.arguments).await.expect("redis-server is installed");
    }

    /// Sends a signal. Between `-STOP` and `-CONT` the server accepts connections and does not
    /// answer.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.server.id().expect("a running server").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.expect("kill runs");
        assert!(sent.success());
    }
}

async fn launch(folder: &TempDir, arguments: &[String]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(arguments).arg("--dir").arg(folder.path()).args(["--unixsocket", "redis.sock"]);
    let mut server = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().ok()?;
    let mut lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    while let Some(line) = lines.next_line().await.expect("a readable log") {
        // The task reads the log until the end, or a write to the closed pipe would end the server.
        if line.contains("eady to accept connections") || line.contains("+monitor master") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(server);
        }
    }
    panic!("redis-server did not start");
}
