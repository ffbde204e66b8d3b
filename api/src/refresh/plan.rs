//! The searches of a run and how far each is read.

use chrono::{DateTime, Utc};

use crate::github::{PER_PAGE, Sort};
use crate::model::list::LIST_LENGTH;
use crate::model::quota::Priority;
use crate::model::run::{Plan, Trigger};
use crate::model::slice::Slice;
use crate::model::topic::{Coverage, SyncCursor, Topic};
use crate::store::Scope;

/// The most repositories that a search shows, however many match.
/// Source: GitHub's "Search", "Only the first 1000 search results are available".
pub(super) const SEARCH_CAP: i64 = 1_000;

/// A search that is read page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// GitHub's `q`.
    pub(super) q: String,
    pub(super) sort: Sort,
    pub(super) extent: Extent,
    /// Whether it shows a part of the topic only.
    pub(super) is_of_slice: bool,
}

/// How far a search is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The first so many repositories.
    First(usize),
    /// Every repository, or none if there are more than a search shows.
    All,
    /// Until a repository was last updated before this time.
    Since(DateTime<Utc>),
}

impl Query {
    /// The first repositories of a topic, as many as a list has.
    pub(super) fn first(topic: &Topic, sort: Sort) -> Self {
        Self::whole(topic, sort, Extent::First(LIST_LENGTH))
    }

    /// The repositories of a topic that changed since a time.
    pub(super) fn since(topic: &Topic, time: DateTime<Utc>) -> Self {
        Self::whole(topic, Sort::Updated, Extent::Since(time))
    }

    fn whole(topic: &Topic, sort: Sort, extent: Extent) -> Self {
        Self { q: format!("topic:{topic}"), sort, extent, is_of_slice: false }
    }

    /// A slice of a topic. It is sorted by update, because repositories with equally many stars may
    /// change places between two pages.
    pub(super) fn slice(topic: &Topic, slice: Slice) -> Self {
        let q = format!("topic:{topic} {}", slice.qualifier());
        Self { q, sort: Sort::Updated, extent: Extent::All, is_of_slice: true }
    }

    /// The repositories of a slice that changed since a time.
    pub(super) fn slice_since(topic: &Topic, slice: Slice, time: DateTime<Utc>) -> Self {
        Self { extent: Extent::Since(time), ..Self::slice(topic, slice) }
    }

    /// The most repositories that the query reads if this many match.
    pub(super) fn reach(&self, total_count: i64) -> usize {
        let shown = usize::try_from(total_count.min(SEARCH_CAP)).unwrap_or(0);
        match self.extent {
            Extent::First(depth) => shown.min(depth),
            Extent::All | Extent::Since(_) => shown,
        }
    }

    /// Best match has priority in a run that a reader waits for, because it gives the topic its
    /// first list.
    pub(super) fn priority(&self, trigger: Trigger) -> Priority {
        match trigger {
            Trigger::OnDemand if self.sort == Sort::BestMatch => Priority::Waiting,
            Trigger::OnDemand => Priority::OnDemand,
            Trigger::Schedule | Trigger::Request | Trigger::CommandLine => Priority::Scheduled,
        }
    }
}

/// The requests that a plan needs, as far as known before its first.
pub(super) fn expected_requests(plan: Plan) -> usize {
    let list = LIST_LENGTH.div_ceil(PER_PAGE);
    match plan {
        Plan::Top => 3 * list,
        Plan::Complete | Plan::Changed => list + 1,
    }
}

/// The part of a topic that the searches for this coverage should show.
pub(super) fn scope(coverage: Coverage) -> Scope {
    match coverage {
        Coverage::Top => Scope::First(LIST_LENGTH as i64),
        Coverage::Complete => Scope::All,
    }
}

/// The cursor after a complete run that began at `began` and saw `newest` as the newest
/// `updated_at`.
pub(super) fn next_cursor(
    coverage: Coverage,
    plan: Plan,
    last: SyncCursor,
    began: DateTime<Utc>,
    newest: Option<DateTime<Utc>>,
) -> SyncCursor {
    match (coverage, plan, last.covered_at) {
        (Coverage::Top, ..) => SyncCursor::default(),
        (Coverage::Complete, Plan::Changed, Some(covered_at)) => {
            SyncCursor::after(covered_at, began, newest)
        }
        (Coverage::Complete, ..) => SyncCursor::after(began, began, newest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_query_names_the_topic_and_one_range() {
        let query = Query::slice(&"mcp".parse().expect("a topic"), Slice::ROOT);
        assert_eq!(
            query.q,
            "topic:mcp created:2007-10-01T00:00:00+00:00..2041-10-09T13:37:03+00:00"
        );
    }

    #[test]
    fn reach_is_bounded_by_the_query_and_by_the_cap() {
        let topic = "mcp".parse().expect("a topic");
        let first = Query::first(&topic, Sort::Stars);
        assert_eq!([3, 700].map(|count| first.reach(count)), [3, 500]);
        let slice = Query::slice(&topic, Slice::ROOT);
        assert_eq!([3, 700, 1_001].map(|count| slice.reach(count)), [3, 700, 1_000]);
    }
}
