//! The caches above the database: bundles of ready bodies, in tiers from the fastest to the one
//! that replicas share.
//!
//! A tier moves bundles. The policy (which copy is stale, who fills which tier) is here.

mod memory;
mod redis;
mod redis_address;
mod redis_connection;
mod redis_format;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_util::task::TaskTracker;

use crate::lists::bundle::Bundle;
use crate::model::list::{CurrentVersions, Version};
use crate::model::topic::Topic;
use crate::single_flight::SingleFlight;

pub use memory::{FRESH, MemoryCache};
pub use redis::{Pushes, RedisCache};
pub use redis_address::RedisAddress;

/// A tier. A tier that fails is a miss: failing caches cost speed, but serve nothing wrong.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The name in `/ready` and in the metrics.
    fn name(&self) -> &'static str;

    /// Cache-Status (RFC 9211) of a list from this tier.
    fn cache_status(&self) -> &'static str;

    async fn get(&self, topic: &Topic) -> Option<CachedBundle>;

    /// Whether the tier could serve a list now.
    async fn can_answer(&self) -> bool;

    /// Whether the tier could store lists now.
    async fn takes_lists(&self) -> bool;

    /// The bytes of the lists in the memory of this process.
    async fn memory_bytes(&self) -> u64 {
        0
    }

    /// Stores a bundle that was built from the database or compared with it, unless the tier has
    /// one of a higher revision in the same epoch. False if it could not, or if it knows that the
    /// bundle is old.
    async fn fill(&self, bundle: &Arc<Bundle>) -> bool;

    /// Stores the bundle of a refresh that has just ended, and makes all replicas see it. False if
    /// it could not; then the caller tries again.
    async fn publish(&self, bundle: &Arc<Bundle>) -> bool;

    /// Drops the topic's bundles that are behind this version, for all replicas. False if it could
    /// not; then the caller tries again.
    async fn evict(&self, topic: &Topic, below: Version) -> bool;
}

/// A tier's copy of a topic's lists.
#[derive(Clone, Debug)]
pub struct CachedBundle {
    pub bundle: Arc<Bundle>,
    /// A stale copy is served only if no tier below and no database answers.
    pub is_stale: bool,
}

/// A bundle and where it came from.
#[derive(Clone, Debug)]
pub struct Hit {
    pub bundle: Arc<Bundle>,
    /// Cache-Status of its lists.
    pub cache_status: &'static str,
    /// To be served only if the database does not answer.
    pub is_stale: bool,
}

/// The tiers, fastest first. Cheap to clone.
#[derive(Clone)]
pub struct Tiers {
    tiers: Arc<[Arc<dyn Cache>]>,
    /// However many readers ask for a topic, one of them asks the tiers below the fastest.
    flights: Arc<SingleFlight<Topic, Option<Hit>>>,
}

impl Hit {
    /// The name of the tier, or `database`.
    #[must_use]
    pub fn tier(&self) -> &'static str {
        self.cache_status.split_once(';').map_or(self.cache_status, |(tier, _)| tier)
    }
}

impl Tiers {
    /// Tiers in the order in which they are asked.
    #[must_use]
    pub fn new(tiers: Vec<Arc<dyn Cache>>) -> Self {
        let flights = Arc::new(SingleFlight::new(TaskTracker::new()));
        Self { tiers: tiers.into(), flights }
    }

    /// The topic's lists if the fastest tier has them fresh.
    pub async fn nearest(&self, topic: &Topic) -> Option<Hit> {
        self.look_in(0, topic).await.filter(|hit| !hit.is_stale)
    }

    /// The topic's lists from the fastest tier whose copy is current by the database, which then
    /// fills the tiers above it. A copy that is not older but of another life of the database is
    /// dropped everywhere: the database was restored.
    pub async fn confirmed(
        &self,
        topic: &Topic,
        current: &CurrentVersions,
        now: DateTime<Utc>,
    ) -> Option<Hit> {
        let mut is_foreign = false;
        for (depth, tier) in self.tiers.iter().enumerate() {
            let Some(CachedBundle { bundle, .. }) = tier.get(topic).await else { continue };
            let version = bundle.meta.version();
            if current.include(version) && !bundle.has_expired(now) {
                // The fastest tier notes that its own copy is current.
                for above in &self.tiers[..depth.max(1)] {
                    above.fill(&bundle).await;
                }
                let cache_status = tier.cache_status();
                return Some(Hit { bundle, cache_status, is_stale: false });
            }
            is_foreign |=
                version.epoch != current.published.epoch || version.revision > current.newest;
        }
        if is_foreign {
            self.evict(topic, current.published).await;
        }
        None
    }

    /// The topic's lists without the database: from the fastest tier that has them fresh, else a
    /// stale copy. A fresh copy from below fills the tiers above it.
    pub async fn lookup(&self, topic: &Topic) -> Option<Hit> {
        let nearest = self.look_in(0, topic).await;
        if self.tiers.len() < 2 || nearest.as_ref().is_some_and(|hit| !hit.is_stale) {
            return nearest;
        }
        let (tiers, own) = (self.clone(), topic.clone());
        let look = || async move { tiers.look_below(&own).await };
        let below = self.flights.join(topic, look).await.flatten();
        below.filter(|hit| !hit.is_stale || nearest.is_none()).or(nearest)
    }

    async fn look_in(&self, depth: usize, topic: &Topic) -> Option<Hit> {
        let tier = self.tiers.get(depth)?;
        let CachedBundle { bundle, is_stale } = tier.get(topic).await?;
        Some(Hit { bundle, cache_status: tier.cache_status(), is_stale })
    }

    /// Asks the tiers below the fastest. If a tier above knows that a copy is old, the tier that
    /// had it missed a refresh, and the copy is stale.
    async fn look_below(&self, topic: &Topic) -> Option<Hit> {
        let mut stale = None;
        for depth in 1..self.tiers.len() {
            let Some(mut hit) = self.look_in(depth, topic).await else { continue };
            if !hit.is_stale {
                let mut is_newest = true;
                for above in &self.tiers[..depth] {
                    is_newest &= fill_unless_foreign(&**above, &hit.bundle).await;
                }
                if is_newest {
                    return Some(hit);
                }
                hit.is_stale = true;
            }
            stale = stale.or(Some(hit));
        }
        stale
    }

    /// Each tier's name, and whether it could serve a list now.
    pub async fn status(&self) -> Vec<(&'static str, bool)> {
        let mut status = Vec::with_capacity(self.tiers.len());
        for tier in self.tiers.iter() {
            status.push((tier.name(), tier.can_answer().await));
        }
        status
    }

    /// Each tier's name, and whether it could store lists now.
    pub async fn takers(&self) -> Vec<(&'static str, bool)> {
        let mut takers = Vec::with_capacity(self.tiers.len());
        for tier in self.tiers.iter() {
            takers.push((tier.name(), tier.takes_lists().await));
        }
        takers
    }

    /// Whether every tier could store lists now.
    pub async fn take_lists(&self) -> bool {
        self.takers().await.iter().all(|(_, takes_lists)| *takes_lists)
    }

    /// The bytes of the lists in the memory of this process.
    pub async fn memory_bytes(&self) -> u64 {
        let mut bytes = 0;
        for tier in self.tiers.iter() {
            bytes += tier.memory_bytes().await;
        }
        bytes
    }

    /// Fills every tier with a bundle that was built from the database.
    pub async fn fill(&self, bundle: &Arc<Bundle>) {
        for tier in self.tiers.iter().rev() {
            tier.fill(bundle).await;
        }
    }

    /// Puts the bundle of a refresh that has just ended into every tier, the shared one first.
    /// False if one of them has not got it.
    pub async fn publish(&self, bundle: &Arc<Bundle>) -> bool {
        let mut everywhere = true;
        for tier in self.tiers.iter().rev() {
            everywhere &= tier.publish(bundle).await;
        }
        everywhere
    }

    /// Drops the topic's bundles that are behind this version from every tier. False if one of them
    /// has not done it.
    pub async fn evict(&self, topic: &Topic, below: Version) -> bool {
        let mut everywhere = true;
        for tier in self.tiers.iter().rev() {
            everywhere &= tier.evict(topic, below).await;
        }
        everywhere
    }
}

/// Fills a tier without the database's word; false also if the tier has a copy of another life of
/// the database, since nobody knows which one is older.
async fn fill_unless_foreign(tier: &dyn Cache, bundle: &Arc<Bundle>) -> bool {
    let held = tier.get(&bundle.topic).await;
    let is_foreign = held.is_some_and(|held| held.bundle.meta.epoch != bundle.meta.epoch);
    !is_foreign && tier.fill(bundle).await
}
