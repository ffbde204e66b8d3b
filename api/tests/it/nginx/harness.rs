//! nginx with the stack's configuration, and what tests ask of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use super::replica::Replica;
use crate::support::{Answer, eventually, http_client, say_not_run, send};

/// Settings of the proxy, and replacements for text of nginx.conf that occurs once.
#[derive(Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) topics: &'a str,
    pub(super) rate_limit: u32,
    pub(super) edits: &'a [(&'a str, &'a str)],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { topics: "kubernetes, mcp", rate_limit: 1_000, edits: &[] }
    }
}

/// A running nginx. It has the stack's configuration but for its port, one worker in place of one
/// for each core, and an upstream.conf that Debian's older nginx accepts.
pub(crate) struct Nginx {
    pub(crate) url: String,
    address: SocketAddr,
    http: reqwest::Client,
    log: Arc<Mutex<Vec<Value>>>,
    server: Child,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx. If the program is missing, the test says so and gets `None`, or fails if
    /// REQUIRE_ALL_BACKENDS is set.
    pub(crate) async fn start(replicas: &[SocketAddr]) -> Option<Self> {
        Self::start_with(replicas, Setup::default()).await
    }

    pub(super) async fn start_with(replicas: &[SocketAddr], setup: Setup<'_>) -> Option<Self> {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().await.is_err() {
            assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "there is no nginx");
            say_not_run("there is no nginx; `make test` installs it");
            return None;
        }
        let address = free_address();
        let folder = tempfile::tempdir().expect("a temporary folder");
        configure(folder.path(), address, replicas, setup);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        // The workers of a root's nginx would be another user's, who may not enter the folder. For
        // other users `user` does nothing.
        command.args(["-e", "stderr", "-g", "daemon off; user root;"]);
        let errors = folder.path().join("errors");
        command.stderr(std::fs::File::create(&errors).expect("made"));
        let mut server =
            command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("nginx starts");
        let log = read_access_log(server.stdout.take().expect("a pipe"));
        eventually(10, "nginx listens", async || {
            let ended = server.try_wait().expect("a child");
            assert_eq!(ended, None, "{}", std::fs::read_to_string(&errors).unwrap_or_default());
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        let url = format!("http://{address}");
        Some(Self { url, address, http: http_client(), log, server, folder })
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        send(&self.http, method, &format!("{}{path}", self.url), headers).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    /// The number of lists in nginx's cache, and their bytes.
    pub(super) fn cached(&self) -> (usize, u64) {
        let files = std::fs::read_dir(self.folder.path().join("lists")).expect("nginx has made it");
        // nginx may remove a file between the listing and the look at its size.
        let sizes: Vec<u64> =
            files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).collect();
        (sizes.len(), sizes.iter().sum())
    }

    /// Sends these bytes and returns all that comes back until nginx closes the connection.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let mut answer = Vec::new();
        // nginx may close the connection before it has read everything, or reset it.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The first matching entry of the access log, which nginx writes once a second.
    pub(crate) async fn logged(&self, matches: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        eventually(5, "it is in the access log", async || {
            found = self
                .log
                .lock()
                .expect("no panic")
                .iter()
                .find(|entry| matches(entry))
                .cloned()
                .unwrap_or_default();
            !found.is_null()
        })
        .await;
        found
    }
}

impl Drop for Nginx {
    /// SIGTERM lets nginx stop its workers; SIGKILL would leave them running.
    fn drop(&mut self) {
        if let Some(pid) = self.server.id() {
            let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        }
        while matches!(self.server.try_wait(), Ok(None)) {
            std::thread::yield_now();
        }
    }
}

pub(super) async fn two_replicas() -> Option<(Replica, Replica, Nginx)> {
    let (a, b) = (Replica::start().await, Replica::start().await);
    let nginx = Nginx::start(&[a.address, b.address]).await?;
    Some((a, b, nginx))
}

pub(super) async fn one_replica(edits: &[(&str, &str)]) -> Option<(Replica, Nginx)> {
    let replica = Replica::start().await;
    let setup = Setup { edits, ..Setup::default() };
    let nginx = Nginx::start_with(&[replica.address], setup).await?;
    Some((replica, nginx))
}

/// A port that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
}

/// Checks what all problem documents of nginx have in common, and returns the document.
#[track_caller]
pub(super) fn problem(answer: &Answer, status: u16, instance: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(
        answer.header("content-security-policy"),
        "default-src 'none'; frame-ancestors 'none'"
    );
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let is_maintenance =
        ["bootstrap_db", "update_cache"].iter().any(|path| instance.contains(path));
    let policy = answer.header("cross-origin-resource-policy");
    assert!(["cross-origin", "same-origin"].contains(&policy));
    assert!(policy == "same-origin" || !is_maintenance, "{instance}");
    let problem = answer.json();
    assert_eq!(
        (&problem["type"], &problem["status"], &problem["instance"]),
        (&"about:blank".into(), &status.into(), &instance.into())
    );
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    assert!(
        ["title", "detail"]
            .iter()
            .all(|name| problem[name].as_str().is_some_and(|text| !text.is_empty())),
        "{problem}"
    );
    problem
}

/// How many of eight requests in a row the rate limit refuses.
pub(super) async fn refused(nginx: &Nginx, path: &str) -> usize {
    let mut refused = 0;
    for _ in 0..8 {
        refused += usize::from(nginx.get(path).await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    refused
}

fn read_access_log(stdout: ChildStdout) -> Arc<Mutex<Vec<Value>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let entry =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            written.lock().expect("no panic").push(entry);
        }
    });
    log
}

/// A file of the folder nginx/.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes the configuration into a folder, as start.sh does in the container.
fn configure(folder: &Path, address: SocketAddr, replicas: &[SocketAddr], setup: Setup<'_>) {
    let (mut configuration, limits) = (file("nginx.conf"), file("limits.conf.template"));
    let listen = format!("listen {address};");
    let always = [("listen 8081;", &*listen), ("worker_processes auto;", "worker_processes 1;")];
    for (before, after) in always.iter().chain(setup.edits) {
        assert_eq!(configuration.matches(before).count(), 1, "{before}");
        configuration = configuration.replace(before, after);
    }
    let limits = limits
        .replace("${TOPICS}", setup.topics)
        .replace("${RATE_LIMIT}", &setup.rate_limit.to_string());
    for (name, text) in [
        ("nginx.conf", configuration),
        ("upstream.conf", upstream(replicas)),
        ("limits.conf", limits),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// upstream.conf with one or two addresses in place of the names, and without a resolver.
fn upstream(replicas: &[SocketAddr]) -> String {
    let mut text = file("upstream.conf.template");
    for (index, name) in ["api-a:5000 resolve", "api-b:5000 resolve"].iter().enumerate() {
        assert_eq!(text.matches(name).count(), 2, "{name}");
        text = match replicas.get(index) {
            Some(replica) => text.replace(name, &replica.to_string()),
            None => without_lines(&text, |line| line.contains(name)),
        };
    }
    without_lines(&text, |line| line.starts_with("resolver"))
}

fn without_lines(text: &str, removed: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| !removed(line)).fold(String::new(), |text, line| text + line + "\n")
}
