//! Times as lists and reports show them: `2018-05-01T17:01:50Z`.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, TimeDelta, Timelike, Utc};
use serde::Serializer;

/// The most by which the clocks of replicas may differ. A stored time that is further ahead was
/// stored before the clock was set back.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(30);

/// Whether a stored time is less than `limit` ago. A time in the future is not: it was stored
/// before the clock was set back, so its age is unknown.
#[must_use]
pub fn is_recent(time: DateTime<Utc>, limit: TimeDelta, now: DateTime<Utc>) -> bool {
    // mutant in clocks: a time before the clock was set back is not recent
    //     time <= now + CLOCK_SKEW => true
    now - time < limit && time <= now + CLOCK_SKEW
}

/// RFC 3339 in UTC with whole seconds. The digits are written here because chrono's formatting took
/// a fifth of the CPU of a list from the database.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    let Some(year) = u32::try_from(time.year()).ok().filter(|year| *year <= 9_999) else {
        return time.to_rfc3339_opts(SecondsFormat::Secs, true);
    };
    let mut text = String::with_capacity("2018-05-01T17:01:50Z".len());
    let pairs = [
        (year / 100, ""),
        (year % 100, "-"),
        (time.month(), "-"),
        (time.day(), "T"),
        (time.hour(), ":"),
        (time.minute(), ":"),
        (time.second(), "Z"),
    ];
    for (number, separator) in pairs {
        let digits = [number / 10, number % 10].into_iter();
        text.extend(digits.filter_map(|digit| char::from_digit(digit, 10)));
        text.push_str(separator);
    }
    text
}

/// A day as clients write it: `2018-05-01`, and no other form.
#[must_use]
pub fn parse_day(text: &str) -> Option<NaiveDate> {
    text.parse().ok().filter(|day: &NaiveDate| text.len() == 10 && day.to_string() == text)
}

/// [`rfc3339`] for `serialize_with`.
///
/// # Errors
/// The serializer's own.
pub fn seconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// [`rfc3339`] or null for `serialize_with`.
///
/// # Errors
/// The serializer's own.
pub fn optional_seconds<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_is_read_in_one_form_only() {
        let day = NaiveDate::from_ymd_opt(2018, 5, 1);
        assert_eq!(parse_day("2018-05-01"), day);
        for text in ["", "2018-5-1", " 2018-05-01", "2018-02-29", "18-05-01", "+2018-05-01"] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_writes_the_same_text_as_chrono() {
        for seconds in [
            0,
            1_525_194_110,
            1_790_000_000,
            951_782_399,
            -62_167_219_200,
            253_402_300_799,
            253_402_300_800,
            -1,
        ] {
            let time = DateTime::from_timestamp(seconds, 999_999_999).expect("a date");
            assert_eq!(rfc3339(time), time.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
    }
}
