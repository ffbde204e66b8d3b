//! Errors of the store.

/// SQLSTATE invalid_catalog_name: the database does not exist.
pub(super) const INVALID_CATALOG_NAME: &str = "3D000";

/// The result of a store method.
pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or answers with an error.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the schema could not be made: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process holds the lease now, or the topic was deleted. Nothing more of the refresh
    /// may be stored.
    #[error("another process has taken over the refresh, or its topic was deleted")]
    LeaseLost,
}
