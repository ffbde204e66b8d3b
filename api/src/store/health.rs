//! Whether the database takes writes. Failures in a row are logged once and counted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info};

/// Failures of the database, of reads and writes.
const ERRORS: &str = "mirror_database_errors_total";

/// 1 while the last write has failed, else 0.
const FAILING: &str = "mirror_database_writes_failing";

/// Writes that fail: the last one did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingWrites {
    /// The time since the first failure in a row.
    pub since: Duration,
    /// The failures in a row.
    pub failures: u64,
}

/// The results of a database's writes.
#[derive(Debug, Default)]
pub(super) struct WriteHealth(Mutex<Option<Failures>>);

#[derive(Debug)]
struct Failures {
    first: Instant,
    count: u64,
}

impl WriteHealth {
    pub(super) fn failed(&self, reason: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_none() {
            error!(error = reason, "the database does not take writes");
            metrics::gauge!(FAILING).set(1.0);
        }
        let new = || Failures { first: Instant::now(), count: 0 };
        failures.get_or_insert_with(new).count += 1;
    }

    pub(super) fn succeeded(&self) {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Failures { first, count, .. }) = failures {
            let seconds = first.elapsed().as_secs();
            info!(failures = count, seconds, "the database takes writes again");
            metrics::gauge!(FAILING).set(0.0);
        }
    }

    pub(super) fn failing(&self) -> Option<FailingWrites> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.as_ref().map(|failures| FailingWrites {
            since: failures.first.elapsed(),
            failures: failures.count,
        })
    }
}

/// Counts an error of the database.
pub(super) fn count_error() {
    metrics::counter!(ERRORS).increment(1);
}
