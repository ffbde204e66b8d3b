//! A stand-in for the APIs of CDNs, which checks each request as their documents say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use api::clock::Clock;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{TestClock, http_client};

pub(super) const KEY: &str = "cdn-Silver-Thimble";

/// The most bytes of a request's body.
const LONGEST_BODY: usize = 64 << 10;

/// An answer in place of the API's own.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    Status(StatusCode),
    /// 429 with these seconds in Retry-After.
    Limited(u32),
    /// No answer at all.
    Silent,
}

/// A request that the API would accept.
#[derive(Clone, Debug)]
pub(super) struct Purge {
    pub(super) keys: Vec<String>,
    pub(super) at: DateTime<Utc>,
    /// The watched address's answer at that time.
    pub(super) seen: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    purges: Vec<Purge>,
    refused: Vec<String>,
    faults: VecDeque<Fault>,
    watched: Option<String>,
}

#[derive(Clone)]
pub(super) struct StandIn {
    dialect: &'static str,
    url: String,
    clock: Arc<TestClock>,
    shared: Arc<Mutex<Shared>>,
}

impl StandIn {
    pub(super) async fn start(dialect: &'static str, clock: Arc<TestClock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stand_in = Self { dialect, url, clock, shared: Arc::default() };
        let router = Router::new().fallback(answer).with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stand_in
    }

    /// Path and most keys, by the documents of each API.
    fn rules(&self) -> (&'static str, usize) {
        match self.dialect {
            "fastly" => ("/service/SU1Z0isxPaozGVKXdv0eY/purge", 256),
            "cloudflare" => ("/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache", 100),
            "bunny" => ("/pullzone/1234/purgeCache", 1),
            other => panic!("{other}"),
        }
    }

    pub(super) fn settings(&self) -> [(&'static str, String); 3] {
        let (path, _) = self.rules();
        [
            ("PURGE_URL", format!("{}{path}", self.url)),
            ("PURGE_DIALECT", self.dialect.to_owned()),
            ("PURGE_KEY", KEY.to_owned()),
        ]
    }

    /// The next answers.
    pub(super) fn fail(&self, faults: &[Fault]) {
        self.shared.lock().expect("no panic").faults.extend(faults);
    }

    /// Reads this address at each request.
    pub(super) fn watch(&self, url: String) {
        self.shared.lock().expect("no panic").watched = Some(url);
    }

    /// The requests so far, failed ones included. None of them was one that the API refuses.
    pub(super) fn purges(&self) -> Vec<Purge> {
        let shared = self.shared.lock().expect("no panic");
        assert_eq!(shared.refused, [""; 0]);
        shared.purges.clone()
    }

    /// The keys of a request; `None` if the API would refuse it.
    fn keys(&self, head: &Parts, body: &Value) -> Option<Vec<String>> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let (path, most) = self.rules();
        let bearer = format!("Bearer {KEY}");
        let (is_allowed, keys) = match self.dialect {
            "fastly" => {
                assert_eq!(header("fastly-soft-purge"), Some("1"));
                (header("fastly-key") == Some(KEY), body.get("surrogate_keys")?.clone())
            }
            "cloudflare" => (header("authorization") == Some(&bearer), body.get("tags")?.clone()),
            _ => (header("accesskey") == Some(KEY), Value::from(vec![body["CacheTag"].clone()])),
        };
        let keys: Vec<String> = serde_json::from_value(keys).ok()?;
        let is_json = header("content-type") == Some("application/json");
        let is_request = head.method == "POST" && head.uri == *path && is_json && is_allowed;
        (is_request && (1..=most).contains(&keys.len())).then_some(keys)
    }
}

async fn answer(State(stand_in): State<StandIn>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LONGEST_BODY).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let watched = stand_in.shared.lock().expect("no panic").watched.clone();
    let at = stand_in.clock.now();
    let seen = match watched {
        Some(url) => {
            let answer = http_client().get(url).send().await.expect("an answer");
            answer.bytes().await.expect("a body").to_vec()
        }
        None => Vec::new(),
    };
    let fault = {
        let mut shared = stand_in.shared.lock().expect("no panic");
        let Some(keys) = stand_in.keys(&head, &body) else {
            shared.refused.push(format!("{head:?} {body}"));
            return StatusCode::BAD_REQUEST.into_response();
        };
        shared.purges.push(Purge { keys, at, seen });
        shared.faults.pop_front()
    };
    match fault {
        None if stand_in.dialect == "bunny" => StatusCode::NO_CONTENT.into_response(),
        None => axum::Json(serde_json::json!({ "success": true })).into_response(),
        Some(Fault::Status(status)) => status.into_response(),
        Some(Fault::Limited(seconds)) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response()
        }
        Some(Fault::Silent) => std::future::pending().await,
    }
}
