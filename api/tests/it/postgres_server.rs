//! PostgreSQL servers of a test's own, which can be killed, copied and promoted.

use std::path::PathBuf;
use std::process::{Command as BlockingCommand, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

use crate::databases::Database;
use crate::postgres::{free_port, is_root};
use crate::support::say_not_run;

/// A server on a port of the loopback interface, which ends when this is dropped.
pub(crate) struct PostgresServer {
    pub(crate) port: u16,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts an empty server with these settings. If PostgreSQL's programs are not in PATH, this
    /// prints that the test is skipped, or panics if REQUIRE_ALL_BACKENDS is set.
    pub(crate) async fn start(settings: &[&str]) -> Option<Self> {
        let server = Self::new().await;
        let arguments = ["--username=mirror", "--auth=trust", "--encoding=UTF8", "--no-locale"];
        let made = server.command("initdb").args(arguments).arg("--no-sync").output().await;
        let Ok(made) = made.map(|made| made.status).map_err(|error| error.kind()) else {
            assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "initdb is not in PATH");
            say_not_run("PostgreSQL's initdb is not in PATH; `make test` finds it");
            return None;
        };
        assert!(made.success(), "initdb: {made}");
        server.launch(settings).await;
        Some(server)
    }

    /// Starts a standby that copies this server and follows it.
    pub(crate) async fn standby(&self) -> Self {
        let standby = Self::new().await;
        let source = format!("--dbname=postgres://mirror@127.0.0.1:{}", self.port);
        let arguments = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"];
        let mut copy = standby.command("pg_basebackup");
        succeed(copy.arg(source).args(arguments).arg("-D").arg(standby.data())).await;
        standby.launch(&[]).await;
        standby
    }

    async fn new() -> Self {
        let server =
            Self { port: free_port().await, folder: tempfile::tempdir().expect("a folder") };
        if is_root() {
            succeed(Command::new("chown").arg("postgres").arg(server.folder.path())).await;
        }
        server
    }

    /// Starts the server, with settings such as `ssl=on`.
    pub(crate) async fn launch(&self, settings: &[&str]) {
        let port = format!("port={}", self.port);
        let own = ["listen_addresses=127.0.0.1", &port, "unix_socket_directories="];
        // No test needs durability.
        let fast = ["fsync=off", "full_page_writes=off", "wal_retrieve_retry_interval=100ms"];
        let options: String = own
            .iter()
            .chain(&fast)
            .chain(settings)
            .map(|setting| format!(" -c {setting}"))
            .collect();
        let mut start = self.command("pg_ctl");
        start.args(["start", "--silent", "--wait", "--log"]).arg(self.folder.path().join("log"));
        succeed(start.arg(format!("--options={options}"))).await;
    }

    pub(crate) async fn stop(&self) {
        succeed(self.command("pg_ctl").args(["stop", "--silent", "--mode=fast"])).await;
    }

    /// Ends the server at once, as a crash does.
    pub(crate) async fn kill(&self) {
        succeed(self.command("pg_ctl").args(["stop", "--silent", "--mode=immediate"])).await;
    }

    /// Makes a standby take writes.
    pub(crate) async fn promote(&self) {
        succeed(self.command("pg_ctl").args(["promote", "--silent", "--wait"])).await;
    }

    /// The service's database on this server.
    pub(crate) fn database(&self) -> Database {
        Database::Postgres(format!("postgres://mirror@127.0.0.1:{}/mirror", self.port))
    }

    /// Changes a setting of the running server.
    pub(crate) async fn set(&self, setting: &str) {
        let sql = [format!("ALTER SYSTEM SET {setting}"), "SELECT pg_reload_conf()::text".into()];
        for statement in sql {
            self.database().query(&statement).await;
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of PostgreSQL's programs, which refuse to run as root.
    fn command(&self, program: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
            command
        } else {
            Command::new(program)
        };
        command.env("PGDATA", self.data()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

async fn succeed(command: &mut Command) {
    let status = command.status().await.expect("the program is in PATH");
    assert!(status.success(), "{command:?}: {status}");
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let lines = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = lines.lines().next() {
            // SIGQUIT ends the server and its children at once.
            let _ = BlockingCommand::new("kill").args(["-QUIT", pid]).status();
        }
    }
}
