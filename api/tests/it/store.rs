//! The store's contract: one suite, run on every database.

use api::model::quota::{Quota, Resource};
use api::model::ranking::Ranking;
use api::model::repository::Repository;
use api::model::run::{Outcome, Report, RunState, Trigger};
use api::model::topic::{Origin, SyncCursor, Topic};
use api::store::{
    BeginOutcome, CompleteRun, FinishRun, LEASE_TIME, LEDGER_TIME, Lease, NewRefresh,
    OnDemandLimits, Page, Scope, SharedStore, Store, StoreError, TrackOutcome,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::databases::Database;
use crate::support::{items, timestamp};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(crate::support::START + seconds, 0).expect("a date")
}

fn topic(name: &str) -> Topic {
    name.parse().expect("a topic")
}

fn repository(id: i64, stars: i64) -> Repository {
    let name = format!("name-{id}");
    serde_json::from_value(json!({
        "id": id, "name": name, "full_name": format!("owner/{name}"), "html_url": format!("https://github.com/owner/{name}"),
        "stargazers_count": stars, "updated_at": at(stars).to_rfc3339(), "topics": ["kubernetes"], "description": "✓ \"quoted\"",
    }))
    .expect("a repository")
}

async fn start(store: &dyn Store, name: &str, now: DateTime<Utc>) -> Lease {
    let topic = topic(name);
    let new =
        NewRefresh { topic: Some(&topic), parent: None, cause: Trigger::Request, owner: "me" };
    match store.begin(&new, now).await.expect("a database") {
        BeginOutcome::Started(lease) => lease,
        BeginOutcome::Running(id) => panic!("{id} is running"),
    }
}

async fn keep(
    store: &dyn Store,
    lease: &Lease,
    repositories: &[Repository],
    now: DateTime<Utc>,
) -> (i64, i64, i64) {
    let page = Page { repositories, unreadable: &[] };
    let topic = topic(&lease.name);
    let (stored, _) =
        store.store_page(lease, &topic, &page, &Report::default(), now).await.expect("stored");
    (stored.inserted, stored.updated, stored.unchanged)
}

async fn finish(
    store: &dyn Store,
    lease: &Lease,
    best_match: Option<&[i64]>,
    scope: Scope,
    now: DateTime<Utc>,
) -> i64 {
    let found = best_match.map_or(0, |ids| i64::try_from(ids.len()).expect("few"));
    let outcome = if best_match.is_some() { Outcome::Complete } else { Outcome::Partial };
    let complete =
        best_match.map(|best_match| CompleteRun { best_match, total_count: found, found, scope });
    let topic = topic(&lease.name);
    let overtaken = store
        .finish(
            lease,
            &FinishRun { topic: &topic, complete, shrunk: None, covered: SyncCursor::default() },
            now,
        )
        .await
        .expect("finished");
    store.end(lease, outcome, &Report::default(), now).await.expect("ended");
    overtaken
}

async fn ids(store: &dyn Store, name: &str, ranking: Ranking) -> Vec<i64> {
    let rows = store.rows(&topic(name), &[ranking], at(0)).await.expect("rows").expect("a list");
    items(&rows.lists[0]).iter().map(|item| item["id"].as_i64().expect("an id")).collect()
}

/// A topic with these repositories, refreshed whole.
async fn refreshed(store: &dyn Store, name: &str, repositories: &[Repository], now: DateTime<Utc>) {
    store.track(&topic(name), Origin::Configured, None, now).await.expect("tracked");
    let lease = start(store, name, now).await;
    keep(store, &lease, repositories, now).await;
    let best_match: Vec<i64> = repositories.iter().map(|repository| repository.id).collect();
    finish(store, &lease, Some(&best_match), Scope::All, now).await;
}

async fn makes_its_schema_once(store: SharedStore) {
    assert!(store.has_schema().await.expect("a database"));
    assert!(!store.bootstrap().await.expect("a schema"), "it is there already");
}

async fn tracks_topics_in_order_of_their_origin(store: SharedStore) {
    let limits = OnDemandLimits { topics: 3, new_an_hour: 2 };
    let track = async |name: &str, seconds| {
        store
            .track(&topic(name), Origin::OnDemand, Some(limits), at(seconds))
            .await
            .expect("a database")
    };
    assert_eq!(track("zulu", 0).await, TrackOutcome::Yes);
    assert_eq!(track("yoke", 60).await, TrackOutcome::Yes);
    assert_eq!(track("yoke", 61).await, TrackOutcome::Yes, "known already");
    assert_eq!(track("xray", 62).await, TrackOutcome::TooManyNew(at(3_600)));
    assert_eq!(track("xray", 3_601).await, TrackOutcome::Yes);
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
    // No longer configured: kept while somebody reads it.
    store.configure(&[topic("kubernetes")], at(3_604)).await.expect("a database");
    assert_eq!(topics().await[2], ("xray".to_owned(), Origin::OnDemand));
    let stale = store.stale(at(100), at(0)).await.expect("topics");
    assert_eq!(stale, [topic("zulu")], "unread since then");
    store.mark_read(&topic("zulu"), at(200)).await.expect("a database");
    assert!(store.stale(at(100), at(0)).await.expect("topics").is_empty());
}

async fn stores_pages_and_rewrites_only_what_changed(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let lease = start(&*store, "kubernetes", at(0)).await;
    let page = [repository(1, 10), repository(2, 30), repository(3, 20)];
    assert_eq!(keep(&*store, &lease, &page, at(0)).await, (3, 0, 0));
    assert_eq!(keep(&*store, &lease, &page, at(1)).await, (0, 0, 3));
    let changed =
        Repository { language: Some("Rust".to_owned()), description: None, ..repository(2, 30) };
    assert_eq!(keep(&*store, &lease, &[repository(4, 5), changed], at(2)).await, (1, 1, 0));
    assert!(
        store
            .rows(&topic("kubernetes"), &[Ranking::Popularity], at(2))
            .await
            .expect("rows")
            .is_none(),
        "no list yet"
    );
    finish(&*store, &lease, Some(&[3, 1, 2, 4]), Scope::All, at(3)).await;
    assert_eq!(ids(&*store, "kubernetes", Ranking::BestMatch).await, [3, 1, 2, 4]);
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 3, 1, 4]);
    let rows = store
        .rows(&topic("kubernetes"), &Ranking::ALL, at(3))
        .await
        .expect("rows")
        .expect("a list");
    let second = &items(&rows.lists[1])[0];
    assert_eq!(
        (&second["language"], timestamp(&second["updated_at"]), &second["pushed_at"]),
        (&"Rust".into(), at(30).timestamp(), &Value::Null)
    );
    let state = store.topic(&topic("kubernetes")).await.expect("a database").expect("tracked");
    assert_eq!(
        (state.stored, state.total_count, state.complete, state.refreshed_at),
        (4, Some(4), true, Some(at(3)))
    );
}

async fn orders_equal_ranks_by_id(store: SharedStore) {
    let repositories: Vec<_> = [9, 3, 7, 1].into_iter().map(|id| repository(id, 10)).collect();
    refreshed(&*store, "kubernetes", &repositories, at(0)).await;
    assert_eq!(ids(&*store, "kubernetes", Ranking::BestMatch).await, [9, 3, 7, 1]);
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [1, 3, 7, 9]);
    assert_eq!(ids(&*store, "kubernetes", Ranking::Activity).await, [1, 3, 7, 9]);
}

async fn shows_the_first_500(store: SharedStore) {
    let repositories: Vec<_> = (0..600).map(|id| repository(id, id)).collect();
    refreshed(&*store, "kubernetes", &repositories, at(0)).await;
    for (ranking, first, last) in [
        (Ranking::BestMatch, 0, 499),
        (Ranking::Popularity, 599, 100),
        (Ranking::Activity, 599, 100),
    ] {
        let ids = ids(&*store, "kubernetes", ranking).await;
        assert_eq!((ids.len(), ids[0], ids[499]), (500, first, last), "{ranking:?}");
    }
}

async fn gives_every_revision_a_later_second(store: SharedStore) {
    refreshed(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    let mut last = None;
    for stars in 2..6 {
        let lease = start(&*store, "kubernetes", at(0)).await;
        keep(&*store, &lease, &[repository(1, stars)], at(0)).await;
        let state = async || {
            let rows = store
                .rows(&topic("kubernetes"), &Ranking::ALL, at(0))
                .await
                .expect("rows")
                .expect("a list");
            (Some(rows.standing.modified_at), rows.standing.revision)
        };
        let during = state().await;
        assert!(during.0 > last, "the clock stands still, the list's date does not");
        assert_eq!(state().await, during, "what did not change keeps its date");
        finish(&*store, &lease, Some(&[1]), Scope::All, at(0)).await;
        let after = state().await;
        assert!(after > during);
        last = after.0;
    }
}

async fn gives_one_to_a_revision_however_many_read_it(store: SharedStore) {
    refreshed(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    let lease = start(&*store, "kubernetes", at(1)).await;
    let kubernetes = topic("kubernetes");
    for stars in 2..6 {
        keep(&*store, &lease, &[repository(1, stars)], at(1)).await;
        let readers = (0..8).map(|_| store.rows(&kubernetes, &[Ranking::Popularity], at(1)));
        for rows in futures_util::future::join_all(readers).await {
            assert_eq!(rows.expect("rows").expect("a list").standing.modified_at, at(stars - 1));
        }
    }
}

async fn gives_topics_that_are_not_configured_any_more_their_time(store: SharedStore) {
    store.configure(&[topic("kubernetes"), topic("mcp")], at(0)).await.expect("configured");
    store.configure(&[topic("mcp")], at(1_000)).await.expect("configured");
    assert_eq!(store.stale(at(999), at(0)).await.expect("a database"), []);
    assert_eq!(store.stale(at(1_001), at(0)).await.expect("a database"), [topic("kubernetes")]);
}

async fn leases_a_refresh_to_one_holder(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let first = start(&*store, "kubernetes", at(0)).await;
    let name = topic("kubernetes");
    let other =
        NewRefresh { topic: Some(&name), parent: None, cause: Trigger::Schedule, owner: "other" };
    assert_eq!(
        store.begin(&other, at(1)).await.expect("a database"),
        BeginOutcome::Running(first.refresh)
    );
    store.renew(&first, at(10)).await.expect("still ours");
    let expiry = at(10) + LEASE_TIME;
    assert_eq!(
        store.begin(&other, expiry - TimeDelta::seconds(1)).await.expect("a database"),
        BeginOutcome::Running(first.refresh)
    );

    let BeginOutcome::Started(second) = store.begin(&other, expiry).await.expect("a database")
    else {
        panic!("it has expired")
    };
    assert!(second.fence > first.fence && second.refresh > first.refresh);
    let abandoned = store.refresh(first.refresh).await.expect("the ledger").expect("an entry");
    assert_eq!((abandoned.state, abandoned.outcome), (RunState::Finished, Some(Outcome::Failed)));

    // Whoever lost the lease stores nothing more.
    let page = Page { repositories: &[repository(1, 1)], unreadable: &[] };
    let late = store.store_page(&first, &name, &page, &Report::default(), expiry).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    assert!(matches!(store.renew(&first, expiry).await, Err(StoreError::LeaseLost)));
    let done =
        FinishRun { topic: &name, complete: None, shrunk: None, covered: SyncCursor::default() };
    assert!(matches!(store.finish(&first, &done, expiry).await, Err(StoreError::LeaseLost)));
    let ended = store.end(&first, Outcome::Failed, &Report::default(), expiry).await;
    assert!(matches!(ended, Err(StoreError::LeaseLost)));
    assert_eq!(store.topic(&name).await.expect("a database").map(|state| state.stored), Some(0));

    finish(&*store, &second, Some(&[]), Scope::All, expiry).await;
    assert!(
        matches!(store.begin(&other, expiry).await, Ok(BeginOutcome::Started(_))),
        "given back at the end"
    );
}

async fn removes_only_what_was_overtaken(store: SharedStore) {
    let old: Vec<_> = (1..=6).map(|id| repository(id, id * 10)).collect();
    refreshed(&*store, "kubernetes", &old, at(0)).await;
    let lease = start(&*store, "kubernetes", at(100)).await;
    keep(&*store, &lease, &[repository(4, 40), repository(6, 60)], at(100)).await;
    // 5 should have been seen; 1 to 3 are not among the first three.
    let first = Scope::First(3);
    assert_eq!(store.doubts(&lease, &topic("kubernetes"), first, 50).await.expect("doubts"), [5]);
    assert_eq!(finish(&*store, &lease, Some(&[6, 4]), first, at(100)).await, 3);
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [6, 5, 4]);
    assert_eq!(
        ids(&*store, "kubernetes", Ranking::BestMatch).await,
        [6, 4],
        "GitHub's order as given"
    );

    let lease = start(&*store, "kubernetes", at(200)).await;
    keep(&*store, &lease, &[repository(6, 61)], at(200)).await;
    assert_eq!(
        finish(&*store, &lease, None, Scope::All, at(200)).await,
        0,
        "a run in part removes nothing"
    );
    assert_eq!(ids(&*store, "kubernetes", Ranking::BestMatch).await, [6, 4]);
    let state = store.topic(&topic("kubernetes")).await.expect("a database").expect("tracked");
    assert_eq!((state.complete, state.refreshed_at, state.stored), (false, Some(at(100)), 3));

    let lease = start(&*store, "kubernetes", at(300)).await;
    let doubts = store.doubts(&lease, &topic("kubernetes"), Scope::All, 2).await.expect("doubts");
    assert_eq!(doubts, [5, 4], "longest unconfirmed first");
    let since = async |updated, confirmed| {
        let scope = Scope::Since { updated_at: at(updated), confirmed_at: at(confirmed) };
        store.doubts(&lease, &topic("kubernetes"), scope, 9).await.expect("doubts")
    };
    assert_eq!((since(40, 0).await, since(60, 0).await), (vec![5, 6], vec![6]));
    assert_eq!(since(60, 100).await, [5, 6], "not confirmed by the last run over all");
    store.remove(&lease, &topic("kubernetes"), &[5], at(300)).await.expect("removed");
    finish(&*store, &lease, None, Scope::All, at(300)).await;
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [6, 4]);
}

async fn doubts_who_has_a_place_by_either_ranking(store: SharedStore) {
    let updated =
        |id, stars, seconds| Repository { updated_at: at(seconds), ..repository(id, stars) };
    let all = [
        updated(1, 90, 1),
        updated(2, 80, 2),
        updated(3, 3, 80),
        updated(4, 4, 90),
        updated(5, 5, 5),
        updated(6, 70, 70),
    ];
    refreshed(&*store, "kubernetes", &all, at(0)).await;
    let lease = start(&*store, "kubernetes", at(100)).await;
    keep(&*store, &lease, &all[5..], at(100)).await;
    let doubts =
        store.doubts(&lease, &topic("kubernetes"), Scope::First(2), 9).await.expect("doubts");
    assert_eq!(doubts, [1, 2, 4, 3], "the first two by stars and the first two by update");
    assert_eq!(
        finish(&*store, &lease, Some(&[6]), Scope::First(2), at(100)).await,
        1,
        "overtaken by both"
    );
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [1, 2, 6, 4, 3]);
}

async fn keeps_unreadable_ones_where_they_are(store: SharedStore) {
    refreshed(&*store, "kubernetes", &[repository(1, 10), repository(2, 20)], at(0)).await;
    let lease = start(&*store, "kubernetes", at(1)).await;
    let page = Page { repositories: &[], unreadable: &[1, 99] };
    store
        .store_page(&lease, &topic("kubernetes"), &page, &Report::default(), at(1))
        .await
        .expect("stored");
    assert_eq!(
        store.doubts(&lease, &topic("kubernetes"), Scope::All, 9).await.expect("doubts"),
        [2]
    );
    finish(&*store, &lease, None, Scope::All, at(1)).await;
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 1]);
}

async fn serves_a_first_list_before_the_end(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::OnDemand, None, at(0)).await.expect("tracked");
    let lease = start(&*store, "kubernetes", at(0)).await;
    keep(&*store, &lease, &[repository(1, 1), repository(2, 2)], at(0)).await;
    store
        .first_list(&lease, &topic("kubernetes"), &[2, 1], Some(700), at(0))
        .await
        .expect("a list");
    assert_eq!(ids(&*store, "kubernetes", Ranking::BestMatch).await, [2, 1]);
    let state = store.topic(&topic("kubernetes")).await.expect("a database").expect("tracked");
    assert_eq!((state.complete, state.refreshed_at, state.total_count), (false, None, Some(700)));
}

async fn lets_readers_start_nothing_where_there_is_a_list(store: SharedStore) {
    refreshed(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    let name = topic("kubernetes");
    let ring = async |cause, now| {
        let new = NewRefresh { topic: Some(&name), parent: None, cause, owner: "me" };
        store.begin(&new, now).await.expect("a database")
    };
    let brought = store.latest(&name).await.expect("the ledger").expect("an entry").id;
    assert_eq!(ring(Trigger::OnDemand, at(1)).await, BeginOutcome::Running(brought));
    assert!(matches!(ring(Trigger::Request, at(1)).await, BeginOutcome::Started(_)));
}

async fn forgets_what_only_that_topic_kept(store: SharedStore) {
    refreshed(&*store, "kubernetes", &[repository(1, 1), repository(2, 2)], at(0)).await;
    refreshed(&*store, "mcp", &[repository(2, 2), repository(3, 3)], at(0)).await;
    let lease = start(&*store, "mcp", at(1)).await;
    assert!(store.forget(&topic("mcp"), at(1)).await.expect("a database"));
    assert!(
        !store.forget(&topic("mcp"), at(1)).await.expect("a database"),
        "it is forgotten already"
    );
    let page = Page { repositories: &[repository(3, 3)], unreadable: &[] };
    let late = store.store_page(&lease, &topic("mcp"), &page, &Report::default(), at(2)).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "a refresh of it stores nothing more");
    assert!(store.rows(&topic("mcp"), &Ranking::ALL, at(2)).await.expect("rows").is_none());
    assert_eq!(ids(&*store, "kubernetes", Ranking::Popularity).await, [2, 1]);
    // Tracked anew it counts on, so that no cache takes its new lists for older ones.
    let before =
        store.topic(&topic("kubernetes")).await.expect("a database").expect("tracked").revision;
    store.forget(&topic("kubernetes"), at(2)).await.expect("a database");
    refreshed(&*store, "kubernetes", &[repository(1, 1)], at(3)).await;
    assert!(
        store.topic(&topic("kubernetes")).await.expect("a database").expect("tracked").revision
            > before
    );
}

async fn counts_changes_of_shared_repositories_for_every_topic(store: SharedStore) {
    refreshed(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    refreshed(&*store, "mcp", &[repository(1, 1), repository(2, 2)], at(0)).await;
    let lease = start(&*store, "mcp", at(1)).await;
    let touched = async |repositories: &[Repository]| {
        let page = Page { repositories, unreadable: &[] };
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

async fn keeps_a_ledger(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let all = NewRefresh { topic: None, parent: None, cause: Trigger::Schedule, owner: "me" };
    let BeginOutcome::Started(all) = store.begin(&all, at(0)).await.expect("a database") else {
        panic!("nobody holds it")
    };
    let name = topic("kubernetes");
    let child = NewRefresh {
        topic: Some(&name),
        parent: Some(all.refresh),
        cause: Trigger::Schedule,
        owner: "me",
    };
    let BeginOutcome::Started(child) = store.begin(&child, at(0)).await.expect("a database") else {
        panic!("nobody holds it")
    };
    let report = Report { requests: 3, ..Report::default() };
    let page = Page { repositories: &[repository(1, 1)], unreadable: &[] };
    store.store_page(&child, &name, &page, &report, at(0)).await.expect("stored");
    let running = store.latest(&name).await.expect("the ledger").expect("an entry");
    assert_eq!(
        (running.id, running.state, running.report.requests, running.report.inserted),
        (child.refresh, RunState::Running, 3, 1)
    );
    finish(&*store, &child, Some(&[1]), Scope::All, at(5)).await;
    store.end(&all, Outcome::Complete, &report, at(6)).await.expect("finished");

    let ledger = store.refreshes(10).await.expect("the ledger");
    assert_eq!(ledger.iter().map(|entry| entry.id).collect::<Vec<_>>(), [all.refresh]);
    let entry = store.refresh(all.refresh).await.expect("the ledger").expect("an entry");
    assert_eq!(
        (entry.outcome, entry.duration_ms, entry.topics.len()),
        (Some(Outcome::Complete), Some(6_000), 1)
    );
    assert_eq!(
        (entry.topics[0].id, entry.topics[0].topic.as_deref()),
        (child.refresh, Some("kubernetes"))
    );

    let later = at(10) + LEDGER_TIME;
    let all = NewRefresh { topic: None, parent: None, cause: Trigger::Schedule, owner: "me" };
    let BeginOutcome::Started(all) = store.begin(&all, later).await.expect("a database") else {
        panic!("nobody holds it")
    };
    store.end(&all, Outcome::Complete, &report, later).await.expect("finished");
    assert!(store.refresh(entry.id).await.expect("the ledger").is_none(), "older than a month");
    assert!(store.refresh(child.refresh).await.expect("the ledger").is_none());
}

async fn lets_one_of_many_change_the_quota(store: SharedStore) {
    let mut first = store.quota(Resource::Search).await.expect("a quota");
    let mut second = first.clone();
    first.send(at(0));
    first.limit = Some(30);
    assert!(store.save_quota(Resource::Search, &first).await.expect("a database"));
    second.send(at(0));
    assert!(
        !store.save_quota(Resource::Search, &second).await.expect("a database"),
        "somebody else was first"
    );
    let now = store.quota(Resource::Search).await.expect("a quota");
    assert_eq!((now.limit, now.version), (Some(30), first.version + 1));
    assert_eq!(store.quota(Resource::Core).await.expect("a quota"), Quota::default());
}

macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $rule() {
                    super::check(crate::databases::sqlite(), super::$rule).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $rule() {
                    let Some(database) = crate::databases::postgres() else { return };
                    super::check(database, super::$rule).await;
                }
            )*
        }
    };
}

/// Tries a rule on a database of its own.
async fn check<F: Future<Output = ()>>(database: Database, rule: impl FnOnce(SharedStore) -> F) {
    let store = api::store::open(&database.url()).await.expect("a database");
    assert!(store.bootstrap().await.expect("a schema"), "made now");
    rule(SharedStore::clone(&store)).await;
    store.close().await;
}

contract![
    makes_its_schema_once,
    tracks_topics_in_order_of_their_origin,
    stores_pages_and_rewrites_only_what_changed,
    orders_equal_ranks_by_id,
    shows_the_first_500,
    gives_every_revision_a_later_second,
    gives_one_to_a_revision_however_many_read_it,
    gives_topics_that_are_not_configured_any_more_their_time,
    leases_a_refresh_to_one_holder,
    removes_only_what_was_overtaken,
    doubts_who_has_a_place_by_either_ranking,
    keeps_unreadable_ones_where_they_are,
    serves_a_first_list_before_the_end,
    lets_readers_start_nothing_where_there_is_a_list,
    forgets_what_only_that_topic_kept,
    counts_changes_of_shared_repositories_for_every_topic,
    keeps_a_ledger,
    lets_one_of_many_change_the_quota,
];

/// While replicas are replaced one by one, each finds a schema that is older or newer than its own.
async fn upgrades(database: Database) {
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    refreshed(&*store, "kubernetes", &[repository(1, 10)], at(0)).await;

    let later = "INSERT INTO _sqlx_migrations SELECT 99, 'later', installed_on, success, checksum, execution_time
         FROM _sqlx_migrations WHERE version = 1 RETURNING description";
    assert_eq!(database.query(later).await, ["later"]);
    assert!(store.has_schema().await.expect("a database"), "a newer one will do");
    assert!(!store.bootstrap().await.expect("nothing to make"));

    for index in ["repositories_stars", "repositories_updated"] {
        database.query(&format!("DROP INDEX IF EXISTS {index}")).await;
    }
    database.query("DELETE FROM _sqlx_migrations WHERE version > 1").await;
    assert!(!store.has_schema().await.expect("a database"), "an older one will not");
    assert!(store.bootstrap().await.expect("brought up to date"));
    assert!(store.has_schema().await.expect("a database"));
    assert_eq!(
        ids(&*store, "kubernetes", Ranking::Popularity).await,
        [1],
        "what was stored is kept"
    );
    store.close().await;
}

#[tokio::test]
async fn upgrades_sqlite() {
    upgrades(crate::databases::sqlite()).await;
}

#[tokio::test]
async fn upgrades_postgres() {
    let Some(database) = crate::databases::postgres() else { return };
    upgrades(database).await;
}
