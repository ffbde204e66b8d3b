//! The schema: bootstrap creates it, finds it there, and upgrades an older one.

use api::model::ranking::Ranking;
use api::store::SharedStore;

use super::{at, listed_ids, repository, store_complete_run};
use crate::databases::{self, Database};

async fn bootstrap_creates_the_schema_once(store: SharedStore) {
    assert!(store.has_schema().await.expect("a database"));
    assert!(!store.bootstrap().await.expect("a schema"), "the schema exists already");
}

contract![bootstrap_creates_the_schema_once];

/// A rolling upgrade shows each replica a schema that is older or newer than its own.
async fn check_upgrade(database: Database) {
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    store_complete_run(&*store, "kubernetes", &[repository(1, 10)], at(0)).await;

    let later = "INSERT INTO _sqlx_migrations \
         SELECT 99, 'later', installed_on, success, checksum, execution_time \
         FROM _sqlx_migrations WHERE version = 1 RETURNING description";
    assert_eq!(database.query(later).await, ["later"]);
    assert!(store.has_schema().await.expect("a database"), "a newer schema is accepted");
    assert!(!store.bootstrap().await.expect("a schema"), "a newer schema is left alone");

    for index in ["repositories_stars", "repositories_updated"] {
        database.query(&format!("DROP INDEX IF EXISTS {index}")).await;
    }
    for (table, column) in
        [("topic_repositories", "asked_at"), ("topics", "unread_at"), ("quotas", "saved_at")]
    {
        database.query(&format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
    }
    database.query("DELETE FROM _sqlx_migrations WHERE version > 1").await;
    assert!(!store.has_schema().await.expect("a database"), "an older schema is not accepted");
    assert!(store.bootstrap().await.expect("a schema"), "bootstrap upgrades an older schema");
    assert!(store.has_schema().await.expect("a database"));
    assert_eq!(
        listed_ids(&*store, "kubernetes", Ranking::Popularity).await,
        [1],
        "the upgrade keeps the rows"
    );
    store.close().await;
}

#[tokio::test]
async fn bootstrap_upgrades_an_older_sqlite_schema() {
    check_upgrade(databases::sqlite()).await;
}

#[tokio::test]
async fn bootstrap_upgrades_an_older_postgres_schema() {
    let Some(database) = databases::postgres() else { return };
    check_upgrade(database).await;
}
