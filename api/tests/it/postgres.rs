//! PostgreSQL as others run it: servers with too few connections, with another encoding, or behind
//! a pooler.

use std::process::Stdio;
use std::time::Duration;

use api::store::Share;
use github_stub::World;
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::databases::{self, Database};
use crate::process::{ApiProcess, api};
use crate::support::{Mirror, say_not_run};

/// The server that `tests/with-servers` started, by its own database.
fn server() -> Option<Database> {
    databases::postgres()?;
    Some(Database::Postgres(std::env::var("TEST_POSTGRES_URL").expect("a server")))
}

/// All clients of the server together have too many connections.
#[tokio::test]
async fn refused_connection_waits_for_an_idle_one() {
    let (Some(server), Some(database)) = (server(), databases::postgres()) else { return };
    let role = format!("few_{:016x}", fastrand::u64(..));
    server.query(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")).await;
    server.query(&format!("GRANT mirror TO {role}")).await;
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    store.close().await;

    let few = database.setting().replacen("//mirror@", &format!("//{role}@"), 1);
    let store = api::store::open(&Database::Postgres(few).url()).await.expect("a database");
    let lists = store.share(Share::Lists);
    for _ in 0..20 {
        let reads = (0..6).map(|index| if index % 2 == 0 { &store } else { &lists }.topics());
        for read in futures_util::future::join_all(reads).await {
            assert!(read.is_ok(), "{read:?}");
        }
    }
    store.close().await;
}

/// The server's other clients have every connection. `/ready` waits a second.
#[tokio::test]
async fn read_fails_as_busy_within_a_second_when_no_connection_is_left() {
    let (Some(server), Some(database)) = (server(), databases::postgres()) else { return };
    let role = format!("none_{:016x}", fastrand::u64(..));
    server.query(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")).await;
    let none = database.setting().replacen("//mirror@", &format!("//{role}@"), 1);
    let store = api::store::open(&Database::Postgres(none).url()).await.expect("a database");
    let read = tokio::time::timeout(Duration::from_secs(1), store.topics()).await;
    let error = read.expect("an answer in time").expect_err("no connection");
    assert_eq!(error.fault(), api::store::Fault::Busy);
    store.close().await;
}

#[tokio::test]
async fn database_is_made_in_utf8_when_the_server_has_another_encoding() {
    let Some(database) = databases::postgres() else { return };
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    let encodings = "SELECT pg_encoding_to_char(encoding)::text FROM pg_database
        WHERE datname IN ('template1', current_database()) ORDER BY datname";
    assert_eq!(database.query(encodings).await, ["LATIN1", "UTF8"]);
    store.close().await;
}

#[tokio::test]
async fn database_in_another_encoding_is_refused_in_one_line() {
    let (Some(server), Some(database)) = (server(), databases::postgres()) else { return };
    let setting = database.setting();
    let (_, rest) = setting.split_once("localhost/").expect("an address");
    let (name, _) = rest.split_once('?').expect("an address");
    server.query(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")).await;
    let mirror = Mirror::start(World::default()).await;
    check_refused(&mirror, &setting, "encoding", "ENCODING 'UTF8' TEMPLATE template0").await;
}

/// Checks that a replica over this database names the fault in the log when it starts, at `/ready`
/// and to readers.
async fn check_refused(mirror: &Mirror, database: &str, fault: &str, words: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    for scheduler in ["external", "internal"] {
        let settings = [
            ("GITHUB_API_URL", &*mirror.stub.url()),
            ("SCHEDULER", scheduler),
            ("DATABASE_URL", database),
        ];
        let process = ApiProcess::start(api(&folder, &settings)).await;
        let (status, ready) = process.get("/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{ready}");
        assert!(ready.contains(&format!("\"database\":\"{fault}\"")), "{ready}");
        assert!(ready.contains(words), "{ready}");
        for path in ["/api/kubernetes", "/bootstrap_db"] {
            let (status, problem) = process.get(path).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {problem}");
            assert!(problem.contains(words), "{path}: {problem}");
        }
        process.signal("-TERM");
        let (_, log) = process.ended().await;
        let at_start = log.lines().find(|line| line.contains("the database cannot be used yet"));
        assert!(at_start.is_some_and(|line| line.contains(words)), "{scheduler}: {log}");
    }
}

/// PgBouncer before the test's server.
struct Pooler {
    port: u16,
    _server: Child,
    _folder: TempDir,
}

impl Pooler {
    /// Starts it with these settings, such as `pool_mode = session`. It connects by this role.
    async fn start(database: &Database, role: &str, settings: &str) -> Option<Self> {
        let setting = database.setting();
        let (_, socket) = setting.split_once("?host=").expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port().await;
        let config = format!(
            "[databases]\n* = host={socket} user={role}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\n{settings}\n"
        );
        let path = folder.path().join("pgbouncer.ini");
        std::fs::write(&path, config).expect("written");
        let mut command = Command::new("pgbouncer");
        // PgBouncer refuses to run as root.
        if is_root() {
            command.args(["-u", "postgres"]);
        }
        command.arg(path).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(server) = command.spawn() else {
            assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "pgbouncer is missing");
            say_not_run("pgbouncer is not installed; `make test` installs it");
            return None;
        };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listens).await.expect("pgbouncer listens");
        Some(Self { port, _server: server, _folder: folder })
    }

    /// The value of DATABASE_URL through the pooler.
    fn setting(&self, database: &Database) -> String {
        let setting = database.setting();
        let (_, rest) = setting.split_once("localhost/").expect("an address");
        let (name, _) = rest.split_once('?').expect("an address");
        format!("postgres://mirror@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }
}

pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

pub(crate) fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// One refuses the settings of sessions, and the other one leaves them out.
#[tokio::test]
async fn pooler_is_refused_with_a_line_that_asks_for_a_direct_connection() {
    for settings in ["", "ignore_startup_parameters = options, extra_float_digits"] {
        let Some(database) = databases::postgres() else { return };
        let mirror = Mirror::start_on(database, World::default(), &[]).await;
        let settings = format!("pool_mode = transaction\n{settings}");
        let pooler = Pooler::start(&mirror.database, "mirror", &settings).await;
        let Some(pooler) = pooler else { return };
        let through = pooler.setting(&mirror.database);
        check_refused(&mirror, &through, "pooler", "direct connection").await;
    }
}

/// The role has the settings that the pooler does not pass on.
#[tokio::test]
async fn pooler_in_session_mode_serves_a_replica() {
    let (Some(server), Some(database)) = (server(), databases::postgres()) else { return };
    let role = format!("pooled_{:016x}", fastrand::u64(..));
    server.query(&format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    for setting in [
        "statement_timeout = '10s'",
        "idle_in_transaction_session_timeout = '5s'",
        "random_page_cost = 1.1",
    ] {
        server.query(&format!("ALTER ROLE {role} SET {setting}")).await;
    }
    let mirror = Mirror::start_on(database, World::generate(60, 7, "kubernetes"), &[]).await;
    let settings = "pool_mode = session\nignore_startup_parameters = options, extra_float_digits";
    let pooler = Pooler::start(&mirror.database, &role, settings).await;
    let Some(pooler) = pooler else { return };
    let through = pooler.setting(&mirror.database);
    let replica = mirror.replica(&[("DATABASE_URL", &through)]).await;
    let ready = replica.get("/ready").await;
    assert_eq!(ready.json()["database"], "up", "{}", ready.text());
    let report = replica.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "complete", "{report}");
    let paths = ["/db/kubernetes", "/db/popularity/kubernetes", "/topics", "/refreshes"];
    for answer in futures_util::future::join_all(paths.map(|path| replica.get(path))).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    assert_eq!(replica.get("/db/kubernetes").await.ids(), mirror.expected("kubernetes")[0]);
}
