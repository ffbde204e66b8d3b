//! A service under test, the GitHub stub that it asks, and a clock that tests set.

use std::ffi::OsString;
use std::io::Write;
use std::sync::{Arc, Once};
use std::time::Duration;

use api::app::App;
use api::clock::Clock;
use api::config::Config;
use api::model::list::ListMeta;
use api::model::ranking::Ranking;
use api::model::topic::Topic;
use api::server;
use api::store::Store;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use github_stub::{Stub, World};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::databases::{self, Database};

/// 2026-09-21T14:13:20Z, a whole second.
pub(crate) const START: i64 = 1_790_000_000;

/// A clock that moves a microsecond with each look at it, and jumps ahead when a task sleeps.
pub(crate) struct TestClock(watch::Sender<DateTime<Utc>>);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(DateTime::from_timestamp(START, 0).expect("a date"))))
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        // Two looks at a real clock never show the same time either.
        self.0.send_modify(|now| *now += TimeDelta::microseconds(1));
        *self.0.borrow()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        self.0.send_modify(|now| *now = (*now).max(time));
        tokio::task::yield_now().await;
    }
}

/// Installs the TLS provider once for the whole process, as `main` does.
pub(crate) fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("no other provider is installed")
    });
}

/// A service over HTTP, with its GitHub stub, clock and database, which several replicas may share.
pub(crate) struct Mirror {
    pub(crate) stub: Arc<Stub>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) database: Arc<Database>,
    pub(crate) service: Arc<App>,
    pub(crate) url: String,
    http: reqwest::Client,
    /// The service stops when this is dropped.
    _stop: oneshot::Sender<()>,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The header's first value, or an empty text if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Every value of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The ids of a list.
    pub(crate) fn ids(&self) -> Vec<u64> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        let list = self.json();
        list.as_array()
            .expect("an array")
            .iter()
            .map(|item| item["id"].as_u64().expect("an id"))
            .collect()
    }
}

impl Mirror {
    /// Starts a service over `world` without a scheduler.
    pub(crate) async fn start(world: World) -> Self {
        Self::start_with(world, &[]).await
    }

    pub(crate) async fn start_with(world: World, settings: &[(&str, &str)]) -> Self {
        Self::start_on(databases::sqlite(), world, settings).await
    }

    pub(crate) async fn start_on(
        database: Database,
        world: World,
        settings: &[(&str, &str)],
    ) -> Self {
        let clock = TestClock::new();
        let stub_clock = Arc::clone(&clock);
        let stub = Stub::start_with_clock(world, Arc::new(move || stub_clock.now()))
            .await
            .expect("a free port");
        let mirror = Self::replica_of(Arc::new(stub), clock, Arc::new(database), settings).await;
        mirror.service.bootstrap().await.expect("a schema");
        mirror
    }

    /// Starts another service over the same world, clock and database.
    pub(crate) async fn replica(&self, settings: &[(&str, &str)]) -> Self {
        Self::replica_of(
            Arc::clone(&self.stub),
            Arc::clone(&self.clock),
            Arc::clone(&self.database),
            settings,
        )
        .await
    }

    pub(crate) async fn replica_of(
        stub: Arc<Stub>,
        clock: Arc<TestClock>,
        database: Arc<Database>,
        settings: &[(&str, &str)],
    ) -> Self {
        install_tls_provider();
        let config = config(&stub, &database, settings);
        let service = App::new(config, Arc::<TestClock>::clone(&clock)).await.expect("a service");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel();
        let serving = server::serve(Arc::clone(&service), listener, async {
            let _ = stopped.await;
        });
        tokio::spawn(async move { serving.await.expect("the listener works") });
        let http = http_client();
        Self { stub, clock, database, service, url, http, _stop: stop }
    }

    /// Starts a service and refreshes `kubernetes`, the only topic of its TOPICS.
    pub(crate) async fn refreshed(world: World) -> Self {
        let mirror = Self::start(world).await;
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "complete", "{report}");
        mirror
    }

    /// Refreshes a topic and returns the report.
    pub(crate) async fn refresh(&self, topic: &str) -> Value {
        let answer = self.request(Method::POST, &format!("/update_cache?topic={topic}"), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(Method::GET, path, headers).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        send(&self.http, method, &format!("{}{path}", self.url), headers).await
    }

    /// The ids of the topic's three lists. Panics if one is missing.
    pub(crate) async fn lists(&self, topic: &str) -> [Vec<u64>; 3] {
        [
            self.get(&format!("/api/{topic}")).await.ids(),
            self.get(&format!("/api/popularity/{topic}")).await.ids(),
            self.get(&format!("/api/activity/{topic}")).await.ids(),
        ]
    }

    /// The ids of the three lists that the stub's world gives.
    pub(crate) fn expected(&self, topic: &str) -> [Vec<u64>; 3] {
        ["best-match", "stars", "updated"].map(|sort| {
            let mut ids = self.stub.world().ranked(topic, sort);
            ids.truncate(500);
            ids
        })
    }
}

/// A list as the database has it, and the facts for its headers.
pub(crate) async fn stored_list(
    store: &dyn Store,
    topic: &Topic,
    ranking: Ranking,
) -> Option<(ListMeta, Vec<u8>)> {
    store.list(topic, ranking).await.expect("a database")
}

/// Every list of a topic as the database has them, in the order of [`Ranking::ALL`].
pub(crate) async fn stored_lists(store: &dyn Store, topic: &Topic) -> Option<Vec<Vec<u8>>> {
    let mut lists = Vec::new();
    for ranking in Ranking::ALL {
        lists.push(stored_list(store, topic, *ranking).await?.1);
    }
    Some(lists)
}

/// The objects of a list.
pub(crate) fn items(list: &[u8]) -> Vec<Value> {
    serde_json::from_slice(list).expect("a list")
}

/// The Unix seconds of a time in a list.
pub(crate) fn timestamp(time: &Value) -> i64 {
    time.as_str().expect("text").parse::<DateTime<Utc>>().expect("a date").timestamp()
}

/// A client that neither decompresses bodies nor follows redirects nor uses a proxy.
pub(crate) fn http_client() -> reqwest::Client {
    install_tls_provider();
    let client = reqwest::Client::builder().no_gzip().no_proxy();
    client.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

pub(crate) async fn send(
    http: &reqwest::Client,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = http.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("a response");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.expect("a body").to_vec() }
}

/// Checks the headers by which browsers take an answer for no more than it is. Each is there once,
/// from whichever server.
#[track_caller]
pub(crate) fn assert_hardened(answer: &Answer, request: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.all(name), [value], "{name} of {request}");
    }
    let is_open = answer.header("access-control-allow-origin") == "*";
    let resource = match answer.all("cross-origin-resource-policy")[..] {
        // nginx's own pages are for no script.
        [policy] if answer.header("content-type").starts_with("text/html") => Some(policy),
        [policy] => Some(policy).filter(|policy| (*policy == "cross-origin") == is_open),
        _ => None,
    };
    assert!(resource.is_some(), "{request}: {answer:?}");
    let policies = answer.all("content-security-policy");
    let [policy] = policies[..] else { panic!("{request}: {policies:?}") };
    assert!(policy.starts_with("default-src 'none'; "), "{request}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{request}: {policy}");
    let allowed: &[&str] = match answer.header("content-type").split(';').next() {
        Some("text/html" | "") => {
            &["style-src", "script-src", "img-src", "connect-src", "form-action"]
        }
        Some("image/svg+xml") => &["style-src"],
        _ => &[],
    };
    for directive in ["style-src", "script-src", "img-src", "form-action", "connect-src"] {
        let is_allowed =
            allowed.contains(&directive) || policy.contains(&format!("{directive} 'none'"));
        assert!(is_allowed || !policy.contains(directive), "{request}: {policy}");
    }
    assert!(["", "nginx"].contains(&answer.header("server")), "no version");
    assert_eq!(answer.header("x-powered-by"), "");
}

/// Compares a topic's three lists. The message names the first difference rather than whole lists.
#[track_caller]
pub(crate) fn assert_lists(
    actual: &[Vec<u64>; 3],
    expected: &[Vec<u64>; 3],
    context: impl std::fmt::Display,
) {
    for (name, (actual, expected)) in
        ["best match", "popularity", "activity"].iter().zip(actual.iter().zip(expected))
    {
        assert_eq!(actual.len(), expected.len(), "{name}: {context}");
        let differing = actual
            .iter()
            .zip(expected)
            .enumerate()
            .find(|(_, (actual, expected))| actual != expected);
        assert_eq!(differing, None, "{name}: {context}");
    }
}

/// Prints that a test was skipped. The test runner hides `eprintln!` of a test that passes, but not
/// a write to stderr.
pub(crate) fn say_not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    writeln!(std::io::stderr(), "{test} was NOT RUN: {why}").expect("stderr is open");
}

/// Between two looks at a condition. Without a pause the test would take the core from the program
/// that it waits for.
const PAUSE: Duration = Duration::from_millis(2);

/// Polls a condition until it holds, and panics if it does not within `seconds`.
pub(crate) async fn eventually(
    seconds: u64,
    condition: &str,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let polls = async {
        while !holds().await {
            // A pause of a thread, since tokio's clock may stand.
            tokio::task::spawn_blocking(|| std::thread::sleep(PAUSE)).await.expect("a pause");
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(seconds), polls).await.is_ok(),
        "not within {seconds} s: {condition}"
    );
}

/// The configuration of a service over this stub and database. Of equal names, the last one counts.
pub(crate) fn config(stub: &Stub, database: &Database, settings: &[(&str, &str)]) -> Config {
    let (url, database) = (stub.url(), database.setting());
    let mut all = vec![
        ("GITHUB_API_URL", url.as_str()),
        ("DATABASE_URL", &database),
        ("SCHEDULER", "external"),
    ];
    all.extend(settings);
    Config::read(&|name: &str| {
        all.iter().rev().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
    })
    .expect("valid settings")
}
