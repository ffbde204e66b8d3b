//! The counts of a repository on each UTC day, as spans of days with equal counts.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::repository::{Repository, RepositoryId};

/// The last counts that were seen on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub stars: i64,
    /// `None` on days before the mirror counted forks and issues.
    pub forks: Option<i64>,
    pub open_issues: Option<i64>,
}

/// Days that follow each other, each of which was seen, with equal counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub repository: RepositoryId,
    pub first: NaiveDate,
    pub last: NaiveDate,
    pub counts: Counts,
}

/// The days of a repository, as spans in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct RepositoryDays {
    pub id: RepositoryId,
    pub full_name: String,
    pub created_at: Option<DateTime<Utc>>,
    /// The counts that were seen.
    pub seen: Vec<Span>,
    /// Stars by GitHub's own history, on days that may have been seen as well.
    pub backfilled: Vec<Span>,
}

impl From<&Repository> for Counts {
    fn from(repository: &Repository) -> Self {
        Self {
            stars: repository.stargazers_count,
            forks: Some(repository.forks_count),
            open_issues: Some(repository.open_issues_count),
        }
    }
}

impl Span {
    fn covers(&self, day: NaiveDate) -> bool {
        self.first <= day && day <= self.last
    }

    /// The part of it from one day to another, if there is one.
    #[must_use]
    pub fn within(&self, from: Option<NaiveDate>, to: Option<NaiveDate>) -> Option<Self> {
        let first = from.map_or(self.first, |from| from.max(self.first));
        let last = to.map_or(self.last, |to| to.min(self.last));
        (first <= last).then_some(Self { first, last, ..*self })
    }

    /// Its days, first to last.
    pub fn days(&self) -> impl Iterator<Item = NaiveDate> + use<> {
        let last = self.last;
        self.first.iter_days().take_while(move |day| *day <= last)
    }
}

/// The spans to write, by their first days, after a day's counts were seen. `before` is the span
/// that begins last on the day or before it. A span that is written replaces one with the same
/// first day.
#[must_use]
pub fn record(
    repository: RepositoryId,
    before: Option<Span>,
    day: NaiveDate,
    counts: Counts,
) -> Vec<Span> {
    let seen = Span { repository, first: day, last: day, counts };
    let (Some(span), Some(eve), Some(morrow)) = (before, day.pred_opt(), day.succ_opt()) else {
        return vec![seen];
    };
    match (span.covers(day), span.counts == counts) {
        (true, true) => Vec::new(),
        (false, true) if span.last == eve => vec![Span { last: day, ..span }],
        (false, _) => vec![seen],
        // The clock may have been ahead, so the span may go on after the day.
        (true, false) => {
            let earlier = Span { last: eve, ..span };
            let later = Span { first: morrow, ..span };
            let parts = [earlier, seen, later].into_iter();
            parts.filter(|part| part.first <= part.last).collect()
        }
    }
}

/// The parts of `span` on days that `others`, ordered by their days, do not cover.
#[must_use]
pub fn without(span: Span, others: &[Span]) -> Vec<Span> {
    let mut parts = Vec::new();
    let mut rest = Some(span);
    for other in others {
        let Some(open) = rest.filter(|open| other.first <= open.last) else { break };
        if other.last < open.first {
            continue;
        }
        if other.first > open.first {
            parts.push(Span { last: other.first - Days::new(1), ..open });
        }
        let next = other.last + Days::new(1);
        rest = (next <= open.last).then_some(Span { first: next, ..open });
    }
    parts.extend(rest);
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + Days::new(number)
    }

    fn counts(stars: i64) -> Counts {
        Counts { stars, forks: Some(1), open_issues: None }
    }

    /// A table of spans by their first days, as the store keeps it.
    #[derive(Default)]
    struct Table(BTreeMap<NaiveDate, Span>);

    impl Table {
        fn write(&mut self, spans: Vec<Span>) {
            self.0.extend(spans.into_iter().map(|span| (span.first, span)));
        }

        fn days(&self) -> Vec<(NaiveDate, i64)> {
            let days = |span: &Span| {
                let stars = span.counts.stars;
                span.days().map(move |day| (day, stars))
            };
            self.0.values().flat_map(days).collect()
        }
    }

    #[test]
    fn table_has_the_last_counts_of_each_day_in_whatever_order_days_are_seen() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for _ in 0..random.usize(..40) {
                let (day, stars) = (day(random.u64(..12)), random.i64(..3));
                let before = table.0.range(..=day).next_back().map(|(_, span)| *span);
                table.write(record(1, before, day, counts(stars)));
                model.insert(day, stars);
            }
            assert_eq!(table.days(), model.into_iter().collect::<Vec<_>>(), "seed {seed}");
        }
    }

    #[test]
    fn without_leaves_exactly_the_days_that_no_other_span_covers() {
        let span = |first, last| Span {
            repository: 1,
            first: day(first),
            last: day(last),
            counts: counts(7),
        };
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (first, length) = (random.u64(..20), random.u64(..20));
            let covered: BTreeSet<_> = (0..random.usize(..20)).map(|_| random.u64(..40)).collect();
            let others: Vec<_> = covered.iter().map(|number| span(*number, *number)).collect();
            let parts = without(span(first, first + length), &others);
            let left: Vec<_> = parts.iter().flat_map(Span::days).collect();
            let expected = (first..=first + length).filter(|number| !covered.contains(number));
            assert_eq!(left, expected.map(day).collect::<Vec<_>>(), "seed {seed}");
        }
    }

    #[test]
    fn unchanged_counts_lengthen_a_span_and_a_gap_begins_another() {
        let span = Span { repository: 1, first: day(1), last: day(2), counts: counts(5) };
        assert_eq!(record(1, Some(span), day(2), counts(5)), []);
        assert_eq!(record(1, Some(span), day(3), counts(5)), [Span { last: day(3), ..span }]);
        let alone = Span { first: day(4), last: day(4), ..span };
        assert_eq!(record(1, Some(span), day(4), counts(5)), [alone]);
    }
}
