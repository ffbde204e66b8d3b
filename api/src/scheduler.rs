//! The scheduler inside: rings for a refresh at start, when the data is old, and then on schedule.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, warn};

use crate::app::App;
use crate::model::run::Trigger;
use crate::model::time::rfc3339;
use crate::model::topic::Origin;
use crate::store::StoreError;

/// The first pause after a refresh that left a topic without any list, doubled each time.
const RETRY_FIRST: TimeDelta = TimeDelta::minutes(1);

/// The longest such pause.
const RETRY_LONGEST: TimeDelta = TimeDelta::minutes(10);

/// The pause before the database is tried again.
const DATABASE_RETRY: Duration = Duration::from_secs(5);

/// Rings until the service stops. Refreshes do not overlap: the next ring comes after the last
/// one's end.
pub async fn run(service: Arc<App>) {
    let work = async {
        while let Err(error) = start(&service).await {
            warn!(%error, "the database does not answer; next try in {} s", DATABASE_RETRY.as_secs());
            tokio::time::sleep(DATABASE_RETRY).await;
        }
        let mut pause = RETRY_FIRST;
        loop {
            let next = next_ring(&service, &mut pause).await;
            service.clock.sleep_until(next).await;
            if let Err(error) = service.refresher.refresh(None, Trigger::Schedule).await {
                error!(%error, "the refresh could not be started");
            }
        }
    };
    tokio::select! {
        () = service.stopping.cancelled() => {}
        () = work => {}
    }
}

async fn start(service: &App) -> Result<(), StoreError> {
    service.bootstrap().await?;
    service.refresher.catch_up().await
}

/// When to ring next: on schedule, but sooner while a topic has no list at all.
async fn next_ring(service: &App, pause: &mut TimeDelta) -> DateTime<Utc> {
    let now = service.clock.now();
    let next = service.config.schedule.next(now);
    let Some((topic, reason)) = without_list(service).await else {
        *pause = RETRY_FIRST;
        return next;
    };
    let next = next.min(now + *pause);
    *pause = (*pause * 2).min(RETRY_LONGEST);
    error!(
        "{topic} has no list yet: {reason}; next try at {}. `make demo` shows the service without GitHub",
        rfc3339(next)
    );
    next
}

async fn without_list(service: &App) -> Option<(String, String)> {
    let states = service.store.topics().await.ok()?;
    // What strangers ask for is no reason to hurry.
    let state = states
        .into_iter()
        .find(|state| state.modified_at.is_none() && state.origin != Origin::OnDemand)?;
    let reason =
        service.store.latest(&state.topic).await.ok()?.and_then(|refresh| refresh.report.reason);
    Some((state.topic.to_string(), reason.unwrap_or_else(|| "it was not fetched yet".to_owned())))
}
