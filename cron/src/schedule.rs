//! When to ring: a cron expression in UTC, which the service reads alike.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A parsed REFRESH_SCHEDULE.
#[derive(Clone, Debug)]
pub(crate) struct Schedule(Cron);

impl Schedule {
    /// Five fields, or six with seconds first, in UTC.
    ///
    /// # Errors
    /// One line saying what is accepted.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
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
    #[expect(clippy::expect_used, reason = "parse() has seen that the expression comes to pass")]
    pub(crate) fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.0.find_next_occurrence(&now, false).expect("it comes to pass")
    }

    /// Two periods after `time`: when a success of that time has grown old. Where periods differ,
    /// as with working hours, not before two rings were due.
    pub(crate) fn two_periods_after(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let first = self.next(time);
        let second = self.next(first);
        second.max(time + (second - first) * 2)
    }

    /// The same for tokio-cron-scheduler, which wants seconds, and which takes a day of the month
    /// beside a day of the week as "both" where cron, and the service, take them as "either": an
    /// expression each, then.
    pub(crate) fn expressions(&self) -> Vec<String> {
        let mut fields: Vec<&str> = self.0.as_str().split_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let given = |field: &str| !matches!(field, "*" | "?");
        match fields[..] {
            [second, minute, hour, day, month, weekday]
                if given(day) && given(weekday) && !weekday.starts_with('+') =>
            {
                let time = format!("{second} {minute} {hour}");
                vec![format!("{time} {day} {month} *"), format!("{time} * {month} {weekday}")]
            }
            _ => vec![fields.join(" ")],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a date")
    }

    #[test]
    fn two_periods_are_two_rings_at_least() {
        let hourly = Schedule::parse("0 * * * *").expect("valid");
        assert_eq!(
            hourly.two_periods_after(at("2026-01-01T10:01:00Z")),
            at("2026-01-01T12:01:00Z")
        );
        let working_hours = Schedule::parse("0 9-17 * * MON-FRI").expect("valid");
        let friday = at("2026-11-20T17:01:00Z");
        assert_eq!(working_hours.two_periods_after(friday), at("2026-11-23T10:00:00Z"), "Monday");
    }

    #[test]
    fn refuses_nonsense_and_what_never_comes() {
        for text in ["", "hourly", "61 * * * *", "* * * *", "0 0 30 2 *", "0 0 0 1 1 * 2020"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tokio_cron_scheduler_rings_when_the_service_would() {
        let theirs = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        for text in [
            "0 * * * *",
            "*/7 3 * * *",
            "30 15 4 * * *",
            "@daily",
            "0 0 1,15 * FRI",
            "0 0 ? * mon-wed",
            "0 0 13 * +FRI",
            "10 0 0 L feb 7",
        ] {
            let schedule =
                Schedule::parse(text).unwrap_or_else(|accepted| panic!("{text}: {accepted}"));
            let (from, until) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
            let all = |cron: &Cron| {
                cron.iter_after(from).take_while(|time| *time < until).collect::<BTreeSet<_>>()
            };
            let expected = all(&schedule.0);
            let expressions = schedule.expressions();
            let parsed =
                expressions.iter().map(|expression| theirs.parse(expression).expect("six fields"));
            let actual = parsed.flat_map(|cron| all(&cron)).collect::<BTreeSet<_>>();
            assert!(!expected.is_empty() && actual == expected, "{text} became {expressions:?}");
        }
    }
}
