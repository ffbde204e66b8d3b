//! The days of a repository or topic, as a chart draws them.

use chrono::{NaiveDate, TimeDelta};

use super::options::{Align, Range};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub day: NaiveDate,
    pub value: i64,
    /// Whether the mirror counted it; if not, it was backfilled from GitHub's star history.
    pub seen: bool,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub label: String,
    /// In order; days without a value are absent.
    pub days: Vec<Day>,
}

impl Series {
    /// A day that was both seen and backfilled has the value that was seen.
    #[must_use]
    pub fn new(
        label: String,
        seen: impl IntoIterator<Item = (NaiveDate, i64)>,
        backfilled: impl IntoIterator<Item = (NaiveDate, i64)>,
    ) -> Self {
        let day = |seen| move |(day, value)| Day { day, value, seen };
        let mut days: Vec<Day> = seen.into_iter().map(day(true)).collect();
        days.extend(backfilled.into_iter().map(day(false)));
        days.sort_by_key(|day| (day.day, !day.seen));
        days.dedup_by_key(|day| day.day);
        Self { label, days }
    }

    /// The gain of each day whose eve is known from the same source.
    #[must_use]
    pub fn gains(&self) -> Self {
        let pairs = self.days.windows(2).filter_map(|pair| match pair {
            [eve, day] if eve.day.succ_opt() == Some(day.day) && eve.seen == day.seen => {
                Some(Day { value: day.value.saturating_sub(eve.value), ..*day })
            }
            _ => None,
        });
        Self { label: self.label.clone(), days: pairs.collect() }
    }

    #[must_use]
    pub fn first(&self) -> Option<&Day> {
        self.days.first()
    }

    #[must_use]
    pub fn last(&self) -> Option<&Day> {
        self.days.last()
    }
}

/// The last day of all series.
#[must_use]
pub fn last_day(series: &[Series]) -> Option<NaiveDate> {
    series.iter().filter_map(Series::last).map(|day| day.day).max()
}

/// Leaves out the days beyond the range.
pub fn cut(series: &mut [Series], range: Range, align: Align) {
    let Some((length, last)) = range.days().map(TimeDelta::days).zip(last_day(series)) else {
        return;
    };
    for series in series {
        let first = series.first().map_or(last, |first| first.day);
        series.days.retain(|day| match align {
            Align::Date => last - day.day < length,
            Align::Start => day.day - first < length,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + TimeDelta::days(number)
    }

    fn series(seen: &[(i64, i64)], backfilled: &[(i64, i64)]) -> Series {
        let days = |days: &[(i64, i64)]| {
            days.iter().map(|(number, value)| (day(*number), *value)).collect::<Vec<_>>()
        };
        Series::new("a/b".to_owned(), days(seen), days(backfilled))
    }

    #[test]
    fn new_prefers_the_value_that_was_seen() {
        let series = series(&[(2, 20), (3, 30)], &[(1, 9), (2, 19), (5, 50)]);
        let found: Vec<_> = series.days.iter().map(|day| (day.value, day.seen)).collect();
        assert_eq!(found, [(9, false), (20, true), (30, true), (50, false)]);
    }

    #[test]
    fn gains_are_only_of_days_whose_eve_has_the_same_source() {
        let gains = series(&[(2, 20), (3, 17), (5, 40), (6, 40)], &[(0, 3), (1, 9)]).gains();
        let found: Vec<_> = gains.days.iter().map(|day| (day.day, day.value, day.seen)).collect();
        assert_eq!(found, [(day(1), 6, false), (day(3), -3, true), (day(6), 0, true)]);
    }

    #[test]
    fn cut_keeps_the_last_days_of_all_or_the_first_of_each() {
        let long = series(&(0..100).map(|number| (number, number)).collect::<Vec<_>>(), &[]);
        let short = series(&[(50, 1), (69, 1), (70, 2), (79, 3), (80, 4)], &[]);
        let values = |align| {
            let mut both = [long.clone(), short.clone()];
            cut(&mut both, Range::Month, align);
            both.map(|series| (series.days.len(), series.days[0].day, series.days[1].value))
        };
        assert_eq!(values(Align::Date), [(30, day(70), 71), (3, day(70), 3)]);
        assert_eq!(values(Align::Start), [(30, day(0), 1), (4, day(50), 1)]);
    }
}
