//! What a refresh says of itself: while it runs, when it has ended, and in the ledger.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::plan::Plan;
use crate::repository::{RepositoryId, optional_seconds, seconds};
use crate::store::Stored;

/// Who rang for a refresh.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// The scheduler inside, at start or on schedule.
    Schedule,
    /// `/update_cache`.
    Request,
    /// A reader of a topic that had no list.
    OnDemand,
    /// `api refresh`.
    CommandLine,
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Every query of the plan ran whole.
    Complete,
    /// Something is missing: what came was stored, nothing removed.
    Partial,
    /// Nothing came.
    Failed,
}

/// An item that could not be read.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Skipped {
    /// Its id, where that much could be read.
    pub id: Option<RepositoryId>,
    /// What was wrong.
    pub reason: String,
}

/// The most skipped items that a report names one by one.
const MAX_SKIPPED_NAMED: usize = 20;

/// What a refresh has done; grows while it runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Report {
    /// Which searches it makes; none of a run over several topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Why it is not complete: one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when GitHub wants us to wait, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<DateTime<Utc>>,
    /// Requests to GitHub, retries included.
    pub requests: i64,
    /// How many requests the plan needs, as far as known.
    pub requests_expected: i64,
    /// Requests made again after a failure.
    pub retries: i64,
    /// Pages asked for again because something was missing from them.
    pub pages_refetched: i64,
    /// Milliseconds spent waiting for GitHub's limits.
    pub waited_ms: i64,
    /// What GitHub counts.
    pub total_count: Option<i64>,
    /// Distinct repositories found.
    pub found: i64,
    /// Rows that were not there.
    pub inserted: i64,
    /// Rows that differed.
    pub updated: i64,
    /// Rows left alone.
    pub unchanged: i64,
    /// Repositories that are no longer of the topic, or were overtaken.
    pub removed: i64,
    /// Repositories not shown that were asked for one by one.
    pub doubts_settled: i64,
    /// Items that could not be read.
    pub skipped: i64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_items: Vec<Skipped>,
    /// Searches left in GitHub's window at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_remaining: Option<i64>,
}

impl Report {
    /// Counts what came of storing a page.
    pub fn stored(&mut self, stored: Stored) {
        self.inserted += stored.inserted;
        self.updated += stored.updated;
        self.unchanged += stored.unchanged;
    }

    /// Counts an item that could not be read.
    pub fn skip(&mut self, skipped: Skipped) {
        self.skipped += 1;
        if self.skipped_items.len() < MAX_SKIPPED_NAMED {
            self.skipped_items.push(skipped);
        }
    }

    /// Keeps the first reason: what follows is usually its consequence.
    pub fn because(&mut self, reason: impl Into<String>) {
        self.reason.get_or_insert(reason.into());
    }

    /// Adds another topic's report: that of a run over several.
    pub fn add(&mut self, other: &Self) {
        if let Some(reason) = &other.reason {
            self.because(reason);
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
        self.skipped += other.skipped;
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refresh {
    /// Its number, which lists carry too.
    pub id: i64,
    /// Its topic; null for a run over several.
    pub topic: Option<String>,
    /// Who rang.
    pub cause: Cause,
    /// `running` or `finished`.
    pub state: State,
    /// Null while it runs.
    pub outcome: Option<Outcome>,
    /// Whether every query of the plan ran whole.
    pub complete: bool,
    /// When it began.
    #[serde(serialize_with = "seconds")]
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(serialize_with = "optional_seconds")]
    pub finished_at: Option<DateTime<Utc>>,
    /// From begin to end.
    pub duration_ms: Option<i64>,
    /// While it runs: how long it still takes by GitHub's limits, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<i64>,
    /// The numbers.
    #[serde(flatten)]
    pub report: Report,
    /// One entry a topic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Refresh>,
}

/// Whether a refresh still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does.
    Running,
    /// It has ended.
    Finished,
}

impl Refresh {
    /// `12 of about 15 requests done, 6 s left by GitHub's limit`: for readers who wait.
    #[must_use]
    pub fn progress(&self) -> String {
        let Report { requests, requests_expected, .. } = self.report;
        let left = match self.seconds_left {
            Some(seconds) if seconds > 0 => format!(", {seconds} s left by GitHub's limit"),
            _ => String::new(),
        };
        format!("{requests} of about {} requests done{left}", requests_expected.max(requests))
    }
}
