//! Two replicas over one PostgreSQL and one Redis give the same answers.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::databases::{self, Database};
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::support::{Mirror, eventually};

const PATHS: [&str; 3] =
    ["/api/kubernetes", "/api/popularity/kubernetes", "/api/activity/kubernetes"];

/// Two replicas, their Redis, and the proxies to Redis and PostgreSQL.
struct Replicas {
    a: Mirror,
    b: Mirror,
    redis: Redis,
    to_redis: Proxy,
    to_database: Proxy,
}

impl Replicas {
    async fn start(world: World) -> Option<Self> {
        let (Some(Database::Postgres(url)), Some(redis)) =
            (databases::postgres(), Redis::start().await)
        else {
            return None;
        };
        let (name, folder) = url
            .strip_prefix("postgres://mirror@localhost/")
            .and_then(|rest| rest.split_once("?host="))
            .expect("an address of the form that tests/with-servers sets");
        let to_database = Proxy::to(PathBuf::from(folder).join(".s.PGSQL.5432")).await;
        let to_redis = Proxy::to(redis.socket()).await;
        let through_proxy =
            format!("postgres://mirror@127.0.0.1:{}/{name}?sslmode=disable", to_database.port);
        let redis_url = format!("redis://127.0.0.1:{}/0", to_redis.port);
        let settings = [("DATABASE_URL", &*through_proxy), ("REDIS_URL", &redis_url)];
        let a = Mirror::start_on(Database::Postgres(url.clone()), world, &settings).await;
        let b = a.replica(&settings).await;
        subscribed(&redis, 2).await;
        Some(Self { a, b, redis, to_redis, to_database })
    }

    /// Starts the replicas, refreshes `kubernetes`, and reads its lists through both.
    async fn refreshed(world: World) -> Option<Self> {
        let replicas = Self::start(world).await?;
        replicas.a.refresh("kubernetes").await;
        replicas.agree(5).await;
        Some(replicas)
    }

    /// Waits until both replicas serve the lists of the stub's world, with equal bytes and headers.
    async fn agree(&self, seconds: u64) {
        let expected = self.a.expected("kubernetes");
        for (index, path) in PATHS.into_iter().enumerate() {
            eventually(seconds, path, async || {
                let (a, b) = (self.a.get(path).await, self.b.get(path).await);
                let equal = a.body == b.body
                    && ["etag", "last-modified"]
                        .iter()
                        .all(|name| a.header(name) == b.header(name));
                equal && a.ids() == expected[index]
            })
            .await;
        }
    }

    /// Changes a repository's stars, so that the next refresh changes the lists.
    fn change(&self, stars: i64) {
        let id = self.a.expected("kubernetes")[1][7];
        self.a.stub.world().star(id, stars, "2026-09-21T14:13:21Z".parse().expect("a date"));
    }
}

/// Waits until that many replicas subscribe: subscribing makes the lists in memory stale.
async fn subscribed(redis: &Redis, replicas: usize) {
    let expected = replicas.to_string();
    let all = async || {
        redis
            .command(&["PUBSUB", "NUMSUB", "github-topic-mirror:3"])
            .await
            .trim_end()
            .ends_with(&expected)
    };
    eventually(5, "every replica subscribes", all).await;
}

#[tokio::test]
async fn refresh_through_one_replica_changes_the_lists_of_the_other() {
    let Some(replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await else {
        return;
    };
    for (stars, refresher) in
        [(1_000_000, &replicas.a), (2_000_000, &replicas.b), (3_000_000, &replicas.a)]
    {
        replicas.change(stars);
        refresher.refresh("kubernetes").await;
        replicas.agree(1).await;
    }
    let from_memory =
        async || replicas.b.get(PATHS[0]).await.header("cache-status") == "memory; hit";
    eventually(1, "memory has the lists", from_memory).await;
}

#[tokio::test]
async fn cold_replica_reads_redis_once_for_three_lists() {
    let Some(replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await else {
        return;
    };
    let cold = replicas.a.replica(&[("REDIS_URL", &replicas.redis.url())]).await;
    subscribed(&replicas.redis, 3).await;
    assert_eq!(cold.get(PATHS[0]).await.header("cache-status"), "redis; hit");
    let from_memory = async || cold.get(PATHS[1]).await.header("cache-status") == "memory; hit";
    eventually(1, "memory has all three lists", from_memory).await;
}

#[tokio::test]
async fn concurrent_updates_through_both_replicas_ask_github_once() {
    let Some(replicas) = Replicas::refreshed(World::generate(80, 7, "kubernetes")).await else {
        return;
    };
    for path in ["/update_cache?topic=kubernetes", "/update_cache"] {
        replicas.a.stub.world().counters.searches = 0;
        for _ in 0..50 {
            // The second request arrives while the first one's run waits for GitHub.
            replicas.a.stub.world().settings.latency_millis = 20;
            let (a, b) = tokio::join!(
                replicas.a.request(Method::POST, path, &[]),
                replicas.b.request(Method::POST, path, &[])
            );
            let (a, b) = (a.json(), b.json());
            assert_eq!(
                (&a["id"], &a["complete"], &b["complete"]),
                (&b["id"], &Value::Bool(true), &Value::Bool(true))
            );
            assert_ne!(a["coalesced"], b["coalesced"]);
        }
        assert_eq!(replicas.a.stub.world().counters.searches, 50, "{path}");
    }
}

#[tokio::test]
async fn concurrent_reads_through_both_replicas_fetch_a_new_topic_once() {
    let Some(replicas) = Replicas::start(World::generate(90, 7, "mcp")).await else { return };
    let asking =
        (0..30).map(|index| if index % 2 == 0 { &replicas.a } else { &replicas.b }.get("/api/mcp"));
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!(answer.ids(), replicas.a.expected("mcp")[0]);
    }
    assert_eq!(replicas.a.stub.world().counters.searches, 1);
}

#[tokio::test]
async fn concurrent_bootstraps_through_both_replicas_succeed() {
    let Some(database) = databases::postgres() else { return };
    let stores = (api::store::open(&database.url()).await, api::store::open(&database.url()).await);
    let (a, b) = (stores.0.expect("a store"), stores.1.expect("a store"));
    for made in futures_util::future::join_all(
        (0..8).map(|index| if index % 2 == 0 { &a } else { &b }.bootstrap()),
    )
    .await
    {
        made.expect("a schema");
    }
    assert!(a.has_schema().await.expect("a database"));
}

/// A fault of Redis or of the network to it.
#[derive(Clone, Copy, Debug)]
enum RedisFault {
    Killed,
    Flushed,
    Paused,
    Full,
    CutOff,
}

impl RedisFault {
    const ALL: [Self; 5] = [Self::Killed, Self::Flushed, Self::Paused, Self::Full, Self::CutOff];

    async fn begin(self, replicas: &mut Replicas) {
        match self {
            Self::Killed => replicas.redis.kill().await,
            Self::Flushed => drop(replicas.redis.command(&["FLUSHALL"]).await),
            Self::Paused => replicas.redis.signal("-STOP").await,
            Self::Full => drop(replicas.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await),
            Self::CutOff => replicas.to_redis.cut(),
        }
    }

    async fn end(self, replicas: &mut Replicas) {
        match self {
            Self::Killed => replicas.redis.restart().await,
            Self::Flushed => {}
            Self::Paused => replicas.redis.signal("-CONT").await,
            Self::Full => drop(replicas.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await),
            Self::CutOff => replicas.to_redis.heal(),
        }
    }
}

/// A fault of Redis makes reads slower, but none fails. Both replicas agree during the fault and
/// after it.
#[tokio::test]
async fn reads_return_200_from_the_database_while_redis_has_a_fault() {
    let Some(mut replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await
    else {
        return;
    };
    for (stars, fault) in (1_000_000..).zip(RedisFault::ALL) {
        fault.begin(&mut replicas).await;
        replicas.change(stars);
        for path in PATHS {
            for replica in [&replicas.a, &replicas.b] {
                assert_eq!(replica.get(path).await.status, StatusCode::OK, "{fault:?}");
            }
        }
        replicas.a.refresh("kubernetes").await;
        // Redis may not announce the refresh, so the other replica reads anew after a minute.
        replicas.a.clock.advance(TimeDelta::seconds(61));
        replicas.agree(5).await;

        fault.end(&mut replicas).await;
        eventually(10, &format!("Redis has the lists again after {fault:?}"), async || {
            replicas.a.get(PATHS[0]).await;
            let key = "github-topic-mirror:3:{kubernetes}";
            replicas.redis.command(&["EXISTS", key]).await.contains('1')
        })
        .await;
        replicas.agree(5).await;
        // The clock does not move on here, so the other replica learns of the refresh from Redis.
        subscribed(&replicas.redis, 2).await;
        replicas.change(stars + 1_000);
        replicas.b.refresh("kubernetes").await;
        replicas.agree(5).await;
    }
}

#[tokio::test]
async fn reads_return_200_from_memory_and_redis_while_the_database_is_down() {
    let Some(replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await else {
        return;
    };
    let without_database = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
        ("REDIS_URL", &replicas.redis.url()),
    ];
    let cold = replicas.a.replica(&without_database).await;
    replicas.to_database.cut();
    for path in PATHS {
        assert_eq!(replicas.a.get(path).await.status, StatusCode::OK);
        assert_eq!(cold.get(path).await.status, StatusCode::OK, "the replica never had a database");
    }
    // The lists in memory are stale after a minute, and Redis still has them.
    replicas.a.clock.advance(TimeDelta::seconds(61));
    assert_eq!(replicas.a.get(PATHS[0]).await.header("cache-status"), "redis; hit");
    let ready = replicas.a.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["database"]), (StatusCode::OK, &"down".into()));
    assert_eq!(replicas.a.get("/db/kubernetes").await.status, StatusCode::SERVICE_UNAVAILABLE);

    replicas.to_redis.cut();
    replicas.a.clock.advance(TimeDelta::hours(2));
    check_stale_memory_answers(&replicas.a).await;

    replicas.to_database.heal();
    replicas.to_redis.heal();
    replicas.change(5_000_000);
    eventually(20, "a refresh succeeds again", async || {
        replicas.b.request(Method::POST, "/update_cache", &[]).await.status == StatusCode::OK
    })
    .await;
    replicas.agree(5).await;
}

/// Without database and Redis, memory serves its lists at any age, and only the first reads wait
/// until the time-out of what is down.
async fn check_stale_memory_answers(replica: &Mirror) {
    for path in PATHS {
        assert_eq!(replica.get(path).await.status, StatusCode::OK);
    }
    let reads = async {
        for _ in 0..30 {
            assert_eq!(replica.get(PATHS[0]).await.header("cache-status"), "memory; hit");
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), reads).await.is_ok(),
        "later reads do not wait for the database and Redis"
    );
}

/// More readers at once than connections for them.
const READERS: usize = 8;
const PUBLIC_CONNECTIONS: usize = 5;

/// A network that swallows everything, under load, and keeps the old connections silent.
#[tokio::test]
async fn reads_and_refreshes_go_on_after_the_network_to_the_database_was_silent() {
    let Some(replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await else {
        return;
    };
    let read = async || replicas.a.get("/db/kubernetes").await.status;
    let many = async || futures_util::future::join_all((0..READERS).map(|_| read())).await;
    eventually(20, "every reader is served", async || many().await == [StatusCode::OK; READERS])
        .await;
    // Readers, as many as have connections, and a refresh are in the middle of a statement.
    replicas.to_database.silence_at_statements();
    let refresh = replicas.a.request(Method::POST, "/update_cache?topic=kubernetes", &[]);
    let (refreshed, read, ()) = tokio::join!(refresh, many(), async {
        replicas.to_database.silenced(PUBLIC_CONNECTIONS + 1).await;
        // The time-outs of statements pass at once.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(13)).await;
        tokio::time::resume();
        replicas.to_database.heal();
    });
    assert!(refreshed.status == StatusCode::OK || refreshed.status.is_server_error());
    assert!(read.iter().all(|status| *status == StatusCode::OK || status.is_server_error()));
    // Sessions that hold the writers' lock end one after the other, each after five seconds.
    let are_served = async || many().await == [StatusCode::OK; READERS];
    eventually(60, "every reader is served again", are_served).await;
    let is_complete = async || replicas.b.refresh("kubernetes").await["complete"] == true;
    eventually(60, "a refresh is complete again", is_complete).await;
}
