//! The schema: bootstrap creates it, or finds it there.

use api::store::SharedStore;

use crate::databases::{self, Database};

async fn bootstrap_creates_the_schema_once(store: SharedStore) {
    assert!(store.has_schema().await.expect("a database"));
    assert!(!store.bootstrap().await.expect("a schema"), "the schema exists already");
}

contract![bootstrap_creates_the_schema_once];

/// A rolling upgrade shows replicas a schema that is newer than their own.
async fn check_newer_schema(database: Database) {
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    let later = "INSERT INTO _sqlx_migrations \
         SELECT 99, 'later', installed_on, success, checksum, execution_time \
         FROM _sqlx_migrations WHERE version = 1 RETURNING description";
    assert_eq!(database.query(later).await, ["later"]);
    assert!(store.has_schema().await.expect("a database"), "a newer schema is accepted");
    assert!(!store.bootstrap().await.expect("a schema"), "a newer schema is left alone");
    store.close().await;
}

#[tokio::test]
async fn newer_sqlite_schema_is_accepted() {
    check_newer_schema(databases::sqlite()).await;
}

#[tokio::test]
async fn newer_postgres_schema_is_accepted() {
    let Some(database) = databases::postgres() else { return };
    check_newer_schema(database).await;
}
