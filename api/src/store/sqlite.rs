//! The store on SQLite: one file, one writer, several readers (WAL).

mod refreshes;
mod topics;

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row, SqlSafeStr, Sqlite, Transaction};

use super::{Result, Store};
use crate::quota::{Bucket, Quota};

/// The migrations, by version; the same numbers as PostgreSQL's.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql"))];

/// Reads are short; more connections than this only queue for the same two cores.
const READERS: u32 = 8;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection before it is told that the database is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// SQLite behind the seam.
pub(super) struct SqliteStore {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, which is made if it is missing.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(sqlx::Error::from)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
        let writer = pool.clone().max_connections(1).connect_with(options.clone()).await?;
        let readers = pool.max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer })
    }

    /// A transaction that may write. It takes the write lock at once: a read lock that grows can fail half-way.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn migrator() -> Migrator {
        let migration = |&(version, description, sql): &(i64, &'static str, &'static str)| {
            Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql.into_sql_str(), false)
        };
        Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
    }
}

/// A batch's parameter: a JSON array that `json_each` takes apart.
#[expect(clippy::expect_used, reason = "strings, numbers and dates are always JSON")]
fn json_array<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).expect("plain data")
}

/// A column of text that has a type of its own.
fn text<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) })
}

#[async_trait]
impl Store for SqliteStore {
    async fn bootstrap(&self) -> Result<bool> {
        let new = !self.has_schema().await?;
        Self::migrator().run(&self.writer).await?;
        Ok(new)
    }

    async fn has_schema(&self) -> Result<bool> {
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&self.readers)
            .await?;
        if tables == 0 {
            return Ok(false);
        }
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(&self.readers).await?;
        Ok(version >= MIGRATIONS.last().map(|(version, ..)| *version))
    }

    async fn quota(&self, bucket: Bucket) -> Result<Quota> {
        let row = sqlx::query(
            "SELECT version, limit_, remaining, reset_at, next_at, paused_until, strikes FROM quotas WHERE bucket = $1",
        )
        .bind(<&str>::from(bucket))
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(Quota::default()) };
        Ok(Quota {
            version: row.try_get("version")?,
            limit: row.try_get("limit_")?,
            remaining: row.try_get("remaining")?,
            reset_at: row.try_get("reset_at")?,
            next_at: row.try_get("next_at")?,
            paused_until: row.try_get("paused_until")?,
            strikes: row.try_get("strikes")?,
        })
    }

    async fn save_quota(&self, bucket: Bucket, quota: &Quota) -> Result<bool> {
        let saved = sqlx::query(
            "INSERT INTO quotas (bucket, version, limit_, remaining, reset_at, next_at, paused_until, strikes)
             VALUES ($1, $2 + 1, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (bucket) DO UPDATE SET version = excluded.version, limit_ = excluded.limit_,
                 remaining = excluded.remaining, reset_at = excluded.reset_at, next_at = excluded.next_at,
                 paused_until = excluded.paused_until, strikes = excluded.strikes
             WHERE quotas.version = $2",
        )
        .bind(<&str>::from(bucket))
        .bind(quota.version)
        .bind(quota.limit)
        .bind(quota.remaining)
        .bind(quota.reset_at)
        .bind(quota.next_at)
        .bind(quota.paused_until)
        .bind(quota.strikes)
        .execute(&self.writer)
        .await?;
        Ok(saved.rows_affected() == 1)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
