//! Ringing at start and then on schedule, until told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::config::Config;
use crate::mirror::Mirror;
use crate::{last_success, ring};

/// How long a stop waits for a ring, which stops at once.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Everything a ring needs. tokio-cron-scheduler lets the runs of a job overlap, and on its own
/// shutdown neither waits for them nor ends them.
struct Bell {
    config: Config,
    mirror: Mirror,
    /// Held while a ring is out.
    ringing: Mutex<()>,
    /// Whether a ring is due that has not gone out.
    due: AtomicBool,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// Rings until `stop`.
///
/// # Errors
/// When STATE_FILE cannot be written or the scheduler does not start.
pub(crate) async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    last_success::note(&config.state_file, Utc::now())?;
    let mirror = Mirror::new(&config)?;
    let next = config.schedule.next(Utc::now()).to_rfc3339_opts(SecondsFormat::Secs, true);
    info!(api_url = %config.api_url, next, "ringing now and on schedule");
    let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
    let bell = Arc::new(Bell {
        config,
        mirror,
        ringing: Mutex::new(()),
        due: AtomicBool::new(false),
        tasks,
        stopping,
    });

    let mut scheduler = JobScheduler::new().await?;
    for expression in bell.config.schedule.expressions() {
        let bell = Arc::clone(&bell);
        scheduler
            .add(Job::new_async(expression, move |_, _| Box::pin(Arc::clone(&bell).ring()))?)
            .await?;
    }
    scheduler.start().await?;
    // What was due while nothing ran is not caught up with, so there is a ring at every start.
    bell.tasks.spawn(Arc::clone(&bell).ring());

    stop.await;
    info!("stopping; a refresh that runs goes on in the service");
    bell.stopping.cancel();
    scheduler.shutdown().await?;
    bell.tasks.close();
    if tokio::time::timeout(STOP_TIME, bell.tasks.wait()).await.is_err() {
        warn!("a ring did not stop");
    }
    info!("stopped");
    Ok(())
}

impl Bell {
    async fn ring(self: Arc<Self>) {
        self.due.store(true, Ordering::SeqCst);
        let rings = self.stopping.run_until_cancelled(async {
            // Looked at again after each ring: the one that is still out rings in place of one that
            // comes meanwhile, if need be.
            while self.due.load(Ordering::SeqCst) {
                let Ok(_ringing) = self.ringing.try_lock() else {
                    debug!("the ring before is still out");
                    break;
                };
                self.due.store(false, Ordering::SeqCst);
                if self.refresh().await {
                    // What was due meanwhile has its refresh.
                    self.due.store(false, Ordering::SeqCst);
                }
            }
        });
        self.tasks.track_future(rings).await;
    }

    /// Whether there is a report.
    async fn refresh(&self) -> bool {
        match ring::with_retries(&self.mirror, &self.config.schedule).await {
            Ok(report) => {
                ring::tell(&report);
                // What came in part is stored and shown as such: the ring itself succeeded.
                if let Err(error) = last_success::note(&self.config.state_file, Utc::now()) {
                    warn!(error = format!("{error:#}"), "the success could not be noted");
                }
                true
            }
            Err(error) => {
                error!(error = format!("{error:#}"), "no refresh; the next ring tries again");
                false
            }
        }
    }
}
