//! Publication: a topic's lists are built from the database and given to every cache. The publisher
//! keeps the topics whose lists a cache did not take, and tries them again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::cache::Tiers;
use crate::clock::Clock;
use crate::lists::bundle::Bundle;
use crate::model::growth::Period;
use crate::model::list::Version;
use crate::model::topic::Topic;
use crate::store::{Columns, SharedStore, StoreError, first_revision};
use crate::telemetry::left_out;

/// How often the publisher retries the lists that a cache did not take.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The publisher. Cheap to clone.
#[derive(Clone)]
pub(super) struct Publisher(Arc<Inner>);

struct Inner {
    store: SharedStore,
    tiers: Tiers,
    clock: Arc<dyn Clock>,
    /// Topics whose present lists are not in every cache.
    unpublished: Mutex<BTreeSet<Topic>>,
    changed: watch::Sender<()>,
}

impl Publisher {
    pub(super) fn new(store: SharedStore, tiers: Tiers, clock: Arc<dyn Clock>) -> Self {
        let (unpublished, changed) = (Mutex::default(), watch::Sender::new(()));
        Self(Arc::new(Inner { store, tiers, clock, unpublished, changed }))
    }

    /// Gives a topic's present lists to every cache, or removes them there if the topic has none.
    pub(super) async fn publish(&self, topic: &Topic) -> Result<(), StoreError> {
        let Inner { store, tiers, clock, .. } = &*self.0;
        let now = clock.now();
        store.allot_modified(topic, now).await?;
        let is_everywhere = if let Some(catalogue) =
            store.catalogue(topic, Period::default(), Columns::Listed).await?
        {
            tiers.publish(&Bundle::build(catalogue).await).await
        } else {
            let tracked_anew = store.topic(topic).await?.map(|state| state.revision);
            let revision = tracked_anew.unwrap_or_else(|| first_revision(now));
            let epoch = store.epoch().await?;
            tiers.evict(topic, Version { epoch, revision }).await
        };
        self.change_unpublished(|unpublished| {
            if is_everywhere {
                unpublished.remove(topic);
            } else {
                unpublished.insert(topic.clone());
            }
        });
        self.notify();
        Ok(())
    }

    /// Publishes a topic's lists. If the database fails, they are tried again.
    pub(super) async fn publish_or_retry(&self, topic: &Topic) {
        if let Err(error) = self.publish(topic).await {
            warn!(%topic, %error, "the lists could not be published yet");
            self.change_unpublished(|unpublished| unpublished.insert(topic.clone()));
        }
    }

    /// Retries, without end, the lists that are not in every cache, and calls `published` after
    /// each. They are built anew each time, because the topic may have changed since.
    pub(super) async fn retry(&self, published: impl Fn()) {
        loop {
            tokio::time::sleep(RETRY_EVERY).await;
            let unpublished = self.change_unpublished(|unpublished| unpublished.clone());
            if unpublished.is_empty() || !self.0.tiers.take_lists().await {
                continue;
            }
            for topic in unpublished {
                let Err(error) = self.publish(&topic).await else {
                    published();
                    continue;
                };
                if let Some(left_out) = left_out("the lists could not be published again") {
                    warn!(%topic, %error, left_out, "the lists could not be published again");
                }
            }
        }
    }

    /// Wakes the callers in this process that wait for a list or for the end of a run.
    pub(super) fn notify(&self) {
        self.0.changed.send_replace(());
    }

    /// A receiver that hears each [`notify`](Self::notify) from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    fn change_unpublished<T>(&self, change: impl FnOnce(&mut BTreeSet<Topic>) -> T) -> T {
        change(&mut self.0.unpublished.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The topics that a run has changed and not published yet. If the run ends before it publishes
/// them, the publisher does.
pub(super) struct ChangedTopics {
    topics: BTreeSet<Topic>,
    publisher: Publisher,
}

impl ChangedTopics {
    pub(super) fn new(topic: Topic, publisher: Publisher) -> Self {
        Self { topics: BTreeSet::from([topic]), publisher }
    }

    pub(super) fn extend(&mut self, topics: Vec<Topic>) {
        self.topics.extend(topics);
    }

    pub(super) async fn publish(&mut self) {
        while let Some(topic) = self.topics.first().cloned() {
            self.publisher.publish_or_retry(&topic).await;
            self.topics.remove(&topic);
        }
    }
}

impl Drop for ChangedTopics {
    // mutant in refreshes: rows of a run that failed are published
    //     unpublished.append(&mut self.topics) => ()
    fn drop(&mut self) {
        let publisher = self.publisher.clone();
        publisher.change_unpublished(|unpublished| unpublished.append(&mut self.topics));
    }
}
