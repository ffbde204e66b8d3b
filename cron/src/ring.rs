//! One ring: a refresh with its retries, and what is said of it.

use std::time::Duration;

use anyhow::bail;
use backon::{ExponentialBuilder, Retryable};
use chrono::{TimeDelta, Utc};
use tracing::{info, warn};

use crate::config::Config;
use crate::mirror::{Error, Mirror, Outcome, Report};
use crate::schedule::Schedule;

/// The pauses between tries, which double; each is lengthened by chance, so that several schedulers
/// do not keep step.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// So that a ring has gone out when the next is due.
const BEFORE_THE_NEXT: TimeDelta = TimeDelta::seconds(1);

/// Where the next ring is due sooner than a refresh may take, it is still seen to its end; rings
/// due meanwhile are left out.
const SHORTEST: Duration = Duration::from_secs(600);

/// A ring of the scheduler's: tries until there is a report or the next ring is due, which joins a
/// refresh that still runs.
///
/// # Errors
/// What no other try would change, or that time is up.
pub(crate) async fn with_retries(mirror: &Mirror, schedule: &Schedule) -> anyhow::Result<Report> {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter();
    let tries = (|| mirror.refresh()).retry(pauses).when(Error::may_pass).notify(
        |error, pause| warn!(%error, "no refresh; next try in {:.1} s", pause.as_secs_f64()),
    );
    let now = Utc::now();
    let until_next = (schedule.next(now) - now - BEFORE_THE_NEXT).to_std().unwrap_or_default();
    match tokio::time::timeout(until_next.max(SHORTEST), tries).await {
        Ok(report) => Ok(report?),
        Err(_) => bail!("no refresh has ended, and the next is due"),
    }
}

/// `cron --once`: one try, since the scheduler that calls it has retries of its own, and a schedule
/// of its own that says how long it may take.
///
/// # Errors
/// When the refresh did not come about or is not complete.
pub(crate) async fn once(config: &Config) -> anyhow::Result<()> {
    let mirror = Mirror::new(config)?;
    let report = mirror.refresh().await?;
    if report.outcome != Outcome::Complete {
        let reason = report.reason.as_deref().unwrap_or("the service's log says why");
        bail!("the refresh {} is not complete: {reason}", report.id);
    }
    tell(&report);
    Ok(())
}

/// The report as a log line.
pub(crate) fn tell(report: &Report) {
    let complete = report.outcome == Outcome::Complete;
    let Report {
        id,
        found,
        inserted,
        updated,
        removed,
        requests,
        retries,
        waited_ms,
        duration_ms,
        ..
    } = report;
    info!(
        refresh = id,
        complete,
        reason = report.reason,
        topics = report.topics.len(),
        found,
        inserted,
        updated,
        removed,
        requests,
        retries,
        waited_ms,
        duration_ms,
        "{}",
        if complete { "refreshed" } else { "refreshed in part" }
    );
}
