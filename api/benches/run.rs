//! A topic and its refreshes without GitHub.

use api::config::Config;
use api::github::Item;
use api::model::list::LIST_LENGTH;
use api::model::repository::{Repository, RepositoryId};
use api::model::run::{Outcome, Report, Trigger};
use api::model::topic::{Coverage, Origin, SyncCursor, Topic};
use api::store::{
    self, BeginOutcome, CompleteRun, FinishRun, NewRefresh, Page, Scope, SharedStore,
};
use chrono::{DateTime, Utc};
use github_stub::World;

const PER_PAGE: usize = 100;

/// The database of DATABASE_URL, in which the topic is tracked.
pub(crate) async fn open(topic: &Topic, now: DateTime<Utc>) -> SharedStore {
    let config = Config::read(&|name: &str| std::env::var_os(name)).expect("settings");
    let store = store::open(&config.database).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    store.track(topic, Origin::Requested, None, now).await.expect("stored");
    store
}

/// So many repositories of the topic.
pub(crate) fn repositories(topic: &Topic, count: usize) -> Vec<Repository> {
    let world = World::generate(count, 7, topic.as_str());
    let item = |text: &str| Item::read(text).expect("a search item").repository;
    world.repositories().map(|repository| item(&repository.text)).collect()
}

/// A complete run with this scope that shows these repositories.
pub(crate) async fn complete_run(
    store: &SharedStore,
    topic: &Topic,
    shown: &[Repository],
    scope: Scope,
    now: DateTime<Utc>,
) {
    let refresh = NewRefresh {
        topic: Some(topic),
        parent: None,
        awaited: None,
        trigger: Trigger::CommandLine,
        owner: "bench",
    };
    let begun = store.begin(&refresh, now).await.expect("begun");
    let BeginOutcome::Started(lease) = begun else { panic!("another process refreshes") };
    let report = Report::default();
    let coverage =
        if matches!(scope, Scope::First(_)) { Coverage::Top } else { Coverage::Complete };
    for repositories in shown.chunks(PER_PAGE) {
        let page = Page { repositories, unreadable: &[], coverage };
        store.store_page(&lease, topic, &page, &report, now).await.expect("stored");
    }
    let best_match: Vec<RepositoryId> =
        shown.iter().take(LIST_LENGTH).map(|repository| repository.id).collect();
    let found = i64::try_from(shown.len()).expect("few");
    let finish = FinishRun {
        topic,
        complete: Some(CompleteRun { best_match: &best_match, found, scope }),
        total_count: Some(found),
        shrunk: None,
        cursor: SyncCursor::default(),
        keeps_slices: false,
    };
    store.finish(&lease, &finish, now).await.expect("finished");
    store.end(&lease, Outcome::Complete, &report, now).await.expect("ended");
}
