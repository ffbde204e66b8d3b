//! Clocks that are set back or forward while the service runs.

use chrono::TimeDelta;
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, World};
use reqwest::{Method, StatusCode};

use crate::databases;
use crate::support::Mirror;

/// Replicas without Redis hear nothing of each other.
#[tokio::test]
async fn copy_in_memory_is_compared_with_the_database_when_the_clock_was_set_back() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let other = mirror.replica(&[]).await;
    assert_eq!(other.get("/api/popularity/kubernetes").await.status, StatusCode::OK);
    let last = mirror.expected("kubernetes")[1][20];
    let at = "2026-09-21T14:13:21Z".parse().expect("a date");
    mirror.stub.world().star(last, 9_000_000, at);
    mirror.refresh("kubernetes").await;
    assert_ne!(other.get("/api/popularity/kubernetes").await.ids()[0], last, "a fresh copy");
    mirror.clock.advance(TimeDelta::hours(-3));
    assert_eq!(other.get("/api/popularity/kubernetes").await.ids()[0], last);
}

#[tokio::test]
async fn refresh_waits_no_longer_for_limits_when_the_clock_was_set_back() {
    let schedule = ("REFRESH_SCHEDULE", "*/10 * * * *");
    let mirror = Mirror::start_with(World::generate(300, 7, "kubernetes"), &[schedule]).await;
    mirror.stub.world().settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
    let limit = FaultKind::SecondaryLimit { status: 403, retry_after: Some(3_000) };
    mirror.stub.world().faults = vec![Fault::from(limit).on("best-match", 3)];
    mirror.request(Method::POST, "/update_cache?topic=kubernetes", &[]).await;
    for back in [20, 50] {
        mirror.clock.advance(TimeDelta::minutes(-back));
        mirror.request(Method::POST, "/update_cache?topic=kubernetes", &[]).await;
        let report = mirror.get("/refreshes").await.json()[0].clone();
        let retry_at = report["retry_at"].as_str().expect("a time");
        let retry_at: chrono::DateTime<chrono::Utc> = retry_at.parse().expect("a time");
        let wait = retry_at - api::clock::Clock::now(&*mirror.clock);
        let expected = TimeDelta::seconds(2_900)..=TimeDelta::seconds(3_000);
        assert!(expected.contains(&wait), "{wait}, {back} minutes back: {report}");
    }
}

#[tokio::test]
async fn unknown_topic_is_asked_for_again_when_the_clock_was_set_back() {
    let mirror = Mirror::start(World::default()).await;
    assert_eq!(mirror.get("/api/no-such-topic").await.ids().len(), 0);
    mirror.stub.world().add_generated(3, 7, "no-such-topic");
    mirror.clock.advance(TimeDelta::days(-1));
    assert_eq!(mirror.get("/api/no-such-topic").await.ids().len(), 3);
}

#[tokio::test]
async fn new_topics_are_fetched_when_the_clock_was_set_back() {
    let mut world = World::default();
    for index in 0..11 {
        world.add_generated(1, index, &format!("topic-{index}"));
    }
    let mirror = Mirror::start(world).await;
    for index in 0..10 {
        assert_eq!(mirror.get(&format!("/api/topic-{index}")).await.status, StatusCode::OK);
    }
    assert_eq!(mirror.get("/api/topic-10").await.status, StatusCode::SERVICE_UNAVAILABLE);
    mirror.clock.advance(TimeDelta::days(-1));
    assert_eq!(mirror.get("/api/topic-10").await.status, StatusCode::OK);
}

#[tokio::test]
async fn failed_topic_is_fetched_again_when_the_clock_was_set_back() {
    let mirror = Mirror::start(World::generate(3, 7, "mcp")).await;
    mirror.stub.world().faults = vec![Fault::from(FaultKind::Forbidden).times(1_000)];
    assert_eq!(mirror.get("/api/mcp").await.status, StatusCode::SERVICE_UNAVAILABLE);
    mirror.stub.world().faults.clear();
    assert_eq!(mirror.get("/api/mcp").await.status, StatusCode::SERVICE_UNAVAILABLE, "at once");
    mirror.clock.advance(TimeDelta::hours(-3));
    assert_eq!(mirror.get("/api/mcp").await.status, StatusCode::OK);
}

/// Slices that were read in what is now the future may be of any age.
#[tokio::test]
async fn slices_are_read_again_when_the_clock_was_set_back() {
    let settings = [("COVERAGE", "complete")];
    let mirror = Mirror::start_with(World::generate(2_500, 7, "kubernetes"), &settings).await;
    let refusal = Fault::from(FaultKind::Unauthorized).skip(20).times(1_000);
    mirror.stub.world().faults = vec![refusal];
    assert_eq!(mirror.refresh("kubernetes").await["complete"], false);
    mirror.stub.world().faults.clear();
    mirror.clock.advance(TimeDelta::hours(-3));
    let before = mirror.stub.world().counters.searches;
    assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
    let searches = mirror.stub.world().counters.searches - before;
    assert!(searches >= 5 + 26, "{searches}: every slice was read");
}

/// The names of the tracked topics.
async fn tracked(mirror: &Mirror) -> Vec<String> {
    let topics = mirror.get("/topics").await.json();
    let topics = topics.as_array().expect("topics").iter();
    topics.map(|topic| topic["topic"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn topic_is_not_deleted_when_the_clock_jumps_forward() {
    let databases = [Some(databases::sqlite()), databases::postgres()];
    for database in databases.into_iter().flatten() {
        let mut world = World::generate(10, 7, "kubernetes");
        world.add_generated(10, 8, "read");
        let mirror = Mirror::start_on(database, world, &[]).await;
        assert_eq!(mirror.get("/api/read").await.status, StatusCode::OK);
        let refresh = async || assert_eq!(mirror.get("/update_cache").await.status, StatusCode::OK);
        for _ in 0..3 {
            // A jump that is noticed, after a refresh.
            mirror.clock.advance(TimeDelta::days(8));
            refresh().await;
            mirror.clock.advance(TimeDelta::minutes(50));
            refresh().await;
            mirror.clock.advance(TimeDelta::days(-8));
            refresh().await;
            assert_eq!(tracked(&mirror).await, ["kubernetes", "read"]);
        }
        // A jump that stays: the topic is read, at last, within the hour.
        mirror.clock.advance(TimeDelta::days(8));
        refresh().await;
        mirror.clock.advance(TimeDelta::minutes(50));
        assert_eq!(mirror.get("/api/read").await.status, StatusCode::OK);
        mirror.clock.advance(TimeDelta::hours(1));
        refresh().await;
        assert_eq!(tracked(&mirror).await, ["kubernetes", "read"]);
        // Nobody reads it.
        mirror.clock.advance(TimeDelta::days(8));
        for (minutes, expected) in [(0, 2), (59, 2), (2, 1)] {
            mirror.clock.advance(TimeDelta::minutes(minutes));
            refresh().await;
            assert_eq!(tracked(&mirror).await.len(), expected, "{minutes}");
        }
    }
}
