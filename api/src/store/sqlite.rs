//! The store on SQLite: one file, one writer, several readers (WAL).

mod dialect;
mod file;
#[path = "sql/statements.rs"]
mod statements;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use self::file::{Comparison, OpenFile};
use self::statements::{Checkout, Pools};
use super::error::{Result, StoreError};
use super::migrations::{MigrationText, migrator};
use super::traits::StandbyStore;
use crate::model::topic::Topic;

/// The migrations, by version; the same numbers as PostgreSQL's.
const MIGRATIONS: &[MigrationText] = &[
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "ordered reads", include_str!("../../migrations/sqlite/0002_ordered_reads.sql")),
    (3, "unconfirmed", include_str!("../../migrations/sqlite/0003_unconfirmed.sql")),
    (4, "database life", include_str!("../../migrations/sqlite/0004_database_life.sql")),
    (5, "clocks", include_str!("../../migrations/sqlite/0005_clocks.sql")),
    (6, "history", include_str!("../../migrations/sqlite/0006_history.sql")),
    (7, "backfills", include_str!("../../migrations/sqlite/0007_backfills.sql")),
    (8, "names", include_str!("../../migrations/sqlite/0008_names.sql")),
    (9, "purges", include_str!("../../migrations/sqlite/0009_purges.sql")),
];

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait for a statement's answer.
const STATEMENT_TIME: Duration = Duration::from_secs(60);

/// The rows that SQLite's thread may be ahead of the reader: a whole list. With sqlx's 50 the two
/// threads wake each other all the time.
const ROWS_AHEAD: usize = 512;

#[derive(Clone)]
pub(super) struct SqliteStore {
    pools: Pools,
    options: SqliteConnectOptions,
    file: Arc<OpenFile>,
}

impl StandbyStore for SqliteStore {}

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
        // Makes the file, or says why it cannot be opened.
        options.connect().await?.close().await?;
        let file = Arc::new(OpenFile::new(path).map_err(sqlx::Error::from)?);
        let options = options.create_if_missing(false);
        let pools = Pools::new(options.clone().read_only(true), Some(options.clone()));
        Ok(Self { pools, options, file })
    }

    async fn reader(&self) -> Result<Checkout> {
        self.check_file()?;
        self.pools.reader().acquire().await
    }

    async fn writer(&self) -> Result<Checkout> {
        if let Comparison::Schema(number) = self.file.compare() {
            let mut connection = self.pools.writer().acquire().await?;
            let known: u32 =
                sqlx::query_scalar("PRAGMA schema_version").fetch_one(&mut connection).await?;
            if known != number {
                return Err(self.replaced());
            }
            self.file.accept_schema(number);
        }
        self.check_file()?;
        self.pools.writer().acquire().await
    }

    /// A transaction that sees the data of one instant.
    async fn read(&self) -> Result<Checkout> {
        let mut transaction = self.reader().await?;
        transaction.begin("BEGIN").await?;
        Ok(transaction)
    }

    /// The same for reads that a standby may answer; SQLite has none.
    async fn read_behind(&self, _: Option<&Topic>) -> Result<Checkout> {
        self.read().await
    }

    /// Lets a transaction wait between its statements, which SQLite always does.
    async fn allow_pauses(_: &mut Checkout) -> Result<()> {
        Ok(())
    }

    /// A transaction that may write. It takes the write lock at once: the upgrade of a read lock
    /// can fail half-way.
    async fn write(&self) -> Result<Checkout> {
        let mut transaction = self.writer().await?;
        transaction.begin("BEGIN IMMEDIATE").await?;
        Ok(transaction)
    }

    /// The beginning of a transaction whose first statement carries [`dialect::WITH_LOCK`].
    async fn begin(&self) -> Result<Checkout> {
        self.write().await
    }

    /// Refuses a file that is not the one that was opened.
    fn check_file(&self) -> Result<()> {
        match self.file.compare() {
            Comparison::Replaced => Err(self.replaced()),
            // A writer looks closer.
            Comparison::Same | Comparison::Schema(_) => Ok(()),
        }
    }

    fn replaced(&self) -> StoreError {
        StoreError::Replaced(self.file.path().to_owned())
    }

    /// Makes the schema, or brings it up to date.
    async fn migrate(&self) -> Result<()> {
        let mut connection = self.options.connect().await?;
        migrator(MIGRATIONS).run_direct(None, &mut connection, false).await?;
        Ok(connection.close().await?)
    }
}
