//! A run of a refresh: its trigger, its plan, its report, and its entry in the ledger.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::repository::RepositoryId;
use super::time::{optional_seconds, seconds};
use super::topic::{Coverage, TopicState};

/// The most skipped items that a report names one by one.
const MAX_SKIPPED_NAMED: usize = 20;

/// The cause of a refresh.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Trigger {
    /// This process: its scheduler, at start or on schedule, or a retry.
    Schedule,
    /// `/update_cache`.
    Request,
    /// A read of a topic that had no list.
    OnDemand,
    /// `api refresh`.
    CommandLine,
}

/// The searches that follow best match. Every plan begins with that: it gives a new topic its first
/// list, and tells how large the topic is.
#[derive(
    Clone, Copy, Debug, Deserialize, EnumString, IntoStaticStr, PartialEq, Eq, Serialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Plan {
    /// The first 500 by stars and by update.
    Top,
    /// Every repository, in slices by date of creation.
    Complete,
    /// The repositories that changed since the last run, of a topic that was read whole today.
    Changed,
}

impl Plan {
    /// The plan for a run at `now`. A topic that is kept whole is read whole once each UTC day, so
    /// that every repository has a star count for every day, and again when a run could not see
    /// every change.
    #[must_use]
    pub fn of(coverage: Coverage, state: &TopicState, now: DateTime<Utc>) -> Self {
        match (coverage, state.cursor.covered_at) {
            (Coverage::Top, _) => Self::Top,
            // mutant in coverage: every repository of a whole topic is read each day
            //     covered_at.date_naive() == now.date_naive() => covered_at <= now
            (Coverage::Complete, Some(covered_at))
                if covered_at.date_naive() == now.date_naive() =>
            {
                Self::Changed
            }
            (Coverage::Complete, _) => Self::Complete,
        }
    }
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Every query of the plan ran whole.
    Complete,
    /// Something is missing. The pages that came were stored, and nothing was removed.
    Partial,
    /// No page came.
    Failed,
}

/// An item that could not be read.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Skipped {
    /// `None` when even the id could not be read.
    #[schema(value_type = Option<i64>)]
    pub id: Option<RepositoryId>,
    pub reason: String,
}

/// The rows that storing a page wrote and left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpsertCounts {
    pub inserted: i64,
    pub updated: i64,
    pub unchanged: i64,
}

/// The numbers of a run; they grow while it runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(default)]
pub struct Report {
    /// `None` for a run over several topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub plan: Option<Plan>,
    /// Why the run is not complete: one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When GitHub's limits allow the next request, if they ended the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_at: Option<DateTime<Utc>>,
    /// Why the last request failed, while it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_failure: Option<String>,
    /// Requests to GitHub, retries included.
    pub requests: i64,
    /// Requests that the plan needs, as far as known.
    pub requests_expected: i64,
    /// Requests made again after a failure or a limit.
    pub retries: i64,
    /// Pages read again because something was missing from them.
    pub pages_refetched: i64,
    /// Milliseconds spent waiting for GitHub's limits.
    pub waited_ms: i64,
    /// GitHub's count of the topic's repositories.
    pub total_count: Option<i64>,
    /// Distinct repositories shown.
    pub found: i64,
    pub inserted: i64,
    pub updated: i64,
    pub unchanged: i64,
    /// Repositories that left the topic or were displaced.
    pub removed: i64,
    /// Unconfirmed repositories about which GitHub gave an answer by id.
    pub doubts_settled: i64,
    /// Unconfirmed repositories about which it gave none, or was not asked yet.
    pub doubts_open: i64,
    /// Items that could not be read.
    pub skipped: i64,
    /// Characters and fields that could not be read or were too long, and cost no item.
    pub mended: i64,
    /// The first 20 skipped items.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_items: Vec<Skipped>,
    /// Searches left in GitHub's window at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quota_remaining: Option<i64>,
}

impl Report {
    pub fn add_rows(&mut self, counts: UpsertCounts) {
        self.inserted += counts.inserted;
        self.updated += counts.updated;
        self.unchanged += counts.unchanged;
    }

    pub fn set_usage(&mut self, requests: i64, retries: i64, waited_ms: i64) {
        (self.requests, self.retries, self.waited_ms) = (requests, retries, waited_ms);
    }

    pub fn skip(&mut self, skipped: Skipped) {
        self.skipped += 1;
        if self.skipped_items.len() < MAX_SKIPPED_NAMED {
            self.skipped_items.push(skipped);
        }
    }

    /// Notes why the run is not complete. The first reason stays: later ones usually follow from
    /// it.
    pub fn fail_with(&mut self, reason: impl Into<String>) {
        self.reason.get_or_insert(reason.into());
    }

    /// Adds the report of one topic to that of a run over several.
    pub fn add(&mut self, other: &Self) {
        if let Some(reason) = &other.reason {
            self.fail_with(reason);
        }
        self.requests += other.requests;
        self.requests_expected += other.requests_expected;
        self.retries += other.retries;
        self.pages_refetched += other.pages_refetched;
        self.waited_ms += other.waited_ms;
        self.found += other.found;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.removed += other.removed;
        self.doubts_settled += other.doubts_settled;
        self.doubts_open += other.doubts_open;
        self.skipped += other.skipped;
        self.mended += other.mended;
        self.quota_remaining = other.quota_remaining.or(self.quota_remaining);
    }
}

impl fmt::Display for Report {
    /// One line for the log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} found, {} new, {} changed, {} removed, {} requests, {} retries, {:.1} s waited",
            self.found,
            self.inserted,
            self.updated,
            self.removed,
            self.requests,
            self.retries,
            Duration::from_millis(self.waited_ms.unsigned_abs()).as_secs_f64()
        )
    }
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RefreshRun {
    pub id: i64,
    /// `None` for a run over several topics.
    pub topic: Option<String>,
    #[serde(rename = "cause")]
    pub trigger: Trigger,
    pub state: RunState,
    /// `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Whether every query of the plan ran whole.
    pub complete: bool,
    #[serde(serialize_with = "seconds")]
    pub started_at: DateTime<Utc>,
    #[serde(serialize_with = "optional_seconds")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Milliseconds from start to end.
    pub duration_ms: Option<i64>,
    /// While it runs: the seconds that it still takes by GitHub's limits, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub seconds_left: Option<i64>,
    #[serde(flatten)]
    pub report: Report,
    /// The entries of a run over several topics, one a topic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub topics: Vec<RefreshRun>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Finished,
}

impl RefreshRun {
    /// `12 of about 15 requests done, 6 s left by GitHub's limit; GitHub failed once: status 502`,
    /// for readers who wait.
    #[must_use]
    pub fn progress(&self) -> String {
        let Report { requests, requests_expected, last_failure, .. } = &self.report;
        // A run that has just begun does not know its plan yet, but makes a request at least.
        let expected = requests_expected.max(requests).max(&1);
        let failure = last_failure.as_ref().map(|failure| format!("; {failure}"));
        let left = match self.seconds_left {
            Some(seconds) if seconds > 0 => format!(", {seconds} s left by GitHub's limit"),
            _ => String::new(),
        };
        let failure = failure.unwrap_or_default();
        format!("{requests} of about {expected} requests done{left}{failure}")
    }
}
