//! The store on PostgreSQL, shared by every replica.

// Each database compiles the same statements with its own names.
#[path = "sql/quotas.rs"]
mod quotas;
#[path = "sql/refreshes.rs"]
mod refreshes;
#[path = "sql/rows.rs"]
mod rows;
#[path = "sql/topics.rs"]
mod topics;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Transaction};
use tracing::info;

use super::{MigrationText, Result, Store, UPSERT_CHANGED, UPSERT_INTO, UpsertedRow, migrator};
use crate::model::repository::{Repository, RepositoryId};
use crate::model::topic::Topic;
use rows::{text, written};

use sqlx::Postgres as Database;
use sqlx::postgres::{PgConnection as Connection, PgRow as Row};

/// The migrations, by version; the same numbers as SQLite's.
const MIGRATIONS: &[MigrationText] = &[
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, "ordered reads", include_str!("../../migrations/postgres/0002_ordered_reads.sql")),
];

/// The rows of a batch of ids, which is always the first parameter.
const EACH_ID: &str = "UNNEST($1::int8[]) AS each(value)";

/// The rows of a batch of names, likewise.
const EACH_NAME: &str = "UNNEST($1::text[]) AS each(value)";

/// The rows of a batch of ids with their places in it, from 0.
const PLACES: &str = "(SELECT value, ordinality - 1 AS place FROM UNNEST($1::int8[]) WITH ORDINALITY AS each(value, ordinality)) AS best";

/// One writer at a time, as on SQLite: writers are few and short, and meet in no order that could
/// lock them up. The statement that renews a lease takes this lock on its way. The number is any,
/// but the same in every replica.
const WITH_LOCK: &str = " AND pg_advisory_xact_lock(7106914) IS NOT NULL";

/// The same for transactions without a lease.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7106914)";

/// Reads are short; more connections than this only queue for the database's own cores.
const CONNECTIONS: u32 = 10;

/// How long a request waits for a connection before it is told that the database is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection outside the pool may take to come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What every connection sets. No statement, and no writer that was cut off, may hold the others up
/// for ever. And what is read is in memory: by default PostgreSQL thinks of disks that turn, and
/// reads all repositories rather than look up a hundred.
const SESSION: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("random_page_cost", "1.1"),
];

/// The SQLSTATE of a table that does not exist.
pub(super) const UNDEFINED_TABLE: &str = "42P01";

/// That of a database.
pub(super) const INVALID_CATALOG_NAME: &str = "3D000";

/// Those of one that somebody else has just created.
const ALREADY_THERE: [&str; 2] = ["42P04", "23505"];

/// With a plan for each topic: one for all, which PostgreSQL may settle on, looks up each row of a
/// large topic.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan";

/// PostgreSQL behind the seam.
pub(super) struct SqlStore {
    pool: PgPool,
    options: PgConnectOptions,
}

impl SqlStore {
    /// A pool that connects when it is first used: a server that is down is no error yet.
    pub(super) fn open(options: &PgConnectOptions) -> Self {
        let options = options.clone().options(SESSION);
        let pool =
            PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
        Self { pool: pool.connect_lazy_with(options.clone()), options }
    }

    fn reader(&self) -> &PgPool {
        &self.pool
    }

    fn writer(&self) -> &PgPool {
        &self.pool
    }

    /// A transaction that sees the data of one instant.
    async fn read(&self) -> Result<Transaction<'static, Database>> {
        Ok(self.pool.begin_with(BEGIN_READ).await?)
    }

    /// A transaction that may write.
    async fn write(&self) -> Result<Transaction<'static, Database>> {
        let mut transaction = self.begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// The beginning of a transaction whose first statement carries [`WITH_LOCK`].
    async fn begin(&self) -> Result<Transaction<'static, Database>> {
        Ok(self.pool.begin().await?)
    }

    fn migrator() -> Migrator {
        migrator(MIGRATIONS)
    }

    /// Creates the database itself, where the role may and it is missing.
    async fn create_database(&self) -> Result<()> {
        match connect(&self.options).await {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(connection) => return Ok(connection.close().await?),
        }
        // As the server names it for a client that does not.
        let name = self
            .options
            .get_database()
            .unwrap_or_else(|| self.options.get_username())
            .replace('"', "\"\"");
        let mut connection = connect(&self.options.clone().database("postgres")).await?;
        let created = sqlx::query(AssertSqlSafe(format!("CREATE DATABASE \"{name}\"")))
            .execute(&mut connection)
            .await;
        connection.close().await?;
        match created {
            Ok(_) => info!(name, "the database was created"),
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| ALREADY_THERE.contains(&&*code)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The server is there, the database is not.
fn is_missing(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some(INVALID_CATALOG_NAME))
}

/// A connection outside the pool.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<Connection> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connection) => connection,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

fn ids(ids: &[RepositoryId]) -> Vec<RepositoryId> {
    ids.to_vec()
}

fn names(topics: &[Topic]) -> Vec<String> {
    topics.iter().map(Topic::to_string).collect()
}

/// Stores the repositories that are new or differ, and returns those.
async fn upsert(
    connection: &mut Connection,
    repositories: &[Repository],
    now: DateTime<Utc>,
) -> Result<Vec<UpsertedRow>> {
    fn column<'a, T>(
        repositories: &'a [Repository],
        field: impl Fn(&'a Repository) -> T,
    ) -> Vec<T> {
        repositories.iter().map(field).collect()
    }
    let all = repositories;
    let rows = sqlx::query(AssertSqlSafe(format!(
        "{UPSERT_INTO}
         SELECT *, $24::timestamptz FROM UNNEST($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
             $7::text[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::text[], $13::bool[], $14::bool[],
             $15::bool[], $16::bool[], $17::int8[], $18::int8[], $19::int8[], $20::int8[], $21::timestamptz[],
             $22::timestamptz[], $23::timestamptz[])
         {UPSERT_CHANGED}"
    )))
    .bind(column(all, |one| one.id))
    .bind(column(all, |one| one.node_id.as_deref()))
    .bind(column(all, |one| one.name.as_str()))
    .bind(column(all, |one| one.full_name.as_str()))
    .bind(column(all, |one| one.owner.as_deref()))
    .bind(column(all, |one| one.html_url.as_str()))
    .bind(column(all, |one| one.description.as_deref()))
    .bind(column(all, |one| one.homepage.as_deref()))
    .bind(column(all, |one| one.language.as_deref()))
    .bind(column(all, |one| one.license.as_deref()))
    .bind(column(all, |one| Json(&one.topics)))
    .bind(column(all, |one| one.default_branch.as_deref()))
    .bind(column(all, |one| one.fork))
    .bind(column(all, |one| one.archived))
    .bind(column(all, |one| one.disabled))
    .bind(column(all, |one| one.is_template))
    .bind(column(all, |one| one.size))
    .bind(column(all, |one| one.stargazers_count))
    .bind(column(all, |one| one.forks_count))
    .bind(column(all, |one| one.open_issues_count))
    .bind(column(all, |one| one.created_at))
    .bind(column(all, |one| one.updated_at))
    .bind(column(all, |one| one.pushed_at))
    .bind(now)
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(written).collect::<sqlx::Result<_>>()?)
}

#[async_trait]
impl Store for SqlStore {
    async fn bootstrap(&self) -> Result<bool> {
        self.create_database().await?;
        let new = !self.has_schema().await?;
        // An index of a large table takes its time.
        let patient = self.options.clone().options([("statement_timeout", "0")]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(patient)
            .await?;
        let made = Self::migrator().run(&pool).await;
        pool.close().await;
        made?;
        Ok(new)
    }

    async fn has_schema(&self) -> Result<bool> {
        let table = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text")
            .fetch_one(&self.pool)
            .await;
        let table: Option<String> = match table {
            Err(error) if is_missing(&error) => None,
            table => table?,
        };
        if table.is_none() {
            return Ok(false);
        }
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.pool)
                .await?;
        Ok(version >= MIGRATIONS.last().map(|(version, ..)| *version))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
