//! Catalogues that requests with parameters are answered from, kept in memory.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use moka::future::Cache as Moka;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::lists::catalogue::Catalogue;
use crate::model::growth::{Period, Window};
use crate::model::list::Version;
use crate::model::topic::Topic;
use crate::single_flight::SingleFlight;
use crate::store::{Columns, SharedStore};

/// The least used catalogues are evicted first. One of 35,000 repositories takes some 30 MB.
const CAPACITY_BYTES: u64 = 96 << 20;

/// Loads at a time: each takes a connection and the memory of a topic's counts. Those of past days
/// have a permit of their own, so that they delay no load of the present.
const LOADS: usize = 2;
const PAST_LOADS: usize = 1;

/// How long a load of a past day waits for the others.
const LONGEST_QUEUE: Duration = Duration::from_secs(3);

/// A topic, and a day if the catalogue is as of a past one.
type Key = (Topic, Option<NaiveDate>);

/// Loads and keeps catalogues. Cheap to clone.
#[derive(Clone)]
pub(super) struct Catalogues {
    store: SharedStore,
    entries: Moka<Key, Arc<Catalogue>>,
    loads: Arc<SingleFlight<Key, Result<Arc<Catalogue>, Error>>>,
    permits: Arc<Semaphore>,
    past_permits: Arc<Semaphore>,
}

impl Catalogues {
    /// Loads are tasks of `tasks`.
    pub(super) fn new(store: SharedStore, tasks: TaskTracker) -> Self {
        let size = |_: &Key, catalogue: &Arc<Catalogue>| {
            u32::try_from(catalogue.size()).unwrap_or(u32::MAX)
        };
        let entries = Moka::builder().max_capacity(CAPACITY_BYTES).weigher(size).build();
        let [permits, past_permits] =
            [LOADS, PAST_LOADS].map(|number| Arc::new(Semaphore::new(number)));
        let loads = Arc::new(SingleFlight::new(tasks));
        Self { store, entries, loads, permits, past_permits }
    }

    /// The topic's catalogue now or as of a past day, of this version of its lists or a newer one.
    /// One that a refresh was changing when it was loaded is not served again. If the database does
    /// not answer, the last one is returned however old it is.
    pub(super) async fn get(
        &self,
        topic: &Topic,
        day: Option<NaiveDate>,
        version: Version,
    ) -> Result<Arc<Catalogue>, Error> {
        let key = (topic.clone(), day);
        let kept = self.entries.get(&key).await;
        let is_current = |kept: &&Arc<Catalogue>| is_of(kept, version);
        if let Some(current) = kept.as_ref().filter(is_current) {
            return Ok(Arc::clone(current));
        }
        let (this, own) = (self.clone(), key.clone());
        let load = || async move { this.load(own).await };
        let loaded = self.loads.join(&key, load).await.unwrap_or(Err(Error::Internal));
        match (loaded, kept) {
            (Err(Error::Database(_)), Some(kept)) => Ok(kept),
            (loaded, _) => loaded,
        }
    }

    /// The topic's catalogue if memory has it, however old it is.
    pub(super) async fn kept(&self, topic: &Topic) -> Option<Arc<Catalogue>> {
        self.entries.get(&(topic.clone(), None)).await
    }

    async fn permit(&self, is_past: bool) -> Result<SemaphorePermit<'_>, Error> {
        if !is_past {
            return self.permits.acquire().await.map_err(|_| Error::Internal);
        }
        let permit = timeout(LONGEST_QUEUE, self.past_permits.acquire()).await;
        let permit = permit.map_err(|_| Error::NotYet {
            detail: "other past days are being read".to_owned(),
            retry_after: LONGEST_QUEUE,
        })?;
        permit.map_err(|_| Error::Internal)
    }

    async fn load(self, key: Key) -> Result<Arc<Catalogue>, Error> {
        let (topic, day) = &key;
        let period = Period { window: Window::LONGEST, day: *day };
        let _permit = self.permit(day.is_some()).await?;
        let loaded = self.store.catalogue(topic, period, Columns::Stored).await?;
        let catalogue = Arc::new(loaded.ok_or_else(|| Error::NotTracked(topic.clone()))?);
        self.entries.insert(key, Arc::clone(&catalogue)).await;
        Ok(catalogue)
    }
}

/// Whether a catalogue is of published data, of this version or a newer one.
pub(crate) fn is_of(catalogue: &Catalogue, version: Version) -> bool {
    let meta = catalogue.meta();
    meta.modified_at.is_some() && !meta.version().is_behind(version)
}
