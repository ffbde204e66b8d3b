//! Purges of the CDN in front of the service: it drops the answers that a refresh has changed.
//!
//! The database knows which changes are purged, so those of a process that died, or that the CDN
//! did not take, are purged after the next refresh.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use strum::EnumString;
use tokio::sync::Notify;
use tracing::warn;
use url::Url;

use crate::cache::FRESH;
use crate::clock::Clock;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;
use crate::store::{SharedStore, StoreError};
use crate::telemetry::PURGES;

/// The time between a replica's last look at a list's version and the arrival of an answer that was
/// made of that list.
const ON_THE_WAY: TimeDelta = TimeDelta::seconds(10);

/// The longest wait for an answer of the CDN.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests for the same keys in a row. After that, the next refresh tries again.
const TRIES: usize = 3;

/// The pause between them, unless the CDN names one, and the longest one that it may name.
const PAUSE: TimeDelta = TimeDelta::seconds(5);
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// PURGE_URL, PURGE_DIALECT and PURGE_KEY.
#[derive(Clone, Debug)]
pub struct PurgeConfig {
    pub url: Url,
    pub dialect: Dialect,
    /// Sent to the URL only.
    pub key: SecretString,
}

/// A CDN's API for purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Dialect {
    /// `POST /service/ID/purge`: the CDN keeps stale answers until they are revalidated.
    Fastly,
    /// `POST /client/v4/zones/ID/purge_cache`.
    Cloudflare,
    /// `POST /pullzone/ID/purgeCache`.
    Bunny,
    /// PURGE, as in `deploy/varnish/default.vcl`.
    Varnish,
}

impl Dialect {
    /// The most keys of a request. Fastly's and Cloudflare's are limits of their APIs, bunny takes
    /// one, and Varnish reads headers of up to 8 KB.
    fn most_keys(self) -> usize {
        match self {
            Self::Fastly => 256,
            Self::Cloudflare | Self::Varnish => 100,
            Self::Bunny => 1,
        }
    }

    fn authorization(self, key: &SecretString) -> anyhow::Result<(HeaderName, HeaderValue)> {
        let key = key.expose_secret();
        let (name, value) = match self {
            Self::Fastly => (HeaderName::from_static("fastly-key"), key.to_owned()),
            Self::Bunny => (HeaderName::from_static("accesskey"), key.to_owned()),
            Self::Cloudflare | Self::Varnish => (AUTHORIZATION, format!("Bearer {key}")),
        };
        let mut value = HeaderValue::try_from(value)?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// A part of the data that answers are made of. The CDN knows its answers by these keys.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// All of a topic's lists.
    Topic(&'a Topic),
    Repository(RepositoryId),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => write!(formatter, "t:{topic}"),
            Self::Repository(id) => write!(formatter, "r:{id}"),
        }
    }
}

/// Purges what has changed. Cheap to clone.
#[derive(Clone)]
pub struct Purger(Arc<Inner>);

struct Inner {
    http: Client,
    method: Method,
    url: Url,
    dialect: Dialect,
    authorization: (HeaderName, HeaderValue),
    store: SharedStore,
    clock: Arc<dyn Clock>,
    woken: Notify,
}

/// Why the CDN did not purge.
struct Failure {
    reason: String,
    retry_after: Option<TimeDelta>,
}

impl Purger {
    /// # Errors
    /// When the certificate authorities cannot be read, or the key is no header value.
    pub fn new(
        config: &PurgeConfig,
        store: SharedStore,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let PurgeConfig { url, dialect, key } = config;
        let http = settings::client_builder().redirect(redirect::Policy::none());
        // Prometheus sees the first failure only if it has seen the counter without one.
        count("failed", 0);
        Ok(Self(Arc::new(Inner {
            http: http.timeout(TIMEOUT).build()?,
            method: match dialect {
                Dialect::Varnish => Method::from_bytes(b"PURGE")?,
                Dialect::Fastly | Dialect::Cloudflare | Dialect::Bunny => Method::POST,
            },
            url: url.clone(),
            dialect: *dialect,
            authorization: dialect.authorization(key)?,
            store,
            clock,
            woken: Notify::new(),
        })))
    }

    /// Notes that lists may have changed. Changes within the wait of a purge share the next one.
    pub fn wake(&self) {
        self.0.woken.notify_one();
    }

    /// Purges what an earlier process left, and then after each [`wake`](Self::wake). Never
    /// returns.
    pub async fn run<T>(&self) -> T {
        loop {
            self.purge().await;
            self.0.woken.notified().await;
        }
    }

    /// Purges what has changed, once every replica serves it.
    pub async fn purge(&self) {
        if let Err(error) = self.purge_changes().await {
            warn!(%error, "the database does not tell what the CDN is to purge");
        }
    }

    /// Makes sure that a topic is purged after its deletion.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_deletion(&self, topic: &Topic) -> Result<(), StoreError> {
        self.0.store.note_purged(&[(topic.clone(), Some(0))]).await
    }

    async fn purge_changes(&self) -> Result<(), StoreError> {
        let Inner { store, clock, dialect, .. } = &*self.0;
        let mut changes = store.unpurged().await?;
        if changes.is_empty() {
            return Ok(());
        }
        // A replica that missed the announcement serves its copies for as long as they are fresh.
        // If the CDN asked it before, it would keep an old answer.
        clock.sleep_until(clock.now() + FRESH + ON_THE_WAY).await;
        // Another replica may have purged them by now. A change that was made since then waits for
        // the next purge.
        let unpurged = store.unpurged().await?;
        changes.retain(|(topic, _)| unpurged.iter().any(|(other, _)| other == topic));
        let mut left = changes.len();
        for changes in changes.chunks(dialect.most_keys()) {
            let keys: Vec<String> =
                changes.iter().map(|(topic, _)| Key::Topic(topic).to_string()).collect();
            if let Err(Failure { reason, .. }) = self.send_patiently(&keys).await {
                warn!(topics = left, reason, "the CDN did not purge; the next refresh tries again");
                break;
            }
            left -= changes.len();
            store.note_purged(changes).await?;
        }
        Ok(())
    }

    async fn send_patiently(&self, keys: &[String]) -> Result<(), Failure> {
        let clock = &self.0.clock;
        let mut sent = self.send(keys).await;
        for _ in 1..TRIES {
            let Err(failure) = &sent else { break };
            let pause = failure.retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE);
            clock.sleep_until(clock.now() + pause).await;
            sent = self.send(keys).await;
        }
        sent
    }

    async fn send(&self, keys: &[String]) -> Result<(), Failure> {
        let Inner { http, method, url, dialect, authorization: (name, value), .. } = &*self.0;
        let request = http.request(method.clone(), url.clone()).header(name, value);
        let request = match dialect {
            Dialect::Fastly => {
                request.header("fastly-soft-purge", "1").json(&json!({ "surrogate_keys": keys }))
            }
            Dialect::Cloudflare => request.json(&json!({ "tags": keys })),
            Dialect::Bunny => request.json(&json!({ "CacheTag": keys.first() })),
            Dialect::Varnish => request.header("surrogate-key", keys.join(" ")),
        };
        let sent = match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| {
                    let seconds: u32 = value.to_str().ok()?.parse().ok()?;
                    Some(TimeDelta::seconds(seconds.into()))
                });
                let reason = format!("it answered {}", answer.status());
                Err(Failure { reason, retry_after: seconds })
            }
            Err(error) => {
                let reason = match (error.is_timeout(), error.is_connect()) {
                    (true, _) => "it did not answer in time",
                    (false, true) => "it could not be reached",
                    (false, false) => "it broke off its answer",
                };
                Err(Failure { reason: reason.to_owned(), retry_after: None })
            }
        };
        count(if sent.is_ok() { "good" } else { "failed" }, 1);
        sent
    }
}

fn count(outcome: &'static str, requests: u64) {
    metrics::counter!(PURGES, "outcome" => outcome).increment(requests);
}
