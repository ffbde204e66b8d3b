//! Waits for the end of a run, which may be another process's.

use std::time::Duration;

use tracing::warn;

use super::Refresher;
use crate::model::run::{RefreshRun, RunState, Trigger};
use crate::model::topic::Topic;
use crate::refresh::RunResult;
use crate::store::StoreError;
use crate::telemetry::left_out;

/// How often a caller looks in the ledger for the end of a run, which may be another process's.
const POLL: Duration = Duration::from_millis(250);

/// How often a caller that waits for a run tries to begin it, in case the run's process has ended.
const TAKE_OVER_EVERY: Duration = Duration::from_secs(5);

/// Failures of the database in a row after which a caller no longer waits for a run.
const MAX_FAILURES: usize = 5;

impl Refresher {
    /// Returns when this process has published a list or ended a run, or after `POLL`: another
    /// process may have.
    pub async fn changed(&self) {
        let mut changed = self.publisher.subscribe();
        let _ = tokio::time::timeout(POLL, changed.changed()).await;
    }

    /// Starts or joins a refresh and waits for its end.
    pub(super) async fn run_to_end(
        &self,
        parent: Option<i64>,
        topic: Option<&Topic>,
        trigger: Trigger,
    ) -> Result<RunResult, StoreError> {
        let ended = self.wait_for_end(parent, topic, trigger).await;
        if ended.is_err() {
            self.retry_later(topic);
        }
        ended
    }

    async fn wait_for_end(
        &self,
        parent: Option<i64>,
        topic: Option<&Topic>,
        trigger: Trigger,
    ) -> Result<RunResult, StoreError> {
        let first = self.begin(parent, None, topic, trigger).await?;
        let (mut current, mut failures) = (first, 0);
        loop {
            let ended = match tokio::time::timeout(TAKE_OVER_EVERY, self.end_of(current.id)).await {
                Ok(ended) => ended,
                // The run may have ended since the last look.
                Err(_) => {
                    let entry = self.dependencies.store.refresh(current.id).await.ok().flatten();
                    entry.filter(|run| run.state == RunState::Finished)
                }
            };
            if let Some(refresh) = ended {
                return Ok(RunResult { refresh, coalesced: first.coalesced });
            }
            // If the run's process has died and its lease has expired, the run begins anew here.
            // The same happens if its entry is so old that it was deleted.
            match self.begin(parent, Some(current.id), topic, trigger).await {
                Ok(handle) => (current, failures) = (handle, 0),
                Err(error) if failures == MAX_FAILURES => return Err(error),
                Err(error) => {
                    warn!(%error, "the database does not answer while a refresh is waited for");
                    failures += 1;
                }
            }
        }
    }

    /// Waits until the ledger has the end of a run; `None` if its entry was deleted. If the
    /// database does not answer, it is asked again.
    async fn end_of(&self, id: i64) -> Option<RefreshRun> {
        loop {
            let mut changed = self.publisher.subscribe();
            match self.dependencies.store.refresh(id).await {
                Ok(Some(run)) if run.state == RunState::Running => {}
                Ok(ended) => return ended,
                Err(error) => {
                    if let Some(left_out) = left_out("the ledger could not be read") {
                        warn!(%error, left_out, "the ledger could not be read");
                    }
                }
            }
            let _ = tokio::time::timeout(POLL, changed.changed()).await;
        }
    }
}
