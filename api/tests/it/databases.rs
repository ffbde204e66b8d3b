//! Databases for tests, each empty and its own.

use api::config::{Config, DatabaseUrl};
use std::ffi::OsString;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::say_not_run;

/// A database that does not exist yet.
pub(crate) enum Database {
    Sqlite(TempDir),
    /// The value of DATABASE_URL.
    Postgres(String),
}

/// An SQLite file.
pub(crate) fn sqlite() -> Database {
    Database::Sqlite(tempfile::tempdir().expect("a temporary folder"))
}

/// A database of the PostgreSQL that `tests/with-servers` started. Without it there is nothing to
/// test on, which is said, and is an error where every database must be tested.
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
        Config::read(&source).expect("a valid address").database
    }

    /// Rows of a query of the tests' own, as text.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(_) => {
                let pool = sqlx::SqlitePool::connect(&self.setting()).await.expect("the file");
                sqlx::query_scalar(sql).fetch_all(&pool).await.expect("a valid query")
            }
            Self::Postgres(url) => {
                let pool = sqlx::PgPool::connect(url).await.expect("the database");
                sqlx::query_scalar(sql).fetch_all(&pool).await.expect("a valid query")
            }
        }
    }
}
