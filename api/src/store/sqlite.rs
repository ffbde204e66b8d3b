//! The store on SQLite: one file, one writer, several readers (WAL).

// Each database compiles the same statements with its own names.
#[path = "sql/quotas.rs"]
mod quotas;
#[path = "sql/refreshes.rs"]
mod refreshes;
#[path = "sql/rows.rs"]
mod rows;
#[path = "sql/topics.rs"]
mod topics;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Transaction};

use super::{MigrationText, Result, Store, UPSERT_CHANGED, UPSERT_INTO, UpsertedRow, migrator};
use crate::model::repository::{Repository, RepositoryId};
use crate::model::topic::Topic;
use rows::{text, written};

use sqlx::Sqlite as Database;
use sqlx::sqlite::{SqliteConnection as Connection, SqliteRow as Row};

/// The migrations, by version; the same numbers as PostgreSQL's.
const MIGRATIONS: &[MigrationText] = &[
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "ordered reads", include_str!("../../migrations/sqlite/0002_ordered_reads.sql")),
];

/// The rows of a batch of ids, which is always the first parameter.
const EACH_ID: &str = "json_each($1)";

/// The rows of a batch of names, likewise.
const EACH_NAME: &str = "json_each($1)";

/// The rows of a batch of ids with their places in it, from 0. The limit is none, but keeps SQLite
/// from reading the batch anew for each row that it is joined with.
const PLACES: &str = "(SELECT value, key AS place FROM json_each($1) LIMIT -1) AS best";

/// A transaction that writes has the only write lock from its begin.
const WITH_LOCK: &str = "";

/// Reads are short; more connections than this only queue for the same two cores.
const READERS: u32 = 8;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection before it is told that the database is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a writer waits for those before it, each of which may wait for another process.
const WRITER_TIMEOUT: Duration = Duration::from_secs(15);

/// Rows that SQLite's thread may be ahead: a whole list, since with sqlx's 50 the two threads wake
/// each other all the time.
const ROWS_AHEAD: usize = 512;

/// SQLite behind the seam.
pub(super) struct SqlStore {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl SqlStore {
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
        let pool = SqlitePoolOptions::new();
        let writer = pool
            .clone()
            .max_connections(1)
            .acquire_timeout(WRITER_TIMEOUT)
            .connect_with(options.clone())
            .await?;
        let readers = pool
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self { readers, writer })
    }

    fn reader(&self) -> &SqlitePool {
        &self.readers
    }

    fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// A transaction that sees the data of one instant.
    async fn read(&self) -> Result<Transaction<'static, Database>> {
        Ok(self.readers.begin().await?)
    }

    /// A transaction that may write. It takes the write lock at once: a read lock that grows can
    /// fail half-way.
    async fn write(&self) -> Result<Transaction<'static, Database>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The beginning of a transaction whose first statement carries [`WITH_LOCK`].
    async fn begin(&self) -> Result<Transaction<'static, Database>> {
        self.write().await
    }

    fn migrator() -> Migrator {
        migrator(MIGRATIONS)
    }
}

/// A batch's parameter: a JSON array that `json_each` takes apart.
#[expect(clippy::expect_used, reason = "strings, numbers and dates are always JSON")]
fn json_array<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).expect("plain data")
}

fn ids(ids: &[RepositoryId]) -> String {
    json_array(ids)
}

fn names(topics: &[Topic]) -> String {
    json_array(topics)
}

/// Stores the repositories that are new or differ, and returns those.
async fn upsert(
    connection: &mut Connection,
    repositories: &[Repository],
    now: DateTime<Utc>,
) -> Result<Vec<UpsertedRow>> {
    let batch: Vec<_> = repositories
        .iter()
        .map(|repository| {
            json!([
                repository.id,
                repository.node_id,
                repository.name,
                repository.full_name,
                repository.owner,
                repository.html_url,
                repository.description,
                repository.homepage,
                repository.language,
                repository.license,
                json!(repository.topics).to_string(),
                repository.default_branch,
                repository.fork,
                repository.archived,
                repository.disabled,
                repository.is_template,
                repository.size,
                repository.stargazers_count,
                repository.forks_count,
                repository.open_issues_count,
                repository.created_at.map(|time| time.to_rfc3339()),
                repository.updated_at.to_rfc3339(),
                repository.pushed_at.map(|time| time.to_rfc3339()),
            ])
        })
        .collect();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "{UPSERT_INTO}
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9,
             value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, value->>16, value->>17, value->>18,
             value->>19, value->>20, value->>21, value->>22, $2
         FROM json_each($1) WHERE true
         {UPSERT_CHANGED}"
    )))
    .bind(json_array(&batch))
    .bind(now)
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(written).collect::<sqlx::Result<_>>()?)
}

#[async_trait]
impl Store for SqlStore {
    async fn bootstrap(&self) -> Result<bool> {
        let new = !self.has_schema().await?;
        Self::migrator().run(&self.writer).await?;
        Ok(new)
    }

    async fn has_schema(&self) -> Result<bool> {
        let tables: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
        )
        .fetch_one(&self.readers)
        .await?;
        if tables == 0 {
            return Ok(false);
        }
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.readers)
                .await?;
        Ok(version >= MIGRATIONS.last().map(|(version, ..)| *version))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
