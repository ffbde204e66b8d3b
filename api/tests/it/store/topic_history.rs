//! The days and events of a topic, as readers get them.

use api::model::event::{EventKind, EventQuery, LeftReason};
use api::model::repository::Repository;
use api::model::topic_day::TopicDay;
use api::store::{Scope, SharedStore, Store};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use strum::VariantArray as _;

use super::history::day;
use super::{begin, finish, repository, store_complete_run, store_page, topic};

async fn days(store: &dyn Store) -> Vec<TopicDay> {
    store.topic_days(&topic("kubernetes")).await.expect("a database").expect("tracked")
}

/// Each day's stars gained.
async fn gains(store: &dyn Store) -> Vec<Option<i64>> {
    days(store).await.iter().map(|day| day.stars_gained).collect()
}

async fn complete_run(store: &dyn Store, stars: &[(i64, i64)], number: i64) {
    let all: Vec<Repository> = stars.iter().map(|(id, stars)| repository(*id, *stars)).collect();
    store_complete_run(store, "kubernetes", &all, day(number)).await;
}

async fn leave(store: &dyn Store, id: i64, reason: LeftReason, number: i64) {
    let lease = begin(store, "kubernetes", day(number)).await;
    let gone = [(id, reason)];
    store.remove(&lease, &topic("kubernetes"), &gone, day(number)).await.expect("removed");
    finish(store, &lease, None, Scope::All, day(number)).await;
}

async fn topic_that_is_not_tracked_has_neither_days_nor_events(store: SharedStore) {
    complete_run(&*store, &[(1, 1)], 0).await;
    store.delete_topic(&topic("kubernetes"), true, day(1)).await.expect("deleted");
    for name in ["kubernetes", "mcp"] {
        assert_eq!(store.topic_days(&topic(name)).await.expect("a database"), None);
        let events = store.events(&topic(name), &all_events()).await.expect("a database");
        assert!(events.is_none(), "{name}");
    }
}

async fn stars_gained_are_summed_over_the_repositories_seen_on_the_day(store: SharedStore) {
    complete_run(&*store, &[(1, 10), (2, 20)], 0).await;
    complete_run(&*store, &[(1, 13), (2, 19)], 1).await;
    complete_run(&*store, &[(1, 13), (2, 19)], 2).await;
    // The second is not seen for a day, and a third one is new to the mirror.
    let lease = begin(&*store, "kubernetes", day(3)).await;
    store_page(&*store, &lease, &[repository(1, 15), repository(3, 700)], day(3)).await;
    finish(&*store, &lease, None, Scope::First(500), day(3)).await;
    complete_run(&*store, &[(1, 15), (2, 30), (3, 690)], 6).await;
    assert_eq!(gains(&*store).await, [None, Some(2), Some(0), Some(2), Some(1)]);
    let dates: Vec<String> = days(&*store).await.iter().map(|day| day.day.to_string()).collect();
    assert_eq!(
        dates,
        ["2026-09-21", "2026-09-22", "2026-09-23", "2026-09-24", "2026-09-27"],
        "days on which nothing ran are left out"
    );
}

async fn stars_gained_leave_out_repositories_that_the_topic_did_not_have(store: SharedStore) {
    complete_run(&*store, &[(1, 10), (2, 20)], 0).await;
    store_complete_run(&*store, "mcp", &[repository(1, 11), repository(3, 30)], day(1)).await;
    leave(&*store, 1, LeftReason::TopicRemoved, 1).await;
    assert_eq!(gains(&*store).await, [None, Some(1)], "it left on the day");
    // The other topic still sees it, and one that the topic gets later.
    store_complete_run(&*store, "mcp", &[repository(1, 50), repository(3, 35)], day(3)).await;
    complete_run(&*store, &[(2, 22)], 3).await;
    complete_run(&*store, &[(2, 22), (3, 37)], 4).await;
    assert_eq!(gains(&*store).await, [None, Some(1), Some(2), Some(2)]);
    // It returns, and its gain since then counts.
    complete_run(&*store, &[(1, 51), (2, 22), (3, 37)], 5).await;
    assert_eq!(gains(&*store).await, [None, Some(1), Some(2), Some(2), Some(1)]);
    let changes: Vec<_> = days(&*store).await.iter().map(|day| (day.joined, day.left)).collect();
    assert_eq!(changes, [(0, 0), (0, 1), (0, 0), (1, 0), (1, 0)]);
}

async fn days_have_what_the_last_complete_run_counted(store: SharedStore) {
    complete_run(&*store, &[(1, 1), (2, 2)], 0).await;
    let lease = begin(&*store, "kubernetes", day(1)).await;
    store_page(&*store, &lease, &[repository(3, 3)], day(1)).await;
    finish(&*store, &lease, None, Scope::All, day(1)).await;
    let days = serde_json::to_value(days(&*store).await).expect("JSON");
    assert_eq!(
        days,
        json!([
            { "day": "2026-09-21", "total_count": 2, "stored": 2, "complete": true,
              "stars_gained": null, "joined": 0, "left": 0 },
            { "day": "2026-09-22", "total_count": null, "stored": 3, "complete": false,
              "stars_gained": 0, "joined": 1, "left": 0 },
        ])
    );
}

fn all_events() -> EventQuery {
    EventQuery {
        kinds: EventKind::VARIANTS.to_vec(),
        since: None,
        until: None,
        offset: 0,
        limit: 500,
    }
}

/// The number of all that match, and the ids of those that are returned.
async fn ids(store: &dyn Store, query: &EventQuery) -> (i64, Vec<String>) {
    let page = store.events(&topic("kubernetes"), query).await.expect("a database");
    let page = page.expect("tracked");
    (page.matched, page.events.iter().map(api::model::event::Event::id).collect())
}

/// A renaming and an archiving on day 1, two that join on day 2, one that leaves on day 3.
async fn store_some_events(store: &dyn Store) {
    complete_run(store, &[(1, 10), (2, 20)], 0).await;
    let archived =
        Repository { full_name: "new/name".to_owned(), archived: true, ..repository(1, 11) };
    let all = [archived, repository(2, 20), repository(7, 70), repository(10, 100)];
    store_complete_run(store, "kubernetes", &all[..2], day(1)).await;
    store_complete_run(store, "kubernetes", &all, day(2)).await;
    leave(store, 2, LeftReason::Private, 3).await;
}

async fn events_come_newest_first_and_then_by_id(store: SharedStore) {
    store_some_events(&*store).await;
    let expected = [
        "20260924T000000Z-left-2",
        "20260923T000000Z-joined-10",
        "20260923T000000Z-joined-7",
        "20260922T000000Z-archived-1",
        "20260922T000000Z-renamed-1",
    ];
    let (matched, all) = ids(&*store, &all_events()).await;
    assert_eq!((matched, all.iter().map(String::as_str).collect()), (5, expected.to_vec()));
    let mut pages = Vec::new();
    for offset in 0..6 {
        let query = EventQuery { offset, limit: 1, ..all_events() };
        let (matched, ids) = ids(&*store, &query).await;
        assert_eq!((matched, ids.len()), (5, usize::from(offset < 5)), "{offset}");
        pages.extend(ids);
    }
    assert_eq!(pages, expected, "pages of one");
}

async fn events_are_chosen_by_kind_and_time(store: SharedStore) {
    store_some_events(&*store).await;
    let of = async |kinds: &[EventKind], since: DateTime<Utc>, until: DateTime<Utc>| {
        let (since, until) = (Some(since), Some(until));
        let query = EventQuery { kinds: kinds.to_vec(), since, until, ..all_events() };
        ids(&*store, &query).await.0
    };
    let (all, second) = (EventKind::VARIANTS, TimeDelta::seconds(1));
    assert_eq!(of(&[EventKind::Joined], day(0), day(9)).await, 2);
    assert_eq!(of(&[EventKind::Left, EventKind::Archived], day(0), day(9)).await, 2);
    assert_eq!(of(&[], day(0), day(9)).await, 0);
    assert_eq!(of(all, day(2), day(9)).await, 3, "the first second counts");
    assert_eq!(of(all, day(2) + second, day(9)).await, 1);
    assert_eq!(of(all, day(0), day(2)).await, 2, "the last second does not count");
    assert_eq!(of(all, day(0), day(2) + second).await, 4);
}

async fn events_have_their_facts_and_those_of_the_repository(store: SharedStore) {
    store_some_events(&*store).await;
    complete_run(&*store, &[(1, 500), (7, 700)], 9).await;
    let page = store.events(&topic("kubernetes"), &all_events()).await.expect("a database");
    let events = page.expect("tracked").events;
    let of = |id: &str| events.iter().find(|event| event.id() == id).expect("the event");
    let left = of("20260924T000000Z-left-2");
    assert_eq!((left.reason, left.stars), (Some(LeftReason::Private), Some(20)));
    let renamed = of("20260922T000000Z-renamed-1");
    let names = renamed.renamed.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
    assert_eq!(names, Some(("owner/name-1", "new/name")));
    assert_eq!(renamed.stars, Some(11), "those of the day");
    let joined = of("20260923T000000Z-joined-7");
    assert_eq!((joined.stars, joined.at), (Some(70), day(2)));
    assert_eq!(joined.html_url.as_deref(), Some("https://github.com/owner/name-7"));
    assert_eq!(joined.description.as_deref(), Some("✓ \"quoted\""));
    assert_eq!((joined.language.as_deref(), &joined.renamed), (None, &None));
}

contract![
    topic_that_is_not_tracked_has_neither_days_nor_events,
    stars_gained_are_summed_over_the_repositories_seen_on_the_day,
    stars_gained_leave_out_repositories_that_the_topic_did_not_have,
    days_have_what_the_last_complete_run_counted,
    events_come_newest_first_and_then_by_id,
    events_are_chosen_by_kind_and_time,
    events_have_their_facts_and_those_of_the_repository,
];
