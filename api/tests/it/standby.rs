//! PostgreSQL with TLS, and a standby that takes the primary's place.

use std::time::Duration;

use api::store::DatabaseUrl;
use chrono::TimeDelta;
use github_stub::{Fault, FaultKind, World};
use reqwest::{Method, StatusCode};
use tokio::process::Command;

use crate::databases::Database;
use crate::failover::make_certificate;
use crate::postgres::is_root;
use crate::postgres_server::PostgresServer;
use crate::process::{ApiProcess, api};
use crate::support::{Mirror, assert_lists, eventually};

const PATIENCE: u64 = 60;

/// The value of DATABASE_URL for several servers.
fn several(servers: &[&PostgresServer], parameters: &str) -> String {
    let hosts: Vec<String> =
        servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    format!("postgres://mirror@{}/mirror{parameters}", hosts.join(","))
}

/// A service over a primary and its standby, whose topic was refreshed. Every commit waits for the
/// standby if it is synchronous.
async fn start(is_synchronous: bool) -> Option<(PostgresServer, PostgresServer, Mirror)> {
    let primary = PostgresServer::start(&[]).await?;
    let standby = primary.standby().await;
    // The standby comes first, so that the service has to look for the primary.
    let url = several(&[&standby, &primary], "");
    let world = World::generate(60, 7, "kubernetes");
    let mirror = Mirror::start_on(Database::Postgres(url), world, &[]).await;
    if is_synchronous {
        primary.set("synchronous_standby_names = '*'").await;
    }
    mirror.refresh("kubernetes").await;
    Some((primary, standby, mirror))
}

/// Changes the lists in GitHub's world.
fn change(mirror: &Mirror, stars: i64) {
    let id = mirror.expected("kubernetes")[1][7];
    mirror.stub.world().star(id, stars, "2026-09-21T14:13:21Z".parse().expect("a date"));
}

/// Reads a list from memory and one from the database a hundred times a second until `has_ended`.
/// A read of the database may be told to come again.
async fn read_until(mirror: &Mirror, mut has_ended: impl AsyncFnMut() -> bool) {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for number in 0_usize.. {
        pace.tick().await;
        let answer = mirror.get("/api/popularity/kubernetes").await;
        assert_eq!((answer.status.as_u16(), answer.ids().len()), (200, 60), "read {number}");
        let direct = mirror.get("/db/popularity/kubernetes").await;
        match direct.status {
            StatusCode::OK => assert_eq!(direct.ids().len(), 60, "read {number}"),
            StatusCode::SERVICE_UNAVAILABLE => assert_ne!(direct.header("retry-after"), ""),
            other => panic!("read {number}: {other}: {}", direct.text()),
        }
        if number.is_multiple_of(20) && has_ended().await {
            return;
        }
    }
}

/// The newest run that is complete, if the database answers.
async fn last_complete(mirror: &Mirror) -> Option<u64> {
    let answer = mirror.get("/refreshes").await;
    let runs = (answer.status == StatusCode::OK).then(|| answer.json())?;
    runs.as_array()?.iter().find(|run| run["outcome"] == "complete")?["id"].as_u64()
}

async fn check_current(mirror: &Mirror, primary: &PostgresServer) {
    let expected = mirror.expected("kubernetes");
    assert_lists(&mirror.lists("kubernetes").await, &expected, "/api");
    assert_eq!(mirror.get("/db/popularity/kubernetes").await.ids(), expected[1], "/db");
    let order = "SELECT id::text FROM repositories ORDER BY stargazers_count DESC, id LIMIT 1";
    assert_eq!(primary.database().query(order).await, [expected[1][0].to_string()]);
    let ready = mirror.get("/ready").await;
    assert_eq!(ready.json()["database"], "up", "{}", ready.text());
}

/// The primary is killed in the middle of a refresh.
#[tokio::test]
async fn reads_and_refreshes_go_on_when_a_standby_is_promoted() {
    let Some((primary, standby, mirror)) = start(true).await else { return };
    let epoch = mirror.service.store.epoch().await.expect("a database");
    let before = last_complete(&mirror).await;
    change(&mirror, 9_000_000);
    mirror.stub.world().faults = vec![Fault::from(FaultKind::Slow { millis: 1_000 })];
    let searches = mirror.stub.world().counters.searches;
    let refresh = mirror.request(Method::POST, "/update_cache?topic=kubernetes", &[]);
    let failover = async {
        let is_under_way = async || mirror.stub.world().counters.searches > searches;
        eventually(PATIENCE, "the refresh is under way", is_under_way).await;
        primary.kill().await;
        // A cluster manager waits before it takes the primary for dead.
        tokio::time::sleep(Duration::from_secs(1)).await;
        standby.promote().await;
        // The request to GitHub whose end could not be stored counts as open for 35 s.
        mirror.clock.advance(TimeDelta::seconds(36));
    };
    let reads = read_until(&mirror, async || last_complete(&mirror).await > before);
    let all = async { tokio::join!(refresh, failover, reads) };
    tokio::time::timeout(Duration::from_secs(PATIENCE), all).await.expect("a complete refresh");
    check_current(&mirror, &standby).await;
    assert_eq!(mirror.service.store.epoch().await.expect("a database"), epoch, "the same life");
    assert!(mirror.stub.world().counters.unexpected.is_empty());
}

/// The old primary answers on, but takes no writes. Connections to it stay open.
#[tokio::test]
async fn connections_leave_a_primary_that_has_become_read_only() {
    let Some((primary, standby, mirror)) = start(false).await else { return };
    let read = mirror.get("/db/popularity/kubernetes").await;
    assert_eq!(read.ids().len(), 60);
    primary.set("default_transaction_read_only = on").await;
    let is_read_only = async || {
        let setting = "SELECT current_setting('transaction_read_only')";
        primary.database().query(setting).await == ["on"]
    };
    eventually(PATIENCE, "the primary is read-only", is_read_only).await;
    let refused = mirror.get("/db/popularity/kubernetes").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    let ready = mirror.get("/ready").await;
    assert_eq!(ready.json()["database"], "read_only", "{}", ready.text());
    standby.promote().await;
    change(&mirror, 9_000_000);
    mirror.refresh("kubernetes").await;
    check_current(&mirror, &standby).await;
}

/// Replication is asynchronous, and the standby lacks what the last refresh has stored.
#[tokio::test]
async fn lists_that_a_promoted_standby_lacks_leave_the_caches() {
    let Some((primary, standby, mirror)) = start(false).await else { return };
    let before = mirror.lists("kubernetes").await;
    let lsn = "SELECT pg_current_wal_flush_lsn()::text";
    let sent = primary.database().query(lsn).await.remove(0);
    let replayed = format!("SELECT (pg_last_wal_replay_lsn() >= '{sent}')::text");
    let has_copied = async || standby.database().query(&replayed).await == ["true"];
    eventually(PATIENCE, "the standby has the first refresh", has_copied).await;
    standby.stop().await;
    change(&mirror, 9_000_000);
    mirror.refresh("kubernetes").await;
    let lost = mirror.lists("kubernetes").await;
    assert_ne!(lost, before);
    primary.kill().await;
    assert_lists(&mirror.lists("kubernetes").await, &lost, "while there is no primary");
    standby.launch(&[]).await;
    standby.promote().await;
    mirror.clock.advance(TimeDelta::seconds(61));
    assert_lists(&mirror.lists("kubernetes").await, &before, "as the standby has them");
    mirror.refresh("kubernetes").await;
    check_current(&mirror, &standby).await;
}

/// A standby of reads, as `/ready` tells it.
async fn standby_state(mirror: &Mirror) -> (bool, u64) {
    let ready = mirror.get("/ready").await.json();
    let lag = ready["standby"]["lag_seconds"].as_u64().expect("a lag");
    (ready["standby"]["can_answer"] == true, lag)
}

#[tokio::test]
async fn db_and_history_are_read_from_a_standby_that_is_not_behind() {
    const PATHS: [&str; 3] = [
        "/db/popularity/kubernetes",
        "/topics/kubernetes/history",
        "/exports/kubernetes/history.csv",
    ];
    let Some(primary) = PostgresServer::start(&[]).await else { return };
    let standby = primary.standby().await;
    let read_url = several(&[&standby], "?target_session_attrs=standby");
    let world = World::generate(60, 7, "kubernetes");
    let settings = [("DATABASE_READ_URL", &*read_url)];
    let mirror = Mirror::start_on(primary.database(), world, &settings).await;
    let follows = async || standby_state(&mirror).await == (true, 0);
    mirror.refresh("kubernetes").await;
    eventually(PATIENCE, "the standby is read", follows).await;
    assert!(mirror.get("/status").await.text().contains("<dd>is read <small>0 s behind</small>"));

    // The standby lacks a refresh, which the primary answers from.
    standby.database().query("SELECT pg_wal_replay_pause()::text").await;
    change(&mirror, 9_000_000);
    mirror.refresh("kubernetes").await;
    check_current(&mirror, &primary).await;
    let lags = async || standby_state(&mirror).await.1 > 0;
    eventually(PATIENCE, "the lag is told", lags).await;
    standby.database().query("SELECT pg_wal_replay_resume()::text").await;
    eventually(PATIENCE, "the standby follows again", follows).await;

    let read_all = async || {
        let mut answers = Vec::new();
        for path in PATHS {
            let answer = mirror.get(path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            answers.push(answer.text());
        }
        answers
    };
    primary.kill().await;
    let from_standby = read_all().await;
    let expected = mirror.expected("kubernetes");
    assert_eq!(mirror.get(PATHS[0]).await.ids(), expected[1], "from the standby");
    assert_lists(&mirror.lists("kubernetes").await, &expected, "from memory");

    primary.launch(&[]).await;
    // Memory has the topic's days until a refresh changes them.
    mirror.clock.advance(TimeDelta::days(1));
    change(&mirror, 8_000_000);
    mirror.refresh("kubernetes").await;
    eventually(PATIENCE, "the standby follows the new start", follows).await;
    standby.kill().await;
    for (number, answer) in read_all().await.iter().enumerate() {
        assert_ne!(*answer, from_standby[number], "{}", PATHS[number]);
    }
    let is_down = async || !standby_state(&mirror).await.0;
    eventually(PATIENCE, "the standby is known to be down", is_down).await;
    assert!(mirror.get("/status").await.text().contains("is not read</span> <small>"));
    check_current(&mirror, &primary).await;
}

/// The lag is measured on one standby. The next connection may lead to another one.
#[tokio::test]
async fn standby_that_is_behind_the_measured_one_is_not_read() {
    let Some(primary) = PostgresServer::start(&[]).await else { return };
    let world = World::generate(60, 7, "kubernetes");
    let mirror = Mirror::start_on(primary.database(), world, &[]).await;
    mirror.refresh("kubernetes").await;
    let (current, behind) = (primary.standby().await, primary.standby().await);
    behind.database().query("SELECT pg_wal_replay_pause()::text").await;
    let state = "SELECT pg_get_wal_replay_pause_state()";
    let is_paused = async || behind.database().query(state).await == ["paused"];
    eventually(PATIENCE, "the second standby stops", is_paused).await;
    change(&mirror, 9_000_000);
    mirror.refresh("kubernetes").await;

    let DatabaseUrl::Postgres { primary, .. } = primary.database().url() else {
        panic!("PostgreSQL")
    };
    let both = Database::Postgres(several(&[&current, &behind], ""));
    let DatabaseUrl::Postgres { primary: both, .. } = both.url() else { panic!("PostgreSQL") };
    let url = DatabaseUrl::Postgres { primary, standby: Some(both) };
    let store = api::store::open(&url).await.expect("a store");
    let is_read = async || {
        store.measure_standby().await;
        store.standby().is_some_and(|standby| standby.is_read)
    };
    eventually(PATIENCE, "the first standby is read", is_read).await;
    current.kill().await;
    let id = i64::try_from(mirror.expected("kubernetes")[1][0]).expect("an id");
    let days = store.repository_days(id, None, None).await.expect("an answer").expect("known");
    assert_eq!(days.seen.last().expect("a day").counts.stars, 9_000_000);
    assert!(!is_read().await, "the second standby was measured");
}

/// The certificate is for `localhost`.
#[tokio::test]
async fn tls_leads_to_the_server_whose_certificate_is_trusted_and_has_its_name() {
    let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, other) = (folder.expect("a folder"), other.expect("a folder"));
    make_certificate(folder.path(), "DNS:localhost").await;
    make_certificate(other.path(), "DNS:localhost").await;
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    if is_root() {
        let mut chown = Command::new("chown");
        chown.args(["-R", "postgres"]).arg(folder.path());
        assert!(chown.status().await.expect("chown runs").success());
    }
    let files = [format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")];
    let tls = ["ssl=on", &*files[0], &files[1]];
    let Some(server) = PostgresServer::start(&tls).await else { return };
    // Without TLS, nobody gets in.
    let access = "hostssl all mirror 127.0.0.1/32 trust\nhostnossl all all 127.0.0.1/32 reject\n";
    std::fs::write(server.data().join("pg_hba.conf"), access).expect("written");
    server.stop().await;
    server.launch(&tls).await;

    let mirror = Mirror::start(World::default()).await;
    let github = mirror.stub.url();
    let foreign = other.path().join("cert.pem").to_str().expect("a path").to_owned();
    let url = |host: &str, parameters: &str| {
        format!("postgres://mirror@{host}:{}/mirror?{parameters}", server.port)
    };
    let trusted = format!("sslmode=verify-full&sslrootcert={certificate}");
    let untrusted = format!("sslmode=verify-full&sslrootcert={foreign}");
    let refused = "the database cannot be used yet";
    for (url, ca, fault, line) in [
        (url("localhost", &trusted), "", "up", ""),
        (url("localhost", "sslmode=verify-full"), &*certificate, "up", ""),
        (url("localhost", &untrusted), "", "certificate", "invalid peer certificate"),
        (url("localhost", "sslmode=verify-full"), "", "certificate", "UnknownIssuer"),
        (url("127.0.0.1", &trusted), "", "certificate_name", "not valid for name"),
        (url("localhost", "sslmode=disable"), "", "refused", "no encryption"),
    ] {
        let settings = [
            ("DATABASE_URL", &*url),
            ("GITHUB_API_URL", &*github),
            ("SCHEDULER", "external"),
            ("SSL_CERT_FILE", ca),
        ];
        let settings = if ca.is_empty() { &settings[..3] } else { &settings };
        let service = ApiProcess::start(api(&folder, settings)).await;
        if fault == "up" {
            let (status, answer) = service.get("/bootstrap_db").await;
            assert_eq!(status, StatusCode::OK, "{url}: {answer}");
        } else {
            service.has_logged(refused).await;
        }
        let (_, ready) = service.get("/ready").await;
        assert!(ready.contains(&format!("\"database\":\"{fault}\"")), "{url}: {ready}");
        service.signal("-TERM");
        let (_, log) = service.ended().await;
        let told: Vec<_> = log.lines().filter(|text| text.contains(refused)).collect();
        assert!(told.iter().all(|text| text.contains(line)), "{url}: {log}");
        assert_eq!(told.is_empty(), fault == "up", "{url}: {log}");
    }
}
