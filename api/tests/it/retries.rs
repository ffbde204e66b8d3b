//! Refreshes that failed for a reason that passes: they run again before the schedule's next match.

use std::time::Duration;

use chrono::TimeDelta;
use github_stub::{Fault, FaultKind, World};
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Mirror, eventually};

/// Longer than the first pause with its jitter, and shorter than the second.
const FIRST_PAUSE: Duration = Duration::from_secs(8);

/// Lets a part of the monotonic time pass.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Refreshes `kubernetes`, which may have no list then, and returns the run's entry.
async fn refresh(mirror: &Mirror) -> Value {
    mirror.request(Method::POST, "/update_cache?topic=kubernetes", &[]).await;
    mirror.get("/refreshes").await.json()[0].clone()
}

/// The number of runs in the ledger.
async fn runs(mirror: &Mirror) -> usize {
    mirror.get("/refreshes").await.json().as_array().expect("a list").len()
}

async fn is_complete(mirror: &Mirror, topic: &str) -> bool {
    mirror.get(&format!("/topics/{topic}")).await.json()["complete"] == true
}

fn always(kind: FaultKind) -> Fault {
    Fault::from(kind).times(1_000)
}

#[tokio::test]
async fn topic_is_refreshed_again_when_github_failed() {
    let faults = [
        (always(FaultKind::JsonError { status: 502 }), "failed"),
        (always(FaultKind::JsonError { status: 500 }).on("best-match", 3), "partial"),
        (always(FaultKind::Cut), "failed"),
    ];
    for (fault, outcome) in faults {
        for jump in [TimeDelta::zero(), TimeDelta::hours(-3), TimeDelta::days(8)] {
            let mirror = Mirror::start(World::generate(300, 7, "kubernetes")).await;
            mirror.stub.world().faults = vec![fault.clone()];
            let report = refresh(&mirror).await;
            assert_eq!(report["outcome"], outcome, "{fault:?}: {report}");
            mirror.stub.world().faults.clear();
            mirror.clock.advance(jump);
            pass(FIRST_PAUSE).await;
            let named = format!("{fault:?}, then the clock jumps by {jump}");
            eventually(10, &named, async || is_complete(&mirror, "kubernetes").await).await;
            assert_eq!(runs(&mirror).await, 2, "{named}");
        }
    }
}

#[tokio::test]
async fn pause_is_doubled_with_each_failure_in_a_row() {
    let mirror = Mirror::start(World::generate(30, 7, "kubernetes")).await;
    mirror.stub.world().faults = vec![always(FaultKind::JsonError { status: 500 })];
    refresh(&mirror).await;
    let mut expected = 1;
    for (seconds, is_due) in [(3, false), (4, true), (6, false), (7, true), (14, false), (11, true)]
    {
        pass(Duration::from_secs(seconds)).await;
        expected += usize::from(is_due);
        eventually(10, "the runs that are due", async || runs(&mirror).await == expected).await;
        let has_ended = async || {
            let newest = mirror.get("/refreshes").await.json()[0].clone();
            newest["state"] == "finished"
        };
        eventually(10, "the run has ended", has_ended).await;
        assert_eq!(runs(&mirror).await, expected, "after {seconds} s");
    }
}

#[tokio::test]
async fn topic_is_not_refreshed_again_when_its_failure_stays() {
    let hourly = ("REFRESH_SCHEDULE", "0 * * * *");
    let limit = FaultKind::PrimaryLimit { status: 403, reset_in: 50 };
    for (kind, schedule) in [
        (FaultKind::Unauthorized, hourly),
        (FaultKind::Forbidden, hourly),
        (FaultKind::Short { missing: 3 }, hourly),
        (limit, ("REFRESH_SCHEDULE", "*/20 * * * * *")),
        // The schedule comes before the retry.
        (FaultKind::JsonError { status: 500 }, ("REFRESH_SCHEDULE", "*/2 * * * * *")),
    ] {
        let mirror = Mirror::start_with(World::generate(30, 7, "kubernetes"), &[schedule]).await;
        mirror.stub.world().faults = vec![always(kind.clone())];
        let report = refresh(&mirror).await;
        assert_eq!(report["complete"], false, "{kind:?}: {report}");
        mirror.stub.world().faults.clear();
        let searches = mirror.stub.world().counters.searches;
        pass(Duration::from_mins(10)).await;
        assert_eq!(runs(&mirror).await, 1, "{kind:?}");
        assert_eq!(mirror.stub.world().counters.searches, searches, "{kind:?}");
    }
}

/// Makes each write of the topic's lease, or of that of all topics, fail.
fn break_lease(name: &str) -> String {
    format!(
        "CREATE TRIGGER broken BEFORE INSERT ON leases WHEN NEW.name = '{name}' BEGIN
         SELECT RAISE(ABORT, 'broken'); END"
    )
}

#[tokio::test]
async fn other_topics_are_refreshed_when_the_database_fails_one() {
    let mut world = World::generate(30, 7, "kubernetes");
    world.add_generated(30, 8, "mcp");
    let mirror = Mirror::start_with(world, &[("TOPICS", "kubernetes,mcp")]).await;
    mirror.database.query(&break_lease("mcp")).await;
    mirror.get("/update_cache").await;
    let report = mirror.get("/refreshes").await.json()[0].clone();
    assert_eq!(
        (&report["outcome"], &report["reason"]),
        (&"partial".into(), &"mcp: the database failed".into()),
        "{report}"
    );
    assert!(is_complete(&mirror, "kubernetes").await);
    mirror.database.query("DROP TRIGGER broken").await;
    pass(FIRST_PAUSE).await;
    eventually(10, "mcp is complete", async || is_complete(&mirror, "mcp").await).await;
}

#[tokio::test]
async fn refresh_runs_again_when_the_database_failed_it() {
    let break_it =
        ["ALTER TABLE topic_days RENAME COLUMN stored TO lost".to_owned(), break_lease("*")];
    let mend_it = ["ALTER TABLE topic_days RENAME COLUMN lost TO stored", "DROP TRIGGER broken"];
    for (broken, mended) in break_it.iter().zip(mend_it) {
        let mirror = Mirror::start(World::generate(30, 7, "kubernetes")).await;
        mirror.database.query(broken).await;
        mirror.request(Method::POST, "/update_cache", &[]).await;
        assert!(!is_complete(&mirror, "kubernetes").await, "{broken}");
        mirror.database.query(mended).await;
        pass(FIRST_PAUSE).await;
        let named = format!("complete after {mended}");
        eventually(10, &named, async || is_complete(&mirror, "kubernetes").await).await;
    }
}

#[tokio::test]
async fn deleted_topic_is_not_refreshed_again() {
    let mirror = Mirror::start(World::generate(30, 7, "kubernetes")).await;
    mirror.stub.world().faults = vec![always(FaultKind::JsonError { status: 500 })];
    refresh(&mirror).await;
    let deleted = mirror.request(Method::DELETE, "/topics/kubernetes", &[]).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text());
    let searches = mirror.stub.world().counters.searches;
    pass(Duration::from_mins(1)).await;
    assert_eq!(runs(&mirror).await, 1);
    assert_eq!(mirror.stub.world().counters.searches, searches);
}

#[tokio::test]
async fn every_run_that_ends_is_counted_by_its_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let counted = |outcome: &str| {
        let start = format!("mirror_refreshes_total{{outcome=\"{outcome}\"}} ");
        let text = metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
        line.map_or(0, |number| number.parse::<u64>().expect("a number"))
    };
    let all = || ["complete", "partial", "failed"].map(counted);
    let mirror = Mirror::refreshed(World::generate(300, 7, "kubernetes")).await;
    assert_eq!(all(), [1, 0, 0]);
    mirror.stub.world().faults = vec![Fault::from(FaultKind::Forbidden).on("best-match", 2)];
    refresh(&mirror).await;
    assert_eq!(all(), [1, 1, 0]);

    // The lease is taken while GitHub keeps the run waiting, which notices that at a renewal.
    let slow = FaultKind::Slow { millis: 600_000 };
    mirror.stub.world().faults = vec![Fault::from(slow).on("best-match", 2)];
    let before = mirror.stub.world().counters.searches;
    let steal = "UPDATE leases SET owner = NULL, fence = fence + 1 WHERE owner IS NOT NULL
        RETURNING name";
    tokio::join!(refresh(&mirror), async {
        eventually(10, "GitHub keeps the run waiting", async || {
            mirror.stub.world().counters.searches == before + 2
        })
        .await;
        assert_eq!(mirror.database.query(steal).await, ["kubernetes"]);
        pass(FIRST_PAUSE).await;
    });
    assert_eq!(all(), [2, 1, 1], "it lost its lease, and the caller began another one");

    mirror.database.query(&break_lease("mcp")).await;
    let refused = mirror.request(Method::POST, "/update_cache?topic=mcp", &[]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert_eq!(all(), [2, 1, 2], "it could not begin");

    mirror.database.query("ALTER TABLE topic_days RENAME COLUMN stored TO lost").await;
    assert_eq!(refresh(&mirror).await["outcome"], "failed");
    assert_eq!(all(), [2, 1, 3], "the database failed it");
}
