//! The store's contract: rules that every database keeps.
//!
//! Each rule is a function of a store. `contract!` runs it on SQLite and on PostgreSQL, on an empty
//! database each time.

use api::github::Item;
use api::model::ranking::Ranking;
use api::model::repository::Repository;
use api::model::run::{Outcome, Report, Trigger};
use api::model::topic::Topic;
use api::model::topic::{Coverage, Origin, SyncCursor, TopicState};
use api::store::{
    BeginOutcome, CompleteRun, FinishRun, Lease, NewRefresh, Page, Scope, SharedStore, Store,
};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::databases::Database;
use crate::support::{items, stored_list};

/// Makes a test of each rule and database. If PostgreSQL is not there, its tests are skipped, or
/// fail if REQUIRE_ALL_BACKENDS is set.
macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $rule() {
                    crate::store::check(crate::databases::sqlite(), super::$rule).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $rule() {
                    let Some(database) = crate::databases::postgres() else { return };
                    crate::store::check(database, super::$rule).await;
                }
            )*
        }
    };
}

mod backfills;
mod failures;
pub(crate) mod history;
mod lists;
mod lookup;
mod pages;
mod purges;
mod removal;
mod runs;
mod schema;
mod topic_history;
mod topics;
mod upgrade;

/// Checks a rule on a new database.
async fn check<F: Future<Output = ()>>(database: Database, rule: impl FnOnce(SharedStore) -> F) {
    let store = api::store::open(&database.url()).await.expect("a database");
    assert!(store.bootstrap().await.expect("a schema"), "bootstrap creates the schema");
    rule(SharedStore::clone(&store)).await;
    store.close().await;
}

/// The time that many seconds after START.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(crate::support::START + seconds, 0).expect("a date")
}

fn topic(name: &str) -> Topic {
    name.parse().expect("a topic")
}

/// A repository that was updated `stars` seconds after START.
fn repository(id: i64, stars: i64) -> Repository {
    let name = format!("name-{id}");
    let item = json!({
        "id": id,
        "name": name,
        "full_name": format!("owner/{name}"),
        "html_url": format!("https://github.com/owner/{name}"),
        "stargazers_count": stars,
        "updated_at": at(stars).to_rfc3339(),
        "topics": ["kubernetes"],
        "description": "✓ \"quoted\"",
    });
    Item::read(&item.to_string()).expect("a repository").repository
}

async fn begin(store: &dyn Store, name: &str, now: DateTime<Utc>) -> Lease {
    let topic = topic(name);
    let new = NewRefresh {
        topic: Some(&topic),
        parent: None,
        awaited: None,
        trigger: Trigger::Request,
        owner: "me",
    };
    match store.begin(&new, now).await.expect("a database") {
        BeginOutcome::Started(lease) => lease,
        BeginOutcome::Running(id) => panic!("{id} is running"),
    }
}

/// Stores a page and returns how many rows were inserted, updated and unchanged.
async fn store_page(
    store: &dyn Store,
    lease: &Lease,
    repositories: &[Repository],
    now: DateTime<Utc>,
) -> (i64, i64, i64) {
    let page = Page { repositories, unreadable: &[], coverage: Coverage::Top };
    let topic = topic(&lease.name);
    let (stored, _) =
        store.store_page(lease, &topic, &page, &Report::default(), now).await.expect("stored");
    (stored.inserted, stored.updated, stored.unchanged)
}

/// Finishes and ends a run, and returns how many repositories it removed. The run is complete if
/// there is a best match.
async fn finish(
    store: &dyn Store,
    lease: &Lease,
    best_match: Option<&[i64]>,
    scope: Scope,
    now: DateTime<Utc>,
) -> i64 {
    let found = best_match.map_or(0, |ids| i64::try_from(ids.len()).expect("a small number"));
    let outcome = if best_match.is_some() { Outcome::Complete } else { Outcome::Partial };
    let complete = best_match.map(|best_match| CompleteRun { best_match, found, scope });
    let topic = topic(&lease.name);
    let removed = store
        .finish(
            lease,
            &FinishRun {
                topic: &topic,
                complete,
                total_count: best_match.map(|_| found),
                shrunk: None,
                cursor: SyncCursor::default(),
                keeps_slices: false,
            },
            now,
        )
        .await
        .expect("finished");
    store.end(lease, outcome, &Report::default(), now).await.expect("ended");
    removed.0
}

/// Tracks a topic and stores these repositories with a complete run.
async fn store_complete_run(
    store: &dyn Store,
    name: &str,
    repositories: &[Repository],
    now: DateTime<Utc>,
) {
    store.track(&topic(name), Origin::Configured, None, now).await.expect("tracked");
    let lease = begin(store, name, now).await;
    store_page(store, &lease, repositories, now).await;
    let best_match: Vec<i64> = repositories.iter().map(|repository| repository.id).collect();
    finish(store, &lease, Some(&best_match), Scope::All, now).await;
}

/// The ids of a topic's list.
async fn listed_ids(store: &dyn Store, name: &str, ranking: Ranking) -> Vec<i64> {
    let (_, json) = stored_list(store, &topic(name), ranking).await.expect("a list");
    items(&json).iter().map(|item| item["id"].as_i64().expect("an id")).collect()
}

async fn topic_state(store: &dyn Store, name: &str) -> TopicState {
    store.topic(&topic(name)).await.expect("a database").expect("a tracked topic")
}
