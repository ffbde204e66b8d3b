//! When refreshes are due: a cron expression in UTC.

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A parsed REFRESH_SCHEDULE.
#[derive(Clone, Debug)]
pub struct Schedule(Cron);

impl Schedule {
    /// Five fields, or six with seconds first, in UTC.
    ///
    /// # Errors
    /// One line saying what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let accepted = || {
            "five cron fields, or six with seconds, that come to pass, such as `0 * * * *`"
                .to_owned()
        };
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let schedule = Self(parser.parse(text).map_err(|_| accepted())?);
        // An expression can be well-formed and never match: 30 February.
        schedule.0.find_next_occurrence(&Utc::now(), false).map_err(|_| accepted())?;
        Ok(schedule)
    }

    /// The first time after `now`.
    #[must_use]
    #[expect(clippy::expect_used, reason = "parse() has seen that the expression comes to pass")]
    pub fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.0.find_next_occurrence(&now, false).expect("it comes to pass")
    }

    /// The time between the next two refreshes: how old data may be, and how long a refresh may
    /// wait.
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
    fn takes_five_fields_and_six() {
        let hourly = Schedule::parse("0 * * * *").expect("valid");
        assert_eq!(hourly.next(at("2026-01-01T10:00:00Z")), at("2026-01-01T11:00:00Z"));
        assert_eq!(hourly.period(at("2026-01-01T10:20:00Z")), TimeDelta::hours(1));
        let often = Schedule::parse("*/5 * * * * *").expect("valid");
        assert_eq!(often.period(at("2026-01-01T10:00:01Z")), TimeDelta::seconds(5));
    }

    #[test]
    fn refuses_nonsense_and_what_never_comes() {
        for text in ["", "hourly", "61 * * * *", "* * * *", "0 0 30 2 *", "0 0 0 1 1 * 2020"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
