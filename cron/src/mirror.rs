//! The service as seen from here: what is asked of it over HTTP.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::Config;

/// How long connecting may take, and a whole answer. Nothing that is asked here waits for GitHub.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a service that starts is waited for, asking ever less often.
const START_TIME: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A run that shows no change for so long may have died with its replica, whose lease has ended by
/// then: ringing again joins it if it lives, and finishes it if not.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How often a running refresh is asked after, at first and after a while.
const FIRST_POLL: Duration = Duration::from_millis(200);
const SLOWEST_POLL: Duration = Duration::from_secs(3);

/// The longest piece of a foreign answer that an error shows.
const MAX_DETAIL: usize = 200;

/// The service's address and the right to ring there.
#[derive(Debug)]
pub(crate) struct Mirror {
    http: Client,
    url: Url,
    token: Option<SecretString>,
    standstill: Duration,
}

/// What the service says of a refresh that has ended.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) id: i64,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    pub(crate) topics: Vec<Value>,
    pub(crate) found: i64,
    pub(crate) inserted: i64,
    pub(crate) updated: i64,
    pub(crate) removed: i64,
    pub(crate) requests: i64,
    pub(crate) retries: i64,
    pub(crate) waited_ms: i64,
    pub(crate) duration_ms: Option<i64>,
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Everything was fetched.
    Complete,
    /// What came was stored; something is missing.
    Partial,
    /// Nothing came.
    #[default]
    Failed,
}

/// Why a refresh did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{url} does not answer: {cause}")]
    Unreachable { url: Url, cause: String },
    #[error("{url} answered {status}: {detail}")]
    Refused { url: Url, status: StatusCode, detail: String },
    #[error("{url} answered what this program does not understand: {cause}")]
    Unintelligible { url: Url, cause: String },
    #[error("the refresh {} failed: {}", .0.id, .0.reason.as_deref().unwrap_or("the service's log says why"))]
    Failed(Box<Report>),
}

impl Error {
    /// Whether asking again may help without anybody's doing.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Unreachable { .. } | Self::Unintelligible { .. } | Self::Failed(_) => true,
        }
    }
}

impl Mirror {
    /// # Errors
    /// When the system's certificates cannot be read.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let http = Client::builder()
            .user_agent(concat!("topic-mirror-cron/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // The token goes to API_URL only.
            .redirect(redirect::Policy::none())
            // Containers often inherit a proxy that does not know their neighbours.
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            url: config.api_url.clone(),
            token: config.token.clone(),
            standstill: STANDSTILL,
        })
    }

    /// Waits for the service, makes its schema or finds it there, rings, and waits for the
    /// refresh's end.
    ///
    /// # Errors
    /// When that did not come about, or the refresh brought nothing.
    pub(crate) async fn refresh(&self) -> Result<Report, Error> {
        self.wait_until_it_lives().await?;
        // Every time: it costs one query, and a database that was made anew meanwhile has its
        // schema again.
        self.ask(Method::POST, "/bootstrap_db").await?;
        loop {
            let answer = self.ask(Method::POST, "/update_cache").await?;
            let location = answer.headers().get(LOCATION).map(HeaderValue::to_str);
            let Some(Ok(location)) = location.filter(|_| answer.status() == StatusCode::ACCEPTED)
            else {
                let cause = format!("{} without a Location", answer.status());
                return Err(Error::Unintelligible { url: answer.url().clone(), cause });
            };
            match self.end_of(location).await? {
                Some(report) if report.outcome == Outcome::Failed => {
                    return Err(Error::Failed(Box::new(report)));
                }
                Some(report) => return Ok(report),
                None => tracing::info!(
                    refresh = location,
                    "it stands still: ringing again joins or finishes it"
                ),
            }
        }
    }

    async fn wait_until_it_lives(&self) -> Result<(), Error> {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_total_delay(Some(START_TIME));
        let health = || self.ask(Method::GET, "/health");
        health.retry(pauses).when(Error::may_pass).await.map(drop)
    }

    /// The report of a refresh that has ended; `None` when it stands still. A replica that stops
    /// meanwhile does not matter: the proxy asks another.
    async fn end_of(&self, location: &str) -> Result<Option<Report>, Error> {
        let (mut seen, mut changed_at) = (Value::Null, Instant::now());
        let mut pause = FIRST_POLL;
        while changed_at.elapsed() < self.standstill {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SLOWEST_POLL);
            let entry = match self.entry(location).await {
                Ok(entry) => entry,
                Err(error) if error.may_pass() => {
                    tracing::debug!(%error, "asking again");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if entry["state"] == "finished" {
                let unintelligible = |error: serde_json::Error| Error::Unintelligible {
                    url: self.address(location),
                    cause: error.to_string(),
                };
                return serde_json::from_value(entry).map(Some).map_err(unintelligible);
            }
            if entry != seen {
                (seen, changed_at) = (entry, Instant::now());
            }
        }
        Ok(None)
    }

    async fn entry(&self, location: &str) -> Result<Value, Error> {
        let answer = self.ask(Method::GET, location).await?;
        let url = answer.url().clone();
        answer.json().await.map_err(|error| Error::Unintelligible { url, cause: chain(error) })
    }

    /// Any answer but an error.
    async fn ask(&self, method: Method, path: &str) -> Result<Response, Error> {
        let url = self.address(path);
        let mut request = self.http.request(method.clone(), url.clone());
        if method == Method::POST {
            request = request.header("prefer", "respond-async");
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.expose_secret());
            }
        }
        let answer = request
            .send()
            .await
            .map_err(|error| Error::Unreachable { url: url.clone(), cause: chain(error) })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let detail = detail(answer).await;
        Err(Error::Refused { url, status, detail })
    }

    /// Below API_URL whatever `path` is.
    fn address(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url
    }
}

/// What a problem document says, or the beginning of another body.
async fn detail(answer: Response) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let body = answer.text().await.unwrap_or_default();
    let text = serde_json::from_str(&body).map_or(body, |problem: Problem| problem.detail);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_DETAIL).collect()
}

/// The error and its causes in one line, without the address, which ours name.
fn chain(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Json;
    use axum::http::header;
    use axum::routing::{get, post};
    use serde_json::json;

    use super::*;

    /// The first run has died with its replica; the second ends.
    #[tokio::test]
    async fn a_run_that_stands_still_is_rung_for_again() {
        let rings = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&rings);
        let update = async move || {
            let id = counted.fetch_add(1, Ordering::Relaxed);
            (StatusCode::ACCEPTED, [(header::LOCATION, format!("/refreshes/{id}"))])
        };
        let router = axum::Router::new()
            .route("/mirror/health", get(async || "ok"))
            .route("/mirror/bootstrap_db", post(async || Json(json!({"created": false}))))
            .route("/mirror/update_cache", post(update))
            .route(
                "/mirror/refreshes/0",
                get(async || Json(json!({"id": 0, "state": "running", "requests": 3}))),
            )
            .route(
                "/mirror/refreshes/1",
                get(async || Json(json!({"id": 1, "state": "finished", "outcome": "complete"}))),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/mirror", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });

        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("the only test that needs it");
        let http = Client::builder().no_proxy().build().expect("a client");
        let mirror = Mirror {
            http,
            url: url.parse().expect("an address"),
            token: None,
            standstill: FIRST_POLL,
        };
        let report = mirror.refresh().await.expect("the second run ended");
        assert_eq!(
            (report.id, report.outcome, rings.load(Ordering::Relaxed)),
            (1, Outcome::Complete, 2)
        );
    }
}
