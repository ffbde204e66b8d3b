//! REFRESH_SCHEDULE: a cron expression in UTC.

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::Setting;

pub const REFRESH_SCHEDULE: Setting = Setting::with_default(
    "REFRESH_SCHEDULE",
    "0 * * * *",
    "when to refresh: cron, UTC, five fields or six with seconds",
);

#[derive(Clone, Debug)]
pub struct Schedule(Cron);

impl Schedule {
    /// Parses five fields, or six with seconds first. The expression matches some time to come.
    ///
    /// # Errors
    /// A description of the accepted values.
    pub fn parse(text: &str) -> Result<Self, String> {
        let accepted = || {
            "a cron expression that can match: five fields, or six with seconds first, such as \
             `0 * * * *`"
                .to_owned()
        };
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let schedule = Self(parser.parse(text).map_err(|_| accepted())?);
        // An expression can be well-formed and never match: 30 February.
        schedule.0.find_next_occurrence(&Utc::now(), false).map_err(|_| accepted())?;
        Ok(schedule)
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The first match after `now`.
    #[must_use]
    #[expect(clippy::expect_used, reason = "parse() has found a match")]
    pub fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.0.find_next_occurrence(&now, false).expect("the expression can match")
    }

    /// The time between the next two matches: how old data may be, and how long a refresh may wait.
    #[must_use]
    pub fn period(&self, now: DateTime<Utc>) -> TimeDelta {
        let next = self.next(now);
        self.next(next) - next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a date")
    }

    #[test]
    fn parse_accepts_five_fields_and_six() {
        let hourly = Schedule::parse("0 * * * *").expect("valid");
        assert_eq!(hourly.next(at("2026-01-01T10:00:00Z")), at("2026-01-01T11:00:00Z"));
        assert_eq!(hourly.period(at("2026-01-01T10:20:00Z")), TimeDelta::hours(1));
        let often = Schedule::parse("*/5 * * * * *").expect("valid");
        assert_eq!(often.period(at("2026-01-01T10:00:01Z")), TimeDelta::seconds(5));
    }

    #[test]
    fn parse_refuses_expressions_that_are_malformed_or_never_match() {
        for text in ["", "hourly", "61 * * * *", "* * * *", "0 0 30 2 *", "0 0 0 1 1 * 2020"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
