//! On-demand topics: fetched once, within limits, and deleted when unread.

use chrono::TimeDelta;
use github_stub::{FaultKind, World};
use reqwest::StatusCode;

use crate::support::Mirror;

#[tokio::test]
async fn concurrent_reads_of_a_new_topic_fetch_it_once() {
    let mirror = Mirror::start(World::generate(450, 7, "mcp")).await;
    mirror.stub.world().settings.latency_millis = 30;
    let paths = ["/api/mcp", "/api/popularity/mcp", "/api/activity/mcp"];
    let answers =
        futures_util::future::join_all((0..30).map(|index| mirror.get(paths[index % 3]))).await;
    let expected = mirror.expected("mcp");
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.ids(), expected[index % 3]);
        assert_eq!(answer.header("x-complete"), "true");
    }
    assert_eq!(
        mirror.stub.world().counters.searches,
        5,
        "one query of five pages fills all three lists"
    );
}

#[tokio::test]
async fn large_new_topic_has_a_list_when_best_match_is_read() {
    let mirror = Mirror::start(World::generate(2_000, 7, "mcp")).await;
    let slow = github_stub::Fault::from(FaultKind::Slow { millis: 60_000 }).on("stars", 1);
    mirror.stub.world().faults.push(slow);
    let answer = mirror.get("/api/mcp").await;
    assert_eq!(answer.ids(), mirror.expected("mcp")[0]);
    assert_eq!(
        (answer.header("x-complete"), answer.header("x-refreshed-at")),
        ("false", ""),
        "the other queries are still running"
    );
}

#[tokio::test]
async fn unknown_topic_is_an_empty_list_for_an_hour() {
    let mirror = Mirror::start(World::default()).await;
    for _ in 0..3 {
        let answer = mirror.get("/api/no-such-topic").await;
        assert_eq!((answer.ids().len(), answer.header("x-total-count")), (0, "0"));
    }
    assert_eq!(mirror.stub.world().counters.searches, 1);
    mirror.stub.world().add_generated(3, 7, "no-such-topic");
    mirror.clock.advance(TimeDelta::minutes(59));
    assert_eq!(mirror.get("/api/no-such-topic").await.ids().len(), 0);
    mirror.clock.advance(TimeDelta::minutes(2));
    assert_eq!(mirror.get("/api/no-such-topic").await.ids().len(), 3);
    assert_eq!(mirror.get("/db/no-such-topic").await.ids().len(), 3);
}

/// A world with a repository in each of the topics `topic-0`, `topic-1` and so on.
fn topics(count: u64) -> World {
    let mut world = World::default();
    for index in 0..count {
        world.add_generated(1, index, &format!("topic-{index}"));
    }
    world
}

#[tokio::test]
async fn topic_that_github_does_not_know_keeps_no_other_out() {
    let mirror = Mirror::start(topics(1)).await;
    for index in 0..110 {
        let answer = mirror.get(&format!("/api/no-such-topic-{index}")).await;
        assert_eq!((answer.status, answer.ids().len()), (StatusCode::OK, 0));
        // All of it within an hour, and slowly enough for the limit of on-demand requests.
        mirror.clock.advance(TimeDelta::seconds(20));
    }
    assert_eq!(mirror.get("/api/topic-0").await.ids().len(), 1);
}

#[tokio::test]
async fn read_returns_503_when_ten_topics_were_new_within_the_hour() {
    let mirror = Mirror::start(topics(11)).await;
    for index in 0..10 {
        assert_eq!(mirror.get(&format!("/api/topic-{index}")).await.status, StatusCode::OK);
    }
    let refused = mirror.get("/api/topic-10").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "3600")
    );
    assert!(refused.text().contains("10 new topics an hour"), "{}", refused.text());
    assert_eq!(
        mirror.get("/api/topic-3").await.status,
        StatusCode::OK,
        "a tracked topic is served"
    );
    mirror.clock.advance(TimeDelta::minutes(61));
    assert_eq!(mirror.get("/api/topic-10").await.status, StatusCode::OK);
}

#[tokio::test]
async fn read_returns_503_when_a_hundred_topics_are_on_demand() {
    let mirror = Mirror::start(topics(100)).await;
    for index in 0..100 {
        assert_eq!(mirror.get(&format!("/api/topic-{index}")).await.status, StatusCode::OK);
        if index % 10 == 9 {
            mirror.clock.advance(TimeDelta::minutes(61));
        }
    }
    let refused = mirror.get("/api/topic-100").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "3600")
    );
    assert!(refused.text().contains("100 topics are tracked on demand"), "{}", refused.text());
    assert_eq!(
        mirror.get("/topics").await.json().as_array().map(Vec::len),
        Some(101),
        "100 on-demand topics and the configured one"
    );
}

#[tokio::test]
async fn unread_topic_is_deleted_at_the_second_look_after_a_week() {
    let mut world = World::generate(10, 7, "kubernetes");
    world.add_generated(10, 8, "read");
    world.add_generated(10, 9, "unread");
    let mirror = Mirror::start(world).await;
    for topic in ["read", "unread"] {
        assert_eq!(mirror.get(&format!("/api/{topic}")).await.status, StatusCode::OK);
    }
    let tracked = async || {
        let topics = mirror.get("/topics").await.json();
        let topics = topics.as_array().expect("topics").iter();
        topics.map(|topic| topic["topic"].clone()).collect::<Vec<_>>()
    };
    for day in 1..=8 {
        mirror.clock.advance(TimeDelta::days(1));
        assert_eq!(mirror.get("/api/read").await.status, StatusCode::OK);
        assert_eq!(mirror.get("/update_cache").await.status, StatusCode::OK);
        assert_eq!(tracked().await.len(), if day < 8 { 3 } else { 2 }, "day {day}");
    }
    assert_eq!(tracked().await, ["kubernetes", "read"]);
}

#[tokio::test]
async fn read_returns_503_until_the_limit_ends_and_asks_github_once() {
    let mirror = Mirror::start(World::generate(10, 7, "mcp")).await;
    let wait = FaultKind::SecondaryLimit { status: 403, retry_after: Some(3_600) };
    mirror.stub.world().faults.push(wait.into());
    for _ in 0..3 {
        let answer = mirror.get("/api/mcp").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let seconds: i64 = answer.header("retry-after").parse().expect("seconds");
        assert!((3_590..=3_600).contains(&seconds), "{seconds}");
    }
    assert_eq!(mirror.stub.world().counters.searches, 1);
    mirror.clock.advance(TimeDelta::seconds(3_601));
    assert_eq!(mirror.get("/api/mcp").await.ids().len(), 10);
}

#[tokio::test]
async fn read_returns_503_with_progress_while_the_topic_is_fetched() {
    let mirror = Mirror::start(World::generate(700, 7, "mcp")).await;
    mirror
        .stub
        .world()
        .faults
        .push(github_stub::Fault::from(FaultKind::Slow { millis: 60_000 }).on("best-match", 3));
    let answer = mirror.get("/api/mcp").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains("mcp is being fetched from GitHub: 2 of about 15 requests done"),
        "{detail}"
    );
}
