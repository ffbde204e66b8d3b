//! GitHub's REST API as a careful client: paced, bounded, never over a limit, and only ever to its
//! own origin.

mod answer;
mod search;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LINK, USER_AGENT};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, warn};
use url::Url;

use crate::clock::Clock;
use crate::config::GitHubConfig;
use crate::model::quota::{Priority, Resource, Slot};
use crate::model::repository::{Repository, RepositoryId};
use crate::model::run::Report;
use crate::store::{SharedStore, StoreError};
use crate::task::end_of;
use answer::{Ruling, Verdict, judge};

pub use search::{PER_PAGE, SearchPage, Sort};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// GitHub gives up after 10 s itself; a page is half a megabyte.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A page of 100 is some 550 KB; more than this is no search result.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Further tries after a failure. Two or three help against GitHub's 5xx.
const MAX_RETRIES: usize = 3;

/// How often to look whether another request has come to its end. GitHub asks for one at a time.
const ASK_WHETHER_BUSY: Duration = Duration::from_millis(50);

/// Why GitHub gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum GitHubError {
    /// The limits want us to wait longer than may be waited.
    #[error("GitHub's limit allows the next request at {}", crate::repository::rfc3339(*until))]
    Limited {
        /// When to try again.
        until: DateTime<Utc>,
    },
    /// It still failed after every retry.
    #[error("GitHub failed {attempts} times: {reason}")]
    Failed {
        /// Tries.
        attempts: usize,
        /// What went wrong last.
        reason: String,
    },
    /// Trying again would not help.
    #[error("GitHub refused: {0}")]
    Refused(String),
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The quota could not be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a single repository.
#[derive(Debug, PartialEq)]
pub enum Lookup {
    /// Still there.
    Found(Box<Repository>),
    /// Deleted, made private or taken down.
    Gone,
}

/// How long a caller can wait, and how urgent its requests are.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// How much of the quota it may use.
    pub pace: Priority,
    /// No request is waited for beyond this.
    pub until: DateTime<Utc>,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct GitHub {
    http: reqwest::Client,
    base: Url,
    store: SharedStore,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
}

/// A good answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl GitHub {
    /// A client for one origin.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(
        config: &GitHubConfig,
        store: SharedStore,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("github-topic-mirror/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(token) = &config.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))?;
            value.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        let own = config.url.origin();
        let redirects = reqwest::redirect::Policy::custom(move |attempt| {
            if attempt.url().origin() != own || attempt.previous().len() > 3 {
                attempt.stop()
            } else {
                attempt.follow()
            }
        });
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(redirects)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()?;
        Ok(Self { http, base: config.url.clone(), store, clock, stopping })
    }

    /// The address of a query's first page.
    #[must_use]
    pub fn first_page(&self, query: &str, sort: Sort) -> Url {
        search::first_page(&self.base, query, sort)
    }

    /// One page of a search.
    ///
    /// # Errors
    /// When there is no usable answer; retries and limits are behind it then.
    pub async fn search(
        &self,
        page: &Url,
        patience: Deadline,
        report: &mut Report,
    ) -> Result<SearchPage, GitHubError> {
        let read = |answer: Answer| {
            let link = answer.headers.get(LINK).and_then(|link| link.to_str().ok());
            search::read(&answer.body, link, &self.base)
        };
        self.ask(page, Resource::Search, patience, report, read).await
    }

    /// One repository by its id, wherever it has moved.
    ///
    /// # Errors
    /// When there is no usable answer; 404 and 451 are answers.
    pub async fn repository(
        &self,
        id: RepositoryId,
        patience: Deadline,
        report: &mut Report,
    ) -> Result<Lookup, GitHubError> {
        let url = search::endpoint(&self.base, &format!("repositories/{id}"));
        let read = |answer: Answer| match answer.status {
            403 | 404 | 410 | 451 => Ok(Lookup::Gone),
            _ => Repository::from_json(&answer.body)
                .map(|repository| Lookup::Found(Box::new(repository)))
                .map_err(|error| {
                    warn!(id, %error, "a repository that cannot be read");
                    "a repository that cannot be read".to_owned()
                }),
        };
        self.ask(&url, Resource::Core, patience, report, read).await
    }

    /// Asks until there is an answer that `read` can use: limits are waited for, failures retried
    /// with growing pauses.
    async fn ask<T>(
        &self,
        url: &Url,
        bucket: Resource,
        patience: Deadline,
        report: &mut Report,
        read: impl Fn(Answer) -> Result<T, String>,
    ) -> Result<T, GitHubError> {
        let mut pauses =
            ExponentialBuilder::default().with_jitter().with_max_times(MAX_RETRIES).build();
        let mut attempts = 0;
        loop {
            self.admit(bucket, patience, report).await?;
            report.requests += 1;
            attempts += 1;
            // To its end, even if the run is dropped meanwhile: until its answer is judged nobody
            // else may ask.
            let (client, address) = (self.clone(), url.clone());
            let asked = async move {
                match client.stopping.run_until_cancelled(client.send(&address)).await {
                    Some(sent) => client.judge(bucket, sent).await,
                    None => client
                        .judge(bucket, Err(String::new()))
                        .await
                        .and(Err(GitHubError::Stopping)),
                }
            };
            let verdict = end_of(tokio::spawn(asked.in_current_span())).await?;
            let reason = match verdict {
                Verdict::Good(answer) => match read(answer) {
                    Ok(value) => return Ok(value),
                    Err(reason) => reason,
                },
                // The pause is stored; the next round waits for it, or finds that it is too long.
                Verdict::Limited => {
                    report.retries += 1;
                    continue;
                }
                Verdict::Refused(reason) => return Err(GitHubError::Refused(reason)),
                Verdict::Failed(reason) => reason,
            };
            warn!(%url, attempts, reason, "GitHub gave no usable answer");
            let Some(pause) = pauses.next() else {
                return Err(GitHubError::Failed { attempts, reason });
            };
            report.retries += 1;
            self.sleep_until(self.clock.now() + pause).await?;
        }
    }

    /// Waits for a turn, and until no other request is under way, and counts the request. The quota
    /// is the database's, so all replicas wait alike.
    async fn admit(
        &self,
        bucket: Resource,
        patience: Deadline,
        report: &mut Report,
    ) -> Result<(), GitHubError> {
        let asked_at = self.clock.now();
        let mut turn = self.take_turn(bucket, patience).await?;
        loop {
            self.sleep_until(turn.at).await?;
            let now = self.clock.now();
            let mut quota = self.store.quota(bucket).await?;
            if !turn.is_ours || quota.allowed_at(patience.pace, now) > now {
                // It was only a time to ask again, or a pause began while we waited.
                turn = self.take_turn(bucket, patience).await?;
            } else if bucket == Resource::Search && quota.is_busy(now) {
                let waited =
                    self.stopping.run_until_cancelled(tokio::time::sleep(ASK_WHETHER_BUSY)).await;
                waited.ok_or(GitHubError::Stopping)?;
            } else {
                quota.send(now);
                if self.store.save_quota(bucket, &quota).await? {
                    report.waited_ms += (now - asked_at).num_milliseconds();
                    return Ok(());
                }
            }
        }
    }

    async fn take_turn(&self, bucket: Resource, patience: Deadline) -> Result<Slot, GitHubError> {
        loop {
            let mut quota = self.store.quota(bucket).await?;
            let now = self.clock.now();
            let turn = quota.take_turn(bucket, patience.pace, now);
            // Who cannot wait may still go at once.
            if turn.at > patience.until.max(now) {
                return Err(GitHubError::Limited { until: turn.at });
            }
            if !turn.is_ours || self.store.save_quota(bucket, &quota).await? {
                debug!(?turn, "the next request's turn");
                return Ok(turn);
            }
        }
    }

    async fn sleep_until(&self, time: DateTime<Utc>) -> Result<(), GitHubError> {
        tokio::select! {
            () = self.stopping.cancelled() => Err(GitHubError::Stopping),
            () = self.clock.sleep_until(time) => Ok(()),
        }
    }

    /// Sends one request and reads its whole answer, up to a bound.
    async fn send(&self, url: &Url) -> Result<Answer, String> {
        let mut response = self.http.get(url.clone()).send().await.map_err(describe)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(describe)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(format!("the answer is longer than {} MB", MAX_BODY_BYTES >> 20));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    /// Tells good answers from limits and failures, and stores what the answer says of the quota.
    async fn judge(
        &self,
        bucket: Resource,
        answer: Result<Answer, String>,
    ) -> Result<Verdict, GitHubError> {
        loop {
            let mut quota = self.store.quota(bucket).await?;
            let strikes = quota.strikes;
            quota.busy_until = None;
            let ruling = match &answer {
                Ok(answer) => judge(answer, bucket, &mut quota, self.clock.now()),
                Err(reason) => Ruling::Failed(reason.clone()),
            };
            if self.store.save_quota(bucket, &quota).await? {
                if let Some(until) = quota.paused_until.filter(|_| quota.strikes > strikes) {
                    self.pause(bucket.other(), until).await?;
                }
                return Ok(match (ruling, answer) {
                    (Ruling::Good, Ok(answer)) => Verdict::Good(answer),
                    (Ruling::Limited, _) => Verdict::Limited,
                    (Ruling::Refused(reason), _) => Verdict::Refused(reason),
                    (Ruling::Failed(reason), _) | (Ruling::Good, Err(reason)) => {
                        Verdict::Failed(reason)
                    }
                });
            }
        }
    }

    /// A limit that is not one bucket's own holds for everything.
    async fn pause(&self, bucket: Resource, until: DateTime<Utc>) -> Result<(), StoreError> {
        loop {
            let mut quota = self.store.quota(bucket).await?;
            quota.pause(until);
            if self.store.save_quota(bucket, &quota).await? {
                return Ok(());
            }
        }
    }
}

/// What readers may hear of a failure. The log has it with its causes, which reqwest keeps apart.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    warn!(%error, causes = causes.join(": "), "the request failed");
    let public = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it did not answer in time",
        (false, true) => "it could not be reached",
        (false, false) => "its answer broke off",
    };
    public.to_owned()
}
