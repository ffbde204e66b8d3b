//! The scheduler of this process: refreshes at start, if the data is old, and then on schedule.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, warn};

use crate::app::App;
use crate::config::Scheduler;
use crate::model::run::Trigger;
use crate::model::time::rfc3339;
use crate::model::topic::Origin;
use crate::store::StoreError;

/// The first pause after a refresh that left a topic without any list; it doubles each time.
const RETRY_FIRST: TimeDelta = TimeDelta::minutes(1);

/// The longest such pause.
const RETRY_LONGEST: TimeDelta = TimeDelta::minutes(10);

/// The pause before the database is tried again.
const DATABASE_RETRY: Duration = Duration::from_secs(5);

/// Refreshes until the service stops. Refreshes do not overlap: the next one starts after the end
/// of the last, and at once if the schedule matched in the meantime. If another program triggers
/// them, this only says at start that the database cannot be used.
pub async fn run(app: Arc<App>) {
    let work = async {
        match app.config.scheduler {
            Scheduler::Internal => refresh_on_schedule(&app).await,
            Scheduler::External => {
                if let Err(error) = app.store.has_schema().await {
                    warn!(%error, "the database cannot be used yet");
                }
            }
        }
    };
    app.stopping.run_until_cancelled(work).await;
}

async fn refresh_on_schedule(app: &App) {
    let mut began = app.clock.now();
    while let Err(error) = start(app).await {
        began = app.clock.now();
        let seconds = DATABASE_RETRY.as_secs();
        warn!(%error, "the database cannot be used yet; next try in {seconds} s");
        tokio::time::sleep(DATABASE_RETRY).await;
    }
    let mut pause = RETRY_FIRST;
    loop {
        let next = next_refresh(app, began, &mut pause).await;
        app.clock.sleep_until(next).await;
        began = app.clock.now();
        if let Err(error) = app.refresher.refresh(None, Trigger::Schedule).await {
            error!(%error, "the refresh could not be started");
        }
    }
}

async fn start(app: &App) -> Result<(), StoreError> {
    app.bootstrap().await?;
    app.refresher.catch_up().await
}

/// The time of the next refresh: on schedule after the beginning of the last one, but sooner while
/// a topic has no list at all.
async fn next_refresh(app: &App, began: DateTime<Utc>, pause: &mut TimeDelta) -> DateTime<Utc> {
    let now = app.clock.now();
    // The clock may have been set back since.
    let scheduled = app.config.schedule.next(began.min(now));
    let Some((topic, reason)) = topic_without_list(app).await else {
        *pause = RETRY_FIRST;
        return scheduled;
    };
    let next = scheduled.min(now + *pause);
    *pause = (*pause * 2).min(RETRY_LONGEST);
    error!(
        "{topic} has no list yet: {reason}; next try at {}. `make demo` shows the service without \
         GitHub",
        rfc3339(next)
    );
    next
}

/// A topic without a list, and why its last refresh brought none. Topics that readers asked for do
/// not count.
async fn topic_without_list(app: &App) -> Option<(String, String)> {
    let mut states = app.store.topics().await.ok()?.into_iter();
    let is_wanted = |origin| origin != Origin::OnDemand;
    let state = states.find(|state| state.modified_at.is_none() && is_wanted(state.origin))?;
    let latest = app.store.latest(&state.topic).await.ok()?;
    let reason = latest.and_then(|refresh| refresh.report.reason);
    Some((state.topic.to_string(), reason.unwrap_or_else(|| "it was not fetched yet".to_owned())))
}
