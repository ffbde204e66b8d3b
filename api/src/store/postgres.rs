//! The store on PostgreSQL, shared by every replica.

mod dialect;
#[path = "sql/statements.rs"]
mod statements;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tracing::info;

use self::statements::{Checkout, Pools};
use super::error::{INVALID_CATALOG_NAME, Result};
use super::fault::Fault;
use super::migrations::{MigrationText, migrator};

/// The migrations, by version; the same numbers as SQLite's.
const MIGRATIONS: &[MigrationText] = &[
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, "ordered reads", include_str!("../../migrations/postgres/0002_ordered_reads.sql")),
    (3, "unconfirmed", include_str!("../../migrations/postgres/0003_unconfirmed.sql")),
    (4, "database life", include_str!("../../migrations/postgres/0004_database_life.sql")),
    (5, "clocks", include_str!("../../migrations/postgres/0005_clocks.sql")),
    (6, "history", include_str!("../../migrations/postgres/0006_history.sql")),
    (7, "backfills", include_str!("../../migrations/postgres/0007_backfills.sql")),
    (8, "names", include_str!("../../migrations/postgres/0008_names.sql")),
    (9, "purges", include_str!("../../migrations/postgres/0009_purges.sql")),
];

/// Takes the writers' lock: one writer at a time, as on SQLite. Writers are few and short, and with
/// one lock they cannot deadlock. The number is arbitrary, but the same in every replica.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7106914)";

/// The longest time to open a connection for the schema.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait for a statement's answer. The server ends a statement sooner, unless it is
/// silent or the network is.
const STATEMENT_TIME: Duration = Duration::from_secs(12);

/// The SQLSTATE of a server whose clients together have too many connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The SQLSTATE of a protocol violation: PgBouncer's answer to settings that it does not know.
const PROTOCOL_VIOLATION: &str = "08P01";

/// The SQLSTATE of an encoding that does not fit the server's locale.
const INVALID_PARAMETER: &str = "22023";

/// The settings of each connection. The time-outs keep a statement, and a writer that was cut off,
/// from blocking the others for ever. The data is in memory: with the default cost of random pages,
/// PostgreSQL reads all repositories rather than look up a hundred.
const SESSION: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("random_page_cost", "1.1"),
];

/// The SQLSTATEs of a database that another replica has just created.
const ALREADY_THERE: [&str; 2] = ["42P04", "23505"];

/// A read-only snapshot, planned for each topic: a generic plan, which PostgreSQL may settle on,
/// looks up each row of a large topic.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL plan_cache_mode = force_custom_plan";

#[derive(Clone)]
pub(super) struct PostgresStore {
    pools: Pools,
    options: PgConnectOptions,
}

impl PostgresStore {
    /// A store that connects when it is first used: a server that is down is no error yet.
    pub(super) fn open(options: &PgConnectOptions) -> Self {
        let options = options.clone().options(SESSION);
        Self { pools: Pools::new(options.clone(), None), options }
    }

    async fn reader(&self) -> Result<Checkout> {
        self.pools.reader().acquire().await
    }

    async fn writer(&self) -> Result<Checkout> {
        self.pools.writer().acquire().await
    }

    /// A transaction that sees the data of one instant.
    async fn read(&self) -> Result<Checkout> {
        let mut transaction = self.reader().await?;
        transaction.begin(BEGIN_READ).await?;
        Ok(transaction)
    }

    /// The same for a caller that works between the statements, such as an export.
    async fn read_slowly(&self) -> Result<Checkout> {
        let mut transaction = self.read().await?;
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0")
            .execute(&mut transaction)
            .await?;
        Ok(transaction)
    }

    /// A transaction that may write.
    async fn write(&self) -> Result<Checkout> {
        let mut transaction = self.begin().await?;
        sqlx::query(LOCK).execute(&mut transaction).await?;
        Ok(transaction)
    }

    /// The beginning of a transaction whose first statement carries [`dialect::WITH_LOCK`].
    async fn begin(&self) -> Result<Checkout> {
        let mut transaction = self.writer().await?;
        transaction.begin("BEGIN").await?;
        Ok(transaction)
    }

    /// Makes the schema, or brings it up to date.
    async fn migrate(&self) -> Result<()> {
        self.create_database().await?;
        // The index of a large table takes longer than a statement may.
        let patient = self.options.clone().options([("statement_timeout", "0")]);
        let mut connection = connect(&patient).await?;
        migrator(MIGRATIONS).run_direct(None, &mut connection, false).await?;
        Ok(connection.close().await?)
    }

    /// Creates the database itself if it is missing and the role may.
    async fn create_database(&self) -> Result<()> {
        match connect(&self.options).await {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(mut connection) => {
                check_connection(&mut connection).await?;
                return Ok(connection.close().await?);
            }
        }
        // The server takes the role's name for a client that names no database.
        let name = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        let create = format!(
            "CREATE DATABASE \"{}\" ENCODING 'UTF8' TEMPLATE template0",
            name.replace('"', "\"\"")
        );
        let mut connection = connect(&self.options.clone().database("postgres")).await?;
        let mut created =
            sqlx::raw_sql(AssertSqlSafe(create.as_str())).execute(&mut connection).await;
        // A server whose locale has another encoding takes UTF8 only with the locale C.
        if created.as_ref().is_err_and(|error| has_code(error, INVALID_PARAMETER)) {
            let create = format!("{create} LC_COLLATE 'C' LC_CTYPE 'C'");
            created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await;
        }
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
    has_code(error, INVALID_CATALOG_NAME)
}

/// Whether the server refused a connection because its clients have too many.
fn is_full(error: &sqlx::Error) -> bool {
    has_code(error, TOO_MANY_CONNECTIONS)
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some(code)
}

/// Checks that a new connection leads to PostgreSQL itself and to a database in UTF8. A pooler in
/// transaction mode, such as PgBouncer, keeps neither settings nor prepared statements.
async fn check_connection(connection: &mut PgConnection) -> sqlx::Result<()> {
    let settings = "SELECT current_setting('server_encoding') AS encoding,
        current_setting('idle_in_transaction_session_timeout') AS time_limit";
    // A simple query, because a pooler may answer a prepared one by another connection.
    let settings = sqlx::raw_sql(settings).fetch_one(connection).await?;
    let (encoding, limit): (&str, &str) = (settings.try_get(0)?, settings.try_get(1)?);
    if limit != SESSION[1].1 {
        return Err(unusable(Fault::Pooler));
    }
    if encoding != "UTF8" {
        return Err(unusable(Fault::Encoding));
    }
    Ok(())
}

/// The error of a database that cannot be used as it is set up.
fn unusable(fault: Fault) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(fault))
}

/// Names the reason of a pooler that refuses this service's settings.
fn explain(error: sqlx::Error) -> sqlx::Error {
    if has_code(&error, PROTOCOL_VIOLATION) && error.to_string().contains("startup parameter") {
        unusable(Fault::Pooler)
    } else {
        error
    }
}

/// Opens a connection outside the pool.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connection) => connection.map_err(explain),
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
