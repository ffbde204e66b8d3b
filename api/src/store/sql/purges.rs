//! Purges, one row a topic.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::types::Json;

use super::dialect::{AS_INTEGER, EACH_ROW, SqlStore};
use super::text;
use crate::store::{Change, PurgeStore, Result};

#[async_trait]
impl PurgeStore for SqlStore {
    async fn unpurged(&self) -> Result<Vec<Change>> {
        let select = "SELECT name, listed_revision FROM topics LEFT JOIN purges ON topic = name
             WHERE listed_revision <> COALESCE(purges.revision, 0)
             UNION ALL
             SELECT topic, NULL FROM purges
             WHERE NOT EXISTS (SELECT 1 FROM topics WHERE name = topic)
             ORDER BY 1";
        let rows = query!(select).fetch_all(&mut self.reader().await?).await?;
        let change = |row| Ok((text(row, "name")?, row.try_get("listed_revision")?));
        Ok(rows.iter().map(change).collect::<sqlx::Result<_>>()?)
    }

    async fn note_purged(&self, changes: &[Change]) -> Result<()> {
        let mut transaction = self.write().await?;
        let insert = format!(
            "INSERT INTO purges (topic, revision)
             SELECT value->>0, (value->>1){AS_INTEGER} FROM {EACH_ROW}
             WHERE value->>1 IS NOT NULL
             ON CONFLICT (topic) DO UPDATE SET revision = excluded.revision"
        );
        query!(insert, Json(changes)).execute(&mut transaction).await?;
        let delete = format!(
            "DELETE FROM purges WHERE topic IN
                 (SELECT value->>0 FROM {EACH_ROW} WHERE value->>1 IS NULL)"
        );
        query!(delete, Json(changes)).execute(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }
}
