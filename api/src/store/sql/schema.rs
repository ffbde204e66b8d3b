//! The database as a whole.

use std::iter::repeat_with;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::dialect::{HAS_MIGRATIONS, MIGRATIONS, SqlStore};
use crate::store::migrations::newest;
use crate::store::{
    ConnectionCounts, FailingWrites, Fault, Result, Share, SharedStore, StandbyStore, Store,
};

/// The size of a trial write. A full disk may still have room for a short row.
const TRIAL_BYTES: usize = 128 << 10;

#[async_trait]
impl Store for SqlStore {
    async fn bootstrap(&self) -> Result<bool> {
        let new = !self.has_schema().await?;
        self.migrate().await?;
        self.take_over_old_rows().await?;
        Ok(new)
    }

    async fn has_schema(&self) -> Result<bool> {
        let mut connection = match self.reader().await {
            Err(error) if error.fault() == Fault::NoSchema => return Ok(false),
            connection => connection?,
        };
        let has_migrations: bool = query_scalar!(HAS_MIGRATIONS).fetch_one(&mut connection).await?;
        if !has_migrations {
            return Ok(false);
        }
        let version = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        let version: Option<i64> = query_scalar!(version).fetch_one(&mut connection).await?;
        Ok(version >= newest(MIGRATIONS))
    }

    fn share(&self, share: Share) -> SharedStore {
        Arc::new(Self { pools: self.pools.share(share), ..self.clone() })
    }

    fn failing_writes(&self) -> Option<FailingWrites> {
        self.pools.failing_writes()
    }

    fn connection_counts(&self) -> ConnectionCounts {
        self.pools.connection_counts()
    }

    async fn try_write(&self, now: DateTime<Utc>) -> Result<()> {
        // Random, or the database would compress it.
        let cause: String = repeat_with(fastrand::alphanumeric).take(TRIAL_BYTES).collect();
        let mut transaction = self.write().await?;
        query!("INSERT INTO refreshes (cause, started_at) VALUES ($1, $2)", cause, now)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.undo().await?)
    }

    async fn close(&self) {
        self.pools.close().await;
        self.close_standby().await;
    }
}
