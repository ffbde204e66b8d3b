//! The store: everything that is kept, behind traits that both databases implement.
//!
//! Every method is one transaction, except that deletions go on in small ones. Times are
//! parameters, so that both databases behave alike and tests set them.

pub mod archive;
mod changes;
mod error;
mod fault;
mod health;
mod lease;
mod migrations;
mod postgres;
mod revision;
mod sqlite;
mod traits;

use std::path::PathBuf;
use std::sync::Arc;

pub use changes::{CompleteRun, FinishRun, Page, Scope};
pub use error::{Result, StoreError};
pub use fault::Fault;
pub use health::{ConnectionCounts, FailingWrites, StandbyState};
pub use lease::{ALL_TOPICS, BeginOutcome, LEASE_TIME, LEDGER_TIME, Lease, NewRefresh};
pub use postgres::PostgresServers;
pub use revision::first_revision;
pub use traits::{
    ArchiveStore, BackfillStore, Change, Columns, CountsSink, DoubtStore, HistoryStore,
    LedgerStore, ListStore, PurgeStore, QuotaStore, RefreshStore, RepositoryStore, Share,
    SharedStore, SliceStore, StandbyStore, Store, TopicHistoryStore, TopicStore, TrackOutcome,
    Unfilled,
};

/// A database; the scheme of DATABASE_URL decides which.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// `postgres://HOST:PORT,HOST:PORT/NAME`, with role, password and name from POSTGRES_USER,
    /// POSTGRES_PASSWORD and POSTGRES_DB.
    Postgres {
        primary: PostgresServers,
        /// DATABASE_READ_URL.
        standby: Option<PostgresServers>,
    },
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
}

/// Opens the database.
///
/// # Errors
/// When the SQLite file cannot be opened. A server that is down is no error here.
pub async fn open(url: &DatabaseUrl) -> Result<SharedStore> {
    match url {
        DatabaseUrl::Postgres { primary, standby } => {
            Ok(Arc::new(postgres::PostgresStore::open(primary, standby.as_ref())))
        }
        DatabaseUrl::Sqlite(path) => Ok(Arc::new(sqlite::SqliteStore::open(path).await?)),
    }
}
