//! Exports: answers too large to be kept, sent while they are made.
//!
//! The source of an export is a task. It writes bytes to an [`Outlet`], which compresses them in
//! chunks. The answer's body takes the chunks from a short channel, so that the source waits for a
//! slow client, and an export takes the memory of a few chunks however large it is.

mod history;
mod outlet;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use self::history::HistorySink;
pub use self::outlet::Outlet;
use crate::error::Error;
use crate::lists::bundle::Encoding;
use crate::lists::catalogue::Catalogue;
use crate::lists::query;
use crate::lists::table::Format;
use crate::model::list::ListMeta;
use crate::model::topic::Topic;
use crate::store::SharedStore;

/// Exports at a time. Each may hold one of the five connections of public reads.
const EXPORTS: usize = 2;

/// How soon to ask again while others are read.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Chunks that are ready before the client takes them.
const CHUNKS_AHEAD: usize = 2;

/// The export ended before its last row. The answer must not look whole.
#[derive(Debug, thiserror::Error)]
#[error("the export was broken off")]
pub struct BrokenOff;

/// The chunks of an export, of which the last one may be an error.
pub type Chunks = BoxStream<'static, Result<Bytes, BrokenOff>>;

/// Makes exports. Cheap to clone.
#[derive(Clone)]
pub struct Exports {
    store: SharedStore,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Exports {
    /// Sources are tasks of `tasks`.
    #[must_use]
    pub fn new(store: SharedStore, tasks: TaskTracker) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(EXPORTS)), tasks }
    }

    /// Starts an export in the encoding gzip or identity. Only a source that calls
    /// [`Outlet::finish`] makes a whole export.
    ///
    /// # Errors
    /// If too many exports are being read.
    pub fn start<F>(
        &self,
        encoding: Encoding,
        source: impl FnOnce(Outlet) -> F,
    ) -> Result<Chunks, Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Error::NotYet {
            detail: "as many exports are being read as the service allows".to_owned(),
            retry_after: RETRY_AFTER,
        })?;
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let source = source(Outlet::new(encoding, sender));
        self.tasks.spawn(async move {
            let _permit = permit;
            source.await;
        });
        Ok(chunks(receiver))
    }

    /// All repositories of a catalogue with all fields, by id. A slow client keeps the catalogue in
    /// memory.
    ///
    /// # Errors
    /// If too many exports are being read.
    pub fn repositories(
        &self,
        catalogue: Arc<Catalogue>,
        format: Format,
        encoding: Encoding,
    ) -> Result<Chunks, Error> {
        self.start(encoding, |mut outlet| async move {
            for part in query::export(&catalogue, format) {
                if outlet.write(&part).await.is_break() {
                    return;
                }
            }
            outlet.finish().await;
        })
    }

    /// The counts of every day of each repository that the topic has, in the order of ids and days,
    /// and the facts about the topic, all of one instant.
    ///
    /// # Errors
    /// If the topic has no list, the database does not answer, or too many exports are being read.
    pub async fn history(
        &self,
        topic: &Topic,
        format: Format,
        encoding: Encoding,
    ) -> Result<(ListMeta, Chunks), Error> {
        let (sender, begun) = oneshot::channel();
        let (store, topic) = (Arc::clone(&self.store), topic.clone());
        let source = |outlet| async move {
            let mut sink = HistorySink::new(sender, format, outlet);
            let read = store.counts(&topic, &mut sink).await;
            let is_read = matches!(read, Ok(true));
            // The error is logged also if nobody waits for it.
            let error = read.map_or_else(Error::from, |_| Error::NotTracked(topic));
            if let Some(begun) = sink.begun.take() {
                let _ = begun.send(Err(error));
            } else if is_read {
                sink.outlet.finish().await;
            }
        };
        let chunks = self.start(encoding, source)?;
        Ok((begun.await.map_err(|_| Error::Internal)??, chunks))
    }
}

/// Takes the chunks out of the channel. A channel that is closed without a message about the end
/// belongs to a source that failed or panicked, or whose client was too slow.
fn chunks(receiver: mpsc::Receiver<Option<Bytes>>) -> Chunks {
    let next = |receiver: Option<mpsc::Receiver<Option<Bytes>>>| async move {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(chunk) => chunk.map(|chunk| (Ok(chunk), Some(receiver))),
            None => Some((Err(BrokenOff), None)),
        }
    };
    unfold(Some(receiver), next).boxed()
}
