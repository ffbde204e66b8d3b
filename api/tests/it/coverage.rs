//! Topics with COVERAGE=complete: every repository, beyond the 1,000 that one search shows.

use std::collections::BTreeSet;

use api::clock::Clock;
use chrono::TimeDelta;
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, World};
use serde_json::{Value, json};

use crate::support::{Mirror, assert_lists};

const COMPLETE: &[(&str, &str)] = &[("COVERAGE", "complete")];

/// The stored ids of kubernetes.
async fn stored(mirror: &Mirror) -> BTreeSet<u64> {
    let ids =
        mirror.database.query("SELECT CAST(repository_id AS TEXT) FROM topic_repositories").await;
    ids.iter().map(|id| id.parse().expect("an id")).collect()
}

/// The ids of kubernetes in the stub's world.
fn existing(mirror: &Mirror) -> BTreeSet<u64> {
    mirror.stub.world().ranked("kubernetes", "stars").into_iter().collect()
}

/// Refreshes kubernetes, which must be complete by this plan.
async fn refresh(mirror: &Mirror, plan: &str) -> Value {
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["outcome"], &report["plan"]),
        (&"complete".into(), &plan.into()),
        "{report}"
    );
    report
}

/// The number of searches since the last call.
fn take_searches(mirror: &Mirror) -> u64 {
    std::mem::take(&mut mirror.stub.world().counters).searches
}

/// Gives `count` repositories a new star at the clock's time.
fn star(mirror: &Mirror, count: usize) {
    let now = mirror.clock.now();
    let ids: Vec<u64> = existing(mirror).into_iter().take(count).collect();
    for (stars, id) in (3_000_000..).zip(ids) {
        mirror.stub.world().star(id, stars, now);
    }
}

#[tokio::test]
async fn complete_run_stores_all_12_000_and_the_next_run_reads_changes() {
    let mirror = Mirror::start_with(World::generate(12_000, 7, "kubernetes"), COMPLETE).await;
    let report = refresh(&mirror, "complete").await;
    assert_eq!(stored(&mirror).await, existing(&mirror));
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    let ideal = 12_000 / 100 + 12_000 / 1_000;
    let asked = take_searches(&mirror);
    assert!(asked * 10 <= ideal * 13, "{asked} searches, ideally {ideal}: {report}");

    mirror.clock.advance(TimeDelta::hours(1));
    star(&mirror, 40);
    let report = refresh(&mirror, "changed").await;
    assert_eq!(
        (&report["updated"], &report["total_count"]),
        (&40.into(), &12_000.into()),
        "{report}"
    );
    let asked = take_searches(&mirror);
    assert!(asked <= 5 + 3, "{asked} searches");
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn complete_run_of_35_000_ends_within_an_hour_with_one_token() {
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
async fn complete_run_stores_all_at_each_boundary_size() {
    for size in [0, 1, 100, 101, 499, 500, 501, 999, 1_000, 1_001, 1_234] {
        let mirror = Mirror::start_with(World::generate(size, 7, "kubernetes"), COMPLETE).await;
        mirror.refresh("kubernetes").await;
        assert_eq!(stored(&mirror).await.len(), size);
        assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), size);
        assert_eq!(mirror.stub.world().counters.unexpected, Vec::<String>::new(), "{size}");
    }
}

/// Every page of a slice is full each time, and only the slice's sum shows that some are missing.
#[tokio::test]
async fn complete_run_is_partial_when_over_one_percent_is_counted_but_not_shown() {
    // Slices hide `count` repositories, and best match shows about half of those.
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
async fn refresh_reads_all_slices_when_sort_updated_orders_by_push() {
    let mut world = World::generate(1_500, 7, "kubernetes");
    world.settings.updated_by_push = true;
    let mirror = Mirror::start_with(world, COMPLETE).await;
    refresh(&mirror, "complete").await;
    mirror.clock.advance(TimeDelta::hours(1));
    star(&mirror, 40);
    // Such a search does not show repositories first that were starred but not pushed to.
    let report = refresh(&mirror, "complete").await;
    assert_eq!(report["updated"], 40, "{report}");
    mirror.stub.world().settings.updated_by_push = false;
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
}

#[tokio::test]
async fn next_run_reads_all_when_changes_exceed_the_search_cap() {
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
async fn first_run_of_each_day_reads_every_repository() {
    let mirror = Mirror::start_with(World::generate(700, 7, "kubernetes"), COMPLETE).await;
    let counted = "SELECT CAST(count(*) AS TEXT) FROM counts WHERE last_day = ";
    for day in ["2026-09-21", "2026-09-22"] {
        refresh(&mirror, "complete").await;
        assert_eq!(
            mirror.database.query(&format!("{counted} '{day}'")).await,
            ["700"],
            "every repository has its counts of {day}"
        );
        mirror.clock.advance(TimeDelta::hours(1));
        refresh(&mirror, "changed").await;
        mirror.clock.advance(TimeDelta::hours(23));
    }
}

#[tokio::test]
async fn complete_run_removes_missing_repositories_only_when_lookup_confirms() {
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

/// A run looks up 50 missing repositories by id and keeps the others until a later run.
#[tokio::test]
async fn complete_run_keeps_missing_repositories_beyond_the_lookup_limit() {
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
async fn complete_run_misses_none_when_repositories_move_within_a_slice() {
    for kind in [FaultKind::Hole { count: 4 }, FaultKind::Repeat { count: 4 }] {
        let mirror = Mirror::start_with(World::generate(900, 7, "kubernetes"), COMPLETE).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).on("updated", 3));
        let report = refresh(&mirror, "complete").await;
        assert_eq!(stored(&mirror).await, existing(&mirror), "{kind:?}: {report}");
    }
}

#[tokio::test]
async fn run_skips_slices_that_an_interrupted_run_read_within_the_hour() {
    let mirror = Mirror::start_with(World::generate(6_000, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    let whole = take_searches(&mirror);

    let again = Mirror::start_with(World::generate(6_000, 7, "kubernetes"), COMPLETE).await;
    // Half-way, GitHub refuses the token: three tries of one query, and the next query.
    let skipped = u32::try_from(whole / 2).expect("few");
    let refusal = Fault::from(FaultKind::Unauthorized).skip(skipped).times(4);
    again.stub.world().faults.push(refusal.clone());
    let report = again.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "partial", "{report}");
    let first = take_searches(&again);
    again.clock.advance(TimeDelta::minutes(50));
    star(&again, 30);
    let report = refresh(&again, "complete").await;
    assert_eq!(report["doubts_settled"], 0, "slices taken over count as shown: {report}");
    let second = take_searches(&again);
    assert_eq!(stored(&again).await, existing(&again));
    assert!(first + second <= whole + 20, "{first} and {second} searches; one run takes {whole}");
    assert_lists(&again.lists("kubernetes").await, &again.expected("kubernetes"), "");
    // Slices that were read over a week ago are read again.
    again.clock.advance(TimeDelta::days(1));
    again.stub.world().faults.push(refusal.clone());
    again.refresh("kubernetes").await;
    again.clock.advance(TimeDelta::days(8));
    take_searches(&again);
    refresh(&again, "complete").await;
    assert_eq!(take_searches(&again), whole);
}

/// A topic of 6,000 that has 60 searches an hour, so that a run is cut off after the schedule's
/// period and the next one comes six hours later, as if the other topics took that long.
async fn cut_off_reading() -> Mirror {
    cut_off(World::generate(6_000, 7, "kubernetes")).await
}

async fn cut_off(world: World) -> Mirror {
    let mirror = Mirror::start_with(world, COMPLETE).await;
    mirror.stub.world().settings.search_limit = Some(Limit { with_token: 2, without_token: 2 });
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "partial", "{report}");
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("limit"), "{report}");
    mirror.clock.advance(TimeDelta::hours(6));
    mirror
}

#[tokio::test]
async fn reading_that_takes_longer_than_the_period_is_finished_by_later_runs() {
    let mirror = cut_off_reading().await;
    star(&mirror, 30);
    refresh(&mirror, "complete").await;
    assert_eq!(stored(&mirror).await, existing(&mirror));
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    // The reading has ended, so the next day's begins anew.
    mirror.clock.advance(TimeDelta::days(1));
    assert_eq!(mirror.refresh("kubernetes").await["outcome"], "partial");
}

/// More than a search of the whole topic shows.
#[tokio::test]
async fn slices_of_a_cut_off_reading_are_brought_up_to_date_one_by_one() {
    let mirror = cut_off_reading().await;
    mirror.clock.advance(TimeDelta::days(1));
    star(&mirror, 1_200);
    let oldest = mirror.stub.world().repositories().min_by_key(|own| own.created).expect("one").id;
    mirror.stub.world().remove(oldest);
    let report = refresh(&mirror, "complete").await;
    assert_eq!((&report["found"], &report["removed"]), (&5_999.into(), &1.into()), "{report}");
    assert_eq!(stored(&mirror).await, existing(&mirror));
    assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    let counted = "SELECT CAST(count(*) AS TEXT) FROM counts WHERE last_day = '2026-09-22'";
    assert_eq!(mirror.database.query(counted).await, ["5999"], "every repository has counts");
}

/// The stars of all repositories together, in the store.
async fn stored_stars(mirror: &Mirror) -> Vec<String> {
    let sum = "SELECT CAST(sum(stargazers_count) AS TEXT) FROM repositories";
    mirror.database.query(sum).await
}

/// The same on GitHub.
fn existing_stars(mirror: &Mirror) -> Vec<String> {
    let world = mirror.stub.world();
    vec![world.repositories().map(|own| own.stars).sum::<i64>().to_string()]
}

#[tokio::test]
async fn changes_that_a_faulty_search_of_a_slice_lacks_are_read_by_the_next_run() {
    let mirror = cut_off_reading().await;
    star(&mirror, 1_200);
    // Each search of the first slice's changes shows nothing.
    let incomplete = Fault::from(FaultKind::Incomplete { keep: 0 }).on("updated", 1).times(3);
    mirror.stub.world().faults.push(incomplete);
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "partial", "{report}");
    assert_ne!(stored_stars(&mirror).await, existing_stars(&mirror), "some changes are not seen");
    mirror.clock.advance(TimeDelta::minutes(30));
    refresh(&mirror, "complete").await;
    assert_eq!(stored_stars(&mirror).await, existing_stars(&mirror));
}

/// GitHub counts a private repository, which is not stored.
#[tokio::test]
async fn slices_that_lack_one_repository_are_not_read_again() {
    let mut searches = Vec::new();
    for is_private in [false, true] {
        let mut world = World::generate(6_000, 7, "kubernetes");
        let oldest = world.repositories().min_by_key(|own| own.created).expect("one").id;
        let fields = json!({ "private": is_private }).as_object().expect("an object").clone();
        assert!(world.edit(oldest, fields).expect("fields"));
        let mirror = cut_off(world).await;
        take_searches(&mirror);
        refresh(&mirror, "complete").await;
        searches.push(take_searches(&mirror));
    }
    assert_eq!(searches[0], searches[1]);
}

#[tokio::test]
async fn slices_taken_over_are_not_believed_when_sort_updated_orders_by_push() {
    let mut world = World::generate(6_000, 7, "kubernetes");
    world.settings.updated_by_push = true;
    // Half-way, GitHub refuses the token: three tries of one query, and the next query.
    world.faults.push(Fault::from(FaultKind::Unauthorized).skip(40).times(4));
    let mirror = Mirror::start_with(world, COMPLETE).await;
    let refused = mirror.refresh("kubernetes").await;
    mirror.clock.advance(TimeDelta::minutes(30));
    star(&mirror, 30);
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&refused["outcome"], &report["outcome"]), (&"partial".into(), &"partial".into()));
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("GitHub sorts by the last push"), "{report}");
    mirror.clock.advance(TimeDelta::hours(2));
    refresh(&mirror, "complete").await;
    assert_eq!(stored_stars(&mirror).await, existing_stars(&mirror));
}

#[tokio::test]
async fn slices_are_read_again_when_the_reading_was_not_believed() {
    let mirror = Mirror::start_with(World::generate(900, 7, "kubernetes"), COMPLETE).await;
    let hidden = Fault::from(FaultKind::Hole { count: 60 }).on("updated", 3).times(1_000);
    mirror.stub.world().faults.push(hidden);
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["outcome"], "partial", "{report}");
    mirror.stub.world().faults.clear();
    refresh(&mirror, "complete").await;
    assert_eq!(stored(&mirror).await, existing(&mirror));
}

#[tokio::test]
async fn lists_stay_correct_when_coverage_becomes_top_and_complete_again() {
    let mirror = Mirror::start_with(World::generate(4_000, 7, "kubernetes"), COMPLETE).await;
    refresh(&mirror, "complete").await;
    let top = mirror.replica(&[("COVERAGE", "top")]).await;
    refresh(&top, "top").await;
    assert_lists(&top.lists("kubernetes").await, &mirror.expected("kubernetes"), "");
    assert!(stored(&mirror).await.len() < 2_000, "displaced repositories are removed");
    refresh(&mirror, "complete").await;
    assert_eq!(stored(&mirror).await, existing(&mirror));
}

#[tokio::test]
async fn small_topic_gets_request_slots_beside_a_large_one() {
    let mut world = World::generate(6_000, 7, "mcp");
    world.add_generated(700, 8, "kubernetes");
    let settings = [("TOPICS", "mcp:complete,kubernetes"), ("GITHUB_TOKEN", "some-token")];
    let mirror = Mirror::start_with(world, &settings).await;
    mirror.stub.world().settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
    // The test clock jumps to the next slot. Without latency one topic could take several slots
    // while the other one stores a page.
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
        "the small topic ends before half of all requests: {topics:?}"
    );
    assert_eq!((world.counters.over_limit, world.counters.impatient), (0, 0));
}

#[tokio::test]
async fn concurrent_topics_send_one_search_at_a_time() {
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
