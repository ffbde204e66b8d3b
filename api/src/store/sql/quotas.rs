//! GitHub's limits, one row a resource.

use async_trait::async_trait;
use sqlx::Row as _;

use super::dialect::SqlStore;
use crate::model::quota::{Quota, Resource};
use crate::store::{QuotaStore, Result};

#[async_trait]
impl QuotaStore for SqlStore {
    async fn quota(&self, resource: Resource) -> Result<Quota> {
        let select =
            "SELECT version, limit_, remaining, reset_at, next_at, busy_until, paused_until,
                 strikes, saved_at
             FROM quotas WHERE bucket = $1";
        let row = query!(select, <&str>::from(resource))
            .fetch_optional(&mut self.reader().await?)
            .await?;
        let Some(row) = row else { return Ok(Quota::default()) };
        Ok(Quota {
            version: row.try_get("version")?,
            limit: row.try_get("limit_")?,
            remaining: row.try_get("remaining")?,
            reset_at: row.try_get("reset_at")?,
            next_at: row.try_get("next_at")?,
            busy_until: row.try_get("busy_until")?,
            paused_until: row.try_get("paused_until")?,
            secondary_limits: row.try_get("strikes")?,
            saved_at: row.try_get("saved_at")?,
        })
    }

    async fn save_quota(&self, resource: Resource, quota: &Quota) -> Result<bool> {
        let insert =
            "INSERT INTO quotas (bucket, version, limit_, remaining, reset_at, next_at, busy_until,
                 paused_until, strikes, saved_at)
             VALUES ($1, $2 + 1, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (bucket) DO UPDATE SET version = excluded.version,
                 limit_ = excluded.limit_, remaining = excluded.remaining,
                 reset_at = excluded.reset_at, next_at = excluded.next_at,
                 busy_until = excluded.busy_until, paused_until = excluded.paused_until,
                 strikes = excluded.strikes, saved_at = excluded.saved_at
             WHERE quotas.version = $2";
        let saved = query!(
            insert,
            <&str>::from(resource),
            quota.version,
            quota.limit,
            quota.remaining,
            quota.reset_at,
            quota.next_at,
            quota.busy_until,
            quota.paused_until,
            quota.secondary_limits,
            quota.saved_at
        )
        .execute(&mut self.writer().await?)
        .await?;
        Ok(saved.rows_affected() == 1)
    }
}
