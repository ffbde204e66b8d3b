//! When the last ring succeeded: written by the scheduler, read by `cron healthcheck`.

use std::path::Path;

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, Utc};

use crate::config::Config;

/// Notes a success, or the start: a scheduler is healthy from its start.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn note(file: &Path, time: DateTime<Utc>) -> anyhow::Result<()> {
    // Renamed into place, so that a health check never reads half of it.
    let new = file.with_added_extension("new");
    std::fs::write(&new, time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("cannot write {}; set STATE_FILE to another path", file.display()))
}

/// `cron healthcheck`.
///
/// # Errors
/// When no scheduler runs here, or its last success is older than two periods.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    let file = config.state_file.display();
    let text = std::fs::read_to_string(&config.state_file)
        .with_context(|| format!("no scheduler runs here: {file}"))?;
    let last: DateTime<Utc> = text.parse().with_context(|| format!("{file} holds no time"))?;
    let two_periods = config.schedule.two_periods_after(last);
    ensure!(
        Utc::now() <= two_periods,
        "no refresh has succeeded since {text}, for more than two periods"
    );
    println!("ok");
    Ok(())
}
