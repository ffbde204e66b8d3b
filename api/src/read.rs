//! A read: the caches, then the database, then, for a topic that is new, GitHub.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::cache::Tiers;
use crate::clock::Clock;
use crate::error::Error;
use crate::lists::Lists;
use crate::model::ranking::Ranking;
use crate::model::run::{RefreshRun, RunState, Trigger};
use crate::model::topic::{Origin, Topic};
use crate::refresh::Refresher;
use crate::single_flight::SingleFlight;
use crate::store::{OnDemandLimits, Rows, SharedStore, StoreError, TrackOutcome};

/// A database that is slower than this counts as down. With the calls to Redis around it, a read
/// waits a second at most for what is down.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(750);

/// How long a reader of a new topic waits for GitHub.
const FIRST_READ_WAIT: Duration = Duration::from_secs(3);

/// A topic that GitHub just failed to give is not asked for again at once.
const RETRY_FAILED_AFTER: TimeDelta = TimeDelta::seconds(60);

/// To the hour is near enough: topics are forgotten after days.
const NOTE_READ_EVERY: TimeDelta = TimeDelta::hours(1);

/// So that strangers can fill neither the disk nor the schedule.
const ON_DEMAND_LIMITS: OnDemandLimits = OnDemandLimits { topics: 100, new_an_hour: 10 };

/// Serves lists. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    store: SharedStore,
    tiers: Tiers,
    refresher: Refresher,
    clock: Arc<dyn Clock>,
    /// TOPICS.
    configured: Arc<[Topic]>,
    on_demand: bool,
    fills: Arc<SingleFlight<Topic, FillOutcome>>,
    fetches: Arc<SingleFlight<Topic, Result<Arc<Lists>, Error>>>,
    /// The last fill found the database down.
    database_down: Arc<AtomicBool>,
    /// When the topics read within the last hour were noted in the database.
    noted: Arc<Mutex<HashMap<Topic, DateTime<Utc>>>>,
    tasks: TaskTracker,
}

/// Lists, and the tier that had them.
pub struct Read {
    /// Ready to send.
    pub lists: Arc<Lists>,
    /// The tier's name; `None` for the database.
    pub tier: Option<&'static str>,
}

/// What a fill has brought.
#[derive(Clone)]
enum FillOutcome {
    /// The lists, and the tier that had them; `None` for the database.
    Lists(Arc<Lists>, Option<&'static str>),
    /// No list to serve.
    Nothing,
    /// No answer.
    Down(Error),
}

impl Reader {
    /// A reader over these parts; its fills are tasks of `tasks`.
    #[must_use]
    pub fn new(
        store: SharedStore,
        tiers: Tiers,
        refresher: Refresher,
        clock: Arc<dyn Clock>,
        configured: &[Topic],
        on_demand: bool,
        tasks: TaskTracker,
    ) -> Self {
        let (fills, fetches) = (
            Arc::new(SingleFlight::new(tasks.clone())),
            Arc::new(SingleFlight::new(tasks.clone())),
        );
        Self {
            store,
            tiers,
            refresher,
            clock,
            configured: configured.into(),
            on_demand,
            fills,
            fetches,
            database_down: Arc::default(),
            noted: Arc::default(),
            tasks,
        }
    }

    /// The topic's lists, from the fastest place that has them.
    ///
    /// # Errors
    /// When there is no list, or nobody who could tell.
    pub async fn lists(&self, topic: &Topic) -> Result<Read, Error> {
        if let Some((lists, tier)) = self.tiers.nearest(topic).await {
            return Ok(Read { lists, tier: Some(tier) });
        }
        let filled = self.filled(topic);
        // Who has a copy does not wait for a database that was just found down: the fill goes on
        // without the reader.
        if self.database_down.load(Ordering::Relaxed)
            && let Some((lists, tier)) = self.tiers.get_stale(topic).await
        {
            return Ok(Read { lists, tier: Some(tier) });
        }
        match filled.await {
            FillOutcome::Lists(lists, tier) => Ok(Read { lists, tier }),
            FillOutcome::Nothing => {
                self.fetched(topic).await.map(|lists| Read { lists, tier: None })
            }
            FillOutcome::Down(error) => match self.tiers.get_stale(topic).await {
                Some((lists, tier)) => Ok(Read { lists, tier: Some(tier) }),
                None => Err(error),
            },
        }
    }

    /// One ranking's rows as they are in the database.
    ///
    /// # Errors
    /// The same as [`Reader::lists`].
    pub async fn rows(&self, topic: &Topic, ranking: Ranking) -> Result<Rows, Error> {
        if let Some(rows) = self.stored(topic, &[ranking]).await? {
            self.note_read(topic);
            return Ok(rows);
        }
        self.fetched(topic).await?;
        self.stored(topic, &[ranking]).await?.ok_or(Error::Unavailable)
    }

    /// What the tiers below the nearest and the database have, put into the tiers above by one
    /// filler however many ask.
    fn filled(&self, topic: &Topic) -> impl Future<Output = FillOutcome> {
        let reader = self.clone();
        let fill = async |reader: Self, topic: Topic| match reader.fill(&topic).await {
            Ok(Some((lists, tier))) => FillOutcome::Lists(lists, tier),
            Ok(None) => FillOutcome::Nothing,
            Err(error) => FillOutcome::Down(error),
        };
        let flight = self.fills.join(topic, || fill(reader, topic.clone()));
        async { flight.await.unwrap_or(FillOutcome::Down(Error::Internal)) }
    }

    async fn fill(
        &self,
        topic: &Topic,
    ) -> Result<Option<(Arc<Lists>, Option<&'static str>)>, Error> {
        if let Some((lists, tier)) = self.tiers.get(topic).await {
            self.note_read(topic);
            return Ok(Some((lists, Some(tier))));
        }
        let rows = self.stored(topic, &Ranking::ALL).await;
        self.database_down.store(rows.is_err(), Ordering::Relaxed);
        let Some(rows) = rows? else { return Ok(None) };
        self.note_read(topic);
        let lists = Lists::build(rows).await;
        self.tiers.fill(&lists).await;
        Ok(Some((lists, None)))
    }

    /// Notes in the database that the topic is read, once an hour and behind the reader's back.
    fn note_read(&self, topic: &Topic) {
        let now = self.clock.now();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.retain(|_, at| now - *at < NOTE_READ_EVERY);
        if noted.contains_key(topic) {
            return;
        }
        noted.insert(topic.clone(), now);
        drop(noted);
        let (reader, topic) = (self.clone(), topic.clone());
        self.tasks.spawn(async move {
            if let Err(error) = reader.store.mark_read(&topic, now).await {
                warn!(%topic, %error, "the read could not be noted");
                reader.noted.lock().unwrap_or_else(PoisonError::into_inner).remove(&topic);
            }
        });
    }

    /// What the database has; nothing once it is time to ask GitHub again for a topic that it knew
    /// nothing of.
    async fn stored(&self, topic: &Topic, rankings: &[Ranking]) -> Result<Option<Rows>, Error> {
        let now = self.clock.now();
        let expired = |rows: &Rows| rows.valid_until.is_some_and(|until| until <= now);
        match tokio::time::timeout(DATABASE_TIMEOUT, self.store.rows(topic, rankings, now)).await {
            Ok(rows) => Ok(rows?.filter(|rows| !expired(rows))),
            Err(_) => {
                warn!(%topic, "the database did not answer in time");
                Err(Error::Unavailable)
            }
        }
    }

    /// A topic without a list, fetched by one however many ask: all would ask the database again
    /// and again.
    async fn fetched(&self, topic: &Topic) -> Result<Arc<Lists>, Error> {
        let fetch = async |reader: Self, topic: Topic| reader.fetch(&topic).await;
        self.fetches
            .join(topic, || fetch(self.clone(), topic.clone()))
            .await
            .unwrap_or(Err(Error::Internal))
    }

    /// Has a topic without a list fetched, and waits a moment for it.
    async fn fetch(&self, topic: &Topic) -> Result<Arc<Lists>, Error> {
        self.track(topic).await?;
        let now = self.clock.now();
        if let Some(refresh) =
            self.store.latest(topic).await?.filter(|refresh| has_just_failed(refresh, now))
        {
            return Err(not_yet(topic, &refresh, now));
        }
        let started = self.refresher.start(Some(topic), Trigger::OnDemand).await?;
        if !started.coalesced {
            info!(%topic, refresh = started.id, "a reader asked for a topic that has no list yet");
        }
        let ready = async {
            loop {
                self.refresher.news().await;
                if let FillOutcome::Lists(lists, _) = self.filled(topic).await {
                    return Ok(Some(lists));
                }
                let refresh = self.store.refresh(started.id).await?;
                if refresh.is_none_or(|refresh| refresh.state == RunState::Finished) {
                    // It may have ended between the two questions.
                    return match self.filled(topic).await {
                        FillOutcome::Lists(lists, _) => Ok(Some(lists)),
                        FillOutcome::Nothing | FillOutcome::Down(_) => Ok::<_, StoreError>(None),
                    };
                }
            }
        };
        if let Ok(Some(lists)) =
            tokio::time::timeout(FIRST_READ_WAIT, ready).await.unwrap_or(Ok(None))
        {
            return Ok(lists);
        }
        match self.store.latest(topic).await? {
            Some(mut refresh) => {
                self.refresher.estimate(&mut refresh).await?;
                Err(not_yet(topic, &refresh, self.clock.now()))
            }
            None => Err(Error::NotTracked(topic.clone())),
        }
    }

    /// Tracks a topic that strangers ask for, within their limits. One of TOPICS has none: it may
    /// just not have been configured yet.
    async fn track(&self, topic: &Topic) -> Result<(), Error> {
        if self.store.topic(topic).await?.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        if self.configured.contains(topic) {
            self.store.track(topic, Origin::Configured, None, now).await?;
            return Ok(());
        }
        if !self.on_demand {
            return Err(Error::NotTracked(topic.clone()));
        }
        match self.store.track(topic, Origin::OnDemand, Some(ON_DEMAND_LIMITS), now).await? {
            TrackOutcome::Yes => Ok(()),
            TrackOutcome::Full => Err(Error::NotYet {
                detail: format!(
                    "{} topics are kept on demand already, which is the most",
                    ON_DEMAND_LIMITS.topics
                ),
                retry_after: Duration::from_hours(1),
            }),
            TrackOutcome::TooManyNew(until) => Err(Error::NotYet {
                detail: format!(
                    "{} new topics an hour are fetched on demand at most",
                    ON_DEMAND_LIMITS.new_an_hour
                ),
                retry_after: (until - now).to_std().unwrap_or_default(),
            }),
        }
    }
}

fn has_just_failed(refresh: &RefreshRun, now: DateTime<Utc>) -> bool {
    !refresh.complete && refresh.finished_at.is_some_and(|ended| now < retry_at(refresh, ended))
}

/// When a refresh that brought no list is tried again.
fn retry_at(refresh: &RefreshRun, ended: DateTime<Utc>) -> DateTime<Utc> {
    refresh.report.retry_at.unwrap_or(ended).max(ended + RETRY_FAILED_AFTER)
}

/// How far the fetching is, or why it did not come to an end.
fn not_yet(topic: &Topic, refresh: &RefreshRun, now: DateTime<Utc>) -> Error {
    match refresh.finished_at {
        None => Error::NotYet {
            detail: format!("{topic} is being fetched from GitHub: {}", refresh.progress()),
            retry_after: Duration::from_secs(5),
        },
        Some(ended) => Error::NotYet {
            detail: format!(
                "{topic} could not be fetched from GitHub yet: {}",
                refresh.report.reason.as_deref().unwrap_or("it is tried again soon")
            ),
            retry_after: (retry_at(refresh, ended) - now).to_std().unwrap_or_default(),
        },
    }
}
