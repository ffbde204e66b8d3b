//! The program as a process, each with its own folder.

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::stand_in::StandIn;

/// A schedule that does not match while a test runs.
pub(crate) const NEVER: &str = "0 0 29 2 *";
pub(crate) const EVERY_SECOND: &str = "* * * * * *";

/// The program with its service and its state file.
pub(crate) struct Cron<'a> {
    folder: TempDir,
    stand_in: &'a StandIn,
    settings: Vec<(&'static str, String)>,
}

impl<'a> Cron<'a> {
    pub(crate) fn new(stand_in: &'a StandIn, schedule: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, stand_in, settings: vec![("REFRESH_SCHEDULE", schedule.to_owned())] }
    }

    pub(crate) fn with(mut self, setting: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((setting, value.into()));
        self
    }

    pub(crate) fn state_file(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    /// The recorded time of the start or the last success.
    pub(crate) fn last_success(&self) -> Option<DateTime<Utc>> {
        let text = std::fs::read_to_string(self.state_file()).ok()?;
        Some(text.parse().expect("a time"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cron"));
        command.env_clear().env("API_URL", &self.stand_in.url).env("STATE_FILE", self.state_file());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.args(arguments).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Running {
        Running(self.command(&[]).spawn().expect("the program starts"))
    }

    /// Returns the exit code and standard error.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().await.expect("the program runs");
        (output.status.code().expect("no signal"), String::from_utf8(output.stderr).expect("text"))
    }
}

pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id().expect("it runs")
    }

    /// Sends the signal and returns the exit code and the log. The program has ten seconds to stop.
    pub(crate) async fn stop(mut self, signal: &str) -> (i32, String) {
        let pid = self.id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([signal, &pid])
                .status()
                .expect("kill runs")
                .success()
        );
        let mut log = String::new();
        let ended = async {
            self.0.stderr.take().expect("a pipe").read_to_string(&mut log).await.expect("text");
            self.0.wait().await.expect("it ends")
        };
        let status = tokio::time::timeout(Duration::from_secs(10), ended)
            .await
            .expect("it stops within ten seconds");
        (status.code().expect("no signal ended it"), log)
    }
}

/// Polls until the condition holds, and fails the test after 30 s.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let tries = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), tries).await.is_ok(),
        "{what}, within 30 s"
    );
}
