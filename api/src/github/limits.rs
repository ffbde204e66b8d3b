//! GitHub's limits as the client keeps them. The quota is in the database and changes by
//! compare-and-swap, so all replicas share it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::response::{NoResponse, Response, ResponseClass, classify};
use super::{Deadline, GitHubError};
use crate::clock::Clock;
use crate::model::quota::{Quota, Resource, Slot};
use crate::store::{SharedStore, StoreError};
use crate::telemetry::GITHUB_REQUESTS;

/// How often to look whether another search is still in flight.
const BUSY_POLL: Duration = Duration::from_millis(50);

/// The shared quota. Cheap to clone.
#[derive(Clone)]
pub(super) struct Limits {
    store: SharedStore,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
}

impl Limits {
    pub(super) fn new(
        store: SharedStore,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self { store, clock, stopping }
    }

    /// Waits for a request slot, and for the search in flight if there is one, because GitHub asks
    /// for one at a time. Then counts the request, and returns the time waited.
    pub(super) async fn admit(
        &self,
        resource: Resource,
        deadline: Deadline,
    ) -> Result<TimeDelta, GitHubError> {
        let asked_at = self.clock.now();
        let mut slot = self.take_slot(resource, deadline).await?;
        loop {
            self.sleep_until(slot.at).await?;
            let now = self.clock.now();
            let mut quota = self.quota(resource, now).await?;
            // mutant in coverage: one search at a time
            //     resource == Resource::Search && quota.is_busy(now) => false
            if !slot.is_reserved || quota.allowed_at(resource, deadline.priority, now) > now {
                // The slot was only a time to ask again, or a pause began during the wait.
                slot = self.take_slot(resource, deadline).await?;
            } else if resource == Resource::Search && quota.is_busy(now) {
                let waited = self.stopping.run_until_cancelled(tokio::time::sleep(BUSY_POLL)).await;
                waited.ok_or(GitHubError::Stopping)?;
            } else {
                quota.send(now);
                if self.store.save_quota(resource, &quota).await? {
                    return Ok(now - asked_at);
                }
            }
        }
    }

    async fn take_slot(&self, resource: Resource, deadline: Deadline) -> Result<Slot, GitHubError> {
        loop {
            let now = self.clock.now();
            let mut quota = self.quota(resource, now).await?;
            let slot = quota.take_slot(resource, deadline.priority, now);
            // A caller whose deadline has passed may still send a request that need not wait.
            // mutant in client: no request is waited for beyond the deadline
            //     slot.at > deadline.until.max(now) => false
            // mutant in refreshes: a request that need not wait is sent whatever the deadline
            //     deadline.until.max(now) => deadline.until
            if slot.at > deadline.until.max(now) {
                return Err(GitHubError::Limited { until: slot.at });
            }
            if !slot.is_reserved || self.store.save_quota(resource, &quota).await? {
                debug!(?slot, "the next request has a slot");
                return Ok(slot);
            }
        }
    }

    /// Classifies a request's response, or the reason for having none, stores the limits that the
    /// response reports, and counts the request.
    pub(super) async fn record(
        &self,
        resource: Resource,
        sent: &Result<Response, NoResponse>,
    ) -> Result<ResponseClass, GitHubError> {
        loop {
            let now = self.clock.now();
            let mut quota = self.quota(resource, now).await?;
            quota.busy_until = None;
            let (class, pause) = match sent {
                Ok(response) => classify(response, resource, &mut quota, now),
                Err(failure) => (ResponseClass::Failed(failure.reason.clone()), None),
            };
            if !self.store.save_quota(resource, &quota).await? {
                continue;
            }
            if let Some(until) = pause {
                for other in Resource::ALL.into_iter().filter(|other| *other != resource) {
                    // mutant in client: a secondary limit holds for every resource
                    //     self.pause(other, until, now).await? => let _ = (other, until, now)
                    self.pause(other, until, now).await?;
                }
            }
            let labels = [("resource", resource.into()), ("outcome", <&str>::from(&class))];
            metrics::counter!(GITHUB_REQUESTS, &labels).increment(1);
            debug!(?class, remaining = quota.remaining, "a request to GitHub has ended");
            return Ok(class);
        }
    }

    /// The quota, which the caller may change. If the clock was set back, the quota's times are set
    /// back once for all replicas.
    async fn quota(&self, resource: Resource, now: DateTime<Utc>) -> Result<Quota, StoreError> {
        loop {
            let mut quota = self.store.quota(resource).await?;
            if !quota.follow_clock(now) {
                return Ok(quota);
            }
            self.store.save_quota(resource, &quota).await?;
        }
    }

    async fn pause(
        &self,
        resource: Resource,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        loop {
            let mut quota = self.quota(resource, now).await?;
            quota.pause(until, now);
            if self.store.save_quota(resource, &quota).await? {
                return Ok(());
            }
        }
    }

    pub(super) async fn sleep(&self, pause: Duration) -> Result<(), GitHubError> {
        self.sleep_until(self.clock.now() + pause).await
    }

    async fn sleep_until(&self, time: DateTime<Utc>) -> Result<(), GitHubError> {
        tokio::select! {
            () = self.stopping.cancelled() => Err(GitHubError::Stopping),
            () = self.clock.sleep_until(time) => Ok(()),
        }
    }
}
