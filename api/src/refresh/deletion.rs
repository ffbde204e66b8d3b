//! Deletion of a topic: its rows, and its lists in every cache.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::publish::Publisher;
use crate::clock::Clock;
use crate::model::topic::Topic;
use crate::purge::Purger;
use crate::store::{SharedStore, StoreError};
use crate::task::join;

/// Deletes topics. Cheap to clone.
#[derive(Clone)]
pub(super) struct Deleter {
    pub(super) store: SharedStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) publisher: Publisher,
    pub(super) purger: Option<Purger>,
    pub(super) tasks: TaskTracker,
}

impl Deleter {
    /// Deletes a topic; false if it was not tracked. The deletion goes on if the caller is dropped.
    pub(super) async fn delete(
        &self,
        topic: &Topic,
        keep_history: bool,
    ) -> Result<bool, StoreError> {
        let (Self { store, clock, publisher, purger, tasks }, topic) =
            (self.clone(), topic.clone());
        let deletion = async move {
            if let Some(purger) = &purger {
                purger.note_deletion(&topic).await?;
            }
            let was_tracked = store.delete_topic(&topic, keep_history, clock.now()).await;
            // A deletion that failed half-way has deleted the topic's lists already.
            publisher.publish_or_retry(&topic).await;
            was_tracked
        };
        join(tasks.spawn(deletion)).await
    }
}
