//! Partial and failed refreshes: they add and update, and remove nothing.

use chrono::TimeDelta;
use github_stub::{Fault, FaultKind, World};
use serde_json::json;

use super::{after_start, edit, world};
use crate::support::{Mirror, assert_lists, eventually};

#[tokio::test]
async fn new_topic_has_a_list_after_a_partial_refresh() {
    let mirror = Mirror::start(World::generate(120, 7, "kubernetes")).await;
    mirror
        .stub
        .world()
        .faults
        .push(Fault::from(FaultKind::Short { missing: 5 }).on("best-match", 2).times(1_000));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "partial", "{report}");
    let answer = mirror.get("/api/kubernetes").await;
    assert_eq!((answer.ids().len(), answer.header("x-complete")), (115, "false"));
}

#[tokio::test]
async fn partial_refresh_adds_and_updates_but_removes_nothing() {
    for kind in [
        FaultKind::Incomplete { keep: 10 },
        FaultKind::Incomplete { keep: 100 },
        FaultKind::Short { missing: 40 },
        FaultKind::Empty,
        FaultKind::Cut,
    ] {
        let mirror = Mirror::refreshed(world()).await;
        let before = mirror.lists("kubernetes").await;
        let refreshed_at = mirror.get("/api/kubernetes").await.header("x-refreshed-at").to_owned();
        mirror.clock.advance(TimeDelta::hours(1));
        // A partial run cannot tell that this repository is deleted.
        mirror.stub.world().remove(before[0][0]);
        mirror.stub.world().star(
            before[1][5],
            9_000_000,
            "2026-09-21T15:13:00Z".parse().expect("a date"),
        );
        for page in 1..=5 {
            mirror
                .stub
                .world()
                .faults
                .push(Fault::from(kind.clone()).on("best-match", page).times(1_000));
        }
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["outcome"], &report["removed"]),
            (&"partial".into(), &0.into()),
            "{kind:?}: {report}"
        );
        let after = mirror.lists("kubernetes").await;
        assert_eq!(after[0], before[0], "{kind:?}: best match stays");
        assert_eq!(after[1][0], before[1][5], "{kind:?}: new stars count");
        let answer = mirror.get("/api/kubernetes").await;
        assert_eq!(
            (answer.header("x-complete"), answer.header("x-refreshed-at")),
            ("false", &*refreshed_at),
            "{kind:?}"
        );
        // The next complete run corrects the lists.
        mirror.stub.world().faults.clear();
        assert_eq!(mirror.refresh("kubernetes").await["complete"], true, "{kind:?}");
        assert_lists(
            &mirror.lists("kubernetes").await,
            &mirror.expected("kubernetes"),
            format!("{kind:?}"),
        );
    }
}

#[tokio::test]
async fn halved_result_is_partial_until_a_run_ten_minutes_later_agrees() {
    let mirror = Mirror::refreshed(World::generate(400, 7, "kubernetes")).await;
    let gone: Vec<u64> = mirror.expected("kubernetes")[1][..250].to_vec();
    for id in &gone {
        mirror.stub.world().remove(*id);
    }
    for wait in [0, 5] {
        mirror.clock.advance(TimeDelta::minutes(wait));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "partial", "{report}");
        assert_eq!(mirror.lists("kubernetes").await[0].len(), 400);
    }
    mirror.clock.advance(TimeDelta::minutes(6));
    // This run agrees, and each run removes up to 50 repositories after looking them up.
    for _ in 0..6 {
        assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
    }
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn empty_result_is_not_believed_while_repositories_are_found_by_id() {
    for coverage in ["top", "complete"] {
        let world = World::generate(400, 7, "kubernetes");
        let mirror = Mirror::start_with(world, &[("COVERAGE", coverage)]).await;
        assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
        let before = mirror.lists("kubernetes").await;
        let empty = Fault::from(FaultKind::Empty).at("/search/").times(1_000);
        mirror.stub.world().faults = vec![empty];
        for _ in 0..6 {
            mirror.clock.advance(TimeDelta::minutes(11));
            let report = mirror.refresh("kubernetes").await;
            assert_eq!(report["complete"], false, "{coverage}: {report}");
            assert_eq!(report["removed"], 0, "{coverage}: {report}");
            assert_lists(&mirror.lists("kubernetes").await, &before, coverage);
        }
        assert!(mirror.stub.world().counters.core >= 50, "{coverage}: they were looked up");
    }
}

#[tokio::test]
async fn halved_result_is_not_believed_without_an_answer_by_id() {
    let mirror = Mirror::refreshed(World::generate(400, 7, "kubernetes")).await;
    for id in &mirror.expected("kubernetes")[1][..250] {
        mirror.stub.world().remove(*id);
    }
    let silent = FaultKind::JsonError { status: 500 };
    mirror.stub.world().faults = vec![Fault::from(silent).at("/repositories/").times(1_000)];
    for _ in 0..4 {
        mirror.clock.advance(TimeDelta::minutes(11));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "partial", "{report}");
    }
    mirror.stub.world().faults.clear();
    for outcome in ["partial", "complete"] {
        mirror.clock.advance(TimeDelta::minutes(11));
        assert_eq!(mirror.refresh("kubernetes").await["outcome"], outcome);
    }
}

/// The callers that wait for the run, such as the internal scheduler, must get its result.
#[tokio::test]
async fn refresh_ends_failed_when_the_database_fails() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let before = mirror.lists("kubernetes").await;
    let first = before[1][0];
    mirror.stub.world().star(first, 8_000_000, after_start());
    mirror.database.query("ALTER TABLE topic_days RENAME COLUMN stored TO lost").await;
    for path in ["/update_cache?topic=kubernetes", "/update_cache"] {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(30), mirror.get(path))
            .await
            .expect("an answer");
        let report = answer.json();
        assert_eq!(
            (&report["state"], &report["outcome"]),
            (&"finished".into(), &"failed".into()),
            "{report}"
        );
        assert!(
            report["reason"].as_str().is_some_and(|reason| reason.ends_with("the database failed")),
            "{report}"
        );
    }
    let lists = mirror.lists("kubernetes").await;
    assert_eq!((&lists[0], &lists[1]), (&before[0], &before[1]), "the lists keep their order");
    let (cached, stored) =
        (mirror.get("/api/kubernetes").await, mirror.get("/db/kubernetes").await);
    assert_eq!(
        (cached.header("x-complete"), &cached.body),
        ("false", &stored.body),
        "cache and database agree"
    );
    assert_eq!(
        cached
            .json()
            .as_array()
            .map(|list| list.iter().any(|one| one["stargazers_count"] == 8_000_000)),
        Some(true)
    );
    mirror.database.query("ALTER TABLE topic_days RENAME COLUMN lost TO stored").await;
    assert_eq!(
        mirror.refresh("kubernetes").await["complete"],
        true,
        "the failed run released the lease"
    );
}

#[tokio::test]
async fn failed_refresh_publishes_the_pages_that_it_stored() {
    let mut world = World::generate(10, 7, "kubernetes");
    let id = world.repositories().map(|repository| repository.id).next().expect("a repository");
    edit(&mut world, id, &json!({ "topics": ["kubernetes", "mcp"] }));
    let mirror = Mirror::refreshed(world).await;
    mirror.refresh("mcp").await;
    mirror.stub.world().star(id, 7_000_000, after_start());
    mirror.database.query("ALTER TABLE topic_days RENAME COLUMN stored TO lost").await;
    assert_eq!(mirror.refresh("kubernetes").await["outcome"], "failed");
    for topic in ["kubernetes", "mcp"] {
        eventually(10, "the lists show the new count", async || {
            mirror
                .get(&format!("/api/{topic}"))
                .await
                .json()
                .as_array()
                .expect("a list")
                .iter()
                .any(|one| one["stargazers_count"] == 7_000_000)
        })
        .await;
    }
}
