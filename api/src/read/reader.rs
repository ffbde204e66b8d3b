//! A read on its way down: the caches, the database, GitHub.

use super::loader::{Loaded, Loader};
use super::on_demand::OnDemand;
use crate::cache::{Cached, Hit, Tiers};
use crate::error::Error;
use crate::lists::json::JsonWriter;
use crate::model::list::ListMeta;
use crate::model::ranking::Ranking;
use crate::model::topic::Topic;
use crate::store::Fault;

/// Cache-Status of a list from the database.
pub(crate) const FROM_DATABASE: &str = "database; fwd=miss";

/// Serves lists. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    tiers: Tiers,
    loader: Loader,
    on_demand: OnDemand,
}

impl Reader {
    #[must_use]
    pub fn new(tiers: Tiers, loader: Loader, on_demand: OnDemand) -> Self {
        Self { tiers, loader, on_demand }
    }

    /// The topic's lists from the fastest place that has them.
    ///
    /// # Errors
    /// When there is no list, or no part answers that could tell.
    pub async fn lists(&self, topic: &Topic) -> Result<Hit, Error> {
        let stale = match self.tiers.lookup(topic).await {
            Cached::Fresh(hit) => {
                self.loader.note_read(topic);
                return Ok(hit);
            }
            Cached::Stale(hit) => Some(hit),
            Cached::Miss => None,
        };
        let load = self.loader.load(topic);
        // A reader with a stale copy does not wait for a database that was just found down.
        if self.loader.is_database_down()
            && let Some(hit) = stale
        {
            return Ok(hit);
        }
        let bundle = match load.await {
            Loaded::Bundle(bundle) => {
                self.loader.note_read(topic);
                bundle
            }
            Loaded::Nothing => self.on_demand.fetch(topic).await?,
            Loaded::Failed(error) => return stale.ok_or(error),
        };
        Ok(Hit { bundle, cache_status: FROM_DATABASE })
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
        let mut writer = JsonWriter::default();
        if let Some(meta) = self.loader.list(topic, ranking, &mut writer).await? {
            self.loader.note_read(topic);
            return Ok((meta, writer.finish()));
        }
        self.on_demand.fetch(topic).await?;
        let mut writer = JsonWriter::default();
        let meta = self.loader.list(topic, ranking, &mut writer).await?;
        meta.map(|meta| (meta, writer.finish())).ok_or(Error::Database(Fault::Down))
    }
}
