//! Topics that are fetched because a reader asked for them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::task::TaskTracker;
use tracing::info;

use super::loader::{Loaded, Loader};
use crate::clock::Clock;
use crate::error::Error;
use crate::lists::bundle::Bundle;
use crate::model::on_demand::LIMITS;
use crate::model::run::{RefreshRun, RunState, Trigger};
use crate::model::time::is_recent;
use crate::model::topic::{Origin, Topic};
use crate::refresh::Refresher;
use crate::single_flight::SingleFlight;
use crate::store::{SharedStore, StoreError, TrackOutcome};

/// How long the reader of a new topic waits for GitHub.
const FIRST_READ_WAIT: Duration = Duration::from_secs(3);

/// How long a topic that could not be fetched is left alone.
const RETRY_FAILED_AFTER: TimeDelta = TimeDelta::seconds(60);

/// How soon a reader should ask again for a topic that is being fetched.
const RETRY_RUNNING_AFTER: Duration = Duration::from_secs(5);

/// How soon a reader should ask again when as many topics as allowed are tracked on demand.
const RETRY_FULL_AFTER: Duration = Duration::from_hours(1);

/// Fetches topics that have no list yet. Cheap to clone.
#[derive(Clone)]
pub struct OnDemand {
    store: SharedStore,
    loader: Loader,
    refresher: Refresher,
    clock: Arc<dyn Clock>,
    /// TOPICS.
    configured: Arc<[Topic]>,
    /// ON_DEMAND_TOPICS.
    is_enabled: bool,
    fetches: Arc<SingleFlight<Topic, Result<Arc<Bundle>, Error>>>,
}

impl OnDemand {
    /// Fetches are tasks of `tasks`.
    #[must_use]
    pub fn new(
        store: SharedStore,
        loader: Loader,
        refresher: Refresher,
        clock: Arc<dyn Clock>,
        configured: &[Topic],
        is_enabled: bool,
        tasks: TaskTracker,
    ) -> Self {
        let fetches = Arc::new(SingleFlight::new(tasks));
        let configured = configured.into();
        Self { store, loader, refresher, clock, configured, is_enabled, fetches }
    }

    /// The lists of a topic that has none: once however many readers ask, since each would ask the
    /// database again and again.
    pub(super) async fn fetch(&self, topic: &Topic) -> Result<Arc<Bundle>, Error> {
        let (on_demand, own) = (self.clone(), topic.clone());
        let fetch = || async move { on_demand.fetch_now(&own).await };
        self.fetches.join(topic, fetch).await.unwrap_or(Err(Error::Internal))
    }

    /// The reason why a topic has no list.
    pub(super) async fn reason(&self, topic: &Topic) -> Result<Error, Error> {
        if self.store.topic(topic).await?.is_none() && !self.configured.contains(topic) {
            return Ok(Error::NotTracked(topic.clone()));
        }
        let Some(mut refresh) = self.store.latest(topic).await? else {
            let detail = format!("{topic} has not been fetched from GitHub yet");
            return Ok(Error::NotYet { detail, retry_after: RETRY_RUNNING_AFTER });
        };
        self.refresher.estimate(&mut refresh).await?;
        Ok(not_yet(topic, &refresh, self.clock.now()))
    }

    /// Starts a refresh of the topic, and waits a moment for its lists.
    async fn fetch_now(&self, topic: &Topic) -> Result<Arc<Bundle>, Error> {
        self.track(topic).await?;
        let now = self.clock.now();
        let latest = self.store.latest(topic).await?;
        if let Some(refresh) = latest.filter(|refresh| has_just_failed(refresh, now)) {
            return Err(not_yet(topic, &refresh, now));
        }
        let refresh = self.refresher.start(Some(topic), Trigger::OnDemand).await?;
        if !refresh.coalesced {
            info!(%topic, refresh = refresh.id, "a reader asked for a topic that has no list yet");
        }
        let lists = tokio::time::timeout(FIRST_READ_WAIT, self.first_lists(topic, refresh.id));
        if let Ok(Ok(Some(bundle))) = lists.await {
            return Ok(bundle);
        }
        Err(self.reason(topic).await?)
    }

    /// Waits for the lists of a topic; `None` when the refresh has ended without them.
    async fn first_lists(
        &self,
        topic: &Topic,
        refresh: i64,
    ) -> Result<Option<Arc<Bundle>>, StoreError> {
        loop {
            self.refresher.changed().await;
            if let Loaded::Hit(hit) = self.loader.load(topic).await {
                return Ok(Some(hit.bundle));
            }
            let entry = self.store.refresh(refresh).await?;
            if entry.is_none_or(|entry| entry.state == RunState::Finished) {
                // The refresh may have ended between the two questions.
                return match self.loader.load(topic).await {
                    Loaded::Hit(hit) => Ok(Some(hit.bundle)),
                    Loaded::Nothing | Loaded::Failed(_) => Ok(None),
                };
            }
        }
    }

    /// Tracks a topic within the limits for anonymous readers. A topic of TOPICS has no limits: the
    /// database may just not have been configured yet.
    async fn track(&self, topic: &Topic) -> Result<(), Error> {
        if self.store.topic(topic).await?.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        if self.configured.contains(topic) {
            self.store.track(topic, Origin::Configured, None, now).await?;
            return Ok(());
        }
        if !self.is_enabled {
            return Err(Error::NotTracked(topic.clone()));
        }
        let (detail, retry_after) =
            match self.store.track(topic, Origin::OnDemand, Some(LIMITS), now).await? {
                TrackOutcome::Tracked => return Ok(()),
                TrackOutcome::Full => {
                    let most = LIMITS.topics;
                    let detail = format!("{most} topics are tracked on demand, which is the most");
                    (detail, RETRY_FULL_AFTER)
                }
                TrackOutcome::TooManyNew(until) => {
                    let most = LIMITS.new_an_hour;
                    let detail = format!("at most {most} new topics an hour are fetched on demand");
                    (detail, (until - now).to_std().unwrap_or_default())
                }
            };
        Err(Error::NotYet { detail, retry_after })
    }
}

fn has_just_failed(refresh: &RefreshRun, now: DateTime<Utc>) -> bool {
    let is_recent = |ended| {
        let pause = retry_at(refresh, ended) - ended;
        is_recent(ended, pause, now)
    };
    !refresh.complete && refresh.finished_at.is_some_and(is_recent)
}

/// When a refresh that brought no list may be repeated.
fn retry_at(refresh: &RefreshRun, ended: DateTime<Utc>) -> DateTime<Utc> {
    refresh.report.retry_at.unwrap_or(ended).max(ended + RETRY_FAILED_AFTER)
}

/// The error of a topic without a list: the progress of its refresh, or why that failed.
fn not_yet(topic: &Topic, refresh: &RefreshRun, now: DateTime<Utc>) -> Error {
    let Some(ended) = refresh.finished_at else {
        let detail = format!("{topic} is being fetched from GitHub: {}", refresh.progress());
        return Error::NotYet { detail, retry_after: RETRY_RUNNING_AFTER };
    };
    let reason = refresh.report.reason.as_deref().unwrap_or("the service will try again soon");
    Error::NotYet {
        detail: format!("{topic} could not be fetched from GitHub yet: {reason}"),
        retry_after: (retry_at(refresh, ended) - now).to_std().unwrap_or_default(),
    }
}
