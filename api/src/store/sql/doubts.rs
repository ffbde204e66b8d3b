//! Members of a topic that a run did not show: those in doubt, and those that leave.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::dialect::{Connection, EACH_ID, SqlStore};
use super::events::{self, Change};
use super::history;
use super::topics::new_revision;
use crate::model::event::{EventKind, LeftReason};
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;
use crate::store::{DoubtStore, Lease, Result, Scope};

/// The repositories of a topic, which is the first parameter, with their places in its rankings.
const PLACED: &str = "
    (SELECT id, confirmed_in, confirmed_at, asked_at, stargazers_count, updated_at,
         row_number() OVER (ORDER BY stargazers_count DESC, id) AS by_stars,
         row_number() OVER (ORDER BY updated_at DESC, id) AS by_update
     FROM topic_repositories JOIN repositories ON id = repository_id WHERE topic = $1) AS placed";

#[async_trait]
impl DoubtStore for SqlStore {
    async fn unconfirmed(
        &self,
        lease: &Lease,
        topic: &Topic,
        scope: Scope,
    ) -> Result<Vec<RepositoryId>> {
        let (topic, depth) = (topic.as_str(), scope.depth());
        let (updated_at, confirmed_at) = scope.since().unzip();
        // mutant in store: a repository with a place in either ranking is unconfirmed
        //     (by_stars <= $3 OR by_update <= $3) => by_stars <= $3
        let select = format!(
            "SELECT id FROM {PLACED}
             WHERE confirmed_in <> $2
               AND (by_stars <= $3 OR by_update <= $3)
               AND ($4 IS NULL OR updated_at > $4 OR confirmed_at < $5)
             ORDER BY coalesce(asked_at, confirmed_at), stargazers_count DESC, id"
        );
        let select = query_scalar!(select, topic, lease.refresh, depth, updated_at, confirmed_at);
        Ok(select.fetch_all(&mut self.reader().await?).await?)
    }

    /// The others come first then.
    async fn note_unanswered(
        &self,
        lease: &Lease,
        topic: &Topic,
        ids: &[RepositoryId],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        let update = format!(
            "UPDATE topic_repositories SET asked_at = $3
             WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
        );
        query!(update, Json(ids), topic.as_str(), now).execute(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn remove(
        &self,
        lease: &Lease,
        topic: &Topic,
        gone: &[(RepositoryId, LeftReason)],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let left = |&(repository, reason): &(RepositoryId, LeftReason)| Change {
            reason: Some(reason),
            ..Change::new(repository, EventKind::Left)
        };
        let changes: Vec<_> = gone.iter().map(left).collect();
        let ids: Vec<RepositoryId> = gone.iter().map(|(id, _)| *id).collect();
        let mut transaction = self.write_as(lease, now).await?;
        events::write(&mut transaction, Some(topic), &changes, now).await?;
        history::end_memberships(&mut transaction, topic, Some(&ids), now).await?;
        new_revision(&mut transaction, topic).await?;
        Ok(transaction.commit().await?)
    }
}

/// Takes repositories that others have displaced out of a topic, and returns their number. In a
/// topic that is kept whole no repository is displaced, and looking for some would take long.
pub(super) async fn remove_displaced(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    scope: Scope,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    // mutant in coverage: no repository of a whole topic is displaced
    //     Scope::First(depth) = scope else { return Ok(0) } => depth = scope.depth().min(500)
    let Scope::First(depth) = scope else { return Ok(0) };
    // mutant in store: only a repository without a place in both rankings is displaced
    //     by_stars > $3 AND by_update > $3 => by_stars > $3
    let select = format!(
        "SELECT id FROM {PLACED} WHERE confirmed_in <> $2 AND by_stars > $3 AND by_update > $3"
    );
    let displaced: Vec<RepositoryId> = query_scalar!(select, topic.as_str(), lease.refresh, depth)
        .fetch_all(&mut *connection)
        .await?;
    if !displaced.is_empty() {
        history::end_memberships(connection, topic, Some(&displaced), now).await?;
    }
    Ok(displaced.len())
}
