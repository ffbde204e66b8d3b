//! The time of the last success: written by the scheduler, read by `cron healthcheck`.

use std::path::Path;

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use settings::Schedule;

use crate::config::Config;

/// Records the time of a success. The start counts as one, so that a scheduler is healthy from its
/// start.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn record(file: &Path, time: DateTime<Utc>) -> anyhow::Result<()> {
    // The file is renamed into place, so that a health check never reads a half-written one.
    let new = file.with_added_extension("new");
    std::fs::write(&new, time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("cannot write {}; set STATE_FILE to another path", file.display()))
}

/// `cron healthcheck`.
///
/// # Errors
/// If no scheduler runs here, or its last success is older than two periods.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    let file = config.state_file.display();
    let text = std::fs::read_to_string(&config.state_file)
        .with_context(|| format!("no scheduler runs here: {file}"))?;
    let last: DateTime<Utc> = text.parse().with_context(|| format!("{file} holds no time"))?;
    ensure!(
        Utc::now() <= two_periods_after(&config.schedule, last),
        "no refresh has succeeded since {text}, for more than two periods"
    );
    println!("ok");
    Ok(())
}

/// The time from which a success is too old. If periods differ, as with working hours, it is not
/// before the schedule's second match.
fn two_periods_after(schedule: &Schedule, time: DateTime<Utc>) -> DateTime<Utc> {
    let first = schedule.next(time);
    let second = schedule.next(first);
    second.max(time + (second - first) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a date")
    }

    #[test]
    fn two_periods_span_two_matches_at_least() {
        let hourly = Schedule::parse("0 * * * *").expect("valid");
        assert_eq!(
            two_periods_after(&hourly, at("2026-01-01T10:01:00Z")),
            at("2026-01-01T12:01:00Z")
        );
        let working_hours = Schedule::parse("0 9-17 * * MON-FRI").expect("valid");
        let friday = at("2026-11-20T17:01:00Z");
        assert_eq!(two_periods_after(&working_hours, friday), at("2026-11-23T10:00:00Z"), "Monday");
    }
}
