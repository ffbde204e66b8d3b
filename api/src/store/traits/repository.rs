//! Single repositories in the store.

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::model::counts::RepositoryDays;
use crate::model::event::RepositoryEvent;
use crate::model::repository::{FullName, NameOwner, Places, RepositoryId, StoredRepository};
use crate::model::topic::Topic;
use crate::store::Result;

/// Single repositories. They are kept after they have left every topic, as long as their history.
#[async_trait]
pub trait RepositoryStore: Send + Sync {
    /// The repository that has the name, or else the one that had it last. Names are compared
    /// without case. If several rows have the name, the one that a refresh saw last is meant: the
    /// others were renamed since.
    async fn name_owner(&self, name: &FullName) -> Result<Option<NameOwner>>;

    async fn repository(&self, id: RepositoryId) -> Result<Option<StoredRepository>>;

    /// The places of a repository in a topic with a list, counted over all of its repositories.
    async fn places(&self, id: RepositoryId, topic: &Topic) -> Result<Option<Places>>;

    /// The days of a repository from the first given one to the last; without one, all of them.
    async fn repository_days(
        &self,
        id: RepositoryId,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
    ) -> Result<Option<RepositoryDays>>;

    /// The last events of a repository in all topics, newest first, at most `limit`. A change that
    /// is an event of several topics comes once.
    async fn repository_events(&self, id: RepositoryId, limit: i64)
    -> Result<Vec<RepositoryEvent>>;
}
