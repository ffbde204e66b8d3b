//! Properties that hold after every refresh and every kill.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::clock::Clock;
use api::lists::bundle::Encoding;
use api::model::ranking::Ranking;
use api::model::run::Outcome;
use api::refresh::RunResult;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Observed, Simulation, StoredNumbers, TOPIC, occurrences};
use crate::support::{items, stored_lists, timestamp};

impl Simulation {
    /// The lists in the database are in order, and the reader serves the same bytes.
    pub(super) async fn check_lists(&self, now: &Observed) {
        let lists = stored_lists(&*self.service.store, &self.topic).await;
        let Some(lists) = lists else { return };
        for (ranking, list) in Ranking::ALL.iter().zip(&lists) {
            check_order(*ranking, &items(list));
        }
        self.check_served_lists(&lists, now).await;
    }

    async fn check_served_lists(&self, lists: &[Vec<u8>], now: &Observed) {
        // On a busy machine the database can take longer than a reader waits.
        let began = Instant::now();
        let served = loop {
            match self.service.reader.lists(&self.topic).await {
                Ok(served) => break served,
                Err(_) => assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "the reader serves lists that the database has"
                ),
            }
        };
        for (ranking, list) in Ranking::ALL.iter().zip(lists) {
            assert_eq!(
                served.bundle.list(*ranking).body(Encoding::Identity).bytes,
                *list,
                "{ranking:?}: cache and database agree"
            );
        }
        let state = now.state.as_ref().expect("a tracked topic");
        assert_eq!(
            (served.bundle.meta.refreshed_at, served.bundle.meta.complete),
            (state.refreshed_at, state.complete)
        );
    }

    pub(super) async fn check_refresh(
        &self,
        before: &Observed,
        after: &Observed,
        ended: &RunResult,
        began: DateTime<Utc>,
    ) {
        self.check_requests_and_ledger(before, after, ended).await;
        if ended.refresh.outcome == Some(Outcome::Complete) {
            self.check_complete_refresh(before, after, ended, began);
        } else {
            check_partial_refresh(before, after, ended);
        }
    }

    async fn check_requests_and_ledger(
        &self,
        before: &Observed,
        after: &Observed,
        ended: &RunResult,
    ) {
        let (counters, report) = (&after.counters, &ended.refresh.report);
        assert_eq!(
            (counters.over_limit, counters.impatient),
            (0, 0),
            "no request exceeds a limit or is sent during a pause"
        );
        assert_eq!(counters.unexpected, Vec::<String>::new());
        let requests = i64::try_from(requests(before, after).count()).expect("a small number");
        assert_eq!(report.requests, requests, "the report counts every request: {report:?}");
        let entry = self
            .service
            .store
            .refresh(ended.refresh.id)
            .await
            .expect("a database")
            .expect("an entry");
        assert_eq!(
            (entry.outcome, &entry.report),
            (ended.refresh.outcome, report),
            "the ledger has the report"
        );
    }

    fn check_complete_refresh(
        &self,
        before: &Observed,
        after: &Observed,
        ended: &RunResult,
        began: DateTime<Utc>,
    ) {
        let refreshed_at = refreshed_at(after);
        assert!(
            refreshed_at.is_some_and(|at| began <= at && at <= self.clock.now()),
            "{refreshed_at:?}"
        );
        self.check_losses(before, after);
        let existing = self.existing();
        // If GitHub had no fault and no stored repository is unconfirmed, the lists equal the
        // world's.
        let undisturbed = {
            let world = self.stub.world();
            let whole = world.settings.drop.is_empty() && world.settings.shuffle.is_none();
            whole && after.counters.faults == before.counters.faults
        };
        if undisturbed
            && after.stored.keys().all(|id| existing.contains(id))
            && let Some(difference) = self.difference(after)
        {
            panic!("{difference}: {:?}", ended.refresh.report);
        }
    }

    /// The ids of the topic in the world.
    fn existing(&self) -> BTreeSet<u64> {
        self.stub.world().ranked(TOPIC, "stars").into_iter().collect()
    }

    /// Each removed repository is gone or displaced, or its lookup said that it is gone.
    pub(super) fn check_losses(&self, before: &Observed, after: &Observed) {
        let existing = self.existing();
        let lost = lost(before, after);
        let mut all = after.stored.clone();
        all.extend(lost.iter().map(|id| (*id, before.stored[id])));
        let first_500 = |rank: fn(&StoredNumbers) -> i64| {
            let mut ids: Vec<u64> = all.keys().copied().collect();
            ids.sort_by_key(|id| (-rank(&all[id]), *id));
            ids.into_iter().take(500).collect::<BTreeSet<_>>()
        };
        let by_stars = first_500(|numbers| numbers.stars);
        let by_update = first_500(|numbers| numbers.updated);
        let mut false_lookups =
            occurrences(before, after, "not_found") + occurrences(before, after, "unavailable");
        for id in lost.iter().filter(|id| existing.contains(id)) {
            let has_place = self.complete || by_stars.contains(id) || by_update.contains(id);
            if has_place
                && false_lookups > 0
                && requests(before, after)
                    .any(|request| request.ends_with(&format!("/repositories/{id}")))
            {
                false_lookups -= 1;
            } else {
                assert!(!has_place, "{id} exists and has a place, but was removed");
            }
        }
    }

    /// The first difference between the lists and the world.
    pub(super) fn difference(&self, now: &Observed) -> Option<String> {
        let mut world = self.stub.world();
        let by_push = std::mem::take(&mut world.settings.updated_by_push);
        let expected = ["best-match", "stars", "updated"].map(|sort| {
            let mut ids = world.ranked(TOPIC, sort);
            ids.truncate(500);
            ids
        });
        let total = world.ranked(TOPIC, "stars").len();
        world.settings.updated_by_push = by_push;
        let Some(lists) = &now.lists else { return Some("there are no lists".to_owned()) };
        for (index, name) in ["best match", "popularity", "activity"].iter().enumerate() {
            // If sort=updated orders by push, the plan `top` cannot see who was updated last.
            let unknowable = *name == "activity" && by_push && !self.complete && total > 500;
            if !unknowable && lists[index] != expected[index] {
                return Some(format!("{name} differs"));
            }
        }
        (self.complete && now.stored.len() != total)
            .then(|| format!("{} of {total} are stored", now.stored.len()))
    }
}

fn check_order(ranking: Ranking, items: &[Value]) {
    let number = |item: &Value, key: &str| item[key].as_i64().expect("a number");
    let ids: BTreeSet<i64> = items.iter().map(|item| number(item, "id")).collect();
    assert!(
        ids.len() == items.len() && items.len() <= 500,
        "{ranking:?}: each id occurs once, and there are at most 500"
    );
    let sorted = items.is_sorted_by_key(|item| match ranking {
        Ranking::BestMatch => (0, 0),
        Ranking::Popularity => (-number(item, "stargazers_count"), number(item, "id")),
        Ranking::Activity => (-timestamp(&item["updated_at"]), number(item, "id")),
    });
    assert!(sorted, "{ranking:?} is in order");
}

/// A partial or failed refresh removes nothing and keeps best match and the time of the last
/// complete refresh.
fn check_partial_refresh(before: &Observed, after: &Observed, ended: &RunResult) {
    let report = &ended.refresh.report;
    assert!(report.reason.is_some(), "the report has a reason: {report:?}");
    let lost = lost(before, after);
    assert!(lost.is_empty(), "{lost:?} were removed");
    assert_eq!(refreshed_at(after), refreshed_at(before), "the time of the last complete refresh");
    assert!(!after.state.as_ref().is_some_and(|state| state.complete));
    if refreshed_at(before).is_some() {
        let best_match =
            |observed: &Observed| observed.lists.as_ref().map(|lists| lists[0].clone());
        assert_eq!(best_match(after), best_match(before), "best match stays: {report:?}");
    }
}

fn refreshed_at(observed: &Observed) -> Option<DateTime<Utc>> {
    observed.state.as_ref().and_then(|state| state.refreshed_at)
}

/// The ids that were stored before and are not any more.
fn lost(before: &Observed, after: &Observed) -> Vec<u64> {
    before.stored.keys().filter(|id| !after.stored.contains_key(id)).copied().collect()
}

/// The requests to GitHub between two observations.
fn requests<'a>(before: &Observed, after: &'a Observed) -> impl Iterator<Item = &'a str> {
    after.counters.requests[before.counters.requests.len()..]
        .iter()
        .map(|(_, request)| request.as_str())
}
