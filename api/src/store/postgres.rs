//! The store on PostgreSQL, shared by every replica.

mod dialect;
mod servers;
mod standby;
#[path = "sql/statements.rs"]
mod statements;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor as _};
use tracing::info;

pub use self::servers::PostgresServers;
use self::servers::{BEGIN_READ, has_code, is_missing};
use self::standby::Standby;
use self::statements::{Checkout, Pools};
use super::error::Result;
use super::health::StandbyState;
use super::migrations::{MigrationText, migrator};
use super::traits::StandbyStore;
use crate::model::list::Version;
use crate::model::topic::Topic;

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

/// The SQLSTATE of an encoding that does not fit the server's locale.
const INVALID_PARAMETER: &str = "22023";

/// The SQLSTATEs of a database that another replica has just created.
const ALREADY_THERE: [&str; 2] = ["42P04", "23505"];

#[derive(Clone)]
pub(super) struct PostgresStore {
    pools: Pools,
    servers: PostgresServers,
    standby: Option<Standby>,
}

impl PostgresStore {
    /// A store that connects when it is first used: a server that is down is no error yet.
    pub(super) fn open(primary: &PostgresServers, standby: Option<&PostgresServers>) -> Self {
        let servers = primary.for_writes().with_session();
        let standby = standby.map(Standby::new);
        Self { pools: Pools::new(servers.clone(), None), servers, standby }
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

    /// The same for reads that may be some seconds behind: on the standby if there is one that has
    /// the topic's lists as this process knows them.
    async fn read_behind(&self, topic: Option<&Topic>) -> Result<Checkout> {
        if let Some(standby) = &self.standby
            && let Some(transaction) = standby.read(topic).await
        {
            return Ok(transaction);
        }
        self.read().await
    }

    /// Lets a transaction wait between its statements, for a caller such as an export.
    async fn allow_pauses(transaction: &mut Checkout) -> Result<()> {
        let pauses = "SET LOCAL idle_in_transaction_session_timeout = 0";
        sqlx::query(pauses).execute(transaction).await?;
        Ok(())
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
        let mut connection = connect(&self.servers).await?;
        // The index of a large table takes longer than a statement may.
        connection.execute("SET statement_timeout = 0").await?;
        migrator(MIGRATIONS).run_direct(None, &mut connection, false).await?;
        Ok(connection.close().await?)
    }

    /// Creates the database itself if it is missing and the role may.
    async fn create_database(&self) -> Result<()> {
        match connect(&self.servers).await {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(connection) => return Ok(connection.close().await?),
        }
        let name = self.servers.database();
        let create = format!(
            "CREATE DATABASE \"{}\" ENCODING 'UTF8' TEMPLATE template0",
            name.replace('"', "\"\"")
        );
        let mut connection = connect(&self.servers.maintenance()).await?;
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

#[async_trait]
impl StandbyStore for PostgresStore {
    fn standby(&self) -> Option<StandbyState> {
        self.standby.as_ref().map(Standby::state)
    }

    async fn measure_standby(&self) {
        if let Some(standby) = &self.standby {
            standby.measure(&self.pools).await;
        }
    }

    fn note_version(&self, topic: &Topic, version: Version) {
        if let Some(standby) = &self.standby {
            standby.note_version(topic, version);
        }
    }

    async fn close_standby(&self) {
        if let Some(standby) = &self.standby {
            standby.close().await;
        }
    }
}

/// Opens a connection outside the pool.
async fn connect(servers: &PostgresServers) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(CONNECT_TIMEOUT, servers.connect()).await {
        Ok(connection) => connection,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
