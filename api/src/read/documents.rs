//! Documents that are made when they are asked for, and kept in memory for those who ask next.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::poll;
use moka::future::Cache as Moka;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::loader::FROM_DATABASE;
use super::slots::Slots;
use crate::cache::Hit;
use crate::clock::Clock;
use crate::error::Error;
use crate::lists::bundle::Encoding;
use crate::lists::document::Document;
use crate::model::list::Version;
use crate::single_flight::SingleFlight;
use crate::store::Fault;
use crate::task::Threads;

/// How long a document of no version is served before it is made again.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// How long a document is kept for the time when the database does not answer.
const KEPT: Duration = Duration::from_hours(24);

/// The least used documents are evicted first.
const CAPACITY_BYTES: u64 = 24 << 20;

/// The same for what was compressed.
const COMPRESSED_BYTES: u64 = 8 << 20;

/// The memory that a document takes besides its key and bodies, in bytes: headers, and the cache's
/// own entry.
const ENTRY_BYTES: usize = 3_000;

/// How soon to ask again after a refusal.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a reader waits for a document to be made: less if there is an older one to serve. Its
/// making goes on.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT_IF_KEPT: Duration = Duration::from_millis(750);

/// Makes and keeps documents. Cheap to clone.
#[derive(Clone)]
pub struct Documents {
    entries: Moka<String, Entry>,
    /// Compressed documents by their ETag.
    compressed: Moka<HeaderValue, Bytes>,
    makings: Arc<SingleFlight<String, Result<Entry, Error>>>,
    threads: Threads,
    slots: Arc<Slots>,
    clock: Arc<dyn Clock>,
}

/// A document and where it came from.
#[derive(Debug)]
pub struct Served {
    pub document: Arc<Document>,
    /// Cache-Status of the answer.
    pub cache_status: &'static str,
    /// Whether the topic may have a newer version by now.
    pub is_stale: bool,
}

impl Served {
    fn kept(document: Arc<Document>, is_stale: bool) -> Self {
        Self { document, cache_status: "memory; hit", is_stale }
    }

    /// The answer, stale if the lists are whose version it is of.
    #[must_use]
    pub fn of(self, lists: &Hit) -> Self {
        Self { is_stale: self.is_stale || lists.is_stale, ..self }
    }
}

#[derive(Clone)]
struct Entry {
    document: Arc<Document>,
    version: Option<Version>,
    made_at: DateTime<Utc>,
}

impl Documents {
    /// Documents are made by tasks of `tasks`, and written by as many threads as half of the cores,
    /// as the other half serves. With more, the threads that serve would get a small share of the
    /// CPU.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tasks: TaskTracker) -> Self {
        let size = |key: &String, entry: &Entry| {
            u32::try_from(ENTRY_BYTES + key.len() + entry.document.size()).unwrap_or(u32::MAX)
        };
        let entries =
            Moka::builder().max_capacity(CAPACITY_BYTES).weigher(size).time_to_live(KEPT).build();
        let size = |_: &HeaderValue, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let compressed = Moka::builder().max_capacity(COMPRESSED_BYTES).weigher(size).build();
        let makings = Arc::new(SingleFlight::new(tasks));
        let threads = available_parallelism().map_or(1, usize::from).div_ceil(2);
        let (threads, slots) = (Threads::new(threads), Arc::new(Slots::new(threads)));
        Self { entries, compressed, makings, threads, slots, clock }
    }

    /// The document of this key, made once however many readers ask. A document of a version of a
    /// topic's lists is served as long as that is the version asked for; any other one, and a
    /// provisional one, for a minute. If the database does not answer in time, or too many others
    /// wait to be written, the last one is served however old it is.
    ///
    /// `gather` waits for the data, also for other documents, and returns the work that writes the
    /// document of them. That takes CPU time, and is done in turn on a thread of its own. A reader
    /// waits for a slot before `gather`, so that its refusal costs nothing. The slot is free for
    /// others for as long as the data are not at hand.
    ///
    /// # Errors
    /// Those of `gather` and of its work, and if too many others wait to be written.
    pub async fn get<F, W>(
        &self,
        key: String,
        version: Option<Version>,
        gather: impl FnOnce() -> F,
    ) -> Result<Served, Error>
    where
        F: Future<Output = Result<W, Error>> + Send + 'static,
        W: FnOnce() -> Result<Document, Error> + Send + 'static,
    {
        let kept = self.entries.get(&key).await;
        if let Some(entry) = kept.as_ref().filter(|entry| self.is_fresh(entry, version)) {
            return Ok(Served::kept(Arc::clone(&entry.document), false));
        }
        let (entries, now) = (self.entries.clone(), self.clock.now());
        let start = || {
            let (data, key) = (gather(), key.clone());
            let (threads, slots) = (self.threads.clone(), Arc::clone(&self.slots));
            async move {
                let slot = slots.acquire().await.ok_or_else(overloaded)?;
                let mut data = pin!(data);
                let (write, slot) = match poll!(&mut data) {
                    Poll::Ready(write) => (write?, Some(slot)),
                    Poll::Pending => {
                        drop(slot);
                        (data.await?, slots.reacquire().await)
                    }
                };
                let document = Arc::new(threads.run(write).await?);
                drop(slot);
                let entry = Entry { document, version, made_at: now };
                entries.insert(key, entry.clone()).await;
                Ok(entry)
            }
        };
        let making = self.makings.join(&key, start);
        let limit = if kept.is_some() { LONGEST_WAIT_IF_KEPT } else { LONGEST_WAIT };
        let made = match timeout(limit, making).await {
            Ok(made) => made.unwrap_or(Err(Error::Internal)),
            Err(_) => Err(Error::Database(Fault::Down)),
        };
        match (made, kept) {
            (Err(Error::Database(_) | Error::NotYet { .. }), Some(entry)) => {
                Ok(Served::kept(entry.document, true))
            }
            (made, _) => {
                let Entry { document, version: made_of, .. } = made?;
                // The making may have begun for a reader who knew an older version.
                let is_stale = made_of != version;
                Ok(Served { document, cache_status: FROM_DATABASE, is_stale })
            }
        }
    }

    /// The bytes of a document in an encoding, compressed once.
    pub async fn encoded(&self, document: &Arc<Document>, encoding: Encoding) -> Bytes {
        if encoding == Encoding::Identity {
            return document.bytes.clone();
        }
        let own = Arc::clone(document);
        let bytes = self.compute(move || own.encoded(encoding));
        self.compressed.get_with(document.etag(encoding), bytes).await
    }

    /// Runs other work that takes CPU time, on the threads that write documents.
    pub(crate) async fn compute<T>(&self, work: impl FnOnce() -> T + Send + 'static) -> T
    where
        T: Send + 'static,
    {
        self.threads.run(work).await
    }

    fn is_fresh(&self, entry: &Entry, version: Option<Version>) -> bool {
        let age = self.clock.now() - entry.made_at;
        let is_final = entry.version.is_some() && !entry.document.is_provisional;
        entry.version == version && (is_final || (TimeDelta::zero()..FRESH).contains(&age))
    }
}

fn overloaded() -> Error {
    Error::NotYet {
        detail: "more answers are being made than the service allows".to_owned(),
        retry_after: RETRY_AFTER,
    }
}
