//! The upgrade from the release before, whose last migration is 0004, and that release on the
//! schema of this one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use api::model::ranking::Ranking;
use api::store::SharedStore;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr};

use super::history::rows;
use super::{listed_ids, topic_state};
use crate::databases::{self, Database};

/// The last migration of the release before.
const LAST: i64 = 4;

/// The tables of the release before, but for the star counts, which are moved.
const TABLES: [&str; 8] = [
    "topics",
    "repositories",
    "topic_repositories",
    "slices",
    "refreshes",
    "leases",
    "quotas",
    "database_life",
];

/// Rows in every table of the release before.
const ROWS: &[&str] = &[
    "INSERT INTO topics (name, origin, tracked_at, last_read_at, revision, listed_revision,
         modified_at, refreshed_at, complete, total_count, found, covered_at, changes_until)
     VALUES ('kubernetes', 'configured', '2026-08-01T10:00:00.5+00:00',
                 '2026-09-10T10:00:00+00:00', 77, 77, '2026-09-10T10:00:00+00:00',
                 '2026-09-10T10:00:00+00:00', TRUE, 3, 3, '2026-09-10T10:00:00+00:00',
                 '2026-09-10T09:00:00+00:00'),
            ('mcp', 'on_demand', '2026-08-02T23:59:59+00:00', '2026-09-10T10:00:00+00:00', 8, 8,
                 '2026-09-09T10:00:00+00:00', '2026-09-09T10:00:00+00:00', FALSE, 1, 1, NULL, NULL),
            ('new', 'requested', '2026-09-10T10:00:00+00:00', '2026-09-10T10:00:00+00:00', 1, 0,
                 NULL, NULL, FALSE, NULL, NULL, NULL, NULL)",
    "INSERT INTO repositories (id, node_id, name, full_name, owner, html_url, topics, fork,
         archived, disabled, is_template, size, stargazers_count, forks_count, open_issues_count,
         created_at, updated_at, pushed_at, stored_at, version)
     VALUES (1, 'R_1', 'a', 'o/a', 'o', 'https://github.com/o/a', '[\"kubernetes\"]', FALSE, TRUE,
                 FALSE, FALSE, 5, 10, 3, 4, '2020-01-01T00:00:00+00:00',
                 '2026-09-08T10:00:00+00:00', NULL, '2026-09-10T10:00:00+00:00', 7),
            (2, NULL, 'b', 'o/b', NULL, 'https://github.com/o/b', 'null', FALSE, FALSE,
                 FALSE, FALSE, 5, 30, 3, 4, NULL,
                 '2026-09-09T10:00:00+00:00', NULL, '2026-09-10T10:00:00+00:00', 1),
            (3, 'R_3', 'c', 'o/c', 'o', 'https://github.com/o/c', '[]', FALSE, FALSE,
                 FALSE, FALSE, 5, 20, 3, 4, NULL,
                 '2026-09-07T10:00:00+00:00', NULL, '2026-09-10T10:00:00+00:00', 2),
            (4, 'R_4', 'd', 'o/d', 'o', 'https://github.com/o/d', '[]', FALSE, FALSE,
                 FALSE, FALSE, 5, 1, 3, 4, NULL,
                 '2026-09-07T10:00:00+00:00', NULL, '2026-09-10T10:00:00+00:00', 2)",
    "INSERT INTO topic_repositories (topic, repository_id, rank, added_in, confirmed_in,
         confirmed_at, asked_at)
     VALUES ('kubernetes', 1, 1, 1, 2, '2026-09-10T10:00:00+00:00', NULL),
            ('kubernetes', 2, 0, 2, 2, '2026-09-10T10:00:00+00:00', NULL),
            ('kubernetes', 3, NULL, 1, 1, '2026-09-09T10:00:00+00:00', '2026-09-10T10:00:00+00:00'),
            ('mcp', 2, 0, 1, 1, '2026-09-09T10:00:00+00:00', NULL)",
    "INSERT INTO slices (topic, created_from, created_to, refresh_id, read_at)
     VALUES ('kubernetes', '2007-10-01T00:00:00+00:00', '2020-01-01T00:00:00+00:00', 2,
                 '2026-09-10T10:00:00+00:00')",
    // Equal counts on days that follow each other, a gap, and the same count again after another.
    "INSERT INTO star_snapshots (repository_id, day, stargazers_count)
     VALUES (1, '2026-08-30', 10), (1, '2026-08-31', 10), (1, '2026-09-01', 10),
            (1, '2026-09-04', 10), (1, '2026-09-05', 11), (1, '2026-09-06', 11),
            (1, '2026-09-07', 10), (2, '2026-09-01', 30), (3, '2026-09-01', 1),
            (3, '2026-09-03', 1), (4, '2026-09-01', 0)",
    "INSERT INTO refreshes (topic, cause, outcome, started_at, finished_at, report)
     VALUES (NULL, 'schedule', 'partial', '2026-09-09T10:00:00+00:00', '2026-09-09T10:01:00+00:00',
                 '{\"requests\":3}')",
    "INSERT INTO refreshes (parent_id, topic, cause, outcome, started_at, finished_at)
     SELECT id, 'kubernetes', 'schedule', 'complete', '2026-09-10T10:00:00+00:00',
         '2026-09-10T10:01:00+00:00' FROM refreshes",
    "INSERT INTO leases (name, owner, fence, expires_at, refresh_id)
     VALUES ('kubernetes', NULL, 5, '2026-09-10T10:01:00+00:00', 2)",
    "INSERT INTO quotas (bucket, version, limit_, remaining, strikes)
     VALUES ('search', 9, 30, 29, 0)",
];

/// The statements of a run of the release before, and of its other writes, on the day
/// 2026-09-12. Repository 9 is new.
const WRITES: &[&str] = &[
    "INSERT INTO topics (name, origin, tracked_at, last_read_at, revision)
     VALUES ('rust', 'requested', '2026-09-12T10:00:00+00:00', '2026-09-12T10:00:00+00:00', 5)
     ON CONFLICT (name) DO UPDATE SET origin = excluded.origin
     WHERE topics.origin = 'on_demand' AND excluded.origin <> 'on_demand'",
    "INSERT INTO refreshes (parent_id, topic, cause, started_at)
     VALUES (NULL, 'kubernetes', 'schedule', '2026-09-12T10:00:00+00:00') RETURNING topic",
    "INSERT INTO repositories (id, node_id, name, full_name, owner, html_url, description,
         homepage, language, license, topics, default_branch, fork, archived, disabled,
         is_template, size, stargazers_count, forks_count, open_issues_count, created_at,
         updated_at, pushed_at, stored_at)
     VALUES (1, 'R_1', 'a', 'o/a', 'o', 'https://github.com/o/a', 'new', NULL, NULL, NULL,
                 '[\"kubernetes\"]', 'main', FALSE, TRUE, FALSE, FALSE, 5, 40, 3, 4, NULL,
                 '2026-09-12T09:00:00+00:00', NULL, '2026-09-12T10:00:00+00:00'),
            (9, 'R_9', 'z', 'o/z', 'o', 'https://github.com/o/z', NULL, NULL, NULL, NULL,
                 '[\"kubernetes\"]', 'main', FALSE, FALSE, FALSE, FALSE, 5, 2, 3, 4, NULL,
                 '2026-09-12T08:00:00+00:00', NULL, '2026-09-12T10:00:00+00:00')
     ON CONFLICT (id) DO UPDATE SET description = excluded.description,
         stargazers_count = excluded.stargazers_count, updated_at = excluded.updated_at,
         stored_at = excluded.stored_at, version = repositories.version + 1
     WHERE (repositories.stargazers_count) IS DISTINCT FROM (excluded.stargazers_count)
     RETURNING name",
    "INSERT INTO topic_repositories (topic, repository_id, added_in, confirmed_in, confirmed_at)
     VALUES ('kubernetes', 1, 3, 3, '2026-09-12T10:00:00+00:00'),
            ('kubernetes', 2, 3, 3, '2026-09-12T10:00:00+00:00'),
            ('kubernetes', 9, 3, 3, '2026-09-12T10:00:00+00:00')
     ON CONFLICT (topic, repository_id) DO UPDATE
     SET confirmed_in = excluded.confirmed_in, confirmed_at = excluded.confirmed_at,
         asked_at = NULL
     RETURNING topic",
    "UPDATE topics SET revision = revision + 1
     WHERE name = 'kubernetes'
        OR name IN (SELECT topic FROM topic_repositories WHERE repository_id IN (1, 9))
     RETURNING name",
    "DELETE FROM topic_repositories WHERE topic = 'kubernetes' AND repository_id IN (3)",
    "DELETE FROM slices WHERE topic = 'kubernetes'",
    "UPDATE topic_repositories SET rank = 2
     WHERE topic = 'kubernetes' AND repository_id = 9 AND rank IS DISTINCT FROM 2",
    "INSERT INTO star_snapshots (repository_id, day, stargazers_count)
     SELECT id, '2026-09-12', stargazers_count
     FROM topic_repositories JOIN repositories ON id = repository_id
     WHERE topic = 'kubernetes' AND confirmed_in = 3
     ON CONFLICT (repository_id, day) DO UPDATE SET stargazers_count = excluded.stargazers_count
     WHERE star_snapshots.stargazers_count <> excluded.stargazers_count",
    "UPDATE topics SET revision = revision + 1, complete = TRUE, shrunk_to = NULL,
         shrunk_at = NULL, covered_at = '2026-09-12T10:00:00+00:00',
         refreshed_at = '2026-09-12T10:00:00+00:00', found = 3, total_count = 3
     WHERE name = 'kubernetes'",
    "UPDATE topics SET listed_revision = revision, modified_at = '2026-09-12T10:00:00+00:00'
     WHERE name = 'kubernetes'",
    // The deletion of a topic, and of what only it kept.
    "DELETE FROM topics WHERE name = 'mcp'",
    "DELETE FROM repositories WHERE id IN (2, 4)
     AND NOT EXISTS (SELECT 1 FROM topic_repositories WHERE repository_id = id)",
    "UPDATE leases SET owner = NULL WHERE name = 'kubernetes'",
];

/// The migrations of the release before, as it runs them.
fn migrator(kind: &str) -> Migrator {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind);
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut migrations: Vec<Migration> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let (version, name) = name.split_once('_').expect("a number and a name");
            let sql = std::fs::read_to_string(&path).expect("a file").replace("\r\n", "\n");
            let (version, name) = (version.parse().expect("a number"), name.replace('_', " "));
            let sql = AssertSqlSafe(sql).into_sql_str();
            Migration::new(version, Cow::Owned(name), MigrationType::Simple, sql, false)
        })
        .filter(|migration| migration.version <= LAST)
        .collect();
    migrations.sort_by_key(|migration| migration.version);
    assert_eq!(migrations.len(), 4);
    Migrator::with_migrations(migrations)
}

/// Makes the database of the release before, with rows in every table.
async fn make_old_database(database: &Database) {
    match database {
        Database::Sqlite(_) => {
            let url = format!("{}?mode=rwc", database.setting());
            let pool = sqlx::SqlitePool::connect(&url).await.expect("a new file");
            migrator("sqlite").run(&pool).await.expect("migrated");
            pool.close().await;
        }
        Database::Postgres(url) => {
            let options: PgConnectOptions = url.parse().expect("a URL");
            let name = options.get_database().expect("a name").to_owned();
            let server = options.database("postgres").connect().await;
            let mut server = server.expect("a connection");
            let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
            let create = sqlx::query(AssertSqlSafe(create));
            create.execute(&mut server).await.expect("a database");
            server.close().await.expect("closed");
            let pool = sqlx::PgPool::connect(url).await.expect("a connection");
            migrator("postgres").run(&pool).await.expect("migrated");
            pool.close().await;
        }
    }
    for insert in ROWS {
        database.query(insert).await;
    }
}

/// The columns of the tables of the release before.
async fn columns(database: &Database) -> BTreeMap<&'static str, Vec<String>> {
    let mut columns = BTreeMap::new();
    for table in TABLES {
        let names = match database {
            Database::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Database::Postgres(_) => format!(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_name = '{table}'"
            ),
        };
        columns.insert(table, database.query(&names).await);
    }
    columns
}

/// Every row of these columns, as text.
async fn contents(
    database: &Database,
    columns: &BTreeMap<&'static str, Vec<String>>,
) -> BTreeMap<&'static str, Vec<String>> {
    let mut contents = BTreeMap::new();
    for (table, columns) in columns {
        let text = |column: &String| format!("'{column}=' || coalesce(CAST({column} AS TEXT), '')");
        let texts = columns.iter().map(text).collect::<Vec<_>>().join(" || ' ' || ");
        let rows = database.query(&format!("SELECT {texts} FROM {table} ORDER BY 1")).await;
        assert!(!rows.is_empty(), "{table} has rows");
        contents.insert(*table, rows);
    }
    contents
}

/// The days of the star counts that the release before had.
const DAYS: [&str; 11] = [
    "1 2026-08-30 10 - -",
    "1 2026-08-31 10 - -",
    "1 2026-09-01 10 - -",
    "1 2026-09-04 10 - -",
    "1 2026-09-05 11 - -",
    "1 2026-09-06 11 - -",
    "1 2026-09-07 10 - -",
    "2 2026-09-01 30 - -",
    "3 2026-09-01 1 - -",
    "3 2026-09-03 1 - -",
    "4 2026-09-01 0 - -",
];

async fn upgrade_loses_nothing(store: SharedStore, database: &Database) {
    let columns = columns(database).await;
    let before = contents(database, &columns).await;
    assert!(!store.has_schema().await.expect("a database"), "an older schema is not accepted");
    assert!(store.bootstrap().await.expect("a schema"), "bootstrap upgrades an older schema");
    assert!(store.has_schema().await.expect("a database"));
    for (table, rows) in contents(database, &columns).await {
        assert_eq!(rows, before[table], "{table}");
    }
    assert_eq!(rows(&*store, "counts").await, DAYS);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::BestMatch).await, [2, 1]);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 3, 1]);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Activity).await, [2, 1, 3]);
    assert_eq!(listed_ids(&*store, "mcp", Ranking::Activity).await, [2]);
    assert_eq!(topic_state(&*store, "kubernetes").await.revision, 77);
    // The first filling of both topics was before, so nothing of it counts as joined.
    assert_eq!(
        rows(&*store, "members").await,
        [
            "kubernetes 1 2 - 2026-08-01",
            "kubernetes 2 1 - 2026-08-01",
            "kubernetes 3 - - 2026-08-01",
            "mcp 2 1 - 2026-08-02",
        ]
    );
    let topics = rows(&*store, "topics").await;
    let filled = topics.iter().map(|row| row.split(' ').nth(2).unwrap_or_default());
    assert_eq!(filled.collect::<Vec<_>>(), ["complete", "top", "-"], "{topics:?}");
    assert!(!store.bootstrap().await.expect("a schema"), "a second bootstrap changes nothing");
    assert_eq!(rows(&*store, "counts").await, DAYS);
}

/// During a rolling upgrade, a replica of the release before writes on.
async fn release_before_runs_on_the_new_schema(store: SharedStore, database: &Database) {
    store.bootstrap().await.expect("a schema");
    for write in WRITES {
        database.query(write).await;
    }
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::BestMatch).await, [2, 1, 9]);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [1, 2, 9]);
    assert!(!store.bootstrap().await.expect("a schema"));
    assert_eq!(database.query("SELECT 'left' FROM star_snapshots").await, [""; 0]);
    let mut days = DAYS.to_vec();
    days.extend(["1 2026-09-12 40 - -", "2 2026-09-12 30 - -", "9 2026-09-12 2 - -"]);
    days.sort_unstable();
    assert_eq!(rows(&*store, "counts").await, days);
    assert_eq!(
        rows(&*store, "members").await,
        [
            "kubernetes 1 2 - 2026-08-01",
            "kubernetes 2 1 - 2026-08-01",
            "kubernetes 9 3 - 2026-09-12",
        ]
    );
}

/// Star counts of more repositories than one transaction moves, of which the last ones cannot be
/// moved.
async fn upgrade_that_breaks_off_goes_on_where_it_ended(store: SharedStore, database: &Database) {
    store.bootstrap().await.expect("a schema");
    let numbers = "WITH RECURSIVE each(id) AS
        (SELECT 1001 UNION ALL SELECT id + 1 FROM each WHERE id < 2200)";
    database
        .query(&format!(
            "INSERT INTO repositories (id, name, full_name, html_url, topics, fork, archived,
                 disabled, is_template, size, stargazers_count, forks_count, open_issues_count,
                 updated_at, stored_at)
             {numbers} SELECT id, 'a', 'o/a', 'https://github.com/o/a', '[]', FALSE, FALSE, FALSE,
                 FALSE, 5, 10, 3, 4, '2026-09-08T10:00:00+00:00', '2026-09-08T10:00:00+00:00'
             FROM each"
        ))
        .await;
    for day in ["2026-09-01", "2026-09-02"] {
        let add = "INSERT INTO star_snapshots (repository_id, day, stargazers_count)";
        database.query(&format!("{add} {numbers} SELECT id, '{day}', 7 FROM each")).await;
    }
    let (forbid, allow) = match database {
        Database::Sqlite(_) => (
            "CREATE TRIGGER forbid BEFORE INSERT ON counts WHEN new.repository_id = 2100
             BEGIN SELECT RAISE(ABORT, 'forbidden'); END",
            "DROP TRIGGER forbid",
        ),
        Database::Postgres(_) => (
            "ALTER TABLE counts ADD CONSTRAINT forbid CHECK (repository_id <> 2100)",
            "ALTER TABLE counts DROP CONSTRAINT forbid",
        ),
    };
    database.query(forbid).await;
    assert!(store.bootstrap().await.is_err());
    let left = "SELECT DISTINCT CAST(repository_id AS TEXT) FROM star_snapshots";
    let (left, moved) = (database.query(left).await, rows(&*store, "counts").await);
    assert!((1..1_200).contains(&left.len()), "{} repositories are left", left.len());
    assert_eq!(moved.len(), DAYS.len() + (1_200 - left.len()) * 2);
    database.query(allow).await;
    store.bootstrap().await.expect("a schema");
    assert_eq!(rows(&*store, "counts").await.len(), DAYS.len() + 2_400);
    assert_eq!(database.query("SELECT 'left' FROM star_snapshots").await, [""; 0]);
}

/// Runs a check on a database of the release before.
async fn check(database: Database, check: impl AsyncFn(SharedStore, &Database)) {
    make_old_database(&database).await;
    let store = api::store::open(&database.url()).await.expect("a database");
    check(SharedStore::clone(&store), &database).await;
    store.close().await;
}

#[tokio::test]
async fn sqlite_upgrade_loses_nothing() {
    check(databases::sqlite(), upgrade_loses_nothing).await;
}

#[tokio::test]
async fn postgres_upgrade_loses_nothing() {
    let Some(database) = databases::postgres() else { return };
    check(database, upgrade_loses_nothing).await;
}

#[tokio::test]
async fn release_before_runs_on_the_new_sqlite_schema() {
    check(databases::sqlite(), release_before_runs_on_the_new_schema).await;
}

#[tokio::test]
async fn release_before_runs_on_the_new_postgres_schema() {
    let Some(database) = databases::postgres() else { return };
    check(database, release_before_runs_on_the_new_schema).await;
}

#[tokio::test]
async fn sqlite_upgrade_that_breaks_off_goes_on_where_it_ended() {
    check(databases::sqlite(), upgrade_that_breaks_off_goes_on_where_it_ended).await;
}

#[tokio::test]
async fn postgres_upgrade_that_breaks_off_goes_on_where_it_ended() {
    let Some(database) = databases::postgres() else { return };
    check(database, upgrade_that_breaks_off_goes_on_where_it_ended).await;
}
