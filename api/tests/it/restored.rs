//! Caches that hold other lists than the database: older ones, or those of a database that was
//! restored since. The database is right.

mod steps;

use chrono::TimeDelta;
use github_stub::World;
use reqwest::StatusCode;

use crate::databases;
use crate::redis::Redis;
use crate::support::Mirror;

const KEY: &str = "github-topic-mirror:3:{kubernetes}";
const PATHS: [&str; 3] = ["/kubernetes", "/popularity/kubernetes", "/activity/kubernetes"];

/// A service over PostgreSQL and Redis whose topic was refreshed four times, with other lists each
/// time. Redis keeps the lists of the second refresh under the key `old`.
async fn start() -> Option<(Mirror, Redis)> {
    let (database, redis) = (databases::postgres()?, Redis::start().await?);
    let world = World::generate(40, 7, "kubernetes");
    let mirror = Mirror::start_on(database, world, &[("REDIS_URL", &redis.url())]).await;
    for stars in 1..=4 {
        change(&mirror, stars);
        assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
        if stars == 2 {
            redis.command(&["COPY", KEY, "old"]).await;
        }
    }
    assert_current(&mirror, "before").await;
    Some((mirror, redis))
}

/// Makes another repository the most popular one.
fn change(mirror: &Mirror, stars: i64) {
    let index = usize::try_from(stars).expect("a small number");
    let id = mirror.expected("kubernetes")[1][index + 5];
    let at = "2026-09-21T14:13:21Z".parse().expect("a date");
    mirror.stub.world().star(id, 1_000_000 * stars, at);
}

#[track_caller]
fn assert_equal(api: &crate::support::Answer, db: &crate::support::Answer, context: &str) {
    assert_eq!(api.ids(), db.ids(), "{context}");
    assert_eq!(api.header("last-modified"), db.header("last-modified"), "{context}");
}

/// Checks that `/api` has what `/db` has.
async fn assert_current(mirror: &Mirror, context: &str) {
    for path in PATHS {
        let api = mirror.get(&format!("/api{path}")).await;
        let db = mirror.get(&format!("/db{path}")).await;
        assert_equal(&api, &db, context);
    }
}

/// Redis lost the writes of two refreshes, or was restored from a snapshot; or the refreshes were
/// another release's, or their process was killed before it published.
#[tokio::test]
async fn new_process_does_not_serve_older_lists_from_redis() {
    let Some((mirror, redis)) = start().await else { return };
    redis.command(&["COPY", "old", KEY, "REPLACE"]).await;
    let cold = mirror.replica(&[("REDIS_URL", &redis.url())]).await;
    assert_current(&cold, "a new process").await;
    let third = mirror.replica(&[("REDIS_URL", &redis.url())]).await;
    assert_eq!(third.get("/api/kubernetes").await.header("cache-status"), "redis; hit", "mended");
    assert_current(&third, "the next process").await;
}

#[tokio::test]
async fn new_process_serves_what_redis_has_when_the_database_does_not_answer() {
    let Some((mirror, redis)) = start().await else { return };
    let down =
        [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"), ("REDIS_URL", &*redis.url())];
    let cold = mirror.replica(&down).await;
    let served = cold.get("/api/kubernetes").await;
    assert_equal(&served, &mirror.get("/api/kubernetes").await, "from Redis");
    assert_eq!(served.header("cache-status"), "redis; hit");
}

/// Another process changes the lists and no message of it arrives.
#[tokio::test]
async fn memory_is_compared_with_the_database_after_a_minute() {
    let Some((mirror, redis)) = start().await else { return };
    let alone = mirror.replica(&[]).await;
    assert_current(&alone, "at first").await;
    drop(redis);
    change(&mirror, 6);
    mirror.refresh("kubernetes").await;
    alone.clock.advance(TimeDelta::seconds(61));
    assert_current(&alone, "after a minute").await;
    alone.clock.advance(TimeDelta::seconds(61));
    let confirmed = alone.get("/api/kubernetes").await;
    assert_eq!(confirmed.header("cache-status"), "memory; hit", "the copy is current");
}

/// The restored database has been refreshed as often as the one before.
#[tokio::test]
async fn copy_of_another_life_is_not_current_at_an_equal_revision() {
    let Some((mirror, _redis)) = start().await else { return };
    mirror.database.query("UPDATE repositories SET stargazers_count = id RETURNING name").await;
    let new_life = "UPDATE database_life SET epoch = epoch + 1 RETURNING epoch::text";
    mirror.database.query(new_life).await;
    mirror.clock.advance(TimeDelta::seconds(61));
    assert_current(&mirror, "another life").await;
}

/// A backup from two refreshes ago, with or without the step that begins another life.
#[tokio::test]
async fn restored_database_wins_over_every_cache() {
    let new_life = "UPDATE database_life SET epoch = (random() * 4e18)::bigint
        RETURNING epoch::text";
    for (life, context) in [(Some(new_life), "another life"), (None, "the same life")] {
        let Some((mirror, redis)) = start().await else { return };
        let older = "UPDATE topics SET revision = revision - 2,
            listed_revision = listed_revision - 2, modified_at = modified_at - interval '1 hour'
            RETURNING name";
        assert_eq!(mirror.database.query(older).await, ["kubernetes"]);
        mirror.database.query("UPDATE repositories SET stargazers_count = id RETURNING name").await;
        if let Some(life) = life {
            mirror.database.query(life).await;
        }
        let cold = mirror.replica(&[("REDIS_URL", &redis.url())]).await;
        assert_current(&cold, context).await;
        mirror.clock.advance(TimeDelta::seconds(61));
        assert_current(&mirror, context).await;

        for stars in 7..=8 {
            change(&mirror, stars);
            mirror.refresh("kubernetes").await;
            mirror.clock.advance(TimeDelta::seconds(61));
            assert_current(&mirror, context).await;
            assert_current(&cold, context).await;
        }
        assert_eq!(cold.get("/api/kubernetes").await.status, StatusCode::OK);
    }
}
