//! An empty database for each test.

use std::ffi::OsString;
use std::path::PathBuf;

use api::config::Config;
use api::store::DatabaseUrl;
use sqlx::Connection;
use tempfile::TempDir;

use crate::support::say_not_run;

/// The address of a database that does not exist yet.
pub(crate) enum Database {
    Sqlite(TempDir),
    /// The value of DATABASE_URL.
    Postgres(String),
}

/// An SQLite file.
pub(crate) fn sqlite() -> Database {
    Database::Sqlite(tempfile::tempdir().expect("a temporary folder"))
}

/// A database of the PostgreSQL server that `tests/with-servers` started. If there is no server,
/// this prints that the test is skipped, or panics if REQUIRE_ALL_BACKENDS is set.
pub(crate) fn postgres() -> Option<Database> {
    let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
        assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "TEST_POSTGRES_URL is not set");
        say_not_run("TEST_POSTGRES_URL names no PostgreSQL; `make test` starts one");
        return None;
    };
    Some(Database::Postgres(url.replacen(
        "/postgres?",
        &format!("/test_{:016x}?", fastrand::u64(..)),
        1,
    )))
}

impl Database {
    /// The value of DATABASE_URL.
    pub(crate) fn setting(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", self.path(folder).display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    fn path(&self, folder: &TempDir) -> PathBuf {
        folder.path().join("mirror.sqlite")
    }

    pub(crate) fn url(&self) -> DatabaseUrl {
        let setting = self.setting();
        let source = |name: &str| (name == "DATABASE_URL").then(|| OsString::from(&setting));
        Config::read(&source).expect("a valid URL").database
    }

    /// Runs a query whose rows are one text each.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(_) => {
                let pool =
                    sqlx::SqlitePool::connect(&self.setting()).await.expect("the file opens");
                sqlx::query_scalar(sql).fetch_all(&pool).await.expect("a valid query")
            }
            Self::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await.expect("a connection");
                let rows = sqlx::query_scalar(sql).fetch_all(&mut connection).await;
                // A poll asks often, and the server has only so many connections.
                drop(connection.close().await);
                rows.expect("a valid query")
            }
        }
    }
}
