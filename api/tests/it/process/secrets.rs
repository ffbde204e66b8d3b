//! Secrets are told to nobody: neither at the log level trace, nor by errors, answers and reports,
//! nor by the command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use github_stub::{Fault, FaultKind, Stub, World};
use reqwest::Method;
use tempfile::TempDir;

use super::{ApiProcess, api, output, stub};
use crate::databases::{self, Database};
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::support::{http_client, send};

/// Libraries log little unless they are named.
const TRACE: &str = "trace,sqlx=trace,hyper=trace,hyper_util=trace,reqwest=trace,redis=trace";

const GITHUB: &str = "ghp-Seventeen-Walnuts";
const MAINTENANCE: &str = "maint-Copper-Kettle";
/// With a character that an address has to encode.
const DATABASE: &str = "pg-Violet%2fAnchor";
const REDIS: &str = "redis-Amber-Lantern";
const PURGE: &str = "purge-Indigo-Compass";
/// A client's wrong token may differ from the right one by a letter.
const GUESS: &str = "maint-Copper-Kettl3";

/// The forms in which a program may write a text.
fn forms(secret: &str) -> Vec<String> {
    let decoded = secret.replace("%2f", "/");
    let numbers: Vec<String> = decoded.bytes().map(|byte| byte.to_string()).collect();
    let hexadecimal: String = decoded.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(&decoded);
    // The end depends on what follows.
    let base64 = base64[..base64.len() / 4 * 4 - 4].to_owned();
    vec![secret.to_owned(), decoded, numbers.join(", "), hexadecimal, base64]
}

#[track_caller]
fn assert_secret(text: &str, place: &str) {
    for secret in [GITHUB, MAINTENANCE, DATABASE, REDIS, PURGE, GUESS] {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
                panic!("{place} has {form}: {:.400}", &text[from..]);
            }
        }
    }
}

/// Servers that each want a secret, with a cut in the way to the database.
struct Servers {
    stub: Stub,
    elsewhere: Stub,
    database: Database,
    to_database: Proxy,
    redis: Redis,
    folder: TempDir,
}

impl Servers {
    async fn start() -> Option<Self> {
        let (Some(database), Some(redis)) = (databases::postgres(), Redis::start().await) else {
            return None;
        };
        let setting = database.setting();
        let (_, folder) = setting.split_once("?host=").expect("the folder of the socket");
        let to_database = Proxy::to(PathBuf::from(folder).join(".s.PGSQL.5432")).await;
        redis.command(&["CONFIG", "SET", "requirepass", REDIS]).await;
        let stub = stub(World::generate(700, 7, "kubernetes")).await;
        let elsewhere = Stub::start(World::default()).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self { stub, elsewhere, database, to_database, redis, folder })
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let setting = self.database.setting();
        let name = setting.split_once('?').and_then(|(url, _)| url.rsplit_once('/'));
        let (_, name) = name.expect("a database");
        let port = self.to_database.port;
        vec![
            ("RUST_LOG", TRACE.to_owned()),
            ("SCHEDULER", "external".to_owned()),
            ("GITHUB_API_URL", self.stub.url()),
            ("GITHUB_TOKEN", GITHUB.to_owned()),
            ("MAINTENANCE_TOKEN", MAINTENANCE.to_owned()),
            ("PURGE_URL", "http://127.0.0.1:1".to_owned()),
            ("PURGE_DIALECT", "cloudflare".to_owned()),
            ("PURGE_KEY", PURGE.to_owned()),
            ("DATABASE_URL", format!("postgres://mirror:{DATABASE}@127.0.0.1:{port}/{name}")),
            ("REDIS_URL", format!("unix:{}?pass={REDIS}", self.redis.socket().display())),
        ]
    }

    fn command(&self, more: &[(&'static str, &str)]) -> tokio::process::Command {
        let mut settings = self.settings();
        settings.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        api(&self.folder, &settings)
    }
}

/// Asks for maintenance and for every kind of answer, and checks each.
async fn ask(process: &ApiProcess) {
    let http = http_client();
    let bearer = |token: &str| format!("Bearer {token}");
    for (method, path, authorization) in [
        (Method::POST, "/bootstrap_db", bearer(MAINTENANCE)),
        (Method::POST, "/update_cache?topic=kubernetes", bearer(MAINTENANCE)),
        (Method::POST, "/update_cache", bearer(GUESS)),
        (Method::DELETE, "/topics/kubernetes", format!("Basic {MAINTENANCE}")),
        (Method::GET, "/api/kubernetes", bearer(GITHUB)),
        (Method::GET, "/db/kubernetes", String::new()),
        (Method::GET, "/topics", String::new()),
        (Method::GET, "/refreshes", String::new()),
        (Method::GET, "/ready", String::new()),
        (Method::GET, "/status", String::new()),
        (Method::GET, "/openapi.json", String::new()),
        (Method::GET, "/nothing", bearer(MAINTENANCE)),
    ] {
        let url = format!("{}{path}", process.url);
        let answer = send(&http, method, &url, &[("authorization", &authorization)]).await;
        assert_secret(&format!("{answer:?} {}", answer.text()), path);
    }
}

/// Every row of every table, as text.
async fn rows(database: &Database) -> String {
    let tables = "SELECT table_to_xml(class.oid::regclass, true, false, '')::text
        FROM pg_class AS class JOIN pg_namespace AS space ON space.oid = class.relnamespace
        WHERE class.relkind = 'r' AND space.nspname = 'public'";
    database.query(tables).await.concat()
}

#[tokio::test]
async fn secrets_are_in_no_log_answer_report_or_command_line() {
    let Some(mut servers) = Servers::start().await else { return };
    let process = ApiProcess::start(servers.command(&[])).await;
    ask(&process).await;
    let location = format!("{}/search/repositories", servers.elsewhere.url());
    for fault in [
        Fault::from(FaultKind::Unauthorized).times(3),
        FaultKind::Redirect { to: location }.into(),
        FaultKind::Forbidden.into(),
        FaultKind::Reset.into(),
    ] {
        servers.stub.world().faults = vec![fault];
        ask(&process).await;
    }
    let command_line = std::fs::read(format!("/proc/{}/cmdline", process.id())).expect("a process");
    assert_secret(&String::from_utf8_lossy(&command_line), "the command line");
    let rows = rows(&servers.database).await;
    assert!(rows.contains("kubernetes") && rows.contains("GITHUB_TOKEN"), "the reports are there");
    assert_secret(&rows, "the database");
    assert!(servers.stub.world().counters.requests.len() > 15, "GitHub was asked");
    assert_eq!(servers.elsewhere.world().counters.requests, []);
    servers.redis.kill().await;
    // The service asks Redis twice a second.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        ask(&process).await;
    }
    servers.to_database.cut();
    ask(&process).await;
    process.signal("-TERM");
    let (_, log) = process.ended().await;
    for part in ["Redis does not answer", "the database failed", "\"level\":\"TRACE\""] {
        assert!(log.contains(part), "the log has no {part}");
    }
    assert_secret(&log, "the log");
}

#[tokio::test]
async fn secrets_are_in_no_output_of_a_command_that_fails() {
    let Some(servers) = Servers::start().await else { return };
    let broken_url = format!("postgres://mirror:{DATABASE}@127.0.0.1:none/x");
    let broken_redis = format!("redis://:{REDIS}@[127.0.0.1/0");
    let broken_token = format!("{GITHUB}\u{7f}");
    let broken_key = format!("{PURGE} ");
    let proxied = format!("http://mirror:{REDIS}@127.0.0.1:1/");
    servers.to_database.cut();
    for (arguments, more, code) in [
        (&["refresh"][..], &[][..], 1),
        (&["bootstrap"], &[], 1),
        (&["export", "archive"], &[], 1),
        (&["backfill", "kubernetes"], &[], 1),
        (&["serve", "--github-token", "x"], &[], 2),
        (&["--help"], &[], 0),
        (&[], &[("LISTEN_ADDR", "nowhere")], 2),
        (&[], &[("DATABASE_URL", &*broken_url)], 2),
        (&[], &[("REDIS_URL", &broken_redis)], 2),
        (&[], &[("GITHUB_TOKEN", &broken_token), ("LOG_FORMAT", "x")], 2),
        (&[], &[("PURGE_KEY", &broken_key), ("PURGE_DIALECT", "x")], 2),
        (&[], &[("PUBLIC_URL", &proxied), ("LOG_FORMAT", "x")], 2),
        (&["refresh"], &[("GITHUB_API_URL", &proxied)], 2),
    ] {
        let mut command = servers.command(more);
        command.args(arguments);
        let (ended, out, err) = output(command).await;
        assert_secret(&out, "standard output");
        assert_secret(&err, "standard error");
        assert_eq!(ended, code, "{arguments:?} {more:?}: {err:.2000}");
    }
}
