//! The store on PostgreSQL, shared by every replica.

mod dialect;
#[path = "sql/statements.rs"]
mod statements;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Postgres, Transaction};
use tracing::info;

use super::error::{INVALID_CATALOG_NAME, Result};
use super::migrations::{MigrationText, migrator, newest};
use super::traits::Store;

/// The migrations, by version; the same numbers as SQLite's.
const MIGRATIONS: &[MigrationText] = &[
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, "ordered reads", include_str!("../../migrations/postgres/0002_ordered_reads.sql")),
    (3, "unconfirmed", include_str!("../../migrations/postgres/0003_unconfirmed.sql")),
];

/// Takes the writers' lock: one writer at a time, as on SQLite. Writers are few and short, and with
/// one lock they cannot deadlock. The number is arbitrary, but the same in every replica.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7106914)";

/// Reads are short. More connections than this would only queue for the database's own cores.
const CONNECTIONS: u32 = 10;

/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest time to open a connection outside the pool.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of each connection. The time-outs keep a statement, and a writer that was cut off,
/// from blocking the others for ever. The data is in memory: with the default cost of random pages,
/// PostgreSQL reads all repositories rather than look up a hundred.
const SESSION: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("random_page_cost", "1.1"),
];

/// The SQLSTATEs of a database that another replica has just created.
const ALREADY_THERE: [&str; 2] = ["42P04", "23505"];

/// A read-only snapshot, planned for each topic: a generic plan, which PostgreSQL may settle on,
/// looks up each row of a large topic.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL plan_cache_mode = force_custom_plan";

pub(super) struct PostgresStore {
    pool: PgPool,
    options: PgConnectOptions,
}

impl PostgresStore {
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
    async fn read(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin_with(BEGIN_READ).await?)
    }

    /// A transaction that may write.
    async fn write(&self) -> Result<Transaction<'static, Postgres>> {
        let mut transaction = self.begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// The beginning of a transaction whose first statement carries [`dialect::WITH_LOCK`].
    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    fn migrator() -> Migrator {
        migrator(MIGRATIONS)
    }

    /// Creates the database itself if it is missing and the role may.
    async fn create_database(&self) -> Result<()> {
        match connect(&self.options).await {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(connection) => return Ok(connection.close().await?),
        }
        // The server takes the role's name for a client that names no database.
        let name = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        let mut connection = connect(&self.options.clone().database("postgres")).await?;
        let created = sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await;
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

/// Whether the server answers, but has no such database.
fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(INVALID_CATALOG_NAME)
}

/// Opens a connection outside the pool.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connection) => connection,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn bootstrap(&self) -> Result<bool> {
        self.create_database().await?;
        let new = !self.has_schema().await?;
        // The index of a large table takes longer than a statement may.
        let patient = self.options.clone().options([("statement_timeout", "0")]);
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT);
        let pool = pool.connect_with(patient).await?;
        let made = Self::migrator().run(&pool).await;
        pool.close().await;
        made?;
        Ok(new)
    }

    async fn has_schema(&self) -> Result<bool> {
        let table = "SELECT to_regclass('_sqlx_migrations')::text";
        let table: Option<String> = match sqlx::query_scalar(table).fetch_one(&self.pool).await {
            Err(error) if is_missing(&error) => None,
            table => table?,
        };
        if table.is_none() {
            return Ok(false);
        }
        let version = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        let version: Option<i64> = sqlx::query_scalar(version).fetch_one(&self.pool).await?;
        Ok(version >= newest(MIGRATIONS))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
