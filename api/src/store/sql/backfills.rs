//! Backfilled counts of stars, and the days on which GitHub was asked for them.

use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::Row as _;

use super::counts;
use super::dialect::{Row, SqlStore};
use crate::model::counts::Span;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;
use crate::store::{BackfillStore, Result, Unfilled};

#[async_trait]
impl BackfillStore for SqlStore {
    async fn unfilled(&self, topic: &Topic, day: NaiveDate) -> Result<Vec<Unfilled>> {
        let select = "SELECT id, full_name, stargazers_count, created_at
             FROM topic_repositories JOIN repositories ON id = topic_repositories.repository_id
             WHERE topic = $1
               AND NOT EXISTS (SELECT 1 FROM backfilled WHERE backfilled.repository_id = id)
               AND NOT EXISTS
                   (SELECT 1 FROM backfills WHERE backfills.repository_id = id AND asked_on = $2)
             ORDER BY stargazers_count DESC, id";
        let rows = query!(select, topic.as_str(), day).fetch_all(&mut self.reader().await?).await?;
        let unfilled = |row: &Row| {
            Ok(Unfilled {
                id: row.try_get("id")?,
                full_name: row.try_get("full_name")?,
                stars: row.try_get("stargazers_count")?,
                created_at: row.try_get("created_at")?,
            })
        };
        Ok(rows.iter().map(unfilled).collect::<sqlx::Result<_>>()?)
    }

    async fn backfill(
        &self,
        repository: RepositoryId,
        spans: &[Span],
        day: NaiveDate,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let note = "INSERT INTO backfills (repository_id, asked_on)
            SELECT id, $2 FROM repositories WHERE id = $1
            ON CONFLICT (repository_id) DO UPDATE SET asked_on = excluded.asked_on";
        // A repository that was deleted since has no history any more.
        if query!(note, repository, day).execute(&mut transaction).await?.rows_affected() == 1 {
            let old = query!("DELETE FROM backfilled WHERE repository_id = $1", repository);
            old.execute(&mut transaction).await?;
            counts::write(&mut transaction, "backfilled", spans).await?;
        }
        Ok(transaction.commit().await?)
    }
}
