//! Complete refreshes: the rows and lists that they change.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use github_stub::{Fault, FaultKind, World};
use serde_json::{Value, json};

use crate::support::{Mirror, assert_lists};

mod partial;
mod removal;

fn world() -> World {
    World::generate(2_000, 7, "kubernetes")
}

fn set(ids: &[u64]) -> BTreeSet<u64> {
    ids.iter().copied().collect()
}

/// The second after the clock's start.
fn after_start() -> DateTime<Utc> {
    "2026-09-21T14:13:21Z".parse().expect("a date")
}

/// Changes fields of a repository in the world.
fn edit(world: &mut World, id: u64, fields: &Value) {
    world.edit(id, fields.as_object().expect("an object").clone()).expect("a valid repository");
}

#[tokio::test]
async fn refresh_writes_only_changed_repositories() {
    let mirror = Mirror::refreshed(world()).await;
    let again = mirror.refresh("kubernetes").await;
    assert_eq!((&again["inserted"], &again["updated"]), (&0.into(), &0.into()));
    let top = mirror.expected("kubernetes")[1].clone();
    let now = after_start();
    for (index, id) in top[..40].iter().enumerate() {
        mirror.stub.world().star(
            *id,
            5_000_000 + i64::try_from(index).expect("a small number"),
            now,
        );
    }
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["inserted"], &report["updated"]), (&0.into(), &40.into()), "{report}");
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    assert_ne!(mirror.expected("kubernetes")[1], top);
}

#[tokio::test]
async fn last_modified_stays_when_a_refresh_brings_nothing_or_fails() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let headers = async || {
        let list = mirror.get("/api/popularity/kubernetes").await;
        ["last-modified", "x-refreshed-at", "x-complete"].map(|name| list.header(name).to_owned())
    };
    let [modified, refreshed, _] = headers().await;
    mirror.clock.advance(TimeDelta::hours(1));
    assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
    let [after, refreshed_again, _] = headers().await;
    assert_eq!(after, modified, "a refresh that brings nothing");
    assert_ne!(refreshed_again, refreshed);
    mirror.clock.advance(TimeDelta::hours(1));
    mirror.stub.world().faults.push(Fault::from(FaultKind::Unauthorized).times(1_000));
    assert_eq!(mirror.refresh("kubernetes").await["outcome"], "failed");
    let after = headers().await;
    assert_eq!(after, [modified.clone(), refreshed_again, "false".to_owned()], "a failed one");
    mirror.stub.world().faults.clear();
    let first = mirror.expected("kubernetes")[1][0];
    mirror.stub.world().star(first, 8_000_000, "2026-09-21T16:13:00Z".parse().expect("a date"));
    mirror.refresh("kubernetes").await;
    assert_ne!(headers().await[0], modified, "a refresh that brings stars");
}

#[tokio::test]
async fn refresh_stores_the_last_star_count_of_each_day() {
    let mirror = Mirror::refreshed(World::generate(3, 7, "kubernetes")).await;
    let first = mirror.expected("kubernetes")[1][0];
    let counts = "SELECT first_day || ' ' || last_day || ' ' || stargazers_count FROM counts \
         WHERE repository_id =";
    mirror.stub.world().star(first, 1_000_001, after_start());
    mirror.refresh("kubernetes").await;
    assert_eq!(
        mirror.database.query(&format!("{counts} {first}")).await,
        ["2026-09-21 2026-09-21 1000001"],
        "the day has its last count"
    );
    mirror.clock.advance(TimeDelta::days(1));
    mirror.refresh("kubernetes").await;
    let days = mirror.database.query(&format!("{counts} {first}")).await;
    assert_eq!(days, ["2026-09-21 2026-09-22 1000001"]);
}

#[tokio::test]
async fn renamed_repository_is_updated_under_its_id() {
    let mirror = Mirror::refreshed(World::generate(50, 7, "kubernetes")).await;
    let id = mirror.expected("kubernetes")[1][0];
    let renamed = json!({ "full_name": "someone/new-name", "name": "new-name" });
    edit(&mut mirror.stub.world(), id, &renamed);
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
async fn refresh_is_complete_when_pages_move_while_they_are_read() {
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
async fn bad_items_are_skipped_and_refresh_is_partial_above_one_percent() {
    let mirror = Mirror::refreshed(world()).await;
    let before = mirror.lists("kubernetes").await;
    for sort in ["best-match", "stars"] {
        mirror.stub.world().faults.push(Fault::from(FaultKind::BadItems { count: 3 }).on(sort, 1));
    }
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["complete"], &report["skipped"]), (&true.into(), &6.into()), "{report}");
    assert_eq!(report["doubts_settled"], 0, "skipped items count as shown: {report}");
    assert_eq!(report["skipped_items"][0]["id"], before[0][0]);
    assert_lists(
        &mirror.lists("kubernetes").await,
        &before,
        "stored repositories keep their places",
    );

    mirror.stub.world().faults.push(Fault::from(FaultKind::BadItems { count: 50 }).on("stars", 1));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["outcome"], &report["removed"]),
        (&"partial".into(), &0.into()),
        "{report}"
    );
}

#[tokio::test]
async fn changed_repository_changes_the_lists_of_every_topic_that_has_it() {
    let mut world = World::generate(30, 7, "kubernetes");
    let ids: Vec<u64> = world.repositories().map(|repository| repository.id).collect();
    for id in &ids[..10] {
        edit(&mut world, *id, &json!({ "topics": ["kubernetes", "mcp"] }));
    }
    let mirror = Mirror::refreshed(world).await;
    mirror.refresh("mcp").await;
    let date = mirror.get("/api/popularity/kubernetes").await.header("last-modified").to_owned();
    mirror.stub.world().star(ids[0], 7_000_000, after_start());
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
