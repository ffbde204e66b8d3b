//! Numbers, times and names as pages write them.

use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::http::address::path_of;
use crate::model::growth::Growth;
use crate::model::time::rfc3339;

/// A narrow space that does not break, between thousands.
const THIN_SPACE: char = '\u{202f}';

/// The most characters of a description.
const MOST_CHARACTERS: usize = 280;

/// A number in groups of three digits: `41 872`.
#[derive(Clone, Copy)]
pub(super) struct Grouped(pub(super) i64);

impl fmt::Display for Grouped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        if self.0 < 0 {
            formatter.write_str("−")?;
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                write!(formatter, "{THIN_SPACE}")?;
            }
            write!(formatter, "{digit}")?;
        }
        Ok(())
    }
}

/// A change with its sign: `+412`.
#[derive(Clone, Copy)]
pub(super) struct Gain(pub(super) i64);

impl Gain {
    pub(super) fn class(self) -> &'static str {
        match self.0 {
            1.. => "gain",
            0 => "soft",
            _ => "fall",
        }
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 > 0 { "+" } else { "" };
        write!(formatter, "{sign}{}", Grouped(self.0))
    }
}

/// The stars gained within a window.
pub(super) struct Gained {
    pub(super) gain: Gain,
    /// The days that were counted, if they are fewer than the window's.
    pub(super) days: Option<String>,
}

impl Gained {
    /// `None` without a count within the window, which has this many days.
    pub(super) fn of(growth: Option<&Growth>, days: i64) -> Option<Self> {
        growth.map(|growth| Self {
            gain: Gain(growth.gained),
            days: (growth.days < days).then(|| counted(growth.days, "day", "days")),
        })
    }
}

/// A number with what it counts: `1 repository`, `2 repositories`.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", Grouped(number), if number == 1 { one } else { many })
}

/// A length of time in its largest unit: `12 minutes`.
pub(super) fn span(time: TimeDelta) -> String {
    const UNITS: [(i64, &str, &str); 6] = [
        (365 * 86_400, "year", "years"),
        (30 * 86_400, "month", "months"),
        (86_400, "day", "days"),
        (3_600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ];
    let seconds = time.num_seconds().max(0);
    let unit = UNITS.into_iter().find(|(length, ..)| seconds >= *length);
    let (length, one, many) = unit.unwrap_or((1, "second", "seconds"));
    counted(seconds / length, one, many)
}

/// A time in words, and exactly.
pub(super) struct Moment {
    pub(super) exact: String,
    pub(super) words: String,
}

impl Moment {
    pub(super) fn new(time: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let passed = now - time;
        let words = if passed.num_seconds() == 0 {
            "just now".to_owned()
        } else if passed < TimeDelta::zero() {
            format!("in {}", span(-passed))
        } else {
            format!("{} ago", span(passed))
        };
        Self { exact: rfc3339(time), words }
    }
}

/// `26 Nov 2026`.
pub(super) fn day(day: NaiveDate) -> String {
    day.format("%-d %b %Y").to_string()
}

/// A description, cut with an ellipsis if it is long.
pub(super) fn cut(text: &str) -> String {
    let mut kept: String = text.chars().take(MOST_CHARACTERS).collect();
    if kept.len() < text.len() {
        kept.truncate(kept.trim_end().len());
        kept.push('…');
    }
    kept
}

/// The name of a repository in its parts, and its path.
pub(super) struct Name<'a> {
    pub(super) owner: &'a str,
    pub(super) name: &'a str,
    pub(super) path: String,
}

impl<'a> Name<'a> {
    pub(super) fn new(full_name: &'a str) -> Self {
        let (owner, name) = full_name.split_once('/').unwrap_or(("", full_name));
        Self { owner, name, path: path_of(full_name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thin_spaces_and_changes_their_sign() {
        let texts = [0, 999, 1_000, -41_872, 1_234_567].map(|number| Grouped(number).to_string());
        assert_eq!(
            texts,
            ["0", "999", "1\u{202f}000", "−41\u{202f}872", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!([3, 0, -3].map(|number| Gain(number).to_string()), ["+3", "0", "−3"]);
    }

    #[test]
    fn time_is_told_in_its_largest_unit() {
        let words = [0, 1, 59, 60, 7_199, 86_400, 45 * 86_400, 800 * 86_400]
            .map(|seconds| span(TimeDelta::seconds(seconds)));
        let expected = [
            "0 seconds",
            "1 second",
            "59 seconds",
            "1 minute",
            "1 hour",
            "1 day",
            "1 month",
            "2 years",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn long_description_is_cut_with_an_ellipsis() {
        assert_eq!(cut("short"), "short");
        let cut = cut(&"é ".repeat(10_000));
        assert_eq!(cut.chars().count(), MOST_CHARACTERS);
        assert!(cut.ends_with("é…"));
    }
}
