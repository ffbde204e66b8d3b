//! Two processes over one PostgreSQL and one Redis: it does not matter which one is asked.

use std::path::PathBuf;

use api::model::repository::Repository;
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::databases::{self, Database};
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::support::{Mirror, eventually};

const PATHS: [&str; 3] =
    ["/api/kubernetes", "/api/popularity/kubernetes", "/api/activity/kubernetes"];

/// Two replicas, and the networks to their servers.
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
            .expect("the address that tests/with-servers gives");
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

    /// The same with lists of `kubernetes`, read once through both.
    async fn refreshed(world: World) -> Option<Self> {
        let replicas = Self::start(world).await?;
        replicas.a.refresh("kubernetes").await;
        replicas.agree(5).await;
        Some(replicas)
    }

    /// Both serve what the stand-in has, the same bytes under the same ETag.
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

    /// Stars change, so that the lists differ from now on.
    fn change(&self, stars: i64) {
        let id = self.a.expected("kubernetes")[1][7];
        self.a.stub.world().star(id, stars, "2026-09-21T14:13:21Z".parse().expect("a date"));
    }
}

/// Until so many hear what changes: subscribing makes a replica doubt what it has.
async fn subscribed(redis: &Redis, replicas: usize) {
    let expected = replicas.to_string();
    let all = async || {
        redis
            .command(&["PUBSUB", "NUMSUB", "github-topic-mirror:1"])
            .await
            .trim_end()
            .ends_with(&expected)
    };
    eventually(5, "all are subscribed", all).await;
}

#[tokio::test]
async fn a_refresh_through_one_is_served_by_the_other() {
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
    eventually(1, "then memory has them", from_memory).await;
}

#[tokio::test]
async fn a_cold_one_asks_redis_once() {
    let Some(replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await else {
        return;
    };
    let cold = replicas.a.replica(&[("REDIS_URL", &replicas.redis.url())]).await;
    subscribed(&replicas.redis, 3).await;
    assert_eq!(cold.get(PATHS[0]).await.header("cache-status"), "redis; hit");
    let from_memory = async || cold.get(PATHS[1]).await.header("cache-status") == "memory; hit";
    eventually(1, "then memory has all three lists", from_memory).await;
}

#[tokio::test]
async fn told_to_refresh_at_once_they_ask_github_once() {
    let Some(replicas) = Replicas::refreshed(World::generate(80, 7, "kubernetes")).await else {
        return;
    };
    for path in ["/update_cache?topic=kubernetes", "/update_cache"] {
        replicas.a.stub.world().counters.searches = 0;
        for _ in 0..50 {
            // Slow enough that the second comes while the first runs.
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
async fn a_new_topic_is_fetched_once_however_many_ask() {
    let Some(replicas) = Replicas::start(World::generate(90, 7, "mcp")).await else { return };
    let asking =
        (0..30).map(|index| if index % 2 == 0 { &replicas.a } else { &replicas.b }.get("/api/mcp"));
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!(answer.ids(), replicas.a.expected("mcp")[0]);
    }
    assert_eq!(replicas.a.stub.world().counters.searches, 1);
}

#[tokio::test]
async fn both_may_make_the_schema_at_once() {
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

/// Redis costs speed when it fails, never truth: no list request fails, and both agree once it is
/// back.
#[tokio::test]
async fn without_redis_the_database_does_its_work() {
    let Some(mut replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await
    else {
        return;
    };
    for (stars, trouble) in (1_000_000..).zip(["killed", "flushed", "paused", "full", "cut off"]) {
        match trouble {
            "killed" => replicas.redis.kill().await,
            "flushed" => drop(replicas.redis.command(&["FLUSHALL"]).await),
            "paused" => replicas.redis.signal("-STOP").await,
            "full" => drop(replicas.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await),
            _ => replicas.to_redis.cut(),
        }
        replicas.change(stars);
        for path in PATHS {
            for replica in [&replicas.a, &replicas.b] {
                assert_eq!(replica.get(path).await.status, StatusCode::OK, "{trouble}");
            }
        }
        replicas.a.refresh("kubernetes").await;
        // Nobody tells the other now; its copy is a minute old in the end.
        replicas.a.clock.advance(chrono::TimeDelta::seconds(61));
        replicas.agree(5).await;
        match trouble {
            "killed" => replicas.redis.restart().await,
            "paused" => replicas.redis.signal("-CONT").await,
            "full" => drop(replicas.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await),
            _ => replicas.to_redis.heal(),
        }
        let stored = async || {
            replicas
                .redis
                .command(&["EXISTS", "github-topic-mirror:1:{kubernetes}"])
                .await
                .contains('1')
        };
        eventually(10, &format!("Redis has the lists again after it was {trouble}"), async || {
            replicas.a.get(PATHS[0]).await;
            stored().await
        })
        .await;
        replicas.agree(5).await;
        // From now on each hears again of what the other does: the clock stands still.
        subscribed(&replicas.redis, 2).await;
        replicas.change(stars + 1_000);
        replicas.b.refresh("kubernetes").await;
        replicas.agree(5).await;
    }
}

#[tokio::test]
async fn without_the_database_memory_and_redis_answer() {
    let Some(replicas) = Replicas::refreshed(World::generate(300, 7, "kubernetes")).await else {
        return;
    };
    let nowhere = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
        ("REDIS_URL", &replicas.redis.url()),
    ];
    let cold = replicas.a.replica(&nowhere).await;
    replicas.to_database.cut();
    for path in PATHS {
        assert_eq!(replicas.a.get(path).await.status, StatusCode::OK);
        assert_eq!(cold.get(path).await.status, StatusCode::OK, "it never had a database");
    }
    // A minute on memory would rather ask; Redis has the lists.
    replicas.a.clock.advance(chrono::TimeDelta::seconds(61));
    assert_eq!(replicas.a.get(PATHS[0]).await.header("cache-status"), "redis; hit");
    let ready = replicas.a.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["database"]), (StatusCode::OK, &"down".into()));
    assert_eq!(replicas.a.get("/db/kubernetes").await.status, StatusCode::SERVICE_UNAVAILABLE);

    // With both gone the copy in memory is served, however old.
    replicas.to_redis.cut();
    replicas.a.clock.advance(chrono::TimeDelta::hours(2));
    for path in PATHS {
        assert_eq!(replicas.a.get(path).await.status, StatusCode::OK);
    }
    // The first to find out waits for it, not everyone after that.
    let many = async {
        for _ in 0..30 {
            assert_eq!(replicas.a.get(PATHS[0]).await.header("cache-status"), "memory; hit");
        }
    };
    assert!(
        tokio::time::timeout(std::time::Duration::from_secs(5), many).await.is_ok(),
        "reads wait for what is down"
    );

    replicas.to_database.heal();
    replicas.to_redis.heal();
    replicas.change(5_000_000);
    eventually(20, "a refresh works again", async || {
        replicas.b.request(Method::POST, "/update_cache", &[]).await.status == StatusCode::OK
    })
    .await;
    replicas.agree(5).await;
}

/// A page of a search is one commit of five statements, and a row that did not change is not
/// written.
#[tokio::test]
async fn a_page_costs_five_statements() {
    let Some(replicas) = Replicas::refreshed(World::generate(1_000, 7, "kubernetes")).await else {
        return;
    };
    let database = &replicas.a.database;
    database.query("CREATE EXTENSION pg_stat_statements").await;
    let calls = "FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let reset = "SELECT pg_stat_statements_reset()::text";
    let store = &replicas.a.service.store;
    let topic = "kubernetes".parse().expect("a topic");
    let lease = async || {
        let new = api::store::NewRefresh {
            topic: Some(&topic),
            parent: None,
            cause: api::refresh::report::Trigger::Request,
            owner: "test",
        };
        match store.begin(&new, replicas.a.service.clock.now()).await.expect("a database") {
            api::store::BeginOutcome::Started(lease) => lease,
            other => panic!("{other:?}"),
        }
    };
    let repositories: Vec<Repository> = {
        let world = replicas.a.stub.world();
        let shown = world.repositories().take(1_000);
        shown.map(|one| serde_json::from_str(&one.text).expect("a repository")).collect()
    };
    let lease = lease().await;
    for (changed, written) in [(true, 1_000), (false, 0)] {
        let mut page = repositories.clone();
        page.iter_mut().for_each(|one| one.stargazers_count += 1);
        database.query(reset).await;
        let page = api::store::Page { repositories: &page, unreadable: &[] };
        let report = api::refresh::report::Report::default();
        store
            .store_page(&lease, &topic, &page, &report, replicas.a.service.clock.now())
            .await
            .expect("stored");
        let count = async |which: &str| {
            database.query(&format!("SELECT coalesce(sum(calls), 0)::text {calls} {which}")).await
        };
        assert_eq!(count("AND query IN ('COMMIT', 'commit')").await, ["1"], "changed: {changed}");
        let own = "AND query !~* '^(begin|commit|rollback|select pg_stat|select coalesce|create extension)' AND query <> ''";
        assert_eq!(count(own).await, ["5"], "changed: {changed}");
        let rows = format!(
            "SELECT coalesce(sum(rows), 0)::text {calls} AND query LIKE 'INSERT INTO repositories%'"
        );
        assert_eq!(database.query(&rows).await, [written.to_string()]);
    }
}
