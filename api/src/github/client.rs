//! Requests to GitHub: bounded in time and size, retried after failures, and never sent to another
//! origin.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LINK, USER_AGENT};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, warn};
use url::Url;

use super::limits::Limits;
use super::response::{Response, ResponseClass};
use super::search::{self, SearchPage, Sort};
use super::{Deadline, GitHubConfig, GitHubError, Lookup, Usage};
use crate::clock::Clock;
use crate::model::quota::Resource;
use crate::model::repository::{Repository, RepositoryId};
use crate::store::SharedStore;
use crate::task::join;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// GitHub itself gives up after 10 s, and a page is half a megabyte.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A page of 100 is some 550 KB. A longer body is no search result.
const MAX_BODY_BYTES: usize = 16 << 20;

/// GitHub's 5xx errors pass within two or three retries.
const MAX_RETRIES: usize = 3;

const MAX_REDIRECTS: usize = 3;

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct GitHub {
    http: reqwest::Client,
    base: Url,
    limits: Limits,
    stopping: CancellationToken,
}

impl GitHub {
    /// # Errors
    /// When the system's certificates cannot be read, or the token is no header value.
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
            headers.insert(AUTHORIZATION, value);
        }
        let own_origin = config.url.origin();
        let redirects = reqwest::redirect::Policy::custom(move |attempt| {
            if attempt.url().origin() != own_origin || attempt.previous().len() > MAX_REDIRECTS {
                attempt.stop()
            } else {
                attempt.follow()
            }
        });
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(redirects)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(RESPONSE_TIMEOUT)
            .build()?;
        let limits = Limits::new(store, clock, stopping.clone());
        Ok(Self { http, base: config.url.clone(), limits, stopping })
    }

    /// The address of a query's first page.
    #[must_use]
    pub fn first_page(&self, query: &str, sort: Sort) -> Url {
        search::first_page(&self.base, query, sort)
    }

    /// One page of a search.
    ///
    /// # Errors
    /// When GitHub gave no usable response within the deadline and the retries.
    pub async fn search(
        &self,
        page: &Url,
        deadline: Deadline,
        usage: &mut Usage,
    ) -> Result<SearchPage, GitHubError> {
        let read = |response: Response| {
            let link = response.headers.get(LINK).and_then(|link| link.to_str().ok());
            search::read_page(&response.body, link, &self.base)
        };
        self.request(page, Resource::Search, deadline, usage, read).await
    }

    /// A repository by its id, under which GitHub knows it even after it has moved.
    ///
    /// # Errors
    /// When GitHub gave no usable response; "not found" and "blocked" are usable ones.
    pub async fn repository(
        &self,
        id: RepositoryId,
        deadline: Deadline,
        usage: &mut Usage,
    ) -> Result<Lookup, GitHubError> {
        let url = search::endpoint(&self.base, &format!("repositories/{id}"));
        let read = |response: Response| match response.status {
            403 | 404 | 410 | 451 => Ok(Lookup::Gone),
            _ => Repository::from_json(&response.body)
                .map(|repository| Lookup::Found(Box::new(repository)))
                .map_err(|error| {
                    warn!(id, %error, "a repository cannot be read");
                    "a repository that cannot be read".to_owned()
                }),
        };
        self.request(&url, Resource::Core, deadline, usage, read).await
    }

    /// Makes requests until `read` can use a response: waits for limits, and retries failures with
    /// growing pauses.
    async fn request<T>(
        &self,
        url: &Url,
        resource: Resource,
        deadline: Deadline,
        usage: &mut Usage,
        read: impl Fn(Response) -> Result<T, String>,
    ) -> Result<T, GitHubError> {
        let mut pauses =
            ExponentialBuilder::default().with_jitter().with_max_times(MAX_RETRIES).build();
        let mut attempts = 0;
        loop {
            let waited = self.limits.admit(resource, deadline).await?;
            usage.waited_ms += waited.num_milliseconds();
            usage.requests += 1;
            attempts += 1;
            // The request has a task of its own, because it must be recorded even if the caller is
            // dropped: the next search waits until the response to this one is recorded.
            let (client, address) = (self.clone(), url.clone());
            let request = async move { client.send_and_record(&address, resource).await };
            let (class, sent) = join(tokio::spawn(request.in_current_span())).await?;
            let reason = match class {
                ResponseClass::Good => match sent.and_then(&read) {
                    Ok(value) => return Ok(value),
                    Err(reason) => reason,
                },
                // The pause is stored. The next round waits for it, or fails if it ends after the
                // deadline.
                ResponseClass::Limited => {
                    usage.retries += 1;
                    continue;
                }
                ResponseClass::Refused(reason) => return Err(GitHubError::Refused(reason)),
                ResponseClass::Failed(reason) => reason,
            };
            warn!(%url, attempts, reason, "GitHub gave no usable response");
            let Some(pause) = pauses.next() else {
                return Err(GitHubError::Failed { attempts, reason });
            };
            usage.retries += 1;
            self.limits.sleep(pause).await?;
        }
    }

    /// Sends one request and records its end in the quota, also if the service stops meanwhile.
    async fn send_and_record(
        &self,
        url: &Url,
        resource: Resource,
    ) -> Result<(ResponseClass, Result<Response, String>), GitHubError> {
        let Some(sent) = self.stopping.run_until_cancelled(self.send(url)).await else {
            self.limits.record(resource, &Err(String::new())).await?;
            return Err(GitHubError::Stopping);
        };
        let class = self.limits.record(resource, &sent).await?;
        Ok((class, sent))
    }

    /// Sends one request and reads the whole response, up to [`MAX_BODY_BYTES`].
    async fn send(&self, url: &Url) -> Result<Response, String> {
        let mut response = self.http.get(url.clone()).send().await.map_err(public_reason)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(public_reason)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(format!("the answer is longer than {} MB", MAX_BODY_BYTES >> 20));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

/// The reason that reports may show to anyone. The log has the error with its causes, which reqwest
/// keeps apart.
fn public_reason(error: reqwest::Error) -> String {
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
