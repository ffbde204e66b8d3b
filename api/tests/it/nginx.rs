//! The proxy's own configuration, on an nginx of the tests' own, before replicas that do as they
//! are told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::serve::ListenerExt;
use futures_util::future::join_all;
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::support::{Answer, Mirror, eventually, http_client, say_not_run, send};

/// A file of the proxy's, as it is now.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// nginx with the stack's configuration: another port, and an upstream file that Debian's older
/// nginx understands.
pub(crate) struct Nginx {
    pub(crate) url: String,
    address: SocketAddr,
    http: reqwest::Client,
    log: Arc<Mutex<Vec<Value>>>,
    server: Child,
    folder: TempDir,
}

impl Nginx {
    /// Without the program there is nothing to test on, which is said, and is an error where
    /// everything must be tested.
    pub(crate) async fn start(replicas: &[SocketAddr]) -> Option<Self> {
        Self::start_with(replicas, "kubernetes, mcp", 1_000).await
    }

    async fn start_with(replicas: &[SocketAddr], topics: &str, rate_limit: u32) -> Option<Self> {
        Self::start_changed(replicas, topics, rate_limit, &[]).await
    }

    /// With other words in place of some that nginx.conf has.
    pub(crate) async fn start_changed(
        replicas: &[SocketAddr],
        topics: &str,
        rate_limit: u32,
        changes: &[(&str, &str)],
    ) -> Option<Self> {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().await.is_err() {
            assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "there is no nginx");
            say_not_run("there is no nginx; `make test` installs it");
            return None;
        }
        let address = free_address();
        let folder = tempfile::tempdir().expect("a temporary folder");
        configure(folder.path(), address, replicas, topics, rate_limit, changes);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        // As root its workers would be somebody who may not look into the folder; for others `user`
        // says nothing.
        command.args(["-e", "stderr", "-g", "daemon off; user root;"]);
        let errors = folder.path().join("errors");
        command.stderr(std::fs::File::create(&errors).expect("made"));
        let mut server =
            command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("nginx starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let entry =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                written.lock().expect("no panic").push(entry);
            }
        });
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

    /// How many lists nginx keeps, and how many bytes they take.
    pub(crate) fn kept(&self) -> (usize, u64) {
        let files = std::fs::read_dir(self.folder.path().join("lists")).expect("nginx has made it");
        // Files come and go.
        let sizes: Vec<u64> =
            files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).collect();
        (sizes.len(), sizes.iter().sum())
    }

    /// What a client that knows no HTTP gets for these bytes, up to the connection's end.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    /// The access log's first entry that fits. It is written a second late.
    pub(crate) async fn logged(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        eventually(5, "it is in the access log", async || {
            found = self
                .log
                .lock()
                .expect("no panic")
                .iter()
                .find(|entry| fits(entry))
                .cloned()
                .unwrap_or_default();
            !found.is_null()
        })
        .await;
        found
    }
}

impl Drop for Nginx {
    /// Killed, it would leave its workers behind.
    fn drop(&mut self) {
        if let Some(pid) = self.server.id() {
            let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        }
        while matches!(self.server.try_wait(), Ok(None)) {
            std::thread::yield_now();
        }
    }
}

fn configure(
    folder: &Path,
    address: SocketAddr,
    replicas: &[SocketAddr],
    topics: &str,
    rate_limit: u32,
    changes: &[(&str, &str)],
) {
    let (mut configuration, limits) = (file("nginx.conf"), file("limits.conf.template"));
    let listen = format!("listen {address};");
    let always = [("listen 8081;", &*listen), ("worker_processes auto;", "worker_processes 1;")];
    for (before, after) in always.iter().chain(changes) {
        assert_eq!(configuration.matches(before).count(), 1, "{before}");
        configuration = configuration.replace(before, after);
    }
    for (name, text) in [
        ("nginx.conf", configuration),
        ("upstream.conf", upstream(replicas)),
        (
            "limits.conf",
            limits.replace("${TOPICS}", topics).replace("${RATE_LIMIT}", &rate_limit.to_string()),
        ),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// The stack's file, with one or two addresses in place of the names, and without a resolver.
fn upstream(replicas: &[SocketAddr]) -> String {
    let mut text = file("upstream.conf");
    for (index, name) in ["api-a:5000 resolve", "api-b:5000 resolve"].iter().enumerate() {
        assert_eq!(text.matches(name).count(), 2, "{name}");
        text = match replicas.get(index) {
            Some(replica) => text.replace(name, &replica.to_string()),
            None => text
                .lines()
                .filter(|line| !line.contains(name))
                .fold(String::new(), |text, line| text + line + "\n"),
        };
    }
    text.lines()
        .filter(|line| !line.starts_with("resolver"))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// A port that nobody listens on.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
}

/// A replica that answers as it is told, and counts.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    told: Arc<Told>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    status: AtomicU16,
    delay_millis: AtomicUsize,
    version: AtomicUsize,
    /// Of the next so many requests.
    breaks: AtomicUsize,
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

impl Replica {
    pub(crate) async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn at(address: SocketAddr) -> Self {
        let told = Arc::new(Told { status: AtomicU16::new(200), ..Told::default() });
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (counted, answering) = (Arc::clone(&told), Arc::clone(&told));
        let listener = listener.tap_io(move |_| {
            counted.connections.fetch_add(1, Ordering::Relaxed);
        });
        let router =
            Router::new().fallback(async move |request: Request| answering.answer(request).await);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the listener works")
        });
        Self { address, told, task }
    }

    pub(crate) fn answers_with(&self, status: u16) {
        self.told.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn takes(&self, time: Duration) {
        self.told
            .delay_millis
            .store(usize::try_from(time.as_millis()).expect("short"), Ordering::Relaxed);
    }

    /// What `x-version` says from now on.
    pub(crate) fn has_version(&self, version: usize) {
        self.told.version.store(version, Ordering::Relaxed);
    }

    /// Ends connections in place of answers.
    pub(crate) fn breaks(&self) {
        self.breaks_next(usize::MAX);
    }

    fn breaks_next(&self, requests: usize) {
        self.told.breaks.store(requests, Ordering::Relaxed);
    }

    pub(crate) fn heals(&self) {
        self.answers_with(200);
        self.breaks_next(0);
    }

    pub(crate) fn requests(&self) -> usize {
        self.told.requests.lock().expect("no panic").len()
    }

    fn last_method(&self) -> Option<Method> {
        self.told.requests.lock().expect("no panic").last().map(|request| request.method().clone())
    }

    pub(crate) fn last_header(&self, name: &str) -> Option<HeaderValue> {
        self.told
            .requests
            .lock()
            .expect("no panic")
            .last()
            .and_then(|request| request.headers().get(name).cloned())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Told {
    async fn answer(&self, request: Request) -> Response {
        self.requests.lock().expect("no panic").push(request);
        tokio::time::sleep(Duration::from_millis(self.delay_millis.load(Ordering::Relaxed) as u64))
            .await;
        let one_less = |breaks: usize| breaks.checked_sub(1);
        if self.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            std::panic::resume_unwind(Box::new("the connection is broken on purpose"));
        }
        let status = StatusCode::from_u16(self.status.load(Ordering::Relaxed)).expect("a status");
        let headers = [
            ("retry-after", "7"),
            ("cache-control", "max-age=60"),
            ("x-request-id", "the-replicas-own"),
        ];
        let version = [("x-version", self.version.load(Ordering::Relaxed).to_string())];
        // As the service does, for lists alone.
        let until = (status == StatusCode::OK)
            .then(|| [("x-accel-expires", format!("@{}", chrono::Utc::now().timestamp()))]);
        (status, headers, version, until.map(AppendHeaders), "a replica's answer").into_response()
    }
}

async fn two_replicas() -> Option<(Replica, Replica, Nginx)> {
    let (a, b) = (Replica::start().await, Replica::start().await);
    let nginx = Nginx::start(&[a.address, b.address]).await?;
    Some((a, b, nginx))
}

#[tokio::test]
async fn both_replicas_serve_over_connections_that_are_kept() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for _ in 0..20 {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    }
    for replica in [a, b] {
        assert_eq!((replica.requests(), replica.told.connections.load(Ordering::Relaxed)), (10, 1));
    }
}

#[tokio::test]
async fn a_dead_replica_is_the_others_request_until_it_is_back() {
    let alive = Replica::start().await;
    let dead = free_address();
    let Some(nginx) = Nginx::start(&[dead, alive.address]).await else { return };
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
        for _ in 0..3 {
            assert_eq!(
                nginx.request(method.clone(), "/topics/kubernetes", &[]).await.status,
                StatusCode::OK,
                "{method}"
            );
        }
    }
    assert_eq!(alive.requests(), 12);
    let back = Replica::at(dead).await;
    eventually(5, "it is asked again", async || {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
        back.requests() > 0
    })
    .await;
}

#[tokio::test]
async fn a_request_that_one_replica_fails_is_the_others() {
    for path in ["/api/topic", "/db/topic", "/topics/topic"] {
        let faults: [fn(&Replica); 2] = [|replica| replica.answers_with(502), Replica::breaks];
        for fault in faults {
            let Some((a, b, nginx)) = two_replicas().await else { return };
            // One failure each, at the same time: neither is given up for it.
            for replica in [&a, &b] {
                fault(replica);
                // A topic that was read before, nginx has.
                for number in 0.. {
                    assert_eq!(
                        nginx.get(&format!("{path}{number}")).await.status,
                        StatusCode::OK,
                        "{path}"
                    );
                    if replica.requests() > 0 {
                        break;
                    }
                }
                replica.heals();
            }
        }
    }
}

/// As when a replica's name goes while a request waits for it: nginx tries no other then.
#[tokio::test]
async fn a_request_that_no_replica_took_is_asked_once_more() {
    let weighed = ("accept-encoding", "gzip;q=0.5");
    let br = ("accept-encoding", "br");
    let cases =
        [("/topics", &[][..], 200), ("/api/kubernetes", &[], 200), ("/api/kubernetes", &[br], 200)];
    let more = [("/api/kubernetes", &[weighed][..], 200), ("/update_cache", &[], 502)];
    for (path, headers, status) in cases.into_iter().chain(more) {
        // A new nginx each time: it tries the same replica again where a connection that it has
        // kept breaks.
        let replica = Replica::start().await;
        let Some(nginx) = Nginx::start(&[replica.address]).await else { return };
        replica.breaks_next(1);
        let answer = nginx.request(Method::GET, path, headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert_eq!(replica.requests(), if status == 200 { 2 } else { 1 }, "{path} {headers:?}");
        if status != 200 {
            problem(&answer, status, path);
        }
    }
}

/// As when both are replaced, one after the other: nginx leaves the new one alone for what its
/// predecessor failed.
#[tokio::test]
async fn a_replica_that_is_back_is_asked_where_the_other_fails() {
    let Some((back, gone, nginx)) = two_replicas().await else { return };
    back.breaks();
    // Each second one is sent to it, and five failures are too many.
    for _ in 0..10 {
        assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    }
    back.heals();
    gone.breaks();
    let asked = back.requests();
    assert_eq!(nginx.get("/topics").await.status, StatusCode::OK);
    assert_eq!(back.requests(), asked + 1);
}

#[tokio::test]
async fn a_503_is_an_answer_and_marks_nobody() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for replica in [&a, &b] {
        replica.answers_with(503);
    }
    for _ in 0..10 {
        let answer = nginx.get("/api/kubernetes").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "a replica's answer")
        );
        for (name, value) in [("retry-after", "7"), ("cache-control", "max-age=60")] {
            assert_eq!(
                answer.headers.get_all(name).iter().collect::<Vec<_>>(),
                [value],
                "sent once, as it was"
            );
        }
    }
    assert_eq!((a.requests(), b.requests()), (5, 5), "each was sent once");
    for replica in [&a, &b] {
        replica.answers_with(200);
    }
    assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK, "at once");
}

#[tokio::test]
async fn maintenance_is_never_sent_twice() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for replica in [&a, &b] {
        replica.breaks();
    }
    let paths = [
        "/update_cache",
        "//update_cache",
        "/update_cache/",
        "/update_cache?topic=kubernetes",
        "/%75pdate_cache",
    ];
    for (sent, (method, path)) in [Method::GET, Method::POST]
        .iter()
        .flat_map(|method| paths.map(|path| (method.clone(), path)))
        .enumerate()
    {
        // Either is asked again two seconds after it failed.
        eventually(5, "a replica is asked", async || {
            let answer = nginx.request(method.clone(), path, &[]).await;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{method} {path}");
            a.requests() + b.requests() > sent
        })
        .await;
        assert_eq!(a.requests() + b.requests(), sent + 1, "{method} {path}");
    }
}

/// Six seconds: nginx waits five for a list, and as long as it takes for a refresh.
#[tokio::test]
async fn a_replica_that_hangs_is_the_others_request_but_not_a_refresh() {
    let (hanging, alive) = (Replica::start().await, Replica::start().await);
    let Some(nginx) = Nginx::start(&[hanging.address, alive.address]).await else { return };
    hanging.takes(Duration::from_secs(6));
    let asked = std::time::Instant::now();
    let (list, refresh) = tokio::join!(nginx.get("/api/kubernetes"), async {
        // The list's request was the first, so this one is the other's; the next one hangs again.
        eventually(5, "the list is asked for", async || hanging.requests() == 1).await;
        nginx.get("/topics").await;
        nginx.get("/update_cache").await
    });
    assert_eq!((list.status, refresh.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!((hanging.requests(), alive.requests()), (2, 2));
    assert!(asked.elapsed() > Duration::from_secs(5));
}

#[tokio::test]
async fn the_schema_and_a_deletion_take_their_time_and_are_not_sent_twice() {
    let quick = ("proxy_read_timeout 5s;", "proxy_read_timeout 50ms;");
    let patient = ("proxy_read_timeout 10m;", "proxy_read_timeout 50ms;");
    let slow = [
        (Method::GET, "/bootstrap_db"),
        (Method::POST, "//bootstrap_db/"),
        (Method::DELETE, "/topics/x"),
        (Method::DELETE, "//topics/x/"),
    ];
    for (changes, status) in [(&[quick][..], 200), (&[quick, patient], 504)] {
        let (a, b) = (Replica::start().await, Replica::start().await);
        let Some(nginx) =
            Nginx::start_changed(&[a.address, b.address], "kubernetes", 1_000, changes).await
        else {
            return;
        };
        for replica in [&a, &b] {
            replica.takes(Duration::from_millis(300));
        }
        for (sent, (method, path)) in slow.iter().enumerate() {
            let answer = nginx.request(method.clone(), path, &[]).await;
            assert_eq!(answer.status, status, "{method} {path}");
            assert_eq!(a.requests() + b.requests(), sent + 1, "{method} {path}");
            if status == 504 {
                problem(&answer, 504, path);
            }
        }
        assert_eq!(
            nginx.get("/topics/x").await.status,
            StatusCode::GATEWAY_TIMEOUT,
            "a read has not that time"
        );
    }

    let alive = Replica::start().await;
    let Some(nginx) = Nginx::start(&[free_address(), alive.address]).await else { return };
    for (method, path) in slow {
        assert_eq!(
            nginx.request(method.clone(), path, &[]).await.status,
            StatusCode::OK,
            "{method} {path}"
        );
        assert_eq!(alive.last_method(), Some(method));
    }
}

/// What the container runs, with programs in place of those that it has.
#[test]
fn a_limit_that_is_none_is_one_line() {
    let start = |rate_limit: Option<&str>| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, script) in [
            ("envsubst", "#!/bin/sh\necho \"$RATE_LIMIT\"\n"),
            ("nginx", "#!/bin/sh\ncat limits.conf\n"),
        ] {
            let program = folder.path().join(name);
            std::fs::write(&program, script).expect("written");
            std::fs::set_permissions(program, PermissionsExt::from_mode(0o755))
                .expect("it is ours");
        }
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let mut command = std::process::Command::new("sh");
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx/start.sh"))
            .arg(folder.path());
        command.env_clear().env("PATH", path).envs(rate_limit.map(|value| ("RATE_LIMIT", value)));
        let output = command.output().expect("a shell");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for (rate_limit, expected) in
        [(None, "500\n"), (Some(""), "500\n"), (Some("1"), "1\n"), (Some("100"), "100\n")]
    {
        assert_eq!(
            start(rate_limit),
            (Some(0), expected.to_owned(), String::new()),
            "{rate_limit:?}"
        );
    }
    for wrong in ["0", "-1", "1.5", "many", " ", "5r/s", "99999999999999999999"] {
        let (code, _, said) = start(Some(wrong));
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{wrong:?}: {said}");
        assert!(said.starts_with(&format!("RATE_LIMIT: \"{wrong}\" ")), "{said}");
    }
}

/// The problem document of an answer, checked for what every one has.
#[track_caller]
fn problem(answer: &Answer, status: u16, instance: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
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

#[tokio::test]
async fn its_own_errors_are_problem_documents() {
    let Some(nginx) = Nginx::start_with(&[free_address(), free_address()], "kubernetes", 1).await
    else {
        return;
    };
    let answer = nginx.get("/api/kubernetes?a=%22").await;
    problem(&answer, 502, "/api/kubernetes");
    assert_eq!(answer.header("retry-after"), "2");
    problem(&nginx.get("/.problem").await, 404, "/.problem");
    problem(
        &nginx.request(Method::GET, "/api/x", &[("x-long", &"a".repeat(9_000))]).await,
        400,
        "/api/x",
    );
    problem(&nginx.get(&format!("/{}", "a".repeat(9_000))).await, 414, "");
    let body = http_client().post(format!("{}/update_cache", nginx.url)).body(vec![b'a'; 20_000]);
    let body = body.send().await.expect("an answer");
    assert_eq!(body.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body.headers()["content-type"], "application/problem+json");
    let answer = nginx.request(Method::TRACE, "/", &[]).await;
    problem(&answer, 405, "/");
    assert_eq!(answer.header("allow"), "GET, HEAD, POST, DELETE");
    let mut limited = nginx.get("/db/x").await;
    for _ in 0..5 {
        limited = nginx.get("/db/x").await;
    }
    problem(&limited, 429, "/db/x");
    assert_eq!(limited.header("retry-after"), "1");
    // A path that would break the document is left out of it; one that breaks HTTP still gets a
    // document.
    for request in
        ["GET /\"\\ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"]
    {
        let answer = nginx.raw(request).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("application/problem+json") && !head.contains("nginx/"), "{head}");
        serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    }
}

#[tokio::test]
async fn request_ids_go_all_the_way_and_only_harmless_ones() {
    let a = Replica::start().await;
    let Some(nginx) = Nginx::start(&[a.address]).await else { return };
    nginx.request(Method::GET, "/topics", &[("x-request-id", "from-Client-1")]).await;
    assert_eq!(a.last_header("x-request-id").expect("passed on"), "from-Client-1");
    let entry = nginx.logged(|entry| entry["request_id"] == "from-Client-1").await;
    assert_eq!(
        (&entry["uri"], &entry["status"], &entry["upstream_status"]),
        (&"/topics".into(), &200.into(), &"200".into())
    );
    assert_eq!(entry["upstream"], a.address.to_string());
    for harmful in ["", "a b", "a\"b", "a_b", "{}", &"a".repeat(65)] {
        nginx.request(Method::GET, "/topics", &[("x-request-id", harmful)]).await;
        let id = a.last_header("x-request-id").expect("its own");
        let parts: Vec<&str> = id.to_str().expect("text").split('-').collect();
        let has_digits =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        assert!(
            parts.len() == 3 && parts.iter().all(has_digits),
            "time, connection, request: {id:?}"
        );
    }
    let ids: BTreeSet<String> = join_all(
        (0..50).map(async |_| nginx.get("/topics").await.header("x-request-id").to_owned()),
    )
    .await
    .into_iter()
    .collect();
    assert_eq!(ids.len(), 50);
    assert_eq!(a.last_header("x-forwarded-for").expect("passed on"), "127.0.0.1");
}

#[tokio::test]
async fn only_the_database_and_strange_topics_are_limited() {
    let replica = Replica::start().await;
    let Some(nginx) =
        Nginx::start_with(&[replica.address], "kubernetes, mcp:complete ,3d", 1).await
    else {
        return;
    };
    let refused = async |path: &str| {
        let mut refused = 0;
        for _ in 0..8 {
            refused += usize::from(nginx.get(path).await.status == StatusCode::TOO_MANY_REQUESTS);
        }
        refused
    };
    for free in [
        "/api/kubernetes",
        "/api/popularity/mcp",
        "/api/activity/3D/",
        "//api/kubernetes",
        "/topics/x",
        "/health",
        "/test",
        "/refreshes",
        "/basic_status",
        "/update_cache",
    ] {
        assert_eq!(refused(free).await, 0, "{free}");
    }
    for limited in [
        "/api/popularity",
        "/api/kubernete",
        "/api/kubernetes-mcp",
        "/api/activity/x",
        "/db/kubernetes",
        "//db/popularity/mcp",
    ] {
        assert!(refused(limited).await > 0, "{limited}");
    }
}

#[tokio::test]
async fn its_counters_can_be_read() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    let status = nginx.get("/basic_status").await;
    assert_eq!(status.status, StatusCode::OK);
    assert!(status.text().starts_with("Active connections: "), "{}", status.text());
    assert_eq!(a.requests() + b.requests(), 0);
}

#[tokio::test]
async fn maintenance_wants_the_token_under_every_spelling() {
    let settings = [("MAINTENANCE_TOKEN", "correct-horse")];
    let mirror = Mirror::start_with(World::generate(10, 7, "kubernetes"), &settings).await;
    let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
    let Some(nginx) = Nginx::start(&[address]).await else { return };
    for path in ["update_cache", "bootstrap_db"] {
        for spelling in [
            "/PATH",
            "//PATH",
            "/PATH/",
            "/PATH//",
            "/./PATH",
            "/x/../PATH",
            "/%2fPATH",
            "/%2FPATH",
            "/PATH%2f",
            "/PATH;x",
            "/PATH%00",
            "/api/../PATH",
            "/PATH?topic=kubernetes",
            "/%75pdate_cache",
            "/%62ootstrap_db",
            "/api/%2e%2e/PATH",
            "http://x/PATH",
        ] {
            for path in [path.to_owned(), path.to_ascii_uppercase()] {
                let target = spelling.replace("PATH", &path);
                for method in ["GET", "POST", "HEAD", "PUT"] {
                    let answer = nginx
                        .raw(&format!(
                            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                        ))
                        .await;
                    let status = answer.split(' ').nth(1).unwrap_or_default();
                    assert!(
                        ["400", "401", "404", "405"].contains(&status),
                        "{method} {target}: {answer}"
                    );
                }
            }
        }
    }
    assert_eq!(mirror.stub.world().counters.searches, 0, "nobody asked GitHub");
    let token = [("authorization", "Bearer correct-horse")];
    assert_eq!(nginx.request(Method::POST, "//update_cache", &token).await.status, StatusCode::OK);
}
