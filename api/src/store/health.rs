//! Whether the database takes writes, and how many connections there are. Writes that fail in a row
//! are logged once and counted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use tracing::{error, info};

use crate::telemetry::DATABASE_ERRORS;

/// Writes that fail: the last one did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingWrites {
    /// The time since the first failure in a row.
    pub since: Duration,
    /// The failures in a row.
    pub failures: u64,
}

/// The open connections to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Those that are used, opened or waited for.
    pub used: usize,
    pub idle: usize,
}

/// A standby that reads go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandbyState {
    /// It answers and is not too far behind.
    pub is_read: bool,
    /// The time by which it is behind the primary, as far as known.
    pub lag: Duration,
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
        }
        let new = || Failures { first: Instant::now(), count: 0 };
        failures.get_or_insert_with(new).count += 1;
    }

    pub(super) fn succeeded(&self) {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Failures { first, count, .. }) = failures {
            let seconds = first.elapsed().as_secs();
            info!(failures = count, seconds, "the database takes writes again");
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

/// The counter of the database's errors.
pub(super) fn errors() -> Counter {
    metrics::counter!(DATABASE_ERRORS)
}
