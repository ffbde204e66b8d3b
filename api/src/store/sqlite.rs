//! The store on SQLite: one file, one writer, several readers (WAL).

mod dialect;
#[path = "sql/statements.rs"]
mod statements;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use super::error::Result;
use super::migrations::{MigrationText, migrator, newest};
use super::traits::Store;

/// The migrations, by version; the same numbers as PostgreSQL's.
const MIGRATIONS: &[MigrationText] = &[
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "ordered reads", include_str!("../../migrations/sqlite/0002_ordered_reads.sql")),
    (3, "unconfirmed", include_str!("../../migrations/sqlite/0003_unconfirmed.sql")),
];

/// Reads are short. More connections than this would only queue for the same cores.
const READERS: u32 = 8;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a read waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a writer waits for the writers before it, each of which may wait for another process.
const WRITER_TIMEOUT: Duration = Duration::from_secs(15);

/// The rows that SQLite's thread may be ahead of the reader: a whole list. With sqlx's 50 the two
/// threads wake each other all the time.
const ROWS_AHEAD: usize = 512;

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
            .foreign_keys(true)
            .row_buffer_size(ROWS_AHEAD);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(WRITER_TIMEOUT);
        let writer = writer.connect_with(options.clone()).await?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(ACQUIRE_TIMEOUT);
        let readers = readers.connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer })
    }

    fn reader(&self) -> &SqlitePool {
        &self.readers
    }

    fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// A transaction that sees the data of one instant.
    async fn read(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }

    /// A transaction that may write. It takes the write lock at once: the upgrade of a read lock
    /// can fail half-way.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The beginning of a transaction whose first statement carries [`dialect::WITH_LOCK`].
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.write().await
    }

    fn migrator() -> Migrator {
        migrator(MIGRATIONS)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn bootstrap(&self) -> Result<bool> {
        let new = !self.has_schema().await?;
        Self::migrator().run(&self.writer).await?;
        Ok(new)
    }

    async fn has_schema(&self) -> Result<bool> {
        let table = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
        let tables: i64 = sqlx::query_scalar(table).fetch_one(&self.readers).await?;
        if tables == 0 {
            return Ok(false);
        }
        let version = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        let version: Option<i64> = sqlx::query_scalar(version).fetch_one(&self.readers).await?;
        Ok(version >= newest(MIGRATIONS))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
