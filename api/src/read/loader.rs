//! Loads from the database, which fill the caches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::cache::{Hit, Tiers};
use crate::clock::Clock;
use crate::error::Error;
use crate::lists::bundle::Bundle;
use crate::lists::catalogue::Catalogue;
use crate::model::growth::Period;
use crate::model::list::ListMeta;
use crate::model::ranking::Ranking;
use crate::model::time::is_recent;
use crate::model::topic::Topic;
use crate::single_flight::{Flight, SingleFlight};
use crate::store::{self, Columns, Fault, SharedStore};
use crate::telemetry::left_out;

/// Cache-Status of a list from the database.
pub(crate) const FROM_DATABASE: &str = "database; fwd=miss";

/// A slower database counts as down. Together with the calls to Redis, a read waits a second at
/// most for parts that are down.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(750);

/// A topic of 35,000 repositories with years of counts takes a second. The database has just
/// answered when its catalogue is read.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The precision of the time of a topic's last read. On-demand topics are deleted after days.
const NOTE_READ_EVERY: TimeDelta = TimeDelta::hours(1);

/// The outcome of a load.
#[derive(Clone)]
pub(super) enum Loaded {
    /// Lists that are current by the database.
    Hit(Hit),
    /// The topic has no list to serve.
    Nothing,
    Failed(Error),
}

/// Loads a topic's lists, once however many readers ask. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    store: SharedStore,
    /// The store by the connections of `/db`.
    public: SharedStore,
    tiers: Tiers,
    clock: Arc<dyn Clock>,
    loads: Arc<SingleFlight<Topic, Loaded>>,
    /// Whether the last load found the database down.
    is_database_down: Arc<AtomicBool>,
    /// When the topics read within the last hour were noted in the database.
    noted: Arc<RwLock<HashMap<Topic, DateTime<Utc>>>>,
    tasks: TaskTracker,
}

impl Loader {
    /// A loader whose loads are tasks of `tasks`.
    #[must_use]
    pub fn new(
        store: SharedStore,
        public: SharedStore,
        tiers: Tiers,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            store,
            public,
            tiers,
            clock,
            loads: Arc::new(SingleFlight::new(tasks.clone())),
            is_database_down: Arc::default(),
            noted: Arc::default(),
            tasks,
        }
    }

    pub(super) fn is_database_down(&self) -> bool {
        self.is_database_down.load(Ordering::Relaxed)
    }

    /// Compares the caches' copies of the topic's lists with the database, and loads the lists if
    /// none is current. The load has started when this returns, and
    /// goes on if the caller does not wait for it.
    pub(super) fn load(&self, topic: &Topic) -> impl Future<Output = Loaded> {
        let (loader, own) = (self.clone(), topic.clone());
        let flight: Flight<Loaded> =
            self.loads.join(topic, || async move { loader.load_now(&own).await });
        async { flight.await.unwrap_or(Loaded::Failed(Error::Internal)) }
    }

    async fn load_now(&self, topic: &Topic) -> Loaded {
        let current = self.store.current_versions(topic);
        let current = self.in_time(DATABASE_TIMEOUT, topic, current).await;
        self.is_database_down.store(current.is_err(), Ordering::Relaxed);
        let now = self.clock.now();
        match current {
            Ok(Some(current)) => {
                if let Some(hit) = self.tiers.confirmed(topic, &current, now).await {
                    return Loaded::Hit(hit);
                }
            }
            Ok(None) => return Loaded::Nothing,
            Err(error) => return Loaded::Failed(error),
        }
        let catalogue = self.store.catalogue(topic, Period::default(), Columns::Listed);
        let catalogue = self.in_time(CATALOGUE_TIMEOUT, topic, catalogue).await;
        self.is_database_down.store(catalogue.is_err(), Ordering::Relaxed);
        let catalogue: Catalogue = match catalogue {
            Ok(Some(catalogue)) if !self.has_expired(catalogue.meta()) => catalogue,
            Ok(_) => return Loaded::Nothing,
            Err(error) => return Loaded::Failed(error),
        };
        let bundle = Bundle::build(catalogue).await;
        self.tiers.fill(&bundle).await;
        Loaded::Hit(Hit { bundle, cache_status: FROM_DATABASE, is_stale: false })
    }

    /// The JSON of a ranking as the database has it; `None` when there is no list.
    pub(super) async fn list(
        &self,
        topic: &Topic,
        ranking: Ranking,
    ) -> Result<Option<(ListMeta, Vec<u8>)>, Error> {
        let list = self.public.list(topic, ranking);
        let list = self.in_time(DATABASE_TIMEOUT, topic, list).await?;
        Ok(list.filter(|(meta, _)| !self.has_expired(meta)))
    }

    /// Notes in the database that the topic was read: once an hour, and not before the reader has
    /// the answer.
    pub(super) fn note_read(&self, topic: &Topic) {
        let now = self.clock.now();
        let is_recent = |at: &DateTime<Utc>| is_recent(*at, NOTE_READ_EVERY, now);
        let noted = self.noted.read().unwrap_or_else(PoisonError::into_inner);
        if noted.get(topic).is_some_and(is_recent) {
            return;
        }
        drop(noted);
        let mut noted = self.noted.write().unwrap_or_else(PoisonError::into_inner);
        noted.retain(|_, at| is_recent(at));
        if noted.insert(topic.clone(), now).is_some() {
            return;
        }
        drop(noted);
        let (loader, topic) = (self.clone(), topic.clone());
        self.tasks.spawn(async move {
            if let Err(error) = loader.store.mark_read(&topic, now).await {
                if let Some(left_out) = left_out("the read could not be noted") {
                    warn!(%topic, %error, left_out, "the read could not be noted");
                }
                loader.noted.write().unwrap_or_else(PoisonError::into_inner).remove(&topic);
            }
        });
    }

    async fn in_time<T>(
        &self,
        limit: Duration,
        topic: &Topic,
        read: impl Future<Output = store::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, read).await {
            Ok(read) => Ok(read?),
            Err(_) => {
                if let Some(left_out) = left_out("the database did not answer in time") {
                    warn!(%topic, left_out, "the database did not answer in time");
                }
                Err(Error::Database(Fault::Down))
            }
        }
    }

    /// Whether it is time to ask GitHub again about a topic that it knew nothing of.
    fn has_expired(&self, meta: &ListMeta) -> bool {
        meta.has_expired(self.clock.now())
    }
}
