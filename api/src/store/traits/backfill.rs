//! Backfilled counts.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

use crate::model::counts::Span;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;
use crate::store::Result;

/// A repository without backfilled counts.
#[derive(Debug, PartialEq)]
pub struct Unfilled {
    pub id: RepositoryId,
    pub full_name: String,
    /// The stars as a refresh last saw them.
    pub stars: i64,
    pub created_at: Option<DateTime<Utc>>,
}

/// Backfilled counts: stars of past days by GitHub's own history, kept apart from counts that were
/// seen.
#[async_trait]
pub trait BackfillStore: Send + Sync {
    /// The repositories of a topic that have no backfilled counts and were not asked for on the
    /// day, most stars first.
    async fn unfilled(&self, topic: &Topic, day: NaiveDate) -> Result<Vec<Unfilled>>;

    /// Notes that GitHub was asked for a repository's star history on the day, and replaces its
    /// backfilled counts: GitHub's history of a day changes when a star is given back, so all of a
    /// repository's counts are of one moment. There are none if GitHub does not offer a history.
    async fn backfill(
        &self,
        repository: RepositoryId,
        spans: &[Span],
        day: NaiveDate,
    ) -> Result<()>;
}
