//! Ten replicas over one PostgreSQL and one Redis share refreshes, GitHub's limit and the database.

use futures_util::future::join_all;
use github_stub::World;
use github_stub::limits::Limit;
use reqwest::{Method, StatusCode};

use crate::databases;
use crate::redis::Redis;
use crate::support::{Mirror, eventually};

const REPLICAS: usize = 10;

/// The connections to PostgreSQL that docs/operations.md promises for each replica.
const CONNECTIONS: usize = 15;

/// The replicas, and their Redis.
async fn replicas(world: World, settings: &[(&str, &str)]) -> Option<(Vec<Mirror>, Redis)> {
    let (Some(database), Some(redis)) = (databases::postgres(), Redis::start().await) else {
        return None;
    };
    let url = redis.url();
    let settings = [&[("REDIS_URL", &*url)], settings].concat();
    let mut replicas = vec![Mirror::start_on(database, world, &settings).await];
    while replicas.len() < REPLICAS {
        replicas.push(replicas[0].replica(&settings).await);
    }
    let subscribers = format!("github-topic-mirror:3\n{REPLICAS}");
    eventually(10, "every replica subscribes", async || {
        redis
            .command(&["PUBSUB", "NUMSUB", "github-topic-mirror:3"])
            .await
            .trim_end()
            .ends_with(&subscribers)
    })
    .await;
    Some((replicas, redis))
}

#[tokio::test]
async fn ten_replicas_asked_for_a_refresh_together_begin_one() {
    let Some((replicas, _redis)) = replicas(World::generate(300, 7, "kubernetes"), &[]).await
    else {
        return;
    };
    let first = &replicas[0];
    for stars in [1_000_000, 2_000_000] {
        let id = first.expected("kubernetes")[1][7];
        first.stub.world().star(id, stars, "2026-09-21T14:13:21Z".parse().expect("a date"));
        first.stub.world().counters.searches = 0;
        // The other requests arrive while the first one's run waits for GitHub.
        first.stub.world().settings.latency_millis = 50;
        let reports = join_all(replicas.iter().map(async |replica| {
            replica.request(Method::POST, "/update_cache?topic=kubernetes", &[]).await.json()
        }))
        .await;
        first.stub.world().settings.latency_millis = 0;
        let began = reports.iter().filter(|report| report["coalesced"] == false).count();
        assert_eq!(began, 1, "{reports:?}");
        assert!(
            reports
                .iter()
                .all(|report| report["id"] == reports[0]["id"] && report["outcome"] == "complete"),
            "{reports:?}"
        );
        assert_eq!(first.stub.world().counters.searches, 3, "the pages of one run");
        assert_eq!(first.stub.world().counters.overlapping, 0);
        let expected = first.expected("kubernetes");
        for replica in &replicas {
            eventually(5, "a replica serves the new lists", async || {
                replica.lists("kubernetes").await == expected
            })
            .await;
        }
    }
}

#[tokio::test]
async fn ten_replicas_refreshing_ten_topics_stay_within_one_limit_of_github() {
    let topics: Vec<String> = (0..REPLICAS).map(|index| format!("topic-{index}")).collect();
    let mut world = World::default();
    for (seed, topic) in topics.iter().enumerate() {
        world.add_generated(300, seed as u64, topic);
    }
    world.settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
    let Some((replicas, _redis)) = replicas(world, &[("TOPICS", &topics.join(","))]).await else {
        return;
    };
    let refreshes = replicas.iter().zip(&topics).map(|(replica, topic)| replica.refresh(topic));
    for report in join_all(refreshes).await {
        assert_eq!(report["outcome"], "complete", "{report}");
    }
    let counters = replicas[0].stub.world().counters.clone();
    assert_eq!((counters.over_limit, counters.impatient, counters.overlapping), (0, 0, 0));
    assert_eq!(counters.searches, 30, "three pages of each topic");
}

#[tokio::test]
async fn ten_replicas_under_load_hold_no_more_connections_than_documented() {
    let Some((replicas, _redis)) = replicas(World::generate(300, 7, "kubernetes"), &[]).await
    else {
        return;
    };
    replicas[0].refresh("kubernetes").await;
    // A busy machine may be too slow to open all connections in time.
    let allowed = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
    let ask = async |replica: &Mirror| {
        let paths = (1..=20).map(|page| format!("/db/kubernetes?per_page=10&page={page}"));
        let reads = join_all(paths.map(async |path| replica.get(&path).await.status));
        let refresh = replica.request(Method::POST, "/update_cache?topic=kubernetes", &[]);
        let (mut statuses, refreshed) = tokio::join!(reads, refresh);
        statuses.push(refreshed.status);
        statuses
    };
    for statuses in join_all(replicas.iter().map(ask)).await {
        assert!(statuses.iter().all(|status| allowed.contains(status)), "{statuses:?}");
    }
    // The query's own connection is not a replica's.
    let held = "SELECT count(*)::text FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let held = replicas[0].database.query(held).await[0].parse::<usize>().expect("a number");
    assert!((REPLICAS..=REPLICAS * CONNECTIONS).contains(&held), "{held} connections");
}
