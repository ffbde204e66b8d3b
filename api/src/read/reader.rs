//! A read on its way down: the caches, the database, GitHub.

use std::sync::{Arc, LazyLock};

use chrono::NaiveDate;
use metrics::Counter;
use tokio_util::task::TaskTracker;

use super::catalogues::{Catalogues, is_of};
use super::loader::{FROM_DATABASE, Loaded, Loader};
use super::on_demand::OnDemand;
use crate::cache::{Hit, Tiers};
use crate::error::Error;
use crate::lists::catalogue::Catalogue;
use crate::lists::order;
use crate::model::list::{ListMeta, Version};
use crate::model::ranking::Ranking;
use crate::model::repository::{Places, RepositoryDetails, RepositoryId, StoredRepository};
use crate::model::topic::Topic;
use crate::store::{Fault, SharedStore};
use crate::telemetry::LIST_READS;

/// The counters of reads by tier. To look one up costs more than a list from memory.
static READS: LazyLock<[(&str, Counter); 3]> = LazyLock::new(|| {
    ["memory", "redis", "database"]
        .map(|tier| (tier, metrics::counter!(LIST_READS, "tier" => tier)))
});

fn count_read(tier: &str) {
    if let Some((_, reads)) = READS.iter().find(|(name, _)| *name == tier) {
        reads.increment(1);
    }
}

/// Serves lists. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    tiers: Tiers,
    loader: Loader,
    on_demand: OnDemand,
    catalogues: Catalogues,
    public: SharedStore,
}

impl Reader {
    #[must_use]
    pub fn new(
        tiers: Tiers,
        loader: Loader,
        on_demand: OnDemand,
        public: SharedStore,
        tasks: TaskTracker,
    ) -> Self {
        let catalogues = Catalogues::new(Arc::clone(&public), tasks);
        Self { tiers, loader, on_demand, catalogues, public }
    }

    /// The topic's lists from the fastest place that has them.
    ///
    /// # Errors
    /// When there is no list, or no part answers that could tell.
    pub async fn lists(&self, topic: &Topic) -> Result<Hit, Error> {
        let hit = self.find(topic).await?;
        count_read(hit.tier());
        Ok(hit)
    }

    async fn find(&self, topic: &Topic) -> Result<Hit, Error> {
        if let Some(hit) = self.tiers.nearest(topic).await {
            self.loader.note_read(topic);
            return Ok(hit);
        }
        let load = self.loader.load(topic);
        // A reader does not wait for a database that was just found down if a cache has a copy.
        if self.loader.is_database_down()
            && let Some(hit) = self.unconfirmed(topic).await
        {
            return Ok(hit);
        }
        match load.await {
            Loaded::Hit(hit) => {
                self.loader.note_read(topic);
                Ok(hit)
            }
            Loaded::Nothing => {
                let bundle = self.on_demand.fetch(topic).await?;
                Ok(Hit { bundle, cache_status: FROM_DATABASE, is_stale: false })
            }
            Loaded::Failed(error) => self.unconfirmed(topic).await.ok_or(error),
        }
    }

    /// The lists of a topic that is tracked. The read starts no fetch.
    ///
    /// # Errors
    /// When the topic is not tracked or has no list yet, or no part answers that could tell.
    pub async fn tracked(&self, topic: &Topic) -> Result<Hit, Error> {
        if let Some(hit) = self.tiers.nearest(topic).await {
            self.loader.note_read(topic);
            return Ok(hit);
        }
        match self.loader.load(topic).await {
            Loaded::Hit(hit) => {
                self.loader.note_read(topic);
                Ok(hit)
            }
            Loaded::Nothing => Err(self.on_demand.reason(topic).await?),
            Loaded::Failed(error) => self.unconfirmed(topic).await.ok_or(error),
        }
    }

    /// The lists of a topic that has some. The read starts no fetch, and does not keep a topic that
    /// nobody else reads.
    pub async fn published(&self, topic: &Topic) -> Option<Hit> {
        if let Some(hit) = self.tiers.nearest(topic).await {
            return Some(hit);
        }
        match self.loader.load(topic).await {
            Loaded::Hit(hit) => Some(hit),
            Loaded::Nothing => None,
            Loaded::Failed(_) => self.tiers.lookup(topic).await,
        }
    }

    /// All of a topic's repositories, now or as of a past day, of this version of its lists or a
    /// newer one.
    ///
    /// # Errors
    /// When the topic is not tracked any more, or the database does not answer.
    pub async fn catalogue(
        &self,
        topic: &Topic,
        day: Option<NaiveDate>,
        version: Version,
    ) -> Result<Arc<Catalogue>, Error> {
        self.catalogues.get(topic, day, version).await
    }

    /// A repository with its places in its topics; `None` if it is not known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn repository(&self, id: RepositoryId) -> Result<Option<RepositoryDetails>, Error> {
        let Some(stored) = self.public.repository(id).await? else { return Ok(None) };
        let StoredRepository { repository, topics, former_names } = stored;
        let mut topics_ranked = Vec::new();
        for topic in &topics {
            topics_ranked.extend(self.places(id, topic).await?);
        }
        Ok(Some(RepositoryDetails { repository, topics_ranked, former_names }))
    }

    /// The places of a repository in a topic. If memory has no current catalogue of the topic, the
    /// database counts them, for which it reads all of the topic's repositories.
    async fn places(&self, id: RepositoryId, topic: &Topic) -> Result<Option<Places>, Error> {
        if let Some(catalogue) = self.catalogues.kept(topic).await
            && let Some(hit) = self.published(topic).await
            && is_of(&catalogue, hit.bundle.meta.version())
            && let Some(places) = order::places(&catalogue, id)
        {
            return Ok(Some(places));
        }
        Ok(self.public.places(id, topic).await?)
    }

    /// The lists that the caches have, while the database does not answer.
    async fn unconfirmed(&self, topic: &Topic) -> Option<Hit> {
        let hit = self.tiers.lookup(topic).await?;
        if !hit.is_stale {
            self.loader.note_read(topic);
        }
        Some(hit)
    }

    /// The JSON of a ranking as the database has it, and the facts for its headers.
    ///
    /// # Errors
    /// The same as those of [`Reader::lists`].
    pub async fn stored_list(
        &self,
        topic: &Topic,
        ranking: Ranking,
    ) -> Result<(ListMeta, Vec<u8>), Error> {
        let list = match self.loader.list(topic, ranking).await? {
            Some(list) => {
                self.loader.note_read(topic);
                list
            }
            None => {
                self.on_demand.fetch(topic).await?;
                let fetched = self.loader.list(topic, ranking).await?;
                fetched.ok_or(Error::Database(Fault::Down))?
            }
        };
        count_read("database");
        Ok(list)
    }
}
