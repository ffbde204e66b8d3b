//! Spans of days as a catalogue keeps them.

use chrono::NaiveDate;

use crate::model::counts::{Counts, Span};
use crate::model::repository::RepositoryId;

/// A span of days without the counts that growth does not need. A topic has hundreds of thousands.
#[derive(Debug)]
pub(super) struct CompactSpan {
    first: NaiveDate,
    last: NaiveDate,
    stars: i64,
    /// -1 if forks were not counted.
    forks: i64,
}

impl From<&Span> for CompactSpan {
    fn from(span: &Span) -> Self {
        let Span { first, last, counts, .. } = *span;
        Self { first, last, stars: counts.stars, forks: counts.forks.unwrap_or(-1) }
    }
}

impl CompactSpan {
    pub(super) fn span(&self, repository: RepositoryId) -> Span {
        let forks = (self.forks >= 0).then_some(self.forks);
        let counts = Counts { stars: self.stars, forks, open_issues: None };
        Span { repository, first: self.first, last: self.last, counts }
    }
}
