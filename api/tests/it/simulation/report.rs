//! The table of a simulation.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::github::{Counters, GitHub, Topic};
use super::{Setup, start};

/// Searches of a minute that scheduled refreshes may use: the service holds a tenth in reserve.
fn usable(limit: i64) -> i64 {
    limit - (limit + 9) / 10
}

/// A topic that was not refreshed completely for this long at the end is starved.
const STARVED_AFTER: TimeDelta = TimeDelta::days(2);

/// The sizes of a class of topics: from the first to the second.
const SIZES: [(i64, i64); 4] = [(0, 500), (501, 1_000), (1_001, 5_000), (5_001, i64::MAX)];

pub(super) struct Report {
    setup: Setup,
    period: TimeDelta,
    end: DateTime<Utc>,
    counters: Counters,
    /// For each topic, the times between its complete refreshes, from the start to the end.
    ages: Vec<Vec<TimeDelta>>,
}

impl Report {
    pub(super) fn new(
        setup: Setup,
        github: &Arc<GitHub>,
        period: TimeDelta,
        end: DateTime<Utc>,
        refreshed: &[(String, DateTime<Utc>)],
    ) -> Self {
        let mut times: HashMap<&str, Vec<DateTime<Utc>>> = HashMap::new();
        for (topic, time) in refreshed {
            times.entry(topic).or_insert_with(|| vec![start()]).push(*time);
        }
        let ages = |topic: &Topic| {
            let mut times = times.get(&*topic.name).cloned().unwrap_or_else(|| vec![start()]);
            times.push(end);
            times.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let ages = setup.topics.iter().map(ages).collect();
        Self { period, end, counters: github.counters(), ages, setup }
    }

    /// The requests of the longest round, in which each topic's run reads the most.
    fn longest_round(&self) -> i64 {
        self.setup.topics.iter().map(Topic::requests).sum()
    }

    /// The requests that the quota allows within the period.
    fn quota(&self) -> i64 {
        usable(self.setup.limit) * self.period.num_minutes()
    }

    /// Whether the longest round takes no longer than the period.
    pub(super) fn fits(&self) -> bool {
        self.longest_round() <= self.quota()
    }

    /// The topics that were not refreshed for too long at the end, or never.
    fn starved<'a>(&'a self, topics: &'a [usize]) -> impl Iterator<Item = &'a Topic> {
        let is_starved = |topic: &usize| {
            let ages = &self.ages[*topic];
            ages.len() < 2 || ages.last().is_some_and(|age| *age > STARVED_AFTER)
        };
        topics
            .iter()
            .copied()
            .filter(move |topic| is_starved(topic))
            .map(|topic| &self.setup.topics[topic])
    }

    pub(super) fn assert_nobody_starves(&self) {
        assert_eq!(self.counters.refused, 0, "searches beyond GitHub's limit");
        let all: Vec<usize> = (0..self.ages.len()).collect();
        let starved: Vec<&Topic> = self.starved(&all).collect();
        assert!(starved.is_empty(), "{starved:?}");
    }

    pub(super) fn assert_refreshes(&self, expected: RangeInclusive<usize>) {
        for ages in &self.ages {
            assert!(expected.contains(&(ages.len() - 1)), "{self}");
        }
    }

    /// Such topics are never older than twice the period, counted from the start.
    pub(super) fn assert_fresh_if(&self, must_be_fresh: impl Fn(&Topic) -> bool) {
        for (topic, ages) in self.setup.topics.iter().zip(&self.ages) {
            let oldest = ages.iter().max().expect("at least one");
            let is_fresh = *oldest <= self.period * 2;
            assert!(is_fresh || !must_be_fresh(topic), "{topic:?}: {oldest}");
        }
    }

    /// A row of the table.
    fn write_class(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        size: &str,
        topics: &[usize],
    ) -> fmt::Result {
        let count = topics.len();
        let refreshes: usize = topics.iter().map(|topic| self.ages[*topic].len() - 1).sum();
        let searches: i64 = topics.iter().map(|topic| self.counters.searches[*topic]).sum();
        let mut ages: Vec<TimeDelta> =
            topics.iter().flat_map(|topic| self.ages[*topic].iter().copied()).collect();
        ages.sort();
        let quantile = |percent: usize| hours(ages[(ages.len() - 1) * percent / 100]);
        let days = i64::try_from(count).expect("few") * (self.end - start()).num_seconds();
        let fresh: i64 = ages.iter().map(|age| (*age).min(self.period).num_seconds()).sum();
        let is_kept = |topic: &&usize| self.ages[**topic].iter().all(|age| *age <= self.period * 2);
        let kept = topics.iter().filter(is_kept).count();
        let starved = self.starved(topics).count();
        let each = searches / i64::try_from(refreshes.max(1)).expect("few");
        let [median, high, most] = [50, 99, 100].map(quantile);
        writeln!(
            formatter,
            "| {size} | {count} | {refreshes} | {each} | {median} | {high} | {most} | {} % | \
             {kept} | {starved} |",
            fresh * 100 / days
        )
    }
}

fn hours(time: TimeDelta) -> String {
    format!("{:.1}", time.as_seconds_f64() / 3_600.0)
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { schedule, length, limit, topics } = &self.setup;
        let searches: i64 = self.counters.searches.iter().sum();
        let allowed = usable(*limit) * length.num_minutes();
        writeln!(
            formatter,
            "`REFRESH_SCHEDULE={schedule}`, {} topics, {limit} searches a minute, {} days. The \
             longest round needs {} searches by arithmetic, and the quota gives {} in a period: it \
             {}. {searches} searches of {allowed} were used, none was refused, and {} repositories \
             were asked for by id.\n",
            topics.len(),
            length.num_days(),
            self.longest_round(),
            self.quota(),
            if self.fits() { "fits" } else { "does not fit" },
            self.counters.lookups
        )?;
        writeln!(
            formatter,
            "| repositories, coverage | topics | complete refreshes | searches each | age when \
             refreshed, hours: median | p99 | max | time within the period | topics never older \
             than twice the period | starved |"
        )?;
        writeln!(
            formatter,
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for (from, to) in SIZES {
            for coverage in ["top", "complete"] {
                let is_of = |topic: &Topic| {
                    (from..=to).contains(&topic.size) && topic.coverage() == coverage
                };
                let class: Vec<usize> =
                    (0..topics.len()).filter(|number| is_of(&topics[*number])).collect();
                if let (Some(least), Some(most)) = (
                    class.iter().map(|number| topics[*number].size).min(),
                    class.iter().map(|number| topics[*number].size).max(),
                ) {
                    let size = format!("{least} to {most}, {coverage}");
                    self.write_class(formatter, &size, &class)?;
                }
            }
        }
        writeln!(formatter)
    }
}
