//! A stand-in for the service: a plain model of its state, and the routes that the scheduler calls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

/// The state of the service, which tests edit, and the requests it got, which they read.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) token: Option<&'static str>,
    /// The statuses of the next answers to `/update_cache`.
    pub(crate) trigger_faults: VecDeque<StatusCode>,
    /// The statuses of the next answers to polls.
    pub(crate) poll_faults: VecDeque<StatusCode>,
    /// Whether the last refresh is still running.
    pub(crate) running: bool,
    /// The report of a refresh that has ended, without its id.
    pub(crate) report: Value,
    /// The number of valid calls of `/bootstrap_db`, and of `/update_cache`.
    pub(crate) bootstraps: usize,
    pub(crate) triggers: usize,
    /// The number of requests without the token.
    pub(crate) unauthorized: usize,
    /// The number of calls of `/refreshes/{id}`.
    pub(crate) polls: usize,
    /// Requests that the stand-in has no route for.
    pub(crate) unexpected: Vec<String>,
}

/// A port that refuses connections until the service listens there.
pub(crate) struct StandIn {
    pub(crate) url: String,
    socket: Mutex<Option<TcpSocket>>,
    service: Arc<Mutex<Service>>,
}

impl StandIn {
    pub(crate) fn refusing_connections() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let url = format!("http://{}", socket.local_addr().expect("an address"));
        let report = json!({
            "outcome": "complete", "complete": true, "topics": [{"topic": "kubernetes"}],
            "found": 1_160, "inserted": 5, "updated": 7, "removed": 2, "requests": 15,
            "retries": 0, "waited_ms": 28_000, "duration_ms": 31_000,
        });
        let service = Service { report, ..Service::default() };
        Self { url, socket: Mutex::new(Some(socket)), service: Arc::new(Mutex::new(service)) }
    }

    pub(crate) fn start() -> Self {
        let stand_in = Self::refusing_connections();
        stand_in.listen();
        stand_in
    }

    pub(crate) fn listen(&self) {
        let socket = self.socket.lock().expect("nobody panicked").take();
        let listener: TcpListener =
            socket.expect("not started yet").listen(64).expect("a listener");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&self.service));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    pub(crate) fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().expect("no handler panicked")
    }
}

async fn answer(State(service): State<Arc<Mutex<Service>>>, request: Request) -> Response {
    let mut service = service.lock().expect("no handler panicked");
    let path = request.uri().path();
    match (request.method().as_str(), path) {
        ("GET", "/health") => "ok".into_response(),
        ("POST", "/bootstrap_db" | "/update_cache")
            if !is_authorized(&service, request.headers()) =>
        {
            service.unauthorized += 1;
            let problem = json!({"status": 401, "detail": "maintenance wants a token"});
            (StatusCode::UNAUTHORIZED, Json(problem)).into_response()
        }
        ("POST", "/bootstrap_db") => {
            service.bootstraps += 1;
            Json(json!({"created": true})).into_response()
        }
        ("POST", "/update_cache")
            if request.headers().get("prefer").is_some_and(|prefer| prefer == "respond-async") =>
        {
            service.triggers += 1;
            match service.trigger_faults.pop_front() {
                Some(status) => status.into_response(),
                None => {
                    let location = format!("/refreshes/{}", service.triggers);
                    (
                        StatusCode::ACCEPTED,
                        [(header::LOCATION, location)],
                        Json(json!({"state": "running"})),
                    )
                        .into_response()
                }
            }
        }
        ("GET", path) if path == format!("/refreshes/{}", service.triggers) => {
            service.polls += 1;
            if let Some(status) = service.poll_faults.pop_front() {
                return status.into_response();
            }
            let mut entry = service.report.clone();
            entry["id"] = service.triggers.into();
            entry["state"] = if service.running { "running" } else { "finished" }.into();
            Json(entry).into_response()
        }
        (method, path) => {
            let unexpected = format!("{method} {path}");
            service.unexpected.push(unexpected);
            StatusCode::NOT_FOUND.into_response()
        }
    }
}

fn is_authorized(service: &Service, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("text"));
    given == service.token.map(|token| format!("Bearer {token}")).as_deref()
}
