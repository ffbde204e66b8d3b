//! The caches above the database: ready bodies, in tiers from the fastest to the one that is
//! shared.

mod memory;
mod redis;

use std::sync::Arc;

use async_trait::async_trait;

use crate::lists::Lists;
use crate::model::topic::Topic;

pub use memory::MemoryCache;
pub use redis::{Pushes, RedisCache};

/// One tier. A tier that does not answer is a miss: caches cost speed when they fail, never truth.
#[async_trait]
pub trait Cache: Send + Sync {
    /// As in Cache-Status.
    fn name(&self) -> &'static str;

    /// The topic's lists, if this tier has them.
    async fn get(&self, topic: &Topic) -> Option<Cached>;

    /// Whether it could serve a list now.
    async fn can_answer(&self) -> bool;

    /// Whether it could keep lists now.
    async fn takes_lists(&self) -> bool;

    /// Keeps lists built of the database, unless it has ones of a higher revision. False when it
    /// could not, or knows that they are old.
    async fn fill(&self, lists: &Arc<Lists>) -> bool;

    /// Keeps the lists of a refresh that has just ended, and makes everyone who reads this tier see
    /// them. False when it could not: then it is to be tried again.
    async fn publish(&self, lists: &Arc<Lists>) -> bool;

    /// Drops the topic's lists of lower revisions, for everyone. False when it could not: then it
    /// is to be tried again.
    async fn forget(&self, topic: &Topic, below: i64) -> bool;
}

/// What a tier found.
#[derive(Clone, Debug)]
pub struct Cached {
    /// The lists.
    pub lists: Arc<Lists>,
    /// Not to be served without asking the tiers below, unless none of them answers.
    pub stale: bool,
}

/// The tiers, fastest first.
#[derive(Clone)]
pub struct Tiers(Vec<Arc<dyn Cache>>);

impl Tiers {
    /// Tiers in the order in which they are asked.
    #[must_use]
    pub fn new(tiers: Vec<Arc<dyn Cache>>) -> Self {
        Self(tiers)
    }

    /// The topic's lists from the fastest tier alone, if it has them fresh, with its name.
    pub async fn nearest(&self, topic: &Topic) -> Option<(Arc<Lists>, &'static str)> {
        let nearest = self.0.first()?;
        let Cached { lists, stale } = nearest.get(topic).await?;
        (!stale).then_some((lists, nearest.name()))
    }

    /// The topic's lists from the first tier that has them fresh, with its name; tiers above it are
    /// filled. Lists that a tier above knows to be old are passed over: the one below has missed a
    /// refresh.
    pub async fn get(&self, topic: &Topic) -> Option<(Arc<Lists>, &'static str)> {
        for (depth, tier) in self.0.iter().enumerate() {
            if let Some(Cached { lists, stale: false }) = tier.get(topic).await {
                let mut trusted = true;
                for above in &self.0[..depth] {
                    trusted &= above.fill(&lists).await;
                }
                if trusted {
                    return Some((lists, tier.name()));
                }
            }
        }
        None
    }

    /// The topic's lists however old: for when nothing below answers.
    pub async fn get_stale(&self, topic: &Topic) -> Option<(Arc<Lists>, &'static str)> {
        for tier in &self.0 {
            if let Some(Cached { lists, .. }) = tier.get(topic).await {
                return Some((lists, tier.name()));
            }
        }
        None
    }

    /// Each tier's name, and whether it could serve a list now.
    pub async fn status(&self) -> Vec<(&'static str, bool)> {
        let mut status = Vec::with_capacity(self.0.len());
        for tier in &self.0 {
            status.push((tier.name(), tier.can_answer().await));
        }
        status
    }

    /// Whether every tier could take lists now, as far as that can be told without any.
    pub async fn take_lists(&self) -> bool {
        let mut all = true;
        for tier in &self.0 {
            all &= tier.takes_lists().await;
        }
        all
    }

    /// Fills every tier with lists built of the database.
    pub async fn fill(&self, lists: &Arc<Lists>) {
        for tier in self.0.iter().rev() {
            tier.fill(lists).await;
        }
    }

    /// Puts the lists of a refresh that has just ended into every tier, the shared one first. False
    /// when one of them has not got them.
    pub async fn publish(&self, lists: &Arc<Lists>) -> bool {
        let mut everywhere = true;
        for tier in self.0.iter().rev() {
            everywhere &= tier.publish(lists).await;
        }
        everywhere
    }

    /// Drops the topic's lists of lower revisions everywhere. False when one of them has not.
    pub async fn forget(&self, topic: &Topic, below: i64) -> bool {
        let mut everywhere = true;
        for tier in self.0.iter().rev() {
            everywhere &= tier.forget(topic, below).await;
        }
        everywhere
    }
}
