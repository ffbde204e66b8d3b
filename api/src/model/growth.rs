//! Growth: how the counts of a repository changed within a window of days.
//!
//! Everything is computed from counts that were seen up to the window's last day, so a window that
//! has passed never changes. Nothing is extrapolated: [`Growth::days`] tells a short history.

use chrono::{Days, NaiveDate};
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::counts::{Counts, Span};

/// The windows before this one whose median is the usual gain, at most and at least.
const USUAL_WINDOWS: (u64, usize) = (8, 3);

/// The least count of which a percentage is ranked: two stars on one are no trend.
const LEAST_FOR_PERCENT: i64 = 50;

/// The least count by whose root a gain is divided.
const LEAST_FOR_VELOCITY: i64 = 100;

/// The length of a window.
#[derive(
    Clone, Copy, Debug, Default, EnumString, Eq, Hash, IntoStaticStr, PartialEq, VariantArray,
)]
pub enum Window {
    #[strum(serialize = "1d")]
    Day,
    #[default]
    #[strum(serialize = "7d")]
    Week,
    #[strum(serialize = "30d")]
    Month,
    #[strum(serialize = "90d")]
    Quarter,
}

impl Window {
    pub const ALL: &[Self] = Self::VARIANTS;

    pub const LONGEST: Self = Self::Quarter;

    #[must_use]
    pub fn days(self) -> Days {
        Days::new(match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
        })
    }

    /// The first day whose counts matter to a window that ends on this day.
    #[must_use]
    pub fn first_day(self, last: NaiveDate) -> NaiveDate {
        let (windows, _) = USUAL_WINDOWS;
        (0..=windows).fold(last, |day, _| day - self.days())
    }
}

/// A window and its last day.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Period {
    pub window: Window,
    /// A day that has passed; `None` for the topic's last day with counts.
    pub day: Option<NaiveDate>,
}

/// The number by which growing repositories are ranked.
#[derive(Clone, Copy, Debug, Default, EnumString, Eq, Hash, IntoStaticStr, PartialEq)]
#[strum(serialize_all = "snake_case")]
pub enum Measure {
    #[default]
    Gained,
    Percent,
    Velocity,
    Acceleration,
}

/// The growth of a repository within a window.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Growth {
    /// The stars at the window's beginning if they are known: seen that day, or equal on the
    /// nearest days seen before and after. 0 on the day of creation if that is later. Else the
    /// first count seen after the beginning.
    pub stars_before: i64,
    pub day_before: NaiveDate,
    /// From `day_before` to the window's last day.
    pub days: i64,
    /// The last count seen.
    pub stars_after: i64,
    pub day_after: NaiveDate,
    pub gained: i64,
    /// The gain in percent of `stars_before`; `None` if that is 0.
    pub percent: Option<f64>,
    /// The gain divided by the root of `stars_before`, or of 100 if that is more.
    pub velocity: f64,
    /// The median gain of the up to 8 windows of this length before this one, of those whose both
    /// ends are known; `None` if those are fewer than 3.
    pub usual: Option<f64>,
    /// The gain divided by the usual one, or by 1 if that is more.
    pub acceleration: Option<f64>,
    /// The first day with the largest gain since the day before it, both seen; `None` without a
    /// gain.
    pub best_day: Option<NaiveDate>,
    pub best_day_gained: Option<i64>,
    /// `None` if forks were not counted yet when the window began.
    pub forks_gained: Option<i64>,
}

impl Growth {
    /// The number by which a gain is ranked; `None` if it has no place.
    #[must_use]
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        match measure {
            _ if self.gained <= 0 => None,
            #[expect(clippy::cast_precision_loss, reason = "stars are fewer than 2^52")]
            Measure::Gained => Some(self.gained as f64),
            Measure::Percent => self.percent.filter(|_| self.stars_before >= LEAST_FOR_PERCENT),
            Measure::Velocity => Some(self.velocity),
            Measure::Acceleration => self.acceleration,
        }
    }

    /// Whether one of several days made more than half of the gain.
    #[must_use]
    pub fn is_burst(&self) -> bool {
        let best = self.best_day_gained.unwrap_or_default();
        self.days > 1 && self.gained > 0 && best.saturating_mul(2) > self.gained
    }

    /// The growth within the window that ends on `last`, from all spans that matter
    /// ([`Window::first_day`]), in their order. `None` if the window has no count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "stars are fewer than 2^52")]
    pub fn of(
        spans: &[Span],
        created: Option<NaiveDate>,
        last: NaiveDate,
        window: Window,
    ) -> Option<Self> {
        let first = last - window.days();
        let stars = Series { spans, last, count: |counts| Some(counts.stars) };
        let (day_after, stars_after) = stars.last()?;
        let (day_before, stars_before) = stars.at_start(first, created)?;
        let gained = stars_after - stars_before;
        let usual = stars.usual(first, window, created);
        let best = best_day(spans, first, last);
        let forks = Series { spans, last, count: |counts| counts.forks };
        let forks_gained = forks.last().zip(forks.at_start(first, created));
        let part = |count: i64| gained as f64 / count as f64;
        Some(Self {
            stars_before,
            day_before,
            days: (last - day_before).num_days(),
            stars_after,
            day_after,
            gained,
            percent: (stars_before > 0).then(|| part(stars_before) * 100.0),
            velocity: gained as f64 / (stars_before.max(LEAST_FOR_VELOCITY) as f64).sqrt(),
            usual,
            acceleration: usual.map(|usual| gained as f64 / usual.max(1.0)),
            best_day: best.map(|(day, _)| day),
            best_day_gained: best.map(|(_, gained)| gained),
            forks_gained: forks_gained.map(|((_, after), (_, before))| after - before),
        })
    }
}

/// One of the counts over time, up to a last day.
struct Series<'a> {
    spans: &'a [Span],
    last: NaiveDate,
    /// `None` if it was not counted.
    count: fn(&Counts) -> Option<i64>,
}

impl Series<'_> {
    fn spans(&self) -> impl DoubleEndedIterator<Item = (NaiveDate, NaiveDate, i64)> {
        let in_time = |span: &&Span| span.first <= self.last;
        self.spans.iter().filter(in_time).filter_map(|span| {
            Some((span.first, span.last.min(self.last), (self.count)(&span.counts)?))
        })
    }

    /// The last count seen, and its day.
    fn last(&self) -> Option<(NaiveDate, i64)> {
        self.spans().next_back().map(|(_, last, count)| (last, count))
    }

    /// The count on a day: seen that day, or equal on the nearest days seen before and after.
    fn known(&self, day: NaiveDate) -> Option<i64> {
        let (_, last, before) = self.spans().rev().find(|(first, ..)| *first <= day)?;
        if last >= day {
            return Some(before);
        }
        let (.., after) = self.spans().find(|(first, ..)| *first > day)?;
        (before == after).then_some(before)
    }

    /// The count with which a window begins, and its day.
    fn at_start(&self, first: NaiveDate, created: Option<NaiveDate>) -> Option<(NaiveDate, i64)> {
        if let Some(count) = self.known(first) {
            return Some((first, count));
        }
        if let Some(created) = created.filter(|created| first < *created && *created <= self.last) {
            return Some((created, 0));
        }
        self.spans().find(|(day, ..)| *day > first).map(|(day, _, count)| (day, count))
    }

    /// The median gain of the windows before the one that begins on `first`.
    fn usual(&self, first: NaiveDate, window: Window, created: Option<NaiveDate>) -> Option<f64> {
        let known = |day: NaiveDate| {
            self.known(day).filter(|_| created.is_none_or(|created| created <= day))
        };
        let (most, least) = USUAL_WINDOWS;
        let mut after = known(first);
        let mut start = first;
        let mut gains: Vec<i64> = Vec::with_capacity(8);
        for _ in 0..most {
            start = start - window.days();
            let before = known(start);
            gains.extend(after.zip(before).map(|(after, before)| after - before));
            after = before;
        }
        (gains.len() >= least).then(|| median(gains))
    }
}

/// The median; of an even number of them, the mean of the middle two.
#[expect(clippy::cast_precision_loss, reason = "stars are fewer than 2^52")]
fn median(mut numbers: Vec<i64>) -> f64 {
    numbers.sort_unstable();
    let middle = numbers.len() / 2;
    match numbers.len() % 2 {
        1 => numbers[middle] as f64,
        _ => (numbers[middle - 1] + numbers[middle]) as f64 / 2.0,
    }
}

/// The first day after `first` with the largest step up from the day before it, both seen. Only
/// the first day of a span can differ from the day before it.
fn best_day(spans: &[Span], first: NaiveDate, last: NaiveDate) -> Option<(NaiveDate, i64)> {
    let steps = spans.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        let in_window = first < after.first && after.first <= last;
        let follows = before.last.succ_opt() == Some(after.first);
        let gained = after.counts.stars - before.counts.stars;
        (in_window && follows && gained > 0).then_some((after.first, gained))
    });
    steps.reduce(|best, step| if step.1 > best.1 { step } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + Days::new(number)
    }

    fn spans(days: &[(u64, u64, i64)]) -> Vec<Span> {
        let span = |&(first, last, stars): &(u64, u64, i64)| Span {
            repository: 1,
            first: day(first),
            last: day(last),
            counts: Counts { stars, forks: Some(stars / 10), open_issues: None },
        };
        days.iter().map(span).collect()
    }

    fn week(days: &[(u64, u64, i64)], created: Option<u64>, last: u64) -> Option<Growth> {
        Growth::of(&spans(days), created.map(day), day(last), Window::Week)
    }

    #[test]
    fn growth_begins_with_the_count_of_the_day_that_the_window_begins() {
        let growth = week(&[(0, 12, 100), (13, 20, 150)], None, 17).expect("growth");
        assert_eq!((growth.stars_before, growth.day_before, growth.days), (100, day(10), 7));
        assert_eq!((growth.stars_after, growth.day_after, growth.gained), (150, day(17), 50));
        assert_eq!((growth.percent, growth.velocity), (Some(50.0), 5.0));
        assert_eq!((growth.best_day, growth.best_day_gained), (Some(day(13)), Some(50)));
        assert_eq!((growth.forks_gained, growth.usual), (Some(5), None));
    }

    #[test]
    fn count_of_a_day_that_was_not_seen_is_known_only_between_equal_ones() {
        let gap = week(&[(0, 8, 100), (12, 12, 100), (13, 17, 130)], None, 17).expect("growth");
        assert_eq!((gap.stars_before, gap.day_before, gap.best_day), (100, day(10), Some(day(13))));
        let moved = week(&[(0, 8, 100), (12, 13, 110), (15, 17, 130)], None, 17).expect("growth");
        assert_eq!((moved.stars_before, moved.day_before, moved.days), (110, day(12), 5));
        assert_eq!((moved.gained, moved.best_day), (20, None));
    }

    #[test]
    fn repository_created_within_the_window_begins_with_nothing_on_its_first_day() {
        let growth = week(&[(14, 17, 40)], Some(13), 17).expect("growth");
        assert_eq!((growth.stars_before, growth.day_before, growth.days), (0, day(13), 4));
        assert_eq!((growth.gained, growth.percent, growth.velocity), (40, None, 4.0));
        assert_eq!((growth.measure(Measure::Percent), growth.best_day), (None, None));
        let old = week(&[(17, 17, 40)], Some(3), 17).expect("growth");
        assert_eq!((old.gained, old.days), (0, 0));
    }

    #[test]
    fn counts_after_the_last_day_of_a_window_do_not_matter() {
        let seen = [(0, 8, 100), (13, 16, 120), (17, 19, 130)];
        let later = [(0, 8, 100), (13, 16, 120), (17, 40, 130), (41, 41, 100)];
        assert_eq!(week(&later, None, 19), week(&seen, None, 19));
        assert_eq!(week(&[(20, 20, 5)], None, 19), None);
        assert_eq!(week(&[(0, 5, 5)], None, 19), None, "not seen within the window");
    }

    #[test]
    fn usual_gain_is_the_median_of_at_least_three_windows_with_known_ends() {
        let days = (0..=70).map(|day| (day, day, i64::try_from(day * day).expect("few")));
        let days: Vec<_> = days.collect();
        let growth = week(&days, None, 70).expect("growth");
        // The gains of the weeks before: 63² - 56² = 833, then 98 less each.
        assert_eq!((growth.gained, growth.usual), (931, Some((539.0 + 441.0) / 2.0)));
        assert_eq!(growth.acceleration, Some(931.0 / 490.0));
        assert_eq!(week(&days, Some(42), 70).expect("growth").usual, Some(735.0));
        assert_eq!(week(&days, Some(43), 70).expect("growth").usual, None);
    }
}
