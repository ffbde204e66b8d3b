//! Triggers a refresh at start and on schedule, until a stop signal.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use settings::Schedule;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::api_client::{ApiClient, Report};
use crate::config::Config;
use crate::{clock, last_success, refresh};

/// The time that a stop waits for a refresh in progress, which is cancelled at once.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs one refresh at a time. tokio-cron-scheduler lets runs of a job overlap, and its shutdown
/// neither awaits nor cancels them, so the lock, the tracker and the token are here.
struct Trigger {
    config: Config,
    client: ApiClient,
    /// Held while a refresh is in progress.
    running: Mutex<()>,
    /// Set when the schedule matches, cleared when a refresh starts or has succeeded.
    due: AtomicBool,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// Triggers refreshes until `stop` resolves.
///
/// # Errors
/// If STATE_FILE cannot be written or the scheduler does not start.
pub(crate) async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    last_success::record(&config.state_file, Utc::now())?;
    let client = ApiClient::new(&config)?;
    let next = config.schedule.next(Utc::now()).to_rfc3339_opts(SecondsFormat::Secs, true);
    info!(api_url = %config.api_url, next, "triggering a refresh now, then on schedule");
    let trigger = Arc::new(Trigger {
        config,
        client,
        running: Mutex::new(()),
        due: AtomicBool::new(false),
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
    });

    // The schedule may have matched while no scheduler ran, so each start triggers a refresh.
    trigger.tasks.spawn(Arc::clone(&trigger).fire());
    let expressions = job_expressions(&trigger.config.schedule);
    let fire = {
        let trigger = Arc::clone(&trigger);
        move || Arc::clone(&trigger).fire()
    };
    let stop = async {
        stop.await;
        info!("stopping; a refresh in progress goes on in the service");
        trigger.stopping.cancel();
    };
    run_jobs(&expressions, fire, stop, clock::set_back).await?;
    trigger.tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, trigger.tasks.wait()).await.is_err() {
        warn!("a refresh did not stop in time");
    }
    info!("stopped");
    Ok(())
}

/// Fires at each match of the expressions until `stop` resolves. Whenever `set_back` resolves, the
/// jobs are made anew.
async fn run_jobs<F>(
    expressions: &[String],
    fire: impl Fn() -> F + Clone + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
    set_back: impl AsyncFn(),
) -> anyhow::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut scheduler = JobScheduler::new().await?;
    scheduler.start().await?;
    let mut stop = pin!(stop);
    loop {
        let mut jobs = Vec::new();
        for expression in expressions {
            let fire = fire.clone();
            let job = Job::new_async(expression, move |_, _| Box::pin(fire()))?;
            jobs.push(scheduler.add(job).await?);
        }
        tokio::select! {
            () = &mut stop => break,
            () = set_back() => info!("the clock was set back; the schedule starts anew"),
        }
        for job in &jobs {
            scheduler.remove(job).await?;
        }
    }
    Ok(scheduler.shutdown().await?)
}

impl Trigger {
    async fn fire(self: Arc<Self>) {
        self.due.store(true, Ordering::SeqCst);
        let refreshes = self.stopping.run_until_cancelled(async {
            // The flag is read again after each refresh: if one fails, its task runs the refresh
            // that became due in the meantime.
            while self.due.load(Ordering::SeqCst) {
                let Ok(_running) = self.running.try_lock() else {
                    debug!("the previous refresh is still in progress");
                    break;
                };
                self.due.store(false, Ordering::SeqCst);
                if let Some(report) = self.refresh().await {
                    // It serves as every refresh that was due when it began.
                    let is_due = self.has_matched_during(&report, Utc::now());
                    self.due.store(is_due, Ordering::SeqCst);
                }
            }
        });
        self.tasks.track_future(refreshes).await;
    }

    /// Whether the schedule matched while a refresh ran that has ended now.
    fn has_matched_during(&self, report: &Report, now: DateTime<Utc>) -> bool {
        let took = TimeDelta::milliseconds(report.duration_ms.unwrap_or(0));
        self.config.schedule.next(now - took) <= now
    }

    /// Returns the report if the refresh ended with one.
    async fn refresh(&self) -> Option<Report> {
        match refresh::with_retries(&self.client, &self.config.schedule).await {
            Ok(report) => {
                refresh::log_report(&report);
                // A partial refresh counts: its data is stored, and the service shows that it is
                // partial.
                if let Err(error) = last_success::record(&self.config.state_file, Utc::now()) {
                    warn!(error = format!("{error:#}"), "the success could not be recorded");
                }
                Some(report)
            }
            Err(error) => {
                error!(
                    error = format!("{error:#}"),
                    "the refresh failed; the next trigger tries again"
                );
                None
            }
        }
    }
}

/// The schedule in tokio-cron-scheduler's dialect. It wants seconds, and if both a day of the month
/// and a day of the week are given, it matches days that are both, where cron matches either: such
/// a schedule becomes two expressions.
fn job_expressions(schedule: &Schedule) -> Vec<String> {
    let mut fields: Vec<&str> = schedule.as_str().split_whitespace().collect();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::iter::successors;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use chrono::DateTime;
    use croner::parser::{CronParser, Seconds};

    use super::*;

    #[test]
    fn job_expressions_match_when_the_schedule_does() {
        let theirs = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a date");
        let (from, until) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let before_end = |time: &DateTime<Utc>| *time < until;
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
            let matches = successors(Some(schedule.next(from)), |time| Some(schedule.next(*time)));
            let expected: BTreeSet<_> = matches.take_while(before_end).collect();
            let expressions = job_expressions(&schedule);
            let actual: BTreeSet<_> = expressions
                .iter()
                .map(|expression| theirs.parse(expression).expect("six fields"))
                .flat_map(|cron| cron.iter_after(from).take_while(before_end).collect::<Vec<_>>())
                .collect();
            assert!(!expected.is_empty() && actual == expected, "{text} became {expressions:?}");
        }
    }
    #[tokio::test]
    async fn jobs_fire_once_a_match_after_the_clock_was_set_back() {
        let (fired, jumps) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let fire = {
            let fired = Arc::clone(&fired);
            move || {
                fired.fetch_add(1, Ordering::Relaxed);
                std::future::ready(())
            }
        };
        let set_back = async || {
            if jumps.fetch_add(1, Ordering::Relaxed) >= 3 {
                std::future::pending::<()>().await;
            }
        };
        let began = Instant::now();
        let stop = async {
            while fired.load(Ordering::Relaxed) < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let every_second = ["* * * * * *".to_owned()];
        run_jobs(&every_second, fire, stop, set_back).await.expect("a scheduler");
        assert!(began.elapsed() > Duration::from_millis(1_500), "each match fires once");
        assert_eq!(jumps.load(Ordering::Relaxed), 4);
    }
}
