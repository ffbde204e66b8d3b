//! The client of the service's HTTP API: triggers a refresh and polls it until it ends.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::Config;

/// The limits of a connection attempt and of a whole exchange. No request here waits for GitHub.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long the client waits for a service that starts, and the back-off between its health checks.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A refresh whose entry has not changed for this long may have died with its replica, whose lease
/// has expired by then. Another trigger joins the refresh if it is alive, and finishes it if not.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between polls of a running refresh, which doubles from the first to the maximum.
const FIRST_POLL_PAUSE: Duration = Duration::from_millis(200);
const MAX_POLL_PAUSE: Duration = Duration::from_secs(3);

/// The number of characters of an answer's body that an error shows.
const MAX_DETAIL: usize = 200;

#[derive(Debug)]
pub(crate) struct ApiClient {
    http: Client,
    url: Url,
    token: Option<SecretString>,
    stall_timeout: Duration,
}

/// The service's report on a refresh that has ended.
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

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Everything was fetched.
    Complete,
    /// Part of it was fetched, and is stored.
    Partial,
    /// Nothing was fetched.
    #[default]
    Failed,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{url} does not answer: {cause}")]
    Unreachable { url: Url, cause: String },
    #[error("{url} answered {status}: {detail}")]
    Status { url: Url, status: StatusCode, detail: String },
    #[error("{url} gave an answer that this program cannot read: {cause}")]
    Unreadable { url: Url, cause: String },
    #[error("the refresh {id} failed: {reason}")]
    Failed { id: i64, reason: String },
}

impl Error {
    /// Returns true if a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Unreachable { .. } | Self::Unreadable { .. } | Self::Failed { .. } => true,
        }
    }
}

impl ApiClient {
    /// # Errors
    /// If the system's certificates cannot be read.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let http = settings::client_builder()
            .user_agent(concat!("topic-mirror-cron/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // A redirect must not take the token away from API_URL.
            .redirect(redirect::Policy::none())
            // Containers often inherit a proxy that cannot resolve the names of their network.
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            url: config.api_url.clone(),
            token: config.token.clone(),
            stall_timeout: STALL_TIMEOUT,
        })
    }

    /// Waits for the service, creates its schema if it is missing, triggers a refresh and waits for
    /// its end. A refresh that stalls is triggered again.
    ///
    /// # Errors
    /// If the service refuses or does not answer, or the refresh fails.
    pub(crate) async fn refresh(&self) -> Result<Report, Error> {
        self.wait_for_health().await?;
        // Every refresh does this: it costs one query, and a database that was replaced gets its
        // schema.
        self.send(Method::POST, "/bootstrap_db").await?;
        loop {
            let path = self.start_refresh().await?;
            match self.wait_for_end(&path).await? {
                Some(report) if report.outcome == Outcome::Failed => {
                    let reason = report.reason;
                    let reason = reason.unwrap_or_else(|| "the service's log says why".to_owned());
                    return Err(Error::Failed { id: report.id, reason });
                }
                Some(report) => return Ok(report),
                None => tracing::info!(
                    refresh = path,
                    "the refresh stalls; another trigger joins or finishes it"
                ),
            }
        }
    }

    async fn wait_for_health(&self) -> Result<(), Error> {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .without_max_times()
            .with_total_delay(Some(START_TIMEOUT));
        let health = || self.send(Method::GET, "/health");
        health.retry(pauses).when(Error::is_transient).await.map(drop)
    }

    /// Starts a refresh or joins a running one. Returns the path of its entry.
    async fn start_refresh(&self) -> Result<String, Error> {
        let answer = self.send(Method::POST, "/update_cache").await?;
        let location = answer.headers().get(LOCATION).map(HeaderValue::to_str);
        match location.filter(|_| answer.status() == StatusCode::ACCEPTED) {
            Some(Ok(path)) => Ok(path.to_owned()),
            _ => {
                let cause = format!("{} without a Location", answer.status());
                Err(Error::Unreadable { url: answer.url().clone(), cause })
            }
        }
    }

    /// Polls a refresh until it has ended; `None` if it stalls. If a replica stops in the meantime,
    /// the proxy sends the next poll to another one.
    async fn wait_for_end(&self, path: &str) -> Result<Option<Report>, Error> {
        let (mut last_entry, mut changed_at) = (Value::Null, Instant::now());
        let mut pause = FIRST_POLL_PAUSE;
        while changed_at.elapsed() < self.stall_timeout {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_POLL_PAUSE);
            let entry = match self.entry(path).await {
                Ok(entry) => entry,
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "the poll failed; polling again");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if entry["state"] == "finished" {
                let unreadable = |error: serde_json::Error| Error::Unreadable {
                    url: self.url_of(path),
                    cause: error.to_string(),
                };
                return serde_json::from_value(entry).map(Some).map_err(unreadable);
            }
            if entry != last_entry {
                (last_entry, changed_at) = (entry, Instant::now());
            }
        }
        Ok(None)
    }

    /// The ledger's entry of a refresh.
    async fn entry(&self, path: &str) -> Result<Value, Error> {
        let answer = self.send(Method::GET, path).await?;
        let url = answer.url().clone();
        answer.json().await.map_err(|error| Error::Unreadable { url, cause: cause_of(error) })
    }

    /// Returns an answer whose status is a success.
    async fn send(&self, method: Method, path: &str) -> Result<Response, Error> {
        let url = self.url_of(path);
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
            .map_err(|error| Error::Unreachable { url: url.clone(), cause: cause_of(error) })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let detail = detail(answer).await;
        Err(Error::Status { url, status, detail })
    }

    /// Appends the path to API_URL's, so that even an absolute URL in a Location stays there.
    fn url_of(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url
    }
}

/// The detail of a problem document, or the beginning of another body.
async fn detail(answer: Response) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let body = answer.text().await.unwrap_or_default();
    let text = serde_json::from_str(&body).map_or(body, |problem: Problem| problem.detail);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_DETAIL).collect()
}

/// The error and its causes in one line, without the address, which our own errors name.
fn cause_of(error: reqwest::Error) -> String {
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

    /// The first refresh has died with its replica; the second one ends.
    #[tokio::test]
    async fn refresh_is_triggered_again_when_it_stalls() {
        let triggers = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&triggers);
        let update = async move || {
            let id = counter.fetch_add(1, Ordering::Relaxed);
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
        let client = ApiClient {
            http,
            url: url.parse().expect("an address"),
            token: None,
            stall_timeout: FIRST_POLL_PAUSE,
        };
        let report = client.refresh().await.expect("the second refresh ended");
        assert_eq!(
            (report.id, report.outcome, triggers.load(Ordering::Relaxed)),
            (1, Outcome::Complete, 2)
        );
    }
}
