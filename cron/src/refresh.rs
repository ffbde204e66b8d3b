//! A refresh as the scheduler runs it: its retries, and its log line.

use std::time::Duration;

use anyhow::bail;
use backon::{ExponentialBuilder, Retryable};
use chrono::{TimeDelta, Utc};
use settings::Schedule;
use tracing::{info, warn};

use crate::api_client::{ApiClient, Error, Outcome, Report};
use crate::config::Config;

/// The back-off between tries. Random jitter lengthens each pause, so that several schedulers do
/// not retry in step.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Tries end this long before the next match of the schedule, so that the next trigger finds none
/// in progress.
const MARGIN: TimeDelta = TimeDelta::seconds(1);

/// The minimum time for all tries. If the schedule matches sooner, the refresh is awaited all the
/// same, and matches until then are skipped.
const MIN_TIMEOUT: Duration = Duration::from_secs(600);

/// Triggers a refresh until one ends with a report or the schedule's next match is near. The next
/// trigger joins a refresh that still runs.
///
/// # Errors
/// An error that a retry cannot change, or that the time is over.
pub(crate) async fn with_retries(
    client: &ApiClient,
    schedule: &Schedule,
) -> anyhow::Result<Report> {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .with_jitter();
    let tries = (|| client.refresh()).retry(pauses).when(Error::is_transient).notify(
        |error, pause| warn!(%error, "no refresh; next try in {:.1} s", pause.as_secs_f64()),
    );
    let now = Utc::now();
    let until_next = (schedule.next(now) - now - MARGIN).to_std().unwrap_or_default();
    match tokio::time::timeout(until_next.max(MIN_TIMEOUT), tries).await {
        Ok(report) => Ok(report?),
        Err(_) => bail!("no refresh has ended, and the next one is due"),
    }
}

/// `cron --once`: one try without a time limit. The scheduler that calls it has its own retries,
/// and its own limit.
///
/// # Errors
/// If the refresh cannot be triggered, fails, or is not complete.
pub(crate) async fn once(config: &Config) -> anyhow::Result<()> {
    let report = ApiClient::new(config)?.refresh().await?;
    if report.outcome != Outcome::Complete {
        let reason = report.reason.as_deref().unwrap_or("the service's log says why");
        bail!("the refresh {} is not complete: {reason}", report.id);
    }
    log_report(&report);
    Ok(())
}

pub(crate) fn log_report(report: &Report) {
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
