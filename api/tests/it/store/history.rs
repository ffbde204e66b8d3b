//! History: counts of each day, days of topics, events, former names and members, and how long
//! they are kept.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use api::model::event::LeftReason;
use api::model::repository::Repository;
use api::model::run::{Outcome, Report};
use api::model::topic::{Coverage, Origin, SyncCursor};
use api::store::archive::{ArchiveRow, ArchiveSink, Table};
use api::store::{FinishRun, Lease, Page, Scope, SharedStore, Store};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{at, begin, finish, repository, store_complete_run, store_page, topic};

/// Midnight that many days after START's.
pub(super) fn day(number: i64) -> DateTime<Utc> {
    let start = at(0).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    start + TimeDelta::days(number)
}

/// The rows of each table of the archive, their values separated by spaces.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) tables: BTreeMap<&'static str, Vec<String>>,
    current: &'static str,
}

impl ArchiveSink for Rows {
    fn begin(&mut self, table: &'static Table) -> ControlFlow<()> {
        self.current = table.name;
        ControlFlow::Continue(())
    }

    fn row(&mut self, row: &ArchiveRow) -> ControlFlow<()> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        let row = row.iter().map(text).collect::<Vec<_>>().join(" ");
        self.tables.entry(self.current).or_default().push(row);
        ControlFlow::Continue(())
    }
}

pub(crate) async fn rows(store: &dyn Store, table: &str) -> Vec<String> {
    let mut rows = Rows::default();
    store.export(&mut rows).await.expect("a database");
    rows.tables.remove(table).unwrap_or_default()
}

fn renamed(mut repository: Repository, name: &str) -> Repository {
    name.clone_into(&mut repository.full_name);
    repository
}

async fn complete_run(store: &dyn Store, repositories: &[Repository], now: DateTime<Utc>) {
    store_complete_run(store, "kubernetes", repositories, now).await;
}

async fn counts_are_the_last_ones_seen_on_each_day(store: SharedStore) {
    complete_run(&*store, &[repository(1, 10), repository(2, 20)], day(0)).await;
    complete_run(&*store, &[repository(1, 11), repository(2, 20)], day(0) + TimeDelta::hours(5))
        .await;
    complete_run(&*store, &[repository(1, 11), repository(2, 20)], day(1)).await;
    // A run that is killed has stored its pages all the same.
    let lease = begin(&*store, "kubernetes", day(3)).await;
    store_page(&*store, &lease, &[repository(1, 9)], day(3)).await;
    assert_eq!(
        rows(&*store, "counts").await,
        [
            "1 2026-09-21 11 0 0",
            "1 2026-09-22 11 0 0",
            "1 2026-09-24 9 0 0",
            "2 2026-09-21 20 0 0",
            "2 2026-09-22 20 0 0",
        ]
    );
}

/// Pages of a run that goes on past midnight count for the day on which they came.
async fn page_counts_for_the_day_on_which_it_came(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, day(0)).await.expect("tracked");
    let midnight = day(1);
    let lease = begin(&*store, "kubernetes", midnight - TimeDelta::seconds(2)).await;
    store_page(&*store, &lease, &[repository(1, 1)], midnight - TimeDelta::seconds(1)).await;
    store_page(&*store, &lease, &[repository(2, 2)], midnight).await;
    finish(&*store, &lease, Some(&[1, 2]), Scope::First(500), midnight).await;
    assert_eq!(rows(&*store, "counts").await, ["1 2026-09-21 1 0 0", "2 2026-09-22 2 0 0"]);
}

/// The ids of the repositories that have counts of the day.
async fn seen_on(store: &dyn Store, number: i64) -> Vec<String> {
    let day = day(number).date_naive().to_string();
    let rows = rows(store, "counts").await;
    let words = rows.iter().map(|row| row.split(' ').collect::<Vec<_>>());
    words.filter(|words| words[1] == day).map(|words| words[0].to_owned()).collect()
}

/// The scope of a run over changes after that of [`repository`] with so many stars.
fn since(stars: i64) -> Scope {
    Scope::Since { updated_at: at(stars), confirmed_at: day(0) }
}

async fn complete_run_of_a_whole_topic_has_seen_what_it_did_not_show(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1), repository(2, 2)], day(0)).await;
    for (number, scope, expected) in [
        (1, Scope::First(500), &["2"][..]),
        (2, Scope::All, &["2"]),
        (3, since(2), &["1", "2"]),
        (4, since(2), &["1", "2"]),
        (6, since(2), &["1", "2"]),
    ] {
        let lease = begin(&*store, "kubernetes", day(number)).await;
        store_page(&*store, &lease, &[repository(2, number)], day(number)).await;
        finish(&*store, &lease, Some(&[2]), scope, day(number)).await;
        assert_eq!(seen_on(&*store, number).await, expected, "{scope:?}");
    }
    assert_eq!(seen_on(&*store, 5).await, [""; 0]);
}

async fn complete_run_has_not_seen_what_is_in_doubt_or_unreadable(store: SharedStore) {
    let all: Vec<_> = (1..=5).map(|id| repository(id, id)).collect();
    complete_run(&*store, &all, day(0)).await;
    let topic = topic("kubernetes");
    let lease = begin(&*store, "kubernetes", day(1)).await;
    store.note_unanswered(&lease, &topic, &[1], day(1)).await.expect("noted");
    let page = Page { repositories: &[], unreadable: &[2], coverage: Coverage::Complete };
    store.store_page(&lease, &topic, &page, &Report::default(), day(1)).await.expect("stored");
    finish(&*store, &lease, Some(&[]), since(4), day(1)).await;
    assert_eq!(seen_on(&*store, 1).await, ["3", "4"], "5 was updated later, and not shown");
    // The next run does not show those that have not changed since.
    let lease = begin(&*store, "kubernetes", day(1)).await;
    finish(&*store, &lease, Some(&[]), since(4), day(1)).await;
    assert_eq!(seen_on(&*store, 1).await, ["3", "4"]);
    let confirmed_at = day(1);
    let scope = Scope::Since { updated_at: at(9), confirmed_at };
    let lease = begin(&*store, "kubernetes", day(2)).await;
    finish(&*store, &lease, Some(&[]), scope, day(2)).await;
    assert_eq!(seen_on(&*store, 2).await, [""; 0], "no run confirmed them since day 1");
    complete_run(&*store, &all, day(3)).await;
    let lease = begin(&*store, "kubernetes", day(4)).await;
    finish(&*store, &lease, Some(&[]), since(5), day(4)).await;
    assert_eq!(seen_on(&*store, 4).await, ["1", "2", "3", "4", "5"]);
}

/// A complete run over the top has seen only what it showed.
async fn run_over_changes_has_seen_what_an_earlier_run_of_the_day_did_not(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1), repository(2, 2)], day(0)).await;
    for scope in [Scope::First(500), since(2)] {
        let lease = begin(&*store, "kubernetes", day(1)).await;
        store_page(&*store, &lease, &[repository(2, 2)], day(1)).await;
        finish(&*store, &lease, Some(&[2]), scope, day(1)).await;
    }
    assert_eq!(seen_on(&*store, 1).await, ["1", "2"]);
}

async fn run_past_midnight_claims_only_the_counts_that_it_shows(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1), repository(2, 2), repository(3, 3)], day(0)).await;
    let midnight = day(2);
    let lease = begin(&*store, "kubernetes", midnight - TimeDelta::seconds(2)).await;
    store_page(&*store, &lease, &[repository(2, 9)], midnight - TimeDelta::seconds(1)).await;
    store_page(&*store, &lease, &[repository(3, 9)], midnight).await;
    finish(&*store, &lease, Some(&[2, 3]), since(3), midnight).await;
    assert_eq!(seen_on(&*store, 1).await, ["2"], "a day that has passed never changes");
    assert_eq!(seen_on(&*store, 2).await, ["3"]);
}

/// Ends a run that was not complete.
async fn end_partial_run(store: &dyn Store, lease: &Lease, count: i64, now: DateTime<Utc>) {
    let finish = FinishRun {
        topic: &topic("kubernetes"),
        complete: None,
        total_count: Some(count),
        shrunk: None,
        cursor: SyncCursor::default(),
        keeps_slices: false,
    };
    store.finish(lease, &finish, now).await.expect("finished");
    store.end(lease, Outcome::Partial, &Report::default(), now).await.expect("ended");
}

async fn days_of_a_topic_tell_whether_a_run_was_complete(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1), repository(2, 2)], day(0)).await;
    let lease = begin(&*store, "kubernetes", day(0)).await;
    store_page(&*store, &lease, &[repository(3, 3)], day(0)).await;
    end_partial_run(&*store, &lease, 1, day(0)).await;
    let lease = begin(&*store, "kubernetes", day(1)).await;
    end_partial_run(&*store, &lease, 7, day(1)).await;
    let lease = begin(&*store, "kubernetes", day(1)).await;
    finish(&*store, &lease, None, Scope::All, day(1)).await;
    assert_eq!(
        rows(&*store, "topic_days").await,
        ["kubernetes 2026-09-21 2 3 true [1,2]", "kubernetes 2026-09-22 7 3 false -"]
    );
}

async fn changes_of_a_repository_are_events_of_its_topics(store: SharedStore) {
    let mut archived = renamed(repository(1, 1), "new/name");
    archived.archived = true;
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], day(0)).await;
    store_complete_run(&*store, "mcp", &[repository(1, 1)], day(0)).await;
    store_complete_run(&*store, "mcp", std::slice::from_ref(&archived), day(1)).await;
    store_complete_run(&*store, "mcp", std::slice::from_ref(&archived), day(2)).await;
    archived.archived = false;
    store_complete_run(&*store, "kubernetes", &[archived], day(3)).await;
    let changes = |topic: &str| {
        [
            format!("{topic} 2026-09-22T00:00:00Z 1 archived new/name - - -"),
            format!("{topic} 2026-09-22T00:00:00Z 1 renamed new/name - owner/name-1 new/name"),
            format!("{topic} 2026-09-24T00:00:00Z 1 unarchived new/name - - -"),
        ]
    };
    assert_eq!(rows(&*store, "events").await, [changes("kubernetes"), changes("mcp")].concat());
    assert_eq!(rows(&*store, "names").await, ["1 2026-09-22T00:00:00Z owner/name-1"]);
}

/// Stores a page with a run of this coverage, which is complete.
async fn run_with(store: &dyn Store, coverage: Coverage, all: &[Repository], now: DateTime<Utc>) {
    let lease = begin(store, "kubernetes", now).await;
    store_with(store, &lease, coverage, all, now).await;
    let scope = match coverage {
        Coverage::Top => Scope::First(500),
        Coverage::Complete => Scope::All,
    };
    let ids: Vec<i64> = all.iter().map(|repository| repository.id).collect();
    finish(store, &lease, Some(&ids), scope, now).await;
}

async fn store_with(
    store: &dyn Store,
    lease: &Lease,
    coverage: Coverage,
    repositories: &[Repository],
    now: DateTime<Utc>,
) {
    let page = Page { repositories, unreadable: &[], coverage };
    let (topic, report) = (topic("kubernetes"), Report::default());
    store.store_page(lease, &topic, &page, &report, now).await.expect("stored");
}

fn created(id: i64, at: DateTime<Utc>) -> Repository {
    Repository { created_at: Some(at), ..repository(id, id) }
}

async fn new_members_joined_unless_they_are_of_a_first_filling(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, day(0)).await.expect("tracked");
    let old = |id| created(id, day(-100));
    run_with(&*store, Coverage::Top, &[old(1)], day(0)).await;
    // An older one has got a place, a new one was made since the topic is tracked.
    run_with(&*store, Coverage::Top, &[old(1), old(2), created(3, day(1))], day(2)).await;
    // The change of coverage brings some, and the run after it one more.
    let all = [old(1), old(2), created(3, day(1)), created(4, day(1)), old(5)];
    run_with(&*store, Coverage::Complete, &all, day(3)).await;
    run_with(&*store, Coverage::Complete, &[&all[..], &[old(6)]].concat(), day(4)).await;
    assert_eq!(
        rows(&*store, "members").await,
        [
            "kubernetes 1 1 - 2026-09-21",
            "kubernetes 2 2 - 2026-09-23",
            "kubernetes 3 3 2026-09-23T00:00:00Z 2026-09-23",
            "kubernetes 4 4 - 2026-09-24",
            "kubernetes 5 5 - 2026-09-24",
            "kubernetes 6 6 2026-09-25T00:00:00Z 2026-09-25",
        ]
    );
    assert_eq!(
        rows(&*store, "events").await,
        [
            "kubernetes 2026-09-23T00:00:00Z 3 joined owner/name-3 - - -",
            "kubernetes 2026-09-25T00:00:00Z 6 joined owner/name-6 - - -",
        ]
    );
}

async fn repository_that_leaves_and_returns_has_both_events(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, day(0)).await.expect("tracked");
    let old = |id| created(id, day(-100));
    run_with(&*store, Coverage::Top, &[old(1), old(2)], day(0)).await;
    let lease = begin(&*store, "kubernetes", day(2)).await;
    let gone = [(1, LeftReason::TopicRemoved)];
    store.remove(&lease, &topic("kubernetes"), &gone, day(2)).await.expect("removed");
    finish(&*store, &lease, Some(&[2]), Scope::First(500), day(2)).await;
    run_with(&*store, Coverage::Top, &[old(1), old(2)], day(5)).await;
    assert_eq!(
        rows(&*store, "events").await,
        [
            "kubernetes 2026-09-23T00:00:00Z 1 left owner/name-1 topic_removed - -",
            "kubernetes 2026-09-26T00:00:00Z 1 joined owner/name-1 - - -",
        ]
    );
    assert_eq!(rows(&*store, "former_members").await, ["kubernetes 1 2026-09-21 2026-09-23"]);
    let members = rows(&*store, "members").await;
    assert_eq!(members[0], "kubernetes 1 1 2026-09-26T00:00:00Z 2026-09-26");
}

async fn displaced_repository_that_returns_the_next_day_was_never_away(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, day(0)).await.expect("tracked");
    let old = |id| created(id, day(-100));
    run_with(&*store, Coverage::Top, &[old(1), old(2)], day(0)).await;
    let lease = begin(&*store, "kubernetes", day(1)).await;
    store_with(&*store, &lease, Coverage::Top, &[old(2)], day(1)).await;
    finish(&*store, &lease, Some(&[2]), Scope::First(1), day(1)).await;
    assert_eq!(rows(&*store, "former_members").await, ["kubernetes 1 2026-09-21 2026-09-22"]);
    run_with(&*store, Coverage::Top, &[old(1), old(2)], day(2)).await;
    assert_eq!(rows(&*store, "former_members").await, Vec::<String>::new());
    assert_eq!(
        rows(&*store, "members").await,
        ["kubernetes 1 1 - 2026-09-21", "kubernetes 2 2 - 2026-09-21"]
    );
    assert_eq!(rows(&*store, "events").await, Vec::<String>::new());
}

async fn new_repository_that_loses_its_place_and_returns_joins_once(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, day(0)).await.expect("tracked");
    let (old, new) = (created(2, day(-100)), created(1, day(1)));
    run_with(&*store, Coverage::Top, std::slice::from_ref(&old), day(0)).await;
    run_with(&*store, Coverage::Top, &[old.clone(), new.clone()], day(1)).await;
    let lease = begin(&*store, "kubernetes", day(2)).await;
    store_with(&*store, &lease, Coverage::Top, std::slice::from_ref(&old), day(2)).await;
    finish(&*store, &lease, Some(&[2]), Scope::First(1), day(2)).await;
    assert_eq!(rows(&*store, "members").await.len(), 1);
    run_with(&*store, Coverage::Top, &[old, new], day(5)).await;
    assert_eq!(
        rows(&*store, "events").await,
        ["kubernetes 2026-09-22T00:00:00Z 1 joined owner/name-1 - - -"]
    );
    let members = rows(&*store, "members").await;
    assert_eq!(members[0], "kubernetes 1 2 2026-09-22T00:00:00Z 2026-09-26");
}

async fn history_of_a_deleted_topic_is_kept_for_90_days(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1), repository(2, 2)], day(0)).await;
    store_complete_run(&*store, "mcp", &[repository(2, 2)], day(0)).await;
    store.delete_topic(&topic("kubernetes"), true, day(1)).await.expect("deleted");
    for number in [1, 2, 91] {
        store.delete_unkept(day(number)).await.expect("a database");
    }
    assert_eq!(rows(&*store, "counts").await.len(), 2);
    assert_eq!(rows(&*store, "topic_days").await.len(), 2);
    assert_eq!(rows(&*store, "former_members").await.len(), 2);
    for number in [92, 93] {
        store.delete_unkept(day(number)).await.expect("a database");
    }
    assert_eq!(rows(&*store, "repositories").await.len(), 1);
    assert_eq!(rows(&*store, "counts").await, ["2 2026-09-21 2 0 0"]);
    assert_eq!(rows(&*store, "topic_days").await, ["mcp 2026-09-21 1 1 true [2]"]);
    assert_eq!(rows(&*store, "former_members").await.len(), 0);
}

async fn history_is_whole_when_a_topic_is_tracked_again_in_time(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1)], day(0)).await;
    store.delete_topic(&topic("kubernetes"), true, day(1)).await.expect("deleted");
    store.delete_unkept(day(1)).await.expect("a database");
    complete_run(&*store, &[repository(1, 1)], day(80)).await;
    for number in [100, 200, 201] {
        store.delete_unkept(day(number)).await.expect("a database");
    }
    assert_eq!(rows(&*store, "counts").await, ["1 2026-09-21 1 0 0", "1 2026-12-10 1 0 0"]);
    assert_eq!(rows(&*store, "topic_days").await.len(), 2);
    assert_eq!(rows(&*store, "former_members").await, ["kubernetes 1 2026-09-21 2026-09-22"]);
}

/// The second look comes at the next refresh.
async fn jump_of_the_clock_deletes_nothing_at_the_first_look(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1)], day(0)).await;
    store.delete_topic(&topic("kubernetes"), true, day(1)).await.expect("deleted");
    store.delete_unkept(day(1)).await.expect("a database");
    store.delete_unkept(day(1_000)).await.expect("a database");
    store.delete_unkept(day(2)).await.expect("a database");
    store.delete_unkept(day(3)).await.expect("a database");
    assert_eq!(rows(&*store, "counts").await.len(), 1);
}

async fn history_is_deleted_at_once_on_request(store: SharedStore) {
    complete_run(&*store, &[repository(1, 1), repository(2, 2), repository(3, 3)], day(0)).await;
    store_complete_run(&*store, "mcp", &[repository(2, 2)], day(0)).await;
    complete_run(&*store, &[renamed(repository(1, 1), "a/b"), repository(2, 2)], day(1)).await;
    assert!(store.delete_topic(&topic("kubernetes"), true, day(1)).await.expect("deleted"));
    assert!(store.delete_topic(&topic("kubernetes"), false, day(1)).await.expect("deleted"));
    assert!(!store.delete_topic(&topic("kubernetes"), false, day(1)).await.expect("deleted"));
    let mut left = Rows::default();
    store.export(&mut left).await.expect("a database");
    let left: Vec<(&str, usize)> =
        left.tables.iter().map(|(table, rows)| (*table, rows.len())).collect();
    assert_eq!(
        left,
        [("counts", 2), ("members", 1), ("repositories", 1), ("topic_days", 1), ("topics", 1)]
    );
}

/// More events than one transaction deletes.
async fn events_are_kept_for_400_days(store: SharedStore) {
    let all: Vec<_> = (1..=1_100).map(|id| repository(id, 1)).collect();
    complete_run(&*store, &all, day(0)).await;
    let all: Vec<_> = all.into_iter().map(|own| renamed(own, "a/b")).collect();
    complete_run(&*store, &all, day(1)).await;
    for (number, expected) in [(400, 1_100), (401, 1_100), (402, 0)] {
        store.delete_unkept(day(number)).await.expect("a database");
        store.delete_unkept(day(number)).await.expect("a database");
        assert_eq!(rows(&*store, "events").await.len(), expected, "day {number}");
    }
    assert_eq!(rows(&*store, "names").await.len(), 1_100);
}

contract![
    counts_are_the_last_ones_seen_on_each_day,
    page_counts_for_the_day_on_which_it_came,
    complete_run_of_a_whole_topic_has_seen_what_it_did_not_show,
    complete_run_has_not_seen_what_is_in_doubt_or_unreadable,
    run_over_changes_has_seen_what_an_earlier_run_of_the_day_did_not,
    run_past_midnight_claims_only_the_counts_that_it_shows,
    days_of_a_topic_tell_whether_a_run_was_complete,
    changes_of_a_repository_are_events_of_its_topics,
    new_members_joined_unless_they_are_of_a_first_filling,
    repository_that_leaves_and_returns_has_both_events,
    displaced_repository_that_returns_the_next_day_was_never_away,
    new_repository_that_loses_its_place_and_returns_joins_once,
    history_of_a_deleted_topic_is_kept_for_90_days,
    history_is_whole_when_a_topic_is_tracked_again_in_time,
    jump_of_the_clock_deletes_nothing_at_the_first_look,
    history_is_deleted_at_once_on_request,
    events_are_kept_for_400_days,
];
