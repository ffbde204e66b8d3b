//! Topics: how they are tracked, configured and deleted.

use api::model::on_demand::{OnDemandLimits, UNREAD_TIME};
use api::model::ranking::Ranking;
use api::model::run::Report;
use api::model::topic::{Coverage, Origin, Topic};
use api::store::{Page, SharedStore, Store, StoreError, TrackOutcome};
use chrono::{DateTime, TimeDelta, Utc};

use super::{at, begin, listed_ids, repository, store_complete_run, topic, topic_state};
use crate::support::stored_list;

/// The topics that expire because nobody has read them since a time, as two looks an hour apart
/// show.
async fn unread_since(store: &dyn Store, time: DateTime<Utc>) -> Vec<Topic> {
    let now = time + UNREAD_TIME;
    for look in [now - TimeDelta::hours(1), now] {
        store.note_unread(time, look).await.expect("a database");
    }
    let states = store.topics().await.expect("topics").into_iter();
    states.filter(|state| state.has_expired(now)).map(|state| state.topic).collect()
}

async fn track_limits_on_demand_topics_and_topics_are_ordered_by_origin(store: SharedStore) {
    let limits = OnDemandLimits { topics: 3, new_an_hour: 2 };
    let track = async |name: &str, seconds| {
        store
            .track(&topic(name), Origin::OnDemand, Some(limits), at(seconds))
            .await
            .expect("a database")
    };
    assert_eq!(track("zulu", 0).await, TrackOutcome::Tracked);
    assert_eq!(track("yoke", 60).await, TrackOutcome::Tracked);
    assert_eq!(track("yoke", 61).await, TrackOutcome::Tracked, "a tracked topic counts once");
    assert_eq!(track("xray", 62).await, TrackOutcome::TooManyNew(at(3_600)));
    assert_eq!(track("xray", 3_601).await, TrackOutcome::Tracked);
    assert_eq!(track("whisky", 9_999).await, TrackOutcome::Full);
    store.track(&topic("yoke"), Origin::Requested, None, at(3_602)).await.expect("a database");
    store.configure(&[topic("kubernetes"), topic("xray")], at(3_603)).await.expect("a database");
    let topics = async || {
        let topics = store.topics().await.expect("topics");
        topics.into_iter().map(|state| (state.topic.to_string(), state.origin)).collect::<Vec<_>>()
    };
    let expected = [
        ("kubernetes", Origin::Configured),
        ("xray", Origin::Configured),
        ("yoke", Origin::Requested),
        ("zulu", Origin::OnDemand),
    ];
    assert_eq!(topics().await, expected.map(|(name, origin)| (name.to_owned(), origin)));
    // A topic that leaves the configuration is kept for as long as it is read.
    store.configure(&[topic("kubernetes")], at(3_604)).await.expect("a database");
    assert_eq!(topics().await[2], ("xray".to_owned(), Origin::OnDemand));
    assert_eq!(unread_since(&*store, at(100)).await, [topic("zulu")], "zulu was last read before");
    store.mark_read(&topic("zulu"), at(200)).await.expect("a database");
    assert!(unread_since(&*store, at(100)).await.is_empty());
}

async fn topic_that_leaves_the_configuration_counts_as_read_at_that_time(store: SharedStore) {
    store.configure(&[topic("kubernetes"), topic("mcp")], at(0)).await.expect("configured");
    store.configure(&[topic("mcp")], at(1_000)).await.expect("configured");
    assert_eq!(unread_since(&*store, at(999)).await, []);
    assert_eq!(unread_since(&*store, at(1_001)).await, [topic("kubernetes")]);
}

async fn deleted_topic_takes_only_repositories_that_no_other_topic_has(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1), repository(2, 2)], at(0)).await;
    store_complete_run(&*store, "mcp", &[repository(2, 2), repository(3, 3)], at(0)).await;
    let lease = begin(&*store, "mcp", at(1)).await;
    assert!(store.delete_topic(&topic("mcp"), false, at(1)).await.expect("a database"));
    assert!(
        !store.delete_topic(&topic("mcp"), false, at(1)).await.expect("a database"),
        "the topic is deleted already"
    );
    let page = Page { repositories: &[repository(3, 3)], unreadable: &[], coverage: Coverage::Top };
    let late = store.store_page(&lease, &topic("mcp"), &page, &Report::default(), at(2)).await;
    assert!(
        matches!(late, Err(StoreError::LeaseLost)),
        "a running refresh of a deleted topic stores nothing more"
    );
    assert!(stored_list(&*store, &topic("mcp"), Ranking::Popularity).await.is_none());
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 1]);

    // If a deleted topic began with revision 1 again, caches would take its new lists for older
    // ones.
    let before = topic_state(&*store, "kubernetes").await.revision;
    store.delete_topic(&topic("kubernetes"), false, at(2)).await.expect("a database");
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], at(3)).await;
    assert!(topic_state(&*store, "kubernetes").await.revision > before);
}

contract![
    track_limits_on_demand_topics_and_topics_are_ordered_by_origin,
    topic_that_leaves_the_configuration_counts_as_read_at_that_time,
    deleted_topic_takes_only_repositories_that_no_other_topic_has,
];
