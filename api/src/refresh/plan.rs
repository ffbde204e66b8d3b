//! Which searches a refresh makes.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::github::Sort;
use crate::model::list::LIST_LENGTH;
use crate::model::topic::{Origin, Topic, TopicState};

/// Searches show no more than this, however many there are.
/// Source: GitHub's "Search", "Only the first 1000 search results are available".
pub const SEARCH_CAP: i64 = 1_000;

/// How far before the last run's beginning the next one looks for changes: for clocks that differ,
/// and for what GitHub's index did not show yet.
pub const CHANGES_OVERLAP: TimeDelta = TimeDelta::minutes(5);

/// How much of a topic is kept.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, EnumString, IntoStaticStr, PartialEq, Eq, Serialize,
)]

impl Plan {
    /// The plan for a run at `now`: a topic to be kept whole is read whole once each UTC day, so
    /// that no day's star count is missing, and again when a run could not see every change.
    #[must_use]
    pub fn of(coverage: Coverage, state: &TopicState, now: DateTime<Utc>) -> Self {
        match (coverage, state.covered.covered_at) {
            (Coverage::Top, _) => Self::Top,
            (Coverage::Complete, Some(covered_at))
                if covered_at.date_naive() == now.date_naive() =>
            {
                Self::Changed
            }
            (Coverage::Complete, _) => Self::Complete,
        }
    }
}

/// A search to be read page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// GitHub's `q`.
    pub q: String,
    /// In this order.
    pub sort: Sort,
    /// How far to read.
    pub extent: Extent,
}

/// How far a search is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many repositories, counted from the first.
    First(usize),
    /// All of them; none where there are more than a search shows.
    All,
    /// Until one was last updated before this time.
    Since(DateTime<Utc>),
}

impl Query {
    /// The first 500 of a topic.
    #[must_use]
    pub fn first(topic: &Topic, sort: Sort) -> Self {
        Self { q: format!("topic:{topic}"), sort, extent: Extent::First(LIST_LENGTH) }
    }

    /// What changed in a topic.
    #[must_use]
    pub fn since(topic: &Topic, time: DateTime<Utc>) -> Self {
        Self { q: format!("topic:{topic}"), sort: Sort::Updated, extent: Extent::Since(time) }
    }

    /// A slice of a topic. By update, since ties of stars may change places between two pages.
    #[must_use]
    pub fn slice(topic: &Topic, slice: Slice) -> Self {
        Self {
            q: format!("topic:{topic} {}", slice.qualifier()),
            sort: Sort::Updated,
            extent: Extent::All,
        }
    }

    /// The most repositories that it reads of so many.
    #[must_use]
    pub fn reach(&self, total_count: i64) -> usize {
        let shown = usize::try_from(total_count.min(SEARCH_CAP)).unwrap_or(0);
        match self.extent {
            Extent::First(depth) => shown.min(depth),
            Extent::All | Extent::Since(_) => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_leave_no_second_out_and_none_twice() {
        let mut slice = Slice::ROOT;
        while let Some([older, younger]) = slice.halves() {
            assert_eq!((older.first(), younger.last()), (slice.first(), slice.last()));
            assert_eq!(younger.first() - older.last(), TimeDelta::seconds(1));
            slice = if slice.length % 3 == 1 { older } else { younger };
        }
        assert_eq!(slice.first(), slice.last());
    }

    #[test]
    fn one_range_names_both_ends_to_the_second() {
        let query = Query::slice(&"mcp".parse().expect("a topic"), Slice::ROOT);
        assert_eq!(
            query.q,
            "topic:mcp created:2007-10-01T00:00:00+00:00..2041-10-09T13:37:03+00:00"
        );
    }
}
