//! Bundles in the memory of the process, bounded by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache as Moka;
use moka::ops::compute::Op;

use super::{Cache, CachedBundle};
use crate::clock::Clock;
use crate::lists::bundle::Bundle;
use crate::model::list::Version;
use crate::model::topic::Topic;

/// An older copy is compared with the tiers below before it is served.
pub const FRESH: TimeDelta = TimeDelta::seconds(60);

/// How long a copy is kept that no tier below confirms.
const KEPT: Duration = Duration::from_hours(24);

/// The lists of some 110 topics. The least used ones are evicted first.
const CAPACITY_BYTES: u64 = 128 << 20;

/// The fastest tier.
pub struct MemoryCache {
    entries: Moka<Topic, Entry>,
    clock: Arc<dyn Clock>,
    /// Counts the times at which every copy became stale.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    /// `None` if only the newest revision is known.
    bundle: Option<Arc<Bundle>>,
    /// The newest version that a refresh has announced: a bundle that is behind it is stale.
    announced: Version,
    taken_at: DateTime<Utc>,
    generation: u64,
}

impl Entry {
    fn size(&self) -> u32 {
        let size = self.bundle.as_ref().map_or(0, |bundle| bundle.size());
        u32::try_from(size).unwrap_or(u32::MAX)
    }

    fn version(&self) -> Option<Version> {
        self.bundle.as_ref().map(|bundle| bundle.meta.version())
    }
}

/// The newer of two versions: the later one that was heard of, if they are of two lives.
fn newer(heard: Version, now: Version) -> Version {
    if heard.is_behind(now) { now } else { heard }
}

impl MemoryCache {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let entries = Moka::builder()
            .max_capacity(CAPACITY_BYTES)
            .weigher(|_: &Topic, entry: &Entry| entry.size())
            .time_to_live(KEPT)
            .build();
        Self { entries, clock, generation: AtomicU64::new(0) }
    }

    /// Marks the topic's bundles that are behind this version as stale, also one that a reader is
    /// about to fill in.
    pub async fn expire(&self, topic: &Topic, below: Version) {
        let expired = |held: Option<&Entry>| match held {
            Some(held) => Entry { announced: newer(held.announced, below), ..held.clone() },
            None => Entry {
                bundle: None,
                announced: below,
                taken_at: self.clock.now(),
                generation: self.generation.load(Ordering::Relaxed),
            },
        };
        let entry = self.entries.entry_by_ref(topic);
        entry.and_upsert_with(async |held| expired(held.as_ref().map(moka::Entry::value))).await;
    }

    /// Marks every copy as stale, since a message about it may have been missed.
    pub fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Cache for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn cache_status(&self) -> &'static str {
        "memory; hit"
    }

    async fn get(&self, topic: &Topic) -> Option<CachedBundle> {
        let entry = self.entries.get(topic).await?;
        let now = self.clock.now();
        let bundle = entry.bundle?;
        // mutant in clocks: a copy from before the clock was set back is stale
        //     !(TimeDelta::zero()..=FRESH).contains(&age) => age > FRESH
        let age = now - entry.taken_at;
        let is_stale = !(TimeDelta::zero()..=FRESH).contains(&age)
            || bundle.meta.version().is_behind(entry.announced)
            || entry.generation != self.generation.load(Ordering::Relaxed)
            || bundle.has_expired(now);
        Some(CachedBundle { bundle, is_stale })
    }

    async fn can_answer(&self) -> bool {
        self.entries.iter().any(|(_, entry)| entry.bundle.is_some())
    }

    async fn takes_lists(&self) -> bool {
        true
    }

    async fn memory_bytes(&self) -> u64 {
        self.entries.run_pending_tasks().await;
        self.entries.weighted_size()
    }

    async fn fill(&self, bundle: &Arc<Bundle>) -> bool {
        let (now, version) = (self.clock.now(), bundle.meta.version());
        let entry = Entry {
            bundle: Some(Arc::clone(bundle)),
            announced: version,
            taken_at: now,
            generation: self.generation.load(Ordering::Relaxed),
        };
        let is_newer = |held: Version| held.epoch == version.epoch && version.is_behind(held);
        let kept = self
            .entries
            .entry_by_ref(&bundle.topic)
            .and_compute_with(async |held| match held.map(moka::Entry::into_value) {
                Some(held) if held.version().is_some_and(is_newer) => Op::Nop,
                // A bundle that was just built wins over one of another life of the database.
                Some(held) if is_newer(held.announced) => {
                    Op::Put(Entry { announced: held.announced, ..entry })
                }
                _ => Op::Put(entry),
            })
            .await;
        let is_newest = kept.into_entry().is_none_or(|kept| {
            let kept = kept.value();
            !kept.version().is_some_and(is_newer) && !is_newer(kept.announced)
        });
        is_newest && !bundle.has_expired(now)
    }

    async fn publish(&self, bundle: &Arc<Bundle>) -> bool {
        // A bundle that this tier refuses because it has a newer one need not be tried again.
        self.fill(bundle).await;
        true
    }

    async fn evict(&self, topic: &Topic, below: Version) -> bool {
        self.entries.invalidate(topic).await;
        self.expire(topic, below).await;
        true
    }
}
