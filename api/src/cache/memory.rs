//! Ready bodies in the process's own memory, bounded by bytes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache as Moka;
use moka::ops::compute::Op;

use super::{Cache, Cached};
use crate::clock::Clock;
use crate::lists::Lists;
use crate::topic::Topic;

/// A copy older than this is compared with the tiers below before it is served.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// A copy that nothing below confirms is still better than none, but not for ever.
const KEPT: Duration = Duration::from_hours(24);

/// All lists of some 100 topics; the least used ones go first.
const CAPACITY_BYTES: u64 = 64 << 20;

/// The first tier.
pub struct MemoryCache {
    entries: Moka<Topic, Entry>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Entry {
    lists: Arc<Lists>,
    taken_at: DateTime<Utc>,
}

impl MemoryCache {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let entries = Moka::builder()
            .max_capacity(CAPACITY_BYTES)
            .weigher(|_: &Topic, entry: &Entry| u32::try_from(entry.lists.size()).unwrap_or(u32::MAX))
            .time_to_live(KEPT)
            .build();
        Self { entries, clock }
    }

    async fn take(&self, lists: &Arc<Lists>) {
        let entry = Entry { lists: Arc::clone(lists), taken_at: self.clock.now() };
        let newer = |held: &Entry| held.lists.standing.revision > lists.standing.revision;
        self.entries
            .entry_by_ref(&lists.topic)
            .and_compute_with(async |held| match held {
                Some(held) if newer(held.value()) => Op::Nop,
                _ => Op::Put(entry),
            })
            .await;
    }
}

#[async_trait]
impl Cache for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, topic: &Topic) -> Option<Cached> {
        let entry = self.entries.get(topic).await?;
        let now = self.clock.now();
        let stale = now - entry.taken_at > FRESH || entry.lists.has_expired(now);
        Some(Cached { lists: entry.lists, stale })
    }

    async fn can_answer(&self) -> bool {
        self.entries.iter().next().is_some()
    }

    async fn fill(&self, lists: &Arc<Lists>) {
        self.take(lists).await;
    }

    async fn publish(&self, lists: &Arc<Lists>) {
        self.take(lists).await;
    }

    async fn forget(&self, topic: &Topic) {
        self.entries.invalidate(topic).await;
    }
}
