//! A client for GitHub's REST API that keeps to GitHub's limits and talks to one origin only.

mod bounded;
mod client;
mod item;
mod limits;
mod link;
#[cfg(test)]
mod properties;
mod response;
mod search;
mod stars;
mod text;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

use crate::model::quota::Priority;
use crate::model::time::rfc3339;
use crate::store::StoreError;

pub use client::GitHub;
pub use item::Item;
pub use search::{PER_PAGE, SearchPage, Sort};
pub use stars::{StarPage, StarWeek};

/// GITHUB_API_URL, GITHUB_TOKEN and GITHUB_INTERNAL_REPOSITORIES.
#[derive(Clone, Debug)]
pub struct GitHubConfig {
    /// Without a slash at its end.
    pub url: Url,
    /// Sent to the URL's origin only.
    pub token: Option<SecretString>,
    /// Internal repositories count as public ones.
    pub keeps_internal: bool,
}

/// Why GitHub gave no usable response.
#[derive(Debug, thiserror::Error)]
pub enum GitHubError {
    /// The next request must wait until after the caller's deadline.
    #[error("GitHub's limit allows the next request at {}", rfc3339(*until))]
    Limited {
        /// When to try again.
        until: DateTime<Utc>,
    },
    /// Every retry failed.
    #[error("GitHub failed {}: {reason}", times(*attempts))]
    Failed {
        attempts: usize,
        /// The last failure.
        reason: String,
    },
    /// The host could not be reached, so other requests would fail as well.
    #[error("GitHub failed {}: {reason}", times(*attempts))]
    Unreachable {
        attempts: usize,
        /// The last failure.
        reason: String,
    },
    /// A retry of this request would not help.
    #[error("GitHub refused: {reason}")]
    Refused { status: u16, reason: String },
    /// No further request would be accepted.
    #[error("GitHub refused: {0}")]
    Denied(String),
    #[error("the service is stopping")]
    Stopping,
    /// The quota could not be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GitHubError {
    /// Whether the same request may succeed soon: GitHub or the network failed. A limit names its
    /// own time, and a refusal stays.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        // mutant in retries: a failure of GitHub's passes
        //     Self::Failed { .. } | Self::Unreachable { .. } => Self::Unreachable { .. }
        matches!(self, Self::Failed { .. } | Self::Unreachable { .. })
    }

    /// The error after the last try.
    fn failed(is_unreachable: bool, attempts: usize, reason: String) -> Self {
        if is_unreachable {
            Self::Unreachable { attempts, reason }
        } else {
            Self::Failed { attempts, reason }
        }
    }
}

fn times(attempts: usize) -> String {
    if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") }
}

/// Learns of the failures of a request that the client makes again.
#[async_trait]
pub trait Observer: Send + Sync {
    /// The request failed; `failure` is one line that everyone may read.
    async fn failed(&self, usage: Usage, failure: &str);
}

/// How long a caller can wait, and how urgent its requests are.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// How much of the quota the caller may use.
    pub priority: Priority,
    /// A request that would have to wait beyond this fails with [`GitHubError::Limited`].
    pub until: DateTime<Utc>,
}

/// The requests that the client has made for a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent, retries included.
    pub requests: i64,
    /// Requests made again after a failure or a limit.
    pub retries: i64,
    /// Milliseconds spent waiting for GitHub's limits.
    pub waited_ms: i64,
}
