//! Which searches a refresh makes.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::github::Sort;
use crate::lists::LIST_LENGTH;
use crate::store::{Origin, TopicState};
use crate::topic::Topic;

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
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Coverage {
    /// What its lists need: the first 500 of each ranking.
    #[default]
    Top,
    /// Every repository.
    Complete,
}

/// COVERAGE, and the topics of TOPICS that name their own.
#[derive(Clone, Debug, Default)]
pub struct Coverages {
    /// COVERAGE.
    pub default: Coverage,
    /// `topic:complete` and `topic:top`.
    pub own: Vec<(Topic, Coverage)>,
}

impl Coverages {
    /// What is kept of a topic. Strangers cannot ask for more than lists need.
    #[must_use]
    pub fn of(&self, topic: &Topic, origin: Origin) -> Coverage {
        match origin {
            Origin::OnDemand => Coverage::Top,
            Origin::Requested | Origin::Configured => self
                .own
                .iter()
                .find(|(own, _)| own == topic)
                .map_or(self.default, |(_, coverage)| *coverage),
        }
    }
}

/// The searches that come after best match, with which every plan begins: a new topic has a list as
/// soon as possible then, and its count says how large the rest is.
#[derive(Clone, Copy, Debug, Deserialize, EnumString, IntoStaticStr, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Plan {
    /// The first 500 by stars and by update.
    Top,
    /// Every repository, in slices of its date of creation.
    Complete,
    /// What changed since the last run, of a topic that was read whole today.
    Changed,
}

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

/// Repositories created in a range of seconds, both ends included. There is one fixed tree of
/// halves, so that a run finds the slices of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The first second, in seconds since 1970.
    from: i64,
    /// The number of seconds, a power of two.
    length: i64,
}

impl Slice {
    /// Every date of creation from 2007-10-01, when GitHub was made, to 2041.
    pub const ROOT: Self = Self { from: 1_191_196_800, length: 1 << 30 };

    /// The slice from one second to another, both included.
    #[must_use]
    pub fn between(first: DateTime<Utc>, last: DateTime<Utc>) -> Self {
        Self { from: first.timestamp(), length: last.timestamp() - first.timestamp() + 1 }
    }

    /// The first second.
    #[must_use]
    pub fn first(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.from, 0).unwrap_or_default()
    }

    /// The last second.
    #[must_use]
    pub fn last(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.from + self.length - 1, 0).unwrap_or_default()
    }

    /// Whether the other slice lies within this one.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.from <= other.from && other.from + other.length <= self.from + self.length
    }

    /// The older half and the younger one; a second has none.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let length = self.length / 2;
        (length > 0).then(|| [Self { length, ..self }, Self { from: self.from + length, length }])
    }

    /// In GitHub's search syntax. One `created:` only: of two, either would do.
    fn qualifier(self) -> String {
        let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
        format!("created:{}..{}", time(self.first()), time(self.last()))
    }
}

/// What the next runs of a topic may build on. Times are those of a run's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// The last run that saw every repository; `None` when the next one must.
    pub covered_at: Option<DateTime<Utc>>,
    /// Every change up to this `updated_at` was seen.
    pub changes_until: Option<DateTime<Utc>>,
}

impl Covered {
    /// After a run that began at `began`, saw every change, and as its newest this `updated_at`.
    #[must_use]
    pub fn after(
        covered_at: DateTime<Utc>,
        began: DateTime<Utc>,
        newest: Option<DateTime<Utc>>,
    ) -> Self {
        let until = began - CHANGES_OVERLAP;
        Self {
            covered_at: Some(covered_at),
            changes_until: Some(newest.map_or(until, |newest| newest.min(until))),
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
