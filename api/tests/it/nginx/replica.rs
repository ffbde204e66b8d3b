//! A stand-in for a replica of the API.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::serve::ListenerExt;
use reqwest::{Method, StatusCode};
use tokio::net::TcpListener;

/// A server that gives the same answer under every path, as a test sets it, and notes each request.
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    status: AtomicU16,
    delay_millis: AtomicUsize,
    version: AtomicUsize,
    /// The number of requests from now on whose connection breaks in place of an answer.
    breaks: AtomicUsize,
    connections: AtomicUsize,
    /// Whether it has no list, though others may.
    has_nothing: AtomicBool,
    requests: Mutex<Vec<Request>>,
}

impl Replica {
    pub(super) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(super) async fn start_at(address: SocketAddr) -> Self {
        let state = Arc::new(State { status: AtomicU16::new(200), ..State::default() });
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (counting, answering) = (Arc::clone(&state), Arc::clone(&state));
        let listener = listener.tap_io(move |_| {
            counting.connections.fetch_add(1, Ordering::Relaxed);
        });
        let router =
            Router::new().fallback(async move |request: Request| answering.answer(request).await);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the listener works")
        });
        Self { address, state, task }
    }

    pub(super) fn set_status(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// Answers as a replica whose caches are empty and whose database is down, until
    /// [`Self::heal`].
    pub(super) fn have_nothing(&self) {
        self.state.has_nothing.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        let millis = usize::try_from(delay.as_millis()).expect("short");
        self.state.delay_millis.store(millis, Ordering::Relaxed);
    }

    /// Sets the header `x-version`.
    pub(super) fn set_version(&self, version: usize) {
        self.state.version.store(version, Ordering::Relaxed);
    }

    /// Breaks every connection in place of an answer, until [`Self::heal`].
    pub(super) fn break_connections(&self) {
        self.break_next(usize::MAX);
    }

    pub(super) fn break_next(&self, requests: usize) {
        self.state.breaks.store(requests, Ordering::Relaxed);
    }

    pub(super) fn heal(&self) {
        self.set_status(200);
        self.state.has_nothing.store(false, Ordering::Relaxed);
        self.set_delay(Duration::ZERO);
        self.break_next(0);
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> usize {
        self.state.requests.lock().expect("no panic").len()
    }

    pub(super) fn last_method(&self) -> Option<Method> {
        self.last(|request| request.method().clone())
    }

    /// The path of the last request, with its query.
    pub(super) fn last_target(&self) -> Option<String> {
        self.last(|request| request.uri().to_string())
    }

    pub(super) fn last_header(&self, name: &str) -> Option<HeaderValue> {
        self.last(|request| request.headers().get(name).cloned()).flatten()
    }

    /// A part of each request.
    pub(super) fn each<T>(&self, part: impl Fn(&Request) -> T) -> Vec<T> {
        self.state.requests.lock().expect("no panic").iter().map(part).collect()
    }

    fn last<T>(&self, part: impl Fn(&Request) -> T) -> Option<T> {
        self.state.requests.lock().expect("no panic").last().map(part)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn answer(&self, request: Request) -> Response {
        let asks_others = request.headers().contains_key("x-ask-others");
        self.requests.lock().expect("no panic").push(request);
        let delay = self.delay_millis.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(delay as u64)).await;
        let one_less = |breaks: usize| breaks.checked_sub(1);
        if self.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            std::panic::resume_unwind(Box::new("the connection is broken on purpose"));
        }
        let status = match self.has_nothing.load(Ordering::Relaxed) {
            true if asks_others => 403,
            true => 503,
            false => self.status.load(Ordering::Relaxed),
        };
        let status = StatusCode::from_u16(status).expect("a status");
        let headers = [
            ("retry-after", "7"),
            ("cache-control", "max-age=60"),
            ("x-request-id", "the-replicas-own"),
        ];
        let version = [("x-version", self.version.load(Ordering::Relaxed).to_string())];
        // The API sends it with lists alone. nginx must not cache other paths even if they had it.
        let until = (status == StatusCode::OK)
            .then(|| [("x-accel-expires", format!("@{}", chrono::Utc::now().timestamp()))]);
        (status, headers, version, until.map(AppendHeaders), "a replica's answer").into_response()
    }
}
