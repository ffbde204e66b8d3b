//! Leases of runs: renewed while a run works, given back when an error has ended it.

use std::time::Duration;

use tracing::{debug, error, warn};

use super::Dependencies;
use crate::model::run::Outcome;
use crate::store::{Lease, StoreError};

/// A holder renews its lease several times within [`crate::store::LEASE_TIME`].
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How often a run that the database failed tries to give its lease back.
const GIVE_UP_EVERY: Duration = Duration::from_secs(1);

/// Does `work` while renewing the lease. If the lease is lost, `work` is dropped.
pub(super) async fn while_renewing<T>(
    dependencies: &Dependencies,
    lease: &Lease,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Dependencies { store, clock, .. } = dependencies;
    let renewing = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match store.renew(lease, clock.now()).await {
                Err(StoreError::LeaseLost) => return StoreError::LeaseLost,
                Err(error) => warn!(%error, "the lease could not be renewed"),
                Ok(()) => {}
            }
        }
    };
    tokio::select! {
        result = work => result,
        lost = renewing => Err(lost),
    }
}

/// Closes the ledger's entry of a run that an error ended, and gives its lease back, as soon as the
/// database answers: callers wait for the entry.
pub(super) async fn give_up(dependencies: &Dependencies, lease: &Lease, error: &StoreError) {
    let Dependencies { store, clock, stopping, .. } = dependencies;
    if matches!(error, StoreError::LeaseLost) {
        warn!(%error, "the refresh ends here");
    } else {
        error!(%error, "the refresh could not be finished");
    }
    loop {
        let entry = store.refresh(lease.refresh).await.ok().flatten();
        let mut report = entry.map(|run| run.report).unwrap_or_default();
        report.fail_with(reason(error));
        match store.end(lease, Outcome::Failed, &report, clock.now()).await {
            Ok(()) | Err(StoreError::LeaseLost) => return,
            // The store logs failures once.
            Err(error) => debug!(%error, "the ended refresh could not be closed"),
        }
        let pause = tokio::time::sleep(GIVE_UP_EVERY);
        if stopping.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// The reason of a run that an error of the store ended, for everyone to read.
pub(super) fn reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::LeaseLost => "its topic was deleted, or another process has taken over",
        StoreError::Busy => "the database was busy",
        StoreError::Replaced(_) => "the database's file was replaced while the service ran",
        StoreError::Database(_) | StoreError::Migration(_) => "the database failed",
    }
}
