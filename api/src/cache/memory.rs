//! Ready bodies in the process's own memory, bounded by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache as Moka;
use moka::ops::compute::Op;

use super::{Cache, Cached};
use crate::clock::Clock;
use crate::lists::Lists;
use crate::model::topic::Topic;

/// A copy older than this is compared with the tiers below before it is served.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// A copy that nothing below confirms is still better than none, but not for ever.
const KEPT: Duration = Duration::from_hours(24);

/// All lists of some 250 topics; the least used ones go first.
const CAPACITY_BYTES: u64 = 128 << 20;

/// The first tier.
pub struct MemoryCache {
    entries: Moka<Topic, Entry>,
    clock: Arc<dyn Clock>,
    /// Counts the times at which every copy became doubtful.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    /// `None` when only their revision is known.
    lists: Option<Arc<Lists>>,
    /// Lists of a lower revision are known to be old.
    announced: i64,
    taken_at: DateTime<Utc>,
    generation: u64,
}

impl Entry {
    fn size(&self) -> u32 {
        self.lists.as_ref().map_or(0, |lists| u32::try_from(lists.size()).unwrap_or(u32::MAX))
    }

    fn revision(&self) -> i64 {
        self.lists.as_ref().map_or(0, |lists| lists.standing.revision)
    }
}

impl MemoryCache {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let entries = Moka::builder()
            .max_capacity(CAPACITY_BYTES)
            .weigher(|_: &Topic, entry: &Entry| entry.size())
            .time_to_live(KEPT)
            .build();
        Self { entries, clock, generation: AtomicU64::new(0) }
    }

    /// Lists of a lower revision are old from now on, also ones that somebody is just about to fill
    /// in.
    pub async fn expire(&self, topic: &Topic, below: i64) {
        let expired = |held: Option<&Entry>| Entry {
            lists: held.and_then(|held| held.lists.clone()),
            announced: held.map_or(below, |held| held.announced.max(below)),
            taken_at: held.map_or_else(|| self.clock.now(), |held| held.taken_at),
            generation: held
                .map_or_else(|| self.generation.load(Ordering::Relaxed), |held| held.generation),
        };
        let entry = self.entries.entry_by_ref(topic);
        entry.and_upsert_with(async |held| expired(held.as_ref().map(moka::Entry::value))).await;
    }

    /// Any copy may be old: a message may have been missed.
    pub fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Cache for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, topic: &Topic) -> Option<Cached> {
        let entry = self.entries.get(topic).await?;
        let (now, revision) = (self.clock.now(), entry.revision());
        let lists = entry.lists?;
        let stale = now - entry.taken_at > FRESH
            || revision < entry.announced
            || entry.generation != self.generation.load(Ordering::Relaxed)
            || lists.has_expired(now);
        Some(Cached { lists, stale })
    }

    async fn can_answer(&self) -> bool {
        self.entries.iter().any(|(_, entry)| entry.lists.is_some())
    }

    async fn takes_lists(&self) -> bool {
        true
    }

    async fn fill(&self, lists: &Arc<Lists>) -> bool {
        let (now, revision) = (self.clock.now(), lists.standing.revision);
        let entry = Entry {
            lists: Some(Arc::clone(lists)),
            announced: revision,
            taken_at: now,
            generation: self.generation.load(Ordering::Relaxed),
        };
        let kept = self
            .entries
            .entry_by_ref(&lists.topic)
            .and_compute_with(async |held| match held.map(moka::Entry::into_value) {
                Some(held) if held.revision() > entry.revision() => Op::Nop,
                Some(held) => {
                    Op::Put(Entry { announced: entry.announced.max(held.announced), ..entry })
                }
                None => Op::Put(entry),
            })
            .await;
        let newest = kept
            .into_entry()
            .is_none_or(|kept| kept.value().announced.max(kept.value().revision()) <= revision);
        newest && !lists.has_expired(now)
    }

    async fn publish(&self, lists: &Arc<Lists>) -> bool {
        // Not to be tried again where it already has newer ones.
        self.fill(lists).await;
        true
    }

    async fn forget(&self, topic: &Topic, below: i64) -> bool {
        self.entries.invalidate(topic).await;
        self.expire(topic, below).await;
        true
    }
}
