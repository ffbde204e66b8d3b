//! Errors of the store.

use std::path::PathBuf;

/// SQLSTATE invalid_catalog_name: the database does not exist.
pub(super) const INVALID_CATALOG_NAME: &str = "3D000";

/// The result of a store method.
pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or answers with an error.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Every connection that callers of this kind may have is in use.
    #[error("the database is busy: too many requests at once")]
    Busy,
    #[error(
        "{} was replaced or overwritten while this process had it open; stop the service, put the \
         file back, and start it again", .0.display()
    )]
    Replaced(PathBuf),
    #[error("the schema could not be made: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process holds the lease now, or the topic was deleted. Nothing more of the refresh
    /// may be stored.
    #[error("another process has taken over the refresh, or its topic was deleted")]
    LeaseLost,
}
