//! Requests to GitHub: bounded in time and size, retried after failures, and never sent to another
//! origin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::NaiveDate;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LINK, USER_AGENT};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, warn};
use url::Url;

use super::item::Item;
use super::limits::Limits;
use super::response::{NoResponse, Response, ResponseClass, failure, log_unusable};
use super::search::{self, SearchPage, Sort};
use super::stars::{self, StarPage};
use super::text::decode;
use super::{Deadline, GitHubConfig, GitHubError, Observer, Usage};
use crate::authorities;
use crate::clock::Clock;
use crate::model::quota::Resource;
use crate::model::repository::{Repository, RepositoryId};
use crate::store::SharedStore;
use crate::task::join;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const BAD_CREDENTIALS: &str = "bad credentials: check GITHUB_TOKEN";

/// GitHub itself gives up after 10 s, and a page is half a megabyte.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A page of 100 is some 550 KB. A longer body is no search result.
const MAX_BODY_BYTES: usize = 16 << 20;

/// GitHub's 5xx errors pass within two or three retries.
const MAX_RETRIES: usize = 3;

/// Retries of a 401 after the same token was accepted.
// mutant in client: a 401 after a good answer is tried again
//     usize = 2 => usize = 0
const MAX_UNAUTHORIZED: usize = 2;

const MAX_REDIRECTS: usize = 3;

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct GitHub {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    keeps_internal: bool,
    /// GitHub has accepted the token since it last refused it for good.
    is_accepted: Arc<AtomicBool>,
    limits: Limits,
    stopping: CancellationToken,
}

impl GitHub {
    /// # Errors
    /// When the certificate authorities cannot be read, or the token is no header value.
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
        let bearer = |token: &SecretString| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        };
        let authorization = config.token.as_ref().map(bearer).transpose()?;
        let own_origin = config.url.origin();
        let redirects = reqwest::redirect::Policy::custom(move |attempt| {
            if attempt.url().origin() != own_origin || attempt.previous().len() > MAX_REDIRECTS {
                attempt.stop()
            } else {
                attempt.follow()
            }
        });
        let http = authorities::client_builder()
            .default_headers(headers)
            .redirect(redirects)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(RESPONSE_TIMEOUT)
            .build()?;
        let limits = Limits::new(store, clock, stopping.clone());
        let (base, is_accepted) = (config.url.clone(), Arc::default());
        let keeps_internal = config.keeps_internal;
        Ok(Self { http, base, authorization, keeps_internal, is_accepted, limits, stopping })
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
        observer: Option<&dyn Observer>,
    ) -> Result<SearchPage, GitHubError> {
        let read = |response: Response| {
            let links = response.headers.get_all(LINK).iter().map(HeaderValue::as_bytes);
            search::read_page(&response.body, links, &self.base)
        };
        let page = self.request(page, Resource::Search, deadline, usage, observer, read).await;
        page.map(|mut page| {
            page.repositories.iter_mut().for_each(|repository| self.open(repository));
            page
        })
    }

    /// Takes an internal repository for a public one if the setting says so.
    fn open(&self, repository: &mut Repository) {
        // mutant in refreshes: internal repositories are kept only if the setting says so
        //     self.keeps_internal && => true &&
        repository.private &= !(self.keeps_internal && repository.internal);
    }

    /// A repository by its id, under which GitHub knows it even after it has moved; `None` if it
    /// was deleted, made private or taken down. If GitHub refuses it to the token (a policy of the
    /// owner's, or of the token's), it is requested once more without one: public data is public. A
    /// failure is not retried here, because the caller has other repositories to ask for.
    ///
    /// # Errors
    /// When GitHub gave no usable response; "not found" and "blocked" are usable ones.
    pub async fn repository(
        &self,
        id: RepositoryId,
        deadline: Deadline,
        usage: &mut Usage,
    ) -> Result<Option<Item>, GitHubError> {
        let url = search::endpoint(&self.base, &format!("repositories/{id}"));
        let read = |response: Response| match response.status {
            403 | 404 | 410 | 451 => Ok(None),
            _ => Item::read(&decode(&response.body).0)
                .map(|mut item| {
                    self.open(&mut item.repository);
                    Some(item)
                })
                .map_err(|skipped| {
                    warn!(id, reason = skipped.reason, "a repository cannot be read");
                    "a repository that cannot be read".to_owned()
                }),
        };
        self.request_core(&url, deadline, usage, read).await
    }

    /// The address of the first page of a repository's star history.
    #[must_use]
    pub fn first_star_page(&self, full_name: &str) -> Url {
        stars::first_page(&self.base, full_name)
    }

    /// One page of a star history, whose weeks are over before a day; `None` if GitHub does not
    /// offer it for the repository. It is requested like [`repository`](Self::repository).
    ///
    /// # Errors
    /// When GitHub gave no usable response.
    pub async fn star_page(
        &self,
        page: &Url,
        before: NaiveDate,
        deadline: Deadline,
        usage: &mut Usage,
    ) -> Result<Option<StarPage>, GitHubError> {
        let read = |response: Response| match response.status {
            403 | 404 | 410 | 451 => Ok(None),
            _ => {
                let links = response.headers.get_all(LINK).iter().map(HeaderValue::as_bytes);
                stars::read_page(&response.body, links, &self.base, before).map(Some)
            }
        };
        match self.request_core(page, deadline, usage, read).await {
            Err(GitHubError::Refused { status: 422, .. }) => Ok(None),
            answer => answer,
        }
    }

    /// Makes a request that concerns one repository, and makes it once more without the token if
    /// GitHub refuses it to the token.
    async fn request_core<T>(
        &self,
        url: &Url,
        deadline: Deadline,
        usage: &mut Usage,
        read: impl Fn(Response) -> Result<T, String>,
    ) -> Result<T, GitHubError> {
        let refused = match self.request(url, Resource::Core, deadline, usage, None, &read).await {
            // mutant in refreshes: a repository refused to the token is looked up without it
            //     self.authorization.is_some() => false
            Err(error @ GitHubError::Refused { status: 403, .. })
                if self.authorization.is_some() =>
            {
                error
            }
            answer => return answer,
        };
        match self.request(url, Resource::AnonymousCore, deadline, usage, None, &read).await {
            // The limit without a token says nothing about requests with one.
            Err(GitHubError::Limited { .. }) => Err(refused),
            answer => answer,
        }
    }

    /// Makes requests until `read` can use a response: waits for limits, and retries failures with
    /// growing pauses.
    async fn request<T>(
        &self,
        url: &Url,
        resource: Resource,
        deadline: Deadline,
        usage: &mut Usage,
        observer: Option<&dyn Observer>,
        read: impl Fn(Response) -> Result<T, String>,
    ) -> Result<T, GitHubError> {
        let mut pauses =
            ExponentialBuilder::default().with_jitter().with_max_times(MAX_RETRIES).build();
        let (mut attempts, mut unauthorized) = (0, 0);
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
            let is_unreachable = sent.as_ref().is_err_and(|failure| failure.is_unreachable);
            let reason = match class {
                ResponseClass::Good => {
                    self.note_accepted(resource);
                    match sent.map_err(|failure| failure.reason).and_then(&read) {
                        Ok(value) => return Ok(value),
                        Err(reason) => reason,
                    }
                }
                // The pause is stored. The next round waits for it, or fails if it ends after the
                // deadline.
                ResponseClass::Limited => {
                    usage.retries += 1;
                    continue;
                }
                ResponseClass::Unauthorized => {
                    self.reject(unauthorized)?;
                    unauthorized += 1;
                    BAD_CREDENTIALS.to_owned()
                }
                ResponseClass::Refused { status, reason } => {
                    return Err(GitHubError::Refused { status, reason });
                }
                ResponseClass::Denied(reason) => return Err(GitHubError::Denied(reason)),
                ResponseClass::Failed(reason) => reason,
            };
            log_unusable(url, attempts, &reason);
            let pause = pauses.next().filter(|_| resource == Resource::Search || unauthorized > 0);
            let error = GitHubError::failed(is_unreachable, attempts, reason);
            let Some(pause) = pause else { return Err(error) };
            usage.retries += 1;
            if let Some(observer) = observer {
                observer.failed(*usage, &error.to_string()).await;
            }
            self.limits.sleep(pause).await?;
        }
    }

    /// Notes that GitHub has accepted the token.
    fn note_accepted(&self, resource: Resource) {
        if resource != Resource::AnonymousCore {
            self.is_accepted.store(true, Ordering::Relaxed);
        }
    }

    /// Fails unless a 401 may pass: the token was accepted before, and the request was not refused
    /// too often. After that, a first 401 ends every request.
    fn reject(&self, unauthorized: usize) -> Result<(), GitHubError> {
        if !self.is_accepted.load(Ordering::Relaxed) {
            return Err(GitHubError::Denied(BAD_CREDENTIALS.to_owned()));
        }
        if unauthorized < MAX_UNAUTHORIZED {
            return Ok(());
        }
        self.is_accepted.store(false, Ordering::Relaxed);
        Err(GitHubError::Refused { status: 401, reason: BAD_CREDENTIALS.to_owned() })
    }

    /// Sends one request and records its end in the quota, also if the service stops meanwhile.
    async fn send_and_record(
        &self,
        url: &Url,
        resource: Resource,
    ) -> Result<(ResponseClass, Result<Response, NoResponse>), GitHubError> {
        let Some(sent) = self.stopping.run_until_cancelled(self.send(url, resource)).await else {
            let stopped = NoResponse { reason: String::new(), is_unreachable: false };
            self.limits.record(resource, &Err(stopped)).await?;
            return Err(GitHubError::Stopping);
        };
        let class = self.limits.record(resource, &sent).await?;
        Ok((class, sent))
    }

    /// Sends one request and reads the whole response, up to [`MAX_BODY_BYTES`].
    async fn send(&self, url: &Url, resource: Resource) -> Result<Response, NoResponse> {
        let mut request = self.http.get(url.clone());
        // mutant in refreshes: the second question carries no credential
        //     resource != Resource::AnonymousCore => true
        let token = self.authorization.as_ref().filter(|_| resource != Resource::AnonymousCore);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let mut response = request.send().await.map_err(failure)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                let reason = format!("the answer is longer than {} MB", MAX_BODY_BYTES >> 20);
                return Err(NoResponse { reason, is_unreachable: false });
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
