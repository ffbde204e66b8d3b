//! A text is read as what it means or not at all, whatever it says.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, TimeDelta};
use proptest::prelude::*;
use proptest::sample::select;

use super::quota::{Priority, Quota, Reported, Resource};
use super::repository::FullName;
use super::time::{parse_day, rfc3339};
use super::topic::Topic;
use crate::arbitrary::{config, pattern, text};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn topic_is_read_by_its_rule_and_its_own_text_is_the_same_topic(
        text in prop_oneof![text(), pattern("-?[A-Za-z0-9-]{0,52}")],
    ) {
        let topic = text.parse::<Topic>().ok();
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_topic = (1..=50).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(is_letter);
        prop_assert_eq!(topic.is_some(), is_topic);
        if let Some(topic) = topic {
            prop_assert_eq!(topic.as_str(), text.to_ascii_lowercase());
            prop_assert_eq!(topic.as_str().parse::<Topic>(), Ok(topic.clone()));
        }
    }

    #[test]
    fn full_name_has_two_parts_without_control_characters(
        text in prop_oneof![text(), (text(), text()).prop_map(|(a, b)| format!("{a}/{b}"))],
    ) {
        if let Ok(name) = text.parse::<FullName>() {
            prop_assert_eq!(name.as_str(), &*text);
            prop_assert!(!text.contains(char::is_control) && text.len() <= 400);
            let parts: Vec<&str> = text.split('/').collect();
            prop_assert!(parts.len() == 2 && parts.iter().all(|part| !part.is_empty()));
        }
    }

    #[test]
    fn day_is_read_in_one_form_only(
        text in prop_oneof![
            text(),
            pattern("[ +-]?[0-9]{1,5}-[0-9]{1,2}-[0-9]{1,3}"),
            pattern("[0-9]{4}-[01][0-9]-[0-3][0-9]"),
        ],
    ) {
        if let Some(day) = parse_day(&text) {
            prop_assert_eq!(day.to_string(), text);
            prop_assert!((0..=9_999).contains(&day.year()));
        }
    }

    #[test]
    fn day_of_four_digit_years_is_read_as_it_was_written(days in 0..3_652_059_i32) {
        let day = NaiveDate::from_num_days_from_ce_opt(days).expect("a day");
        prop_assert_eq!(parse_day(&day.to_string()), Some(day));
    }

    #[test]
    fn time_is_written_as_chrono_writes_it(
        seconds in prop_oneof![any::<i64>(), -70_000_000_000..260_000_000_000_i64],
        nanoseconds in 0..1_000_000_000_u32,
    ) {
        if let Some(time) = DateTime::from_timestamp(seconds, nanoseconds) {
            let expected = time.to_rfc3339_opts(SecondsFormat::Secs, true);
            prop_assert_eq!(rfc3339(time), expected);
        }
    }

    #[test]
    fn quota_never_waits_longer_than_an_hour_whatever_is_reported(
        limit in any::<Option<i64>>(),
        remaining in any::<Option<i64>>(),
        seconds in prop::option::of(-31_536_000..=31_536_000_i64),
        retry_after in prop::option::of(-31_536_000..=31_536_000_i64),
        second in 0..253_402_300_000_i64,
        resource in select(Resource::ALL.to_vec()),
    ) {
        let most = super::repository::MAX_COUNT;
        let count = |count: Option<i64>| count.map(|count| count.clamp(0, most));
        let now = DateTime::from_timestamp(second, 0).expect("a time");
        let reset_in = seconds.map(TimeDelta::seconds);
        let (limit, remaining) = (count(limit), count(remaining));
        let mut quota = Quota::default();
        quota.observe(resource, Reported { limit, remaining, reset_in }, now);
        quota.exhausted(resource, reset_in, now);
        for _ in 0..10 {
            let _ = quota.slowed(retry_after.map(TimeDelta::seconds), now);
        }
        let hour = now + TimeDelta::hours(1);
        prop_assert!(quota.paused_until.is_none_or(|until| until <= hour));
        for priority in [Priority::Scheduled, Priority::OnDemand, Priority::Backfill] {
            prop_assert!(quota.allowed_at(resource, priority, now) <= hour);
            let _ = quota.take_slot(resource, priority, now);
        }
    }
}
