//! Pages of a search: rows that they write, topics that they touch, and their cost.

use api::github::Item;
use api::model::ranking::Ranking;
use api::model::repository::Repository;
use api::model::run::Report;
use api::model::topic::{Coverage, Origin};
use api::store::{Page, Scope, SharedStore};
use github_stub::World;
use serde_json::Value;

use super::{
    at, begin, finish, listed_ids, repository, store_complete_run, store_page, topic, topic_state,
};
use crate::databases;
use crate::support::{Mirror, items, stored_list, timestamp};

async fn store_page_writes_only_new_and_changed_rows(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let lease = begin(&*store, "kubernetes", at(0)).await;
    let page = [repository(1, 10), repository(2, 30), repository(3, 20)];
    assert_eq!(store_page(&*store, &lease, &page, at(0)).await, (3, 0, 0));
    assert_eq!(store_page(&*store, &lease, &page, at(1)).await, (0, 0, 3));
    let changed =
        Repository { language: Some("Rust".to_owned()), description: None, ..repository(2, 30) };
    let page = [repository(4, 5), changed];
    assert_eq!(store_page(&*store, &lease, &page, at(2)).await, (1, 1, 0));
    assert!(
        stored_list(&*store, &topic("kubernetes"), Ranking::Popularity).await.is_none(),
        "there is no list before the run ends"
    );
    finish(&*store, &lease, Some(&[3, 1, 2, 4]), Scope::All, at(3)).await;
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::BestMatch).await, [3, 1, 2, 4]);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 3, 1, 4]);
    let popularity = stored_list(&*store, &topic("kubernetes"), Ranking::Popularity).await;
    let second = &items(&popularity.expect("a list").1)[0];
    assert_eq!(
        (&second["language"], timestamp(&second["updated_at"]), &second["pushed_at"]),
        (&"Rust".into(), at(30).timestamp(), &Value::Null)
    );
    let state = topic_state(&*store, "kubernetes").await;
    assert_eq!(
        (state.stored, state.total_count, state.complete, state.refreshed_at),
        (4, Some(4), true, Some(at(3)))
    );
}

async fn unreadable_item_keeps_its_stored_row_and_place(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 10), repository(2, 20)], at(0)).await;
    let lease = begin(&*store, "kubernetes", at(1)).await;
    let page = Page { repositories: &[], unreadable: &[1, 99], coverage: Coverage::Top };
    store
        .store_page(&lease, &topic("kubernetes"), &page, &Report::default(), at(1))
        .await
        .expect("stored");
    assert_eq!(
        store.unconfirmed(&lease, &topic("kubernetes"), Scope::All).await.expect("ids"),
        [2]
    );
    finish(&*store, &lease, None, Scope::All, at(1)).await;
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 1]);
}

async fn changed_repository_touches_every_topic_that_has_it(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    store_complete_run(&*store, "mcp", &[repository(1, 1), repository(2, 2)], at(0)).await;
    let lease = begin(&*store, "mcp", at(1)).await;
    let touched = async |repositories: &[Repository]| {
        let page = Page { repositories, unreadable: &[], coverage: Coverage::Top };
        let (_, mut touched) = store
            .store_page(&lease, &topic("mcp"), &page, &Report::default(), at(1))
            .await
            .expect("stored");
        touched.sort();
        touched
    };
    assert_eq!(touched(&[repository(1, 1), repository(2, 2)]).await, [], "nothing changed");
    assert_eq!(touched(&[repository(2, 9)]).await, [topic("mcp")]);
    assert_eq!(touched(&[repository(1, 9)]).await, [topic("kubernetes"), topic("mcp")]);
    assert_eq!(touched(&[repository(3, 3)]).await, [topic("mcp")], "a new member");
}

contract![
    store_page_writes_only_new_and_changed_rows,
    unreadable_item_keeps_its_stored_row_and_place,
    changed_repository_touches_every_topic_that_has_it,
];

/// The calls and rows of this database's statements, as pg_stat_statements counts them.
const STATISTICS: &str = "FROM pg_stat_statements \
     WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Leaves out transaction control and the statements of the test itself.
const STATEMENTS_OF_THE_STORE: &str = "AND query <> '' AND query !~* \
     '^(begin|commit|rollback|select pg_stat|select coalesce|create extension)'";

#[tokio::test]
async fn postgres_page_costs_few_statements_and_one_commit() {
    let Some(database) = databases::postgres() else { return };
    let mirror = Mirror::start_on(database, World::generate(1_000, 7, "kubernetes"), &[]).await;
    mirror.refresh("kubernetes").await;
    let (database, store) = (&mirror.database, &mirror.service.store);
    database.query("CREATE EXTENSION pg_stat_statements").await;
    let topic = topic("kubernetes");
    let repositories: Vec<Repository> = {
        let world = mirror.stub.world();
        let all = world.repositories().take(1_000);
        all.map(|one| Item::read(&one.text).expect("a repository").repository).collect()
    };
    let lease = begin(&**store, "kubernetes", mirror.service.clock.now()).await;
    for (changed, written, statements) in [(true, 1_000, "12"), (false, 0, "6")] {
        let mut page = repositories.clone();
        page.iter_mut().for_each(|one| one.stargazers_count += 1);
        database.query("SELECT pg_stat_statements_reset()::text").await;
        let page = Page { repositories: &page, unreadable: &[], coverage: Coverage::Top };
        store
            .store_page(&lease, &topic, &page, &Report::default(), mirror.service.clock.now())
            .await
            .expect("stored");
        let calls = async |which: &str| {
            let sum = "SELECT coalesce(sum(calls), 0)::text";
            database.query(&format!("{sum} {STATISTICS} {which}")).await
        };
        let commits = calls("AND query IN ('COMMIT', 'commit')").await;
        assert_eq!(commits, ["1"], "changed: {changed}");
        assert_eq!(calls(STATEMENTS_OF_THE_STORE).await, [statements], "changed: {changed}");
        let rows = format!(
            "SELECT coalesce(sum(rows), 0)::text {STATISTICS} \
             AND query LIKE 'INSERT INTO repositories%'"
        );
        assert_eq!(database.query(&rows).await, [written.to_string()]);
    }
}
