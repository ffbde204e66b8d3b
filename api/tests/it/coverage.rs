//! Topics that are kept whole: every repository, past the 1,000 that a search shows.

use std::collections::BTreeSet;

use api::clock::Clock;
use chrono::TimeDelta;
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, World};
use serde_json::Value;

use crate::support::{Mirror, assert_lists};

const COMPLETE: &[(&str, &str)] = &[("COVERAGE", "complete")];

/// The ids that are kept of kubernetes.
async fn stored(mirror: &Mirror) -> BTreeSet<u64> {
    let ids =
        mirror.database.query("SELECT CAST(repository_id AS TEXT) FROM topic_repositories").await;
    ids.iter().map(|id| id.parse().expect("an id")).collect()
}

fn existing(mirror: &Mirror) -> BTreeSet<u64> {
    mirror.stub.world().ranked("kubernetes", "stars").into_iter().collect()
}

async fn refresh(mirror: &Mirror, plan: &str) -> Value {
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["outcome"], &report["plan"]),
        (&"complete".into(), &plan.into()),
        "{report}"
    );
    report
}

fn searches(mirror: &Mirror) -> u64 {
    std::mem::take(&mut mirror.stub.world().counters).searches
}

/// Gives `count` repositories a new star at the present time.
fn star(mirror: &Mirror, count: usize) {
    let now = mirror.clock.now();
    let ids: Vec<u64> = existing(mirror).into_iter().take(count).collect();
    for (stars, id) in (3_000_000..).zip(ids) {
        mirror.stub.world().star(id, stars, now);
    }
}

#[tokio::test]
async fn keeps_exactly_all_of_12_000_and_then_asks_for_what_changed() {
    let mirror = Mirror::start_with(World::generate(12_000, 7, "kubernetes"), COMPLETE).await;
    let report = refresh(&mirror, "complete").await;
    assert_eq!(stored(&mirror).await, existing(&mirror));
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    let ideal = 12_000 / 100 + 12_000 / 1_000;
    let asked = searches(&mirror);
    assert!(asked * 10 <= ideal * 13, "{asked} searches, ideally {ideal}: {report}");

    mirror.clock.advance(TimeDelta::hours(1));
    star(&mirror, 40);
    let report = refresh(&mirror, "changed").await;
    assert_eq!(
        (&report["updated"], &report["total_count"]),
        (&40.into(), &12_000.into()),
        "{report}"
    );
    let asked = searches(&mirror);
    assert!(asked <= 5 + 3, "{asked} searches");
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn one_token_reads_35_000_within_the_hour() {
    let settings = [("COVERAGE", "complete"), ("GITHUB_TOKEN", "some-token")];
    let mirror = Mirror::start_with(World::generate(35_000, 7, "kubernetes"), &settings).await;
    mirror.stub.world().settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
    let report = refresh(&mirror, "complete").await;
    assert_eq!(report["found"], 35_000);
    assert!(report["duration_ms"].as_i64() < Some(3_600_000), "{report}");
    let counters = &mirror.stub.world().counters;
    assert_eq!((counters.over_limit, counters.impatient, counters.unexpected.len()), (0, 0, 0));
}

#[tokio::test]
async fn sizes_around_every_edge_are_kept_whole() {
    for size in [0, 1, 100, 101, 499, 500, 501, 999, 1_000, 1_001, 1_234] {
        let mirror = Mirror::start_with(World::generate(size, 7, "kubernetes"), COMPLETE).await;
        mirror.refresh("kubernetes").await;
        assert_eq!(stored(&mirror).await.len(), size);
        assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), size);
        assert_eq!(mirror.stub.world().counters.unexpected, Vec::<String>::new(), "{size}");
    }
}

/// Every page of a slice is full, however often it is read; only the sum tells.
#[tokio::test]
async fn what_is_counted_but_never_shown_makes_a_run_partial_above_one_in_a_hundred() {
    // Best match shows half of them.
    for (count, outcome) in [(9, "complete"), (40, "partial")] {
        let mirror = Mirror::start_with(World::generate(900, 7, "kubernetes"), COMPLETE).await;
        mirror
            .stub
            .world()
            .faults
            .push(Fault::from(FaultKind::Hole { count }).on("updated", 3).times(1_000));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], outcome, "{report}");
        let reason = report["reason"].as_str().unwrap_or_default();
        assert_eq!(
            reason.starts_with("GitHub counts 900 repositories and showed 8"),
            outcome == "partial",
            "{report}"
        );
    }
}

#[tokio::test]
async fn is_right_too_where_sort_updated_goes_by_the_last_push() {
    let mut world = World::generate(1_500, 7, "kubernetes");
    world.settings.updated_by_push = true;
    let mirror = Mirror::start_with(world, COMPLETE).await;
    refresh(&mirror, "complete").await;
    mirror.clock.advance(TimeDelta::hours(1));
    star(&mirror, 40);
    // What was starred, but not pushed to, is not among what such a search shows first.
    let report = refresh(&mirror, "complete").await;
    assert_eq!(report["updated"], 40, "{report}");
    mirror.stub.world().settings.updated_by_push = false;
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn more_changes_than_a_search_shows_bring_the_next_whole_run_forward() {
    let mirror = Mirror::start_with(World::generate(1_500, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    mirror.clock.advance(TimeDelta::hours(1));
    star(&mirror, 1_200);
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["outcome"], &report["plan"]),
        (&"partial".into(), &"changed".into()),
        "{report}"
    );
    assert_eq!(mirror.get("/api/kubernetes").await.header("x-complete"), "false");
    refresh(&mirror, "complete").await;
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn once_a_day_every_repository_is_read() {
    let mirror = Mirror::start_with(World::generate(700, 7, "kubernetes"), COMPLETE).await;
    let snapshots = "SELECT CAST(count(*) AS TEXT) FROM star_snapshots";
    for day in 1..=2 {
        refresh(&mirror, "complete").await;
        assert_eq!(
            mirror.database.query(snapshots).await,
            [(day * 700).to_string()],
            "every day's stars of each"
        );
        mirror.clock.advance(TimeDelta::hours(1));
        refresh(&mirror, "changed").await;
        mirror.clock.advance(TimeDelta::hours(23));
    }
}

#[tokio::test]
async fn what_is_deleted_or_leaves_is_settled_by_its_id() {
    let mirror = Mirror::start_with(World::generate(1_200, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    let gone: Vec<u64> = existing(&mirror).into_iter().take(7).collect();
    let dropped: BTreeSet<u64> = existing(&mirror).into_iter().skip(7).take(20).collect();
    for id in &gone {
        mirror.stub.world().remove(*id);
    }
    mirror.stub.world().settings.drop = dropped;
    mirror.clock.advance(TimeDelta::days(1));
    let report = refresh(&mirror, "complete").await;
    assert_eq!(
        (&report["removed"], &report["doubts_settled"]),
        (&7.into(), &27.into()),
        "{report}"
    );
    assert_eq!(stored(&mirror).await, existing(&mirror));
}

/// Fifty are asked for in a run; the others are kept until they are.
#[tokio::test]
async fn nobody_is_overtaken_in_a_whole_topic() {
    let mirror = Mirror::start_with(World::generate(1_200, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    let [_, stars, updates] = mirror.expected("kubernetes");
    let listed: BTreeSet<u64> = stars.into_iter().chain(updates).collect();
    mirror.stub.world().settings.drop =
        existing(&mirror).difference(&listed).copied().take(80).collect();
    mirror.clock.advance(TimeDelta::days(1));
    let report = refresh(&mirror, "complete").await;
    assert_eq!(
        (&report["removed"], &report["doubts_settled"]),
        (&0.into(), &50.into()),
        "{report}"
    );
    assert_eq!(stored(&mirror).await, existing(&mirror));
}

#[tokio::test]
async fn repositories_that_move_while_a_slice_is_read_are_not_missed() {
    for kind in [FaultKind::Hole { count: 4 }, FaultKind::Repeat { count: 4 }] {
        let mirror = Mirror::start_with(World::generate(900, 7, "kubernetes"), COMPLETE).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).on("updated", 3));
        let report = refresh(&mirror, "complete").await;
        assert_eq!(stored(&mirror).await, existing(&mirror), "{kind:?}: {report}");
    }
}

#[tokio::test]
async fn slices_that_were_read_within_the_hour_are_not_asked_for_again() {
    let mirror = Mirror::start_with(World::generate(6_000, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    let whole = searches(&mirror);

    let again = Mirror::start_with(World::generate(6_000, 7, "kubernetes"), COMPLETE).await;
    // GitHub fails for good in the middle of it.
    again
        .stub
        .world()
        .faults
        .push(Fault::from(FaultKind::Unauthorized).skip(u32::try_from(whole / 2).expect("few")));
    let report = again.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "partial", "{report}");
    let first = searches(&again);
    again.clock.advance(TimeDelta::minutes(50));
    star(&again, 30);
    refresh(&again, "complete").await;
    let second = searches(&again);
    assert_eq!(stored(&again).await, existing(&again));
    assert!(first + second <= whole + 20, "{first} and {second}, where one run takes {whole}");
    assert_lists(&again.lists("kubernetes").await, &again.expected("kubernetes"), "");
    // What was read long ago is read again.
    again.clock.advance(TimeDelta::days(1));
    again
        .stub
        .world()
        .faults
        .push(Fault::from(FaultKind::Unauthorized).skip(u32::try_from(whole / 2).expect("few")));
    again.refresh("kubernetes").await;
    again.clock.advance(TimeDelta::minutes(61));
    searches(&again);
    refresh(&again, "complete").await;
    assert_eq!(searches(&again), whole);
}

#[tokio::test]
async fn from_whole_to_top_and_back_loses_no_place() {
    let mirror = Mirror::start_with(World::generate(4_000, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    let top = mirror.replica(&[("COVERAGE", "top")]).await;
    refresh(&top, "top").await;
    assert_lists(&top.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    assert!(stored(&mirror).await.len() < 2_000, "what was overtaken is out");
    refresh(&mirror, "complete").await;
    assert_eq!(stored(&mirror).await, existing(&mirror));
}

#[tokio::test]
async fn a_small_topic_does_not_wait_for_a_large_one() {
    let mut world = World::generate(6_000, 7, "mcp");
    world.add_generated(700, 8, "kubernetes");
    let settings = [("TOPICS", "mcp:complete,kubernetes"), ("GITHUB_TOKEN", "some-token")];
    let mirror = Mirror::start_with(world, &settings).await;
    mirror.stub.world().settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
    // The test's clock jumps to the next turn: without it one topic could have several while the
    // other stores a page.
    mirror.stub.world().settings.latency_millis = 20;
    let report = mirror.request(reqwest::Method::POST, "/update_cache", &[]).await.json();
    assert_eq!(report["complete"], true, "{report}");
    let world = mirror.stub.world();
    let topics: Vec<&str> = world
        .counters
        .requests
        .iter()
        .map(|(_, request)| if request.contains("mcp") { "mcp" } else { "kubernetes" })
        .collect();
    let last = topics.iter().rposition(|topic| *topic == "kubernetes").expect("asked for");
    assert!(
        last < topics.len() / 2,
        "turn by turn, so more of the large one is still to come: {topics:?}"
    );
    assert_eq!((world.counters.over_limit, world.counters.impatient), (0, 0));
}

#[tokio::test]
async fn topics_side_by_side_search_one_at_a_time() {
    let mut world = World::default();
    for (seed, topic) in (7..).zip(["kubernetes", "mcp", "helm", "istio"]) {
        world.add_generated(150, seed, topic);
    }
    world.settings.latency_millis = 5;
    let mirror = Mirror::start_with(world, &[("TOPICS", "kubernetes,mcp,helm,istio")]).await;
    let report = mirror.request(reqwest::Method::POST, "/update_cache", &[]).await.json();
    assert_eq!((&report["complete"], &report["requests"]), (&true.into(), &8.into()), "{report}");
    assert_eq!(mirror.stub.world().counters.overlapping, 0);
}
