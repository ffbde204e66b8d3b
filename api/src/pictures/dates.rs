//! The horizontal axis: days, with ticks at the dates or ages that have room for their labels.

use chrono::{Datelike, NaiveDate, TimeDelta};

use super::options::Align;
use super::series::Series;
use super::text;

/// The size of the axis' labels, in pixels.
const SIZE: f64 = 11.0;
/// The least distance between two labels.
const BETWEEN: f64 = 12.0;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A range of days over a range of pixels.
pub(super) struct DayAxis {
    align: Align,
    origin: NaiveDate,
    /// The number of days from the first to the last.
    span: i64,
    /// Room before the first day and behind the last, in days.
    pad: f64,
    left: f64,
    right: f64,
}

impl DayAxis {
    /// An axis for the days of these series. Days are as wide as bars if `has_bars`.
    pub(super) fn new(
        series: &[Series],
        align: Align,
        has_bars: bool,
        (left, right): (f64, f64),
    ) -> Option<Self> {
        let origin = series.iter().filter_map(Series::first).map(|day| day.day).min()?;
        let mut axis = Self { align, origin, span: 0, pad: 0.0, left, right };
        let offsets =
            series.iter().filter_map(|series| Some(axis.offset(series, series.last()?.day)));
        axis.span = offsets.max()?;
        axis.pad = if has_bars || axis.span == 0 { 0.5 } else { 0.0 };
        Some(axis)
    }

    /// The width of a day in pixels.
    pub(super) fn day_width(&self) -> f64 {
        (self.right - self.left) / (self.span as f64 + 2.0 * self.pad)
    }

    /// The place of a series' day in pixels.
    pub(super) fn x(&self, series: &Series, day: NaiveDate) -> f64 {
        self.x_of(self.offset(series, day) as f64)
    }

    fn offset(&self, series: &Series, day: NaiveDate) -> i64 {
        let origin = match self.align {
            Align::Date => self.origin,
            Align::Start => series.first().map_or(self.origin, |first| first.day),
        };
        (day - origin).num_days()
    }

    fn x_of(&self, offset: f64) -> f64 {
        self.left + (offset + self.pad) * self.day_width()
    }

    /// The places of the ticks in pixels, with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let steps: &[Step] = match self.align {
            Align::Date => &DATE_STEPS,
            Align::Start => &AGE_STEPS,
        };
        let ticks = steps.iter().find_map(|step| {
            // No label is narrower.
            if step.days() * self.day_width() < BETWEEN {
                return None;
            }
            let ticks = self.ticks_of(*step);
            let has_room = ticks.windows(2).all(|pair| match pair {
                [(x, label), (next_x, next)] => {
                    let widths = text::width(label, SIZE) + text::width(next, SIZE);
                    next_x - x >= widths / 2.0 + BETWEEN
                }
                _ => true,
            });
            has_room.then_some(ticks)
        });
        ticks.unwrap_or_default()
    }

    fn ticks_of(&self, step: Step) -> Vec<(f64, String)> {
        let last = self.origin + TimeDelta::days(self.span);
        match step {
            Step::Days(number) => {
                // Weeks begin on Mondays.
                let past = i64::from(self.origin.num_days_from_ce() - 1).rem_euclid(number);
                let first = if past == 0 { 0 } else { number - past };
                let offsets = (first..=self.span).step_by(usize::try_from(number).unwrap_or(1));
                let label = |offset| {
                    let day = self.origin + TimeDelta::days(offset);
                    (self.x_of(offset as f64), format!("{} {}", day.day(), month(day)))
                };
                offsets.map(label).collect()
            }
            Step::Months(number) => {
                let firsts = months(self.origin, last, number);
                let label = |day: NaiveDate| {
                    let offset = (day - self.origin).num_days();
                    let is_year = day.month() == 1;
                    let label =
                        if is_year { day.year().to_string() } else { month(day).to_owned() };
                    (self.x_of(offset as f64), label)
                };
                firsts.map(label).collect()
            }
            Step::Age(unit, number) => {
                let (length, name) = unit;
                let ages =
                    (0_u32..).step_by(number as usize).map(|age| (age, f64::from(age) * length));
                let ages = ages.take_while(|(_, offset)| *offset <= self.span as f64);
                let label = |(age, offset): (u32, f64)| {
                    let label = if age == 0 { "0".to_owned() } else { format!("{age} {name}") };
                    (self.x_of(offset.round()), label)
                };
                ages.map(label).collect()
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Days(i64),
    Months(u32),
    /// A number of units since the first day; a unit is its length in days and its name.
    Age((f64, &'static str), u32),
}

impl Step {
    fn days(self) -> f64 {
        match self {
            Self::Days(number) => number as f64,
            Self::Months(number) => f64::from(number) * MONTH.0,
            Self::Age((length, _), number) => length * f64::from(number),
        }
    }
}

const DAY: (f64, &str) = (1.0, "d");
const MONTH: (f64, &str) = (365.25 / 12.0, "mo");
const YEAR: (f64, &str) = (365.25, "y");

const DATE_STEPS: [Step; 11] = [
    Step::Days(1),
    Step::Days(2),
    Step::Days(7),
    Step::Days(14),
    Step::Months(1),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(24),
    Step::Months(60),
    Step::Months(120),
];

const AGE_STEPS: [Step; 13] = [
    Step::Age(DAY, 1),
    Step::Age(DAY, 2),
    Step::Age(DAY, 5),
    Step::Age(DAY, 10),
    Step::Age(DAY, 20),
    Step::Age(MONTH, 1),
    Step::Age(MONTH, 2),
    Step::Age(MONTH, 3),
    Step::Age(MONTH, 6),
    Step::Age(YEAR, 1),
    Step::Age(YEAR, 2),
    Step::Age(YEAR, 5),
    Step::Age(YEAR, 10),
];

fn month(day: NaiveDate) -> &'static str {
    MONTHS.get(day.month0() as usize).copied().unwrap_or_default()
}

/// The first days of every `number`th month, counted from a year 0.
fn months(first: NaiveDate, last: NaiveDate, number: u32) -> impl Iterator<Item = NaiveDate> {
    let first_month = first.year() * 12 + first.month0().cast_signed();
    let last_month = last.year() * 12 + last.month0().cast_signed();
    let months = (first_month..=last_month).filter(move |month| month % number.cast_signed() == 0);
    let day = |month: i32| {
        NaiveDate::from_ymd_opt(month.div_euclid(12), month.rem_euclid(12).unsigned_abs() + 1, 1)
    };
    months.filter_map(day).filter(move |day| first <= *day)
}
