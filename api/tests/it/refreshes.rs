//! What a refresh may do to the data: never worse than before.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use github_stub::{Fault, FaultKind, World};
use serde_json::json;

use crate::support::{Mirror, assert_lists, eventually};

fn world() -> World {
    World::generate(2_000, 7, "kubernetes")
}

fn set(ids: &[u64]) -> BTreeSet<u64> {
    ids.iter().copied().collect()
}

#[tokio::test]
async fn brings_every_change_and_rewrites_nothing_else() {
    let mirror = Mirror::refreshed(world()).await;
    let again = mirror.refresh("kubernetes").await;
    assert_eq!((&again["inserted"], &again["updated"]), (&0.into(), &0.into()));
    let top = mirror.expected("kubernetes")[1].clone();
    let now = "2026-09-21T14:13:21Z".parse().expect("a date");
    for (index, id) in top[..40].iter().enumerate() {
        mirror.stub.world().star(*id, 5_000_000 + i64::try_from(index).expect("small"), now);
    }
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["inserted"], &report["updated"]), (&0.into(), &40.into()), "{report}");
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    assert_ne!(mirror.expected("kubernetes")[1], top);
}

#[tokio::test]
async fn takes_todays_stars_down() {
    let mirror = Mirror::refreshed(World::generate(3, 7, "kubernetes")).await;
    let first = mirror.expected("kubernetes")[1][0];
    let snapshots =
        "SELECT day || ' ' || stargazers_count FROM star_snapshots WHERE repository_id =";
    mirror.stub.world().star(first, 1_000_001, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.refresh("kubernetes").await;
    assert_eq!(
        mirror.database.query(&format!("{snapshots} {first}")).await,
        ["2026-09-21 1000001"],
        "the day's last value"
    );
    mirror.clock.advance(TimeDelta::days(1));
    mirror.refresh("kubernetes").await;
    let days = mirror.database.query(&format!("{snapshots} {first} ORDER BY day")).await;
    assert_eq!(days, ["2026-09-21 1000001", "2026-09-22 1000001"]);
}

#[tokio::test]
async fn what_github_drops_silently_keeps_its_place() {
    let mirror = Mirror::refreshed(world()).await;
    let expected = mirror.expected("kubernetes");
    let dropped = set(&expected[1][10..30]);
    mirror.stub.world().settings.drop = dropped.clone();
    for _ in 0..3 {
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["complete"], true, "{report}");
        assert_eq!(mirror.lists("kubernetes").await[1], expected[1]);
    }
    assert!(mirror.stub.world().counters.core >= 20, "each was asked for by its id");
}

#[tokio::test]
async fn dropped_ones_stay_and_gone_ones_go_while_the_list_stays_long() {
    let mirror = Mirror::refreshed(world()).await;
    let top = mirror.expected("kubernetes")[1].clone();
    let (dropped, deleted, left) = (&top[100..120], &top[200..205], &top[300..305]);
    mirror.stub.world().settings.drop = set(dropped);
    for id in deleted {
        mirror.stub.world().remove(*id);
    }
    for id in left {
        let other = json!({ "topics": ["other"] });
        mirror
            .stub
            .world()
            .edit(*id, other.as_object().expect("an object").clone())
            .expect("valid");
    }
    for _ in 0..3 {
        let refresh = mirror.refresh("kubernetes");
        let watch = async {
            loop {
                let list = mirror.get("/api/popularity/kubernetes").await.ids();
                assert!(
                    list.len() >= 490 && dropped.iter().all(|id| list.contains(id)),
                    "{} are left",
                    list.len()
                );
            }
        };
        let report = tokio::select! { report = refresh => report, never = watch => never };
        assert_eq!(report["complete"], true, "{report}");
        let list = mirror.get("/api/popularity/kubernetes").await.ids();
        assert!(dropped.iter().all(|id| list.contains(id)), "GitHub drops some now and then");
        assert!(!deleted.iter().chain(left).any(|id| list.contains(id)), "settled by their ids");
        mirror.clock.advance(TimeDelta::hours(1));
    }
}

#[tokio::test]
async fn a_small_new_topic_that_came_in_part_has_a_list() {
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
async fn what_is_gone_goes() {
    let mirror = Mirror::refreshed(world()).await;
    let top = mirror.expected("kubernetes")[1].clone();
    let (deleted, left) = (top[3], top[4]);
    mirror.stub.world().remove(deleted);
    mirror
        .stub
        .world()
        .edit(left, json!({ "topics": ["other"] }).as_object().expect("an object").clone())
        .expect("valid");
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["complete"], report["doubts_settled"].as_i64() >= Some(2)),
        (&true.into(), true),
        "{report}"
    );
    let lists = mirror.lists("kubernetes").await;
    assert_lists(&lists, &mirror.expected("kubernetes"), "");
    assert!(lists.iter().all(|list| !list.contains(&deleted) && !list.contains(&left)));
}

/// Tokens may see more than everybody.
#[tokio::test]
async fn what_is_private_is_shown_to_nobody() {
    let world = World::generate(400, 7, "kubernetes");
    let hidden = json!({ "private": true });
    let hide = |mirror: &Mirror, id| {
        mirror.stub.world().edit(id, hidden.as_object().expect("an object").clone()).expect("valid")
    };
    let mirror = Mirror::start(world).await;
    let top = mirror.expected("kubernetes")[1].clone();
    for hidden in [&top[..5], &top[..10]] {
        for id in hidden {
            hide(&mirror, *id);
        }
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "complete", "{report}");
        let lists = mirror.lists("kubernetes").await;
        assert!(
            lists.iter().all(|list| list.len() == 400 - hidden.len()
                && !list.iter().any(|id| hidden.contains(id)))
        );
    }
    let names = mirror
        .database
        .query(&format!("SELECT name FROM repositories WHERE id = {}", top[0]))
        .await;
    assert_eq!(names, Vec::<String>::new(), "never stored");
}

#[tokio::test]
async fn a_renamed_repository_is_the_same_one() {
    let mirror = Mirror::refreshed(World::generate(50, 7, "kubernetes")).await;
    let id = mirror.expected("kubernetes")[1][0];
    let renamed = json!({ "full_name": "someone/new-name", "name": "new-name" });
    mirror.stub.world().edit(id, renamed.as_object().expect("an object").clone()).expect("valid");
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["inserted"], &report["updated"], &report["removed"]),
        (&0.into(), &1.into(), &0.into())
    );
    assert_eq!(
        mirror.get("/api/popularity/kubernetes").await.json()[0]["full_name"],
        "someone/new-name"
    );
}

#[tokio::test]
async fn one_in_part_adds_and_updates_but_never_removes() {
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
        // Gone, but a run in part cannot know.
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
        // And the next whole run puts everything right.
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
async fn pages_that_move_while_they_are_read_are_no_fault() {
    let mirror = Mirror::refreshed(world()).await;
    mirror.stub.world().faults = vec![
        Fault::from(FaultKind::Repeat { count: 5 }).on("stars", 2),
        Fault::from(FaultKind::Repeat { count: 3 }).on("best-match", 4),
    ];
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["complete"], true, "{report}");
    let lists = mirror.lists("kubernetes").await;
    assert_eq!(lists[1..], mirror.expected("kubernetes")[1..]);
    assert_eq!(set(&lists[0]).len(), lists[0].len(), "an id counts once");
}

#[tokio::test]
async fn a_result_half_as_large_waits_for_a_second_opinion() {
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
    // Agreed: now they are out, fifty questions a run.
    for _ in 0..6 {
        assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
    }
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn a_bad_item_costs_nothing_but_itself() {
    let mirror = Mirror::refreshed(world()).await;
    let before = mirror.lists("kubernetes").await;
    for sort in ["best-match", "stars"] {
        mirror.stub.world().faults.push(Fault::from(FaultKind::BadItems { count: 3 }).on(sort, 1));
    }
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["complete"], &report["skipped"]), (&true.into(), &6.into()), "{report}");
    assert_eq!(report["doubts_settled"], 0, "they were shown: {report}");
    assert_eq!(report["skipped_items"][0]["id"], before[0][0]);
    assert_lists(&mirror.lists("kubernetes").await, &before, "what is stored keeps its place");

    mirror.stub.world().faults.push(Fault::from(FaultKind::BadItems { count: 50 }).on("stars", 1));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["outcome"], &report["removed"]),
        (&"partial".into(), &0.into()),
        "{report}"
    );
}

#[tokio::test]
async fn topics_that_share_repositories_change_together() {
    let mut world = World::generate(30, 7, "kubernetes");
    let ids: Vec<u64> = world.repositories().map(|repository| repository.id).collect();
    for id in &ids[..10] {
        let topics = json!({ "topics": ["kubernetes", "mcp"] });
        world.edit(*id, topics.as_object().expect("an object").clone()).expect("valid");
    }
    let mirror = Mirror::refreshed(world).await;
    mirror.refresh("mcp").await;
    let date = mirror.get("/api/popularity/kubernetes").await.header("last-modified").to_owned();
    mirror.stub.world().star(ids[0], 7_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.refresh("mcp").await;
    for topic in ["mcp", "kubernetes"] {
        let path = format!("/api/popularity/{topic}");
        let answer = mirror.get(&path).await;
        assert_eq!(answer.ids()[0], ids[0]);
        assert_eq!(
            answer.body,
            mirror.get(&path.replace("/api", "/db")).await.body,
            "cache and database agree"
        );
    }
    assert_ne!(mirror.get("/api/popularity/kubernetes").await.header("last-modified"), date);
}

/// Whoever waits must hear of it, the scheduler inside among them.
#[tokio::test]
async fn one_that_the_database_failed_is_over() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let before = mirror.lists("kubernetes").await;
    let first = before[1][0];
    mirror.stub.world().star(first, 8_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.database.query("ALTER TABLE star_snapshots RENAME TO lost").await;
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
    assert_eq!((&lists[0], &lists[1]), (&before[0], &before[1]), "the old lists");
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
    mirror.database.query("ALTER TABLE lost RENAME TO star_snapshots").await;
    assert_eq!(mirror.refresh("kubernetes").await["complete"], true, "the lease was given back");
}

#[tokio::test]
async fn what_one_that_failed_has_stored_is_in_every_list() {
    let mut world = World::generate(10, 7, "kubernetes");
    let id = world.repositories().map(|repository| repository.id).next().expect("one");
    let both = json!({ "topics": ["kubernetes", "mcp"] });
    world.edit(id, both.as_object().expect("an object").clone()).expect("valid");
    let mirror = Mirror::refreshed(world).await;
    mirror.refresh("mcp").await;
    mirror.stub.world().star(id, 7_000_000, "2026-09-21T14:13:21Z".parse().expect("a date"));
    mirror.database.query("ALTER TABLE star_snapshots RENAME TO lost").await;
    assert_eq!(mirror.refresh("kubernetes").await["outcome"], "failed");
    for topic in ["kubernetes", "mcp"] {
        eventually(10, "the lists show it", async || {
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
