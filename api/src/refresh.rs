//! Refreshes: one at a time for each topic, joined by everybody who asks for the same one, and
//! never leaving the data worse than before.

mod all_topics;
mod deletion;
mod lease;
mod plan;
mod publish;
mod reading;
mod recorder;
mod refresher;
mod retry;
mod search;
mod slices;
mod topic;
mod verdict;
mod verify;

use std::sync::Arc;

use serde::Serialize;
use settings::Schedule;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use crate::cache::Tiers;
use crate::clock::Clock;
use crate::github::GitHub;
use crate::model::run::RefreshRun;
use crate::model::topic::{Coverages, Topic};
use crate::purge::Purger;
use crate::store::SharedStore;

pub use refresher::Refresher;

/// The other parts of the service that refreshes work with.
pub struct Dependencies {
    pub store: SharedStore,
    pub tiers: Tiers,
    pub github: GitHub,
    /// `None` without PURGE_URL.
    pub purger: Option<Purger>,
    pub clock: Arc<dyn Clock>,
    /// TOPICS.
    pub topics: Vec<Topic>,
    pub coverages: Coverages,
    /// REFRESH_SCHEDULE. Its period bounds how long a run waits for GitHub's limits.
    pub schedule: Schedule,
    /// The name of this process in leases.
    pub owner: String,
    /// Tracks runs and the publisher.
    pub tasks: TaskTracker,
    /// Cancelled when the service stops. Runs end at the next request then.
    pub stopping: CancellationToken,
}

/// A refresh that was started or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHandle {
    /// The id of its entry in the ledger.
    pub id: i64,
    /// Whether another caller had started it.
    pub coalesced: bool,
}

/// The end of a refresh that a caller waited for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunResult {
    #[serde(flatten)]
    pub refresh: RefreshRun,
    /// Whether another caller had started it.
    pub coalesced: bool,
}
