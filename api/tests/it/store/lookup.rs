//! Single repositories: look-up by name, places in topics, days.

use api::model::counts::{Counts, Span};
use api::model::event::{EventKind, LeftReason, RepositoryEvent};
use api::model::repository::{NameOwner, Places, Repository};
use api::model::topic::Origin;
use api::store::{Scope, SharedStore, Store};
use chrono::{Days, NaiveDate, TimeDelta};

use super::history::day;
use super::{at, begin, finish, repository, store_complete_run, store_page, topic};

/// The name's owner: the id of the present one, or the present name of a former one.
async fn owner(store: &dyn Store, name: &str) -> String {
    match store.name_owner(&name.parse().expect("a name")).await.expect("a database") {
        Some(NameOwner::Present(id)) => id.to_string(),
        Some(NameOwner::Former(present)) => present,
        None => "unknown".to_owned(),
    }
}

fn named(id: i64, name: &str) -> Repository {
    Repository { full_name: name.to_owned(), ..repository(id, id) }
}

async fn name_is_found_without_case(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[named(1, "Owner/Some.Name")], day(0)).await;
    for name in ["Owner/Some.Name", "owner/some.name", "OWNER/SOME.NAME"] {
        assert_eq!(owner(&*store, name).await, "1", "{name}");
    }
    for name in ["owner/some_name", "owner/some%", "owner/Some.Nam", "wner/Some.Name"] {
        assert_eq!(owner(&*store, name).await, "unknown", "{name}");
    }
}

async fn former_name_leads_to_the_present_one(store: SharedStore) {
    for (number, name) in [(0, "o/a"), (1, "o/b"), (2, "o/c"), (3, "O/C")] {
        store_complete_run(&*store, "kubernetes", &[named(1, name)], day(number)).await;
    }
    for (name, expected) in [("o/A", "O/C"), ("o/b", "O/C"), ("o/c", "1"), ("o/d", "unknown")] {
        assert_eq!(owner(&*store, name).await, expected, "{name}");
    }
    let details = store.repository(1).await.expect("a database").expect("a repository");
    let names = details.former_names.iter().map(|name| (&*name.full_name, name.until));
    let expected = [("o/c", day(3)), ("o/b", day(2)), ("o/a", day(1))];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

/// Of the former owners of a name, the last one counts.
async fn name_of_two_former_owners_leads_to_the_last_one(store: SharedStore) {
    let runs = [
        [named(1, "o/shared"), named(2, "o/two")],
        [named(1, "o/one"), named(2, "o/shared")],
        [named(1, "o/one"), named(2, "o/two")],
    ];
    for (number, run) in (0..).zip(&runs) {
        store_complete_run(&*store, "kubernetes", run, day(number)).await;
    }
    assert_eq!(owner(&*store, "o/shared").await, "o/two");
}

async fn name_that_another_repository_has_taken_over_is_its_own(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[named(1, "o/a"), named(3, "o/c")], day(0)).await;
    // The first one was renamed; the last one has left and was renamed unseen.
    let lease = begin(&*store, "kubernetes", day(1)).await;
    let gone = [(3, LeftReason::TopicRemoved)];
    store.remove(&lease, &topic("kubernetes"), &gone, day(1)).await.expect("removed");
    let page = [named(1, "o/b"), named(2, "o/A"), named(4, "o/C")];
    store_page(&*store, &lease, &page, day(1)).await;
    finish(&*store, &lease, Some(&[1, 2, 4]), Scope::All, day(1)).await;
    for (name, expected) in [("o/a", "2"), ("o/b", "1"), ("o/c", "4")] {
        assert_eq!(owner(&*store, name).await, expected, "{name}");
    }
}

/// Two rows have the name until a refresh shows the new name of the first one.
async fn name_of_two_rows_is_the_one_that_was_seen_last(store: SharedStore) {
    for (first, second) in [(1, 2), (4, 3)] {
        let name = format!("o/{first}");
        store_complete_run(&*store, "kubernetes", &[named(first, &name)], day(0)).await;
        let lease = begin(&*store, "kubernetes", day(1)).await;
        store_page(&*store, &lease, &[named(second, &name)], day(1)).await;
        finish(&*store, &lease, None, Scope::All, day(1)).await;
        assert_eq!(owner(&*store, &name).await, second.to_string());
        // A run that sees the first one unchanged confirms it.
        let lease = begin(&*store, "kubernetes", day(2)).await;
        store_page(&*store, &lease, &[named(first, &name)], day(2)).await;
        finish(&*store, &lease, None, Scope::All, day(2)).await;
        assert_eq!(owner(&*store, &name).await, first.to_string());
        // A run that sees the first one renamed leaves the name to the second one.
        let lease = begin(&*store, "kubernetes", day(3)).await;
        store_page(&*store, &lease, &[named(first, "o/other")], day(3)).await;
        finish(&*store, &lease, None, Scope::All, day(3)).await;
        assert_eq!(owner(&*store, &name).await, second.to_string());
    }
}

async fn details_have_every_field_that_was_stored(store: SharedStore) {
    let plain = repository(1, 10);
    let full = Repository {
        node_id: Some("R_2".to_owned()),
        owner: Some("owner".to_owned()),
        homepage: Some(String::new()),
        language: Some("Go".to_owned()),
        license: Some("MIT".to_owned()),
        default_branch: Some("main".to_owned()),
        fork: true,
        archived: true,
        disabled: true,
        is_template: true,
        size: 5,
        forks_count: 6,
        open_issues_count: 7,
        created_at: Some(at(-100)),
        pushed_at: Some(at(-1)),
        ..repository(2, 20)
    };
    let none = Repository { topics: None, description: None, ..repository(3, 30) };
    let all = [plain, full, none];
    store_complete_run(&*store, "kubernetes", &all, at(0)).await;
    for expected in all {
        let details = store.repository(expected.id).await.expect("a database");
        assert_eq!(details.expect("a repository").repository, expected);
    }
    assert_eq!(store.repository(4).await.expect("a database"), None);
}

async fn places_are_those_in_each_topic_that_has_the_repository(store: SharedStore) {
    // Equal stars and times: the lowest id first. Best match shows two of four.
    let tied = [repository(3, 10), repository(2, 10), repository(1, 10), repository(4, 20)];
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let lease = begin(&*store, "kubernetes", at(0)).await;
    store_page(&*store, &lease, &tied, at(0)).await;
    finish(&*store, &lease, Some(&[3, 1]), Scope::All, at(0)).await;
    // More stars, but updated before.
    let starred = Repository { updated_at: at(1), ..repository(5, 50) };
    store_complete_run(&*store, "mcp", &[repository(2, 10), starred], at(1)).await;
    // A topic without a list yet has no places.
    store.track(&topic("new"), Origin::Configured, None, at(2)).await.expect("tracked");
    let lease = begin(&*store, "new", at(2)).await;
    store_page(&*store, &lease, &[repository(2, 10)], at(2)).await;
    let places = async |id| {
        let stored = store.repository(id).await.expect("a database").expect("a repository");
        let mut rows = Vec::new();
        for own in stored.topics {
            let places = store.places(id, &own).await.expect("a database").expect("places");
            let Places { topic, best_match, popularity, activity, joined_at } = places;
            assert_eq!(joined_at, None, "the first filling is no joining");
            rows.push((topic.to_string(), best_match, popularity, activity));
        }
        rows
    };
    let kubernetes = |best_match, popularity, activity| {
        ("kubernetes".to_owned(), best_match, popularity, activity)
    };
    assert_eq!(places(1).await, [kubernetes(Some(2), 2, 2)]);
    assert_eq!(places(2).await, [kubernetes(None, 3, 3), ("mcp".to_owned(), Some(1), 2, 1)]);
    assert_eq!(places(3).await, [kubernetes(Some(1), 4, 4)]);
    assert_eq!(places(4).await, [kubernetes(None, 1, 1)]);
    assert_eq!(places(5).await, [("mcp".to_owned(), Some(2), 1, 2)]);
}

async fn repository_that_has_left_every_topic_is_known_while_it_is_kept(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], day(0)).await;
    let lease = begin(&*store, "kubernetes", day(1)).await;
    let gone = [(1, LeftReason::Deleted)];
    store.remove(&lease, &topic("kubernetes"), &gone, day(1)).await.expect("removed");
    finish(&*store, &lease, Some(&[]), Scope::All, day(1)).await;
    assert_eq!(owner(&*store, "owner/name-1").await, "1");
    let details = store.repository(1).await.expect("a database").expect("a repository");
    assert_eq!(details.topics, []);
    let places = store.places(1, &topic("kubernetes")).await.expect("a database");
    assert_eq!(places, None);
    let days = store.repository_days(1, None, None).await.expect("a database");
    assert_eq!(days.expect("a repository").seen.len(), 1);
    for number in [1, 92, 93] {
        store.delete_unkept(day(number)).await.expect("a database");
    }
    assert_eq!(owner(&*store, "owner/name-1").await, "unknown");
    assert_eq!(store.repository_days(1, None, None).await.expect("a database"), None);
}

async fn days_are_those_between_two_days(store: SharedStore) {
    // Seen on five days, with other counts from the third one on, and a gap before the last one.
    for (number, stars) in [(0, 10), (1, 10), (2, 11), (3, 11), (5, 11)] {
        let now = day(number) + TimeDelta::hours(1);
        store_complete_run(&*store, "kubernetes", &[repository(1, stars)], now).await;
    }
    let date = |number: i64| day(number).date_naive();
    let backfilled = Span {
        repository: 1,
        first: date(-9),
        last: date(1),
        counts: Counts { stars: 5, forks: None, open_issues: None },
    };
    store.backfill(1, &[backfilled], date(5)).await.expect("stored");
    let days = async |from: Option<i64>, to: Option<i64>| {
        let days = store.repository_days(1, from.map(date), to.map(date)).await;
        let days = days.expect("a database").expect("a repository");
        assert_eq!((days.id, &*days.full_name), (1, "owner/name-1"));
        let rows = |spans: &[Span]| {
            let number = |day: NaiveDate| (day - date(0)).num_days();
            let row = |span: &Span| (number(span.first), number(span.last), span.counts.stars);
            spans.iter().map(row).collect::<Vec<_>>()
        };
        (rows(&days.seen), rows(&days.backfilled))
    };
    let all = vec![(0, 1, 10), (2, 3, 11), (5, 5, 11)];
    assert_eq!(days(None, None).await, (all.clone(), vec![(-9, 1, 5)]));
    assert_eq!(days(Some(-99), Some(99)).await, (all, vec![(-9, 1, 5)]));
    assert_eq!(days(Some(1), Some(2)).await, (vec![(1, 1, 10), (2, 2, 11)], vec![(1, 1, 5)]));
    assert_eq!(days(Some(3), None).await, (vec![(3, 3, 11), (5, 5, 11)], vec![]));
    assert_eq!(days(None, Some(-1)).await, (vec![], vec![(-9, -1, 5)]));
    assert_eq!(days(Some(4), Some(4)).await, (vec![], vec![]));
    assert_eq!(store.repository_days(2, None, None).await.expect("a database"), None);
}

/// A change is an event of both topics, and comes once.
async fn events_of_a_repository_come_once_and_newest_first(store: SharedStore) {
    let archived = Repository { archived: true, ..named(1, "o/b") };
    for topic in ["kubernetes", "mcp"] {
        store_complete_run(&*store, topic, &[named(1, "o/a"), named(2, "o/c")], day(0)).await;
    }
    store_complete_run(&*store, "mcp", &[archived, named(2, "o/d")], day(1)).await;
    for (name, number) in [("mcp", 2), ("kubernetes", 3)] {
        let lease = begin(&*store, name, day(number)).await;
        let gone = [(1, LeftReason::Private)];
        store.remove(&lease, &topic(name), &gone, day(number)).await.expect("removed");
        finish(&*store, &lease, Some(&[2]), Scope::All, day(number)).await;
    }
    let event = |number, kind| RepositoryEvent {
        at: day(number),
        kind,
        topic: None,
        reason: None,
        renamed: None,
    };
    let left = |number, name| RepositoryEvent {
        topic: Some(topic(name)),
        reason: Some(LeftReason::Private),
        ..event(number, EventKind::Left)
    };
    let renamed = Some(("o/a".to_owned(), "o/b".to_owned()));
    let expected = [
        left(3, "kubernetes"),
        left(2, "mcp"),
        event(1, EventKind::Archived),
        RepositoryEvent { renamed, ..event(1, EventKind::Renamed) },
    ];
    assert_eq!(store.repository_events(1, 20).await.expect("a database"), expected);
    assert_eq!(store.repository_events(1, 3).await.expect("a database"), expected[..3]);
    assert_eq!(store.repository_events(3, 20).await.expect("a database"), []);
}

/// Every day of three years has other counts.
async fn days_of_three_years_are_whole(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], day(0)).await;
    let first = day(0).date_naive() - Days::new(1_096);
    let span = |number: i64| Span {
        repository: 1,
        first: first + Days::new(number.unsigned_abs()),
        last: first + Days::new(number.unsigned_abs()),
        counts: Counts { stars: number * 7, forks: None, open_issues: None },
    };
    let spans: Vec<Span> = (0..1_096).map(span).collect();
    store.backfill(1, &spans, day(0).date_naive()).await.expect("stored");
    let days = store.repository_days(1, None, None).await.expect("a database");
    assert_eq!(days.expect("a repository").backfilled, spans);
}

contract![
    name_is_found_without_case,
    former_name_leads_to_the_present_one,
    name_of_two_former_owners_leads_to_the_last_one,
    name_that_another_repository_has_taken_over_is_its_own,
    name_of_two_rows_is_the_one_that_was_seen_last,
    details_have_every_field_that_was_stored,
    places_are_those_in_each_topic_that_has_the_repository,
    repository_that_has_left_every_topic_is_known_while_it_is_kept,
    days_are_those_between_two_days,
    events_of_a_repository_come_once_and_newest_first,
    days_of_three_years_are_whole,
];
