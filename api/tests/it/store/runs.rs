//! Runs: their leases, their ledger, and the quota that they share.

use api::model::quota::{Quota, Resource};
use api::model::run::{Outcome, Report, RunState, Trigger};
use api::model::topic::{Coverage, Origin, SyncCursor};
use api::store::{
    BeginOutcome, FinishRun, LEASE_TIME, LEDGER_TIME, Lease, NewRefresh, Page, Scope, SharedStore,
    Store, StoreError,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::{at, begin, finish, repository, store_complete_run, topic};

async fn lease_has_one_holder_until_it_expires(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let first = begin(&*store, "kubernetes", at(0)).await;
    let name = topic("kubernetes");
    let other = NewRefresh {
        topic: Some(&name),
        parent: None,
        awaited: None,
        trigger: Trigger::Schedule,
        owner: "other",
    };
    assert_eq!(
        store.begin(&other, at(1)).await.expect("a database"),
        BeginOutcome::Running(first.refresh)
    );
    store.renew(&first, at(10)).await.expect("a renewed lease");
    let expiry = at(10) + LEASE_TIME;
    assert_eq!(
        store.begin(&other, expiry - TimeDelta::seconds(1)).await.expect("a database"),
        BeginOutcome::Running(first.refresh)
    );

    let BeginOutcome::Started(second) = store.begin(&other, expiry).await.expect("a database")
    else {
        panic!("the lease has expired")
    };
    assert!(second.fence > first.fence && second.refresh > first.refresh);
    let abandoned = store.refresh(first.refresh).await.expect("the ledger").expect("an entry");
    assert_eq!((abandoned.state, abandoned.outcome), (RunState::Finished, Some(Outcome::Failed)));
    check_lost_lease_writes_nothing(&*store, &first, expiry).await;

    finish(&*store, &second, Some(&[]), Scope::All, expiry).await;
    assert!(
        matches!(store.begin(&other, expiry).await, Ok(BeginOutcome::Started(_))),
        "the end of a run releases the lease"
    );
}

/// A replica of another clock neither steals a live lease nor waits long for that of a process that
/// was killed.
async fn live_lease_is_not_stolen_when_clocks_differ(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let first = begin(&*store, "kubernetes", at(100)).await;
    let name = topic("kubernetes");
    let other = NewRefresh {
        topic: Some(&name),
        parent: None,
        awaited: None,
        trigger: Trigger::Schedule,
        owner: "other",
    };
    for seconds in (100..200).step_by(5) {
        store.renew(&first, at(seconds)).await.expect("a renewed lease");
        for skew in [-30, 0, 30] {
            // Just before the next renewal, which may be late.
            let began = store.begin(&other, at(seconds + 10 + skew)).await;
            let running = BeginOutcome::Running(first.refresh);
            assert_eq!(began.expect("a database"), running, "{skew} s apart");
        }
    }
    let killed = store.begin(&other, at(195 + 60)).await.expect("a database");
    assert!(matches!(killed, BeginOutcome::Started(_)), "its lease is free within 60 s");
}

async fn check_lost_lease_writes_nothing(store: &dyn Store, lost: &Lease, now: DateTime<Utc>) {
    let name = topic(&lost.name);
    let page = Page { repositories: &[repository(1, 1)], unreadable: &[], coverage: Coverage::Top };
    let late = store.store_page(lost, &name, &page, &Report::default(), now).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    assert!(matches!(store.renew(lost, now).await, Err(StoreError::LeaseLost)));
    let done = FinishRun {
        topic: &name,
        complete: None,
        total_count: None,
        shrunk: None,
        cursor: SyncCursor::default(),
        keeps_slices: false,
    };
    assert!(matches!(store.finish(lost, &done, now).await, Err(StoreError::LeaseLost)));
    let ended = store.end(lost, Outcome::Failed, &Report::default(), now).await;
    assert!(matches!(ended, Err(StoreError::LeaseLost)));
    assert_eq!(store.topic(&name).await.expect("a database").map(|state| state.stored), Some(0));
}

async fn on_demand_run_does_not_start_when_the_topic_has_a_list(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    let name = topic("kubernetes");
    let begin_for = async |trigger, now| {
        let new =
            NewRefresh { topic: Some(&name), parent: None, awaited: None, trigger, owner: "me" };
        store.begin(&new, now).await.expect("a database")
    };
    let latest = store.latest(&name).await.expect("the ledger").expect("an entry").id;
    assert_eq!(begin_for(Trigger::OnDemand, at(1)).await, BeginOutcome::Running(latest));
    assert!(matches!(begin_for(Trigger::Request, at(1)).await, BeginOutcome::Started(_)));
}

/// A caller that waits for a run begins another one only if the run's process has ended.
async fn run_does_not_start_when_the_awaited_one_has_ended(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let first = begin(&*store, "kubernetes", at(0)).await;
    let name = topic("kubernetes");
    let again = NewRefresh {
        topic: Some(&name),
        parent: None,
        awaited: Some(first.refresh),
        trigger: Trigger::Request,
        owner: "other",
    };
    let begin_again = async |now| store.begin(&again, now).await.expect("a database");
    assert_eq!(begin_again(at(1)).await, BeginOutcome::Running(first.refresh));
    finish(&*store, &first, Some(&[]), Scope::All, at(2)).await;
    assert_eq!(begin_again(at(3)).await, BeginOutcome::Running(first.refresh), "it has ended");
    let abandoned = begin(&*store, "kubernetes", at(4)).await;
    let after = NewRefresh { awaited: Some(abandoned.refresh), ..again.clone() };
    let after = store.begin(&after, at(4) + LEASE_TIME).await.expect("a database");
    assert!(matches!(after, BeginOutcome::Started(_)), "its lease has expired");
}

/// Begins a scheduled run over all topics, or over one as the child of `parent`.
async fn begin_scheduled(
    store: &dyn Store,
    name: Option<&str>,
    parent: Option<i64>,
    now: DateTime<Utc>,
) -> Lease {
    let topic = name.map(topic);
    let new = NewRefresh {
        topic: topic.as_ref(),
        parent,
        awaited: None,
        trigger: Trigger::Schedule,
        owner: "me",
    };
    match store.begin(&new, now).await.expect("a database") {
        BeginOutcome::Started(lease) => lease,
        BeginOutcome::Running(id) => panic!("{id} is running"),
    }
}

async fn ledger_keeps_runs_and_their_topics_for_30_days(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::Configured, None, at(0)).await.expect("tracked");
    let all = begin_scheduled(&*store, None, None, at(0)).await;
    let child = begin_scheduled(&*store, Some("kubernetes"), Some(all.refresh), at(0)).await;
    let report = Report { requests: 3, ..Report::default() };
    let page = Page { repositories: &[repository(1, 1)], unreadable: &[], coverage: Coverage::Top };
    let name = topic("kubernetes");
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
    let next = begin_scheduled(&*store, None, None, later).await;
    store.end(&next, Outcome::Complete, &report, later).await.expect("finished");
    assert!(
        store.refresh(entry.id).await.expect("the ledger").is_none(),
        "the entry is older than 30 days"
    );
    assert!(store.refresh(child.refresh).await.expect("the ledger").is_none());
}

async fn quota_is_not_saved_when_another_save_came_first(store: SharedStore) {
    let mut first = store.quota(Resource::Search).await.expect("a quota");
    let mut second = first.clone();
    first.send(at(0));
    first.limit = Some(30);
    assert!(store.save_quota(Resource::Search, &first).await.expect("a database"));
    second.send(at(0));
    assert!(
        !store.save_quota(Resource::Search, &second).await.expect("a database"),
        "the version has changed"
    );
    let now = store.quota(Resource::Search).await.expect("a quota");
    assert_eq!((now.limit, now.version), (Some(30), first.version + 1));
    assert_eq!(store.quota(Resource::Core).await.expect("a quota"), Quota::default());
}

contract![
    lease_has_one_holder_until_it_expires,
    live_lease_is_not_stolen_when_clocks_differ,
    on_demand_run_does_not_start_when_the_topic_has_a_list,
    run_does_not_start_when_the_awaited_one_has_ended,
    ledger_keeps_runs_and_their_topics_for_30_days,
    quota_is_not_saved_when_another_save_came_first,
];
