//! The GitHub client against every kind of response and fault that GitHub has shown.

use api::store::Store;
use chrono::TimeDelta;
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, World};
use reqwest::Method;

use crate::support::{Mirror, assert_lists};

#[tokio::test]
async fn refresh_reads_every_page_for_each_topic_size() {
    for (size, requests) in [
        (0, 1),
        (1, 1),
        (100, 1),
        (101, 2),
        (200, 2),
        (201, 3),
        (500, 5),
        (501, 15),
        (1_000, 15),
        (1_234, 15),
    ] {
        let mirror = Mirror::start(World::generate(size, 7, "kubernetes")).await;
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["complete"], true, "{size}: {report}");
        assert_eq!(report["requests"], requests, "{size}");
        assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), size);
        assert_eq!(mirror.stub.world().counters.unexpected, Vec::<String>::new(), "{size}");
    }
}

#[tokio::test]
async fn client_retries_once_when_a_fault_is_transient() {
    for kind in [
        FaultKind::HtmlError { status: 503 },
        FaultKind::HtmlError { status: 502 },
        FaultKind::JsonError { status: 500 },
        FaultKind::NotJson,
        FaultKind::Cut,
        FaultKind::Reset,
        FaultKind::Incomplete { keep: 30 },
        FaultKind::Short { missing: 7 },
        FaultKind::SecondaryLimit { status: 403, retry_after: Some(60) },
        FaultKind::SecondaryLimit { status: 429, retry_after: None },
        FaultKind::PrimaryLimit { status: 403, reset_in: 40 },
        FaultKind::PrimaryLimit { status: 429, reset_in: 40 },
    ] {
        let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).on("stars", 2));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["complete"], &report["requests"]),
            (&true.into(), &16.into()),
            "{kind:?}: {report}"
        );
        assert_eq!(
            report["retries"].as_i64().zip(report["pages_refetched"].as_i64()).map(|(a, b)| a + b),
            Some(1),
            "{kind:?}"
        );
        assert_lists(
            &mirror.lists("kubernetes").await,
            &mirror.expected("kubernetes"),
            format!("{kind:?}"),
        );
    }
}

#[tokio::test]
async fn refresh_fails_after_four_tries_and_keeps_its_lists() {
    for (kind, reason) in [
        (FaultKind::HtmlError { status: 503 }, "status 503"),
        (FaultKind::Cut, "GitHub failed 4 times"),
        (FaultKind::NotJson, "a page that cannot be read"),
        (FaultKind::ForeignLink { origin: "http://127.0.0.1:1".to_owned() }, "another origin"),
    ] {
        let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
        let before = mirror.lists("kubernetes").await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).times(1_000));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "failed", "{kind:?}: {report}");
        assert!(
            report["reason"].as_str().is_some_and(|text| text.contains(reason)),
            "{kind:?}: {report}"
        );
        assert_eq!(report["requests"], 12, "{kind:?}: four tries of three queries");
        assert_lists(&mirror.lists("kubernetes").await, &before, format!("{kind:?}"));
        assert_eq!(mirror.get("/api/kubernetes").await.header("x-complete"), "false", "{kind:?}");
    }
}

#[tokio::test]
async fn client_does_not_retry_when_github_refuses() {
    for (kind, reason) in [
        (FaultKind::Unauthorized, "GITHUB_TOKEN"),
        (FaultKind::Forbidden, "status 403"),
        (
            FaultKind::Redirect { to: "http://127.0.0.1:1/elsewhere".to_owned() },
            "redirect to elsewhere",
        ),
    ] {
        let mirror = Mirror::refreshed(World::generate(200, 7, "kubernetes")).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).times(1_000));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["outcome"], &report["requests"]),
            (&"failed".into(), &1.into()),
            "{kind:?}"
        );
        assert!(
            report["reason"].as_str().is_some_and(|text| text.contains(reason)),
            "{kind:?}: {report}"
        );
        assert_eq!(mirror.get("/api/kubernetes").await.ids().len(), 200);
    }
}

#[tokio::test]
async fn searches_are_spaced_evenly_within_the_rate_limit() {
    for (token, seconds) in [("", 6), ("some-token", 2)] {
        let mirror =
            Mirror::start_with(World::generate(700, 7, "kubernetes"), &[("GITHUB_TOKEN", token)])
                .await;
        mirror.stub.world().settings.search_limit =
            Some(Limit { with_token: 30, without_token: 10 });
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["complete"], true, "{report}");
        let world = mirror.stub.world();
        assert_eq!((world.counters.searches, world.counters.over_limit), (15, 0));
        let times: Vec<_> = world.counters.requests.iter().map(|(time, _)| *time).collect();
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] >= TimeDelta::seconds(seconds)),
            "{times:?}"
        );
        assert!(
            times[14] - times[0] <= TimeDelta::seconds(seconds * 14 + 15),
            "not slower than the limit allows: {times:?}"
        );
    }
}

#[tokio::test]
async fn client_sends_nothing_while_github_says_wait() {
    for (kind, seconds) in [
        (FaultKind::PrimaryLimit { status: 403, reset_in: 50 }, 50),
        (FaultKind::SecondaryLimit { status: 403, retry_after: Some(90) }, 90),
        (FaultKind::SecondaryLimit { status: 403, retry_after: None }, 60),
    ] {
        let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).on("stars", 3));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["complete"], true, "{kind:?}: {report}");
        assert!(
            report["waited_ms"].as_i64().is_some_and(|waited| waited >= seconds * 1_000),
            "{kind:?}: {report}"
        );
        let world = mirror.stub.world();
        let times: Vec<_> = world.counters.requests.iter().map(|(time, _)| *time).collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest >= Some(TimeDelta::seconds(seconds)), "{kind:?}: {longest:?}");
    }
}

#[tokio::test]
async fn refresh_is_partial_when_a_wait_exceeds_the_period() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    mirror
        .stub
        .world()
        .faults
        .push(Fault::from(FaultKind::PrimaryLimit { status: 429, reset_in: 4_000 }).on("stars", 1));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["outcome"], &report["requests"]), (&"partial".into(), &6.into()));
    assert_eq!(report["retry_at"], "2026-09-21T15:20:01Z");
    assert!(
        report["reason"].as_str().is_some_and(|text| text.contains("2026-09-21T15:20:01Z")),
        "{report}"
    );
    assert_eq!(mirror.get("/api/kubernetes").await.header("x-complete"), "false");
}

#[tokio::test]
async fn refresh_fails_after_five_secondary_limits_in_a_row() {
    let mirror = Mirror::refreshed(World::generate(200, 7, "kubernetes")).await;
    let limit = Fault::from(FaultKind::SecondaryLimit { status: 403, retry_after: Some(1) });
    mirror.stub.world().faults.push(limit.times(1_000));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["outcome"], &report["requests"]),
        (&"failed".into(), &5.into()),
        "{report}"
    );
}

#[tokio::test]
async fn search_waits_when_a_lookup_met_a_secondary_limit() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    let dropped = mirror.expected("kubernetes")[1][3];
    mirror.stub.world().settings.drop.insert(dropped);
    let limit = FaultKind::SecondaryLimit { status: 403, retry_after: Some(90) };
    mirror.stub.world().faults.push(Fault::from(limit).at("/repositories/"));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["complete"], true, "the lookup is left to the next run: {report}");
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(report["complete"], true, "{report}");
    assert!(report["waited_ms"].as_i64() >= Some(80_000), "{report}");
    assert_eq!(mirror.stub.world().counters.impatient, 0);
}

#[tokio::test]
async fn token_is_not_sent_to_another_origin() {
    let mirror = Mirror::start_with(
        World::generate(200, 7, "kubernetes"),
        &[("GITHUB_TOKEN", "github-secret")],
    )
    .await;
    let elsewhere =
        github_stub::Stub::start(World::generate(200, 7, "kubernetes")).await.expect("a free port");
    mirror.stub.world().faults = vec![
        FaultKind::Redirect { to: format!("{}/search/repositories", elsewhere.url()) }.into(),
        Fault::from(FaultKind::ForeignLink { origin: elsewhere.url() }).times(100),
    ];
    for _ in 0..2 {
        mirror.request(Method::POST, "/update_cache", &[]).await;
    }
    assert_eq!(elsewhere.world().counters.requests, []);
}

#[tokio::test]
async fn pause_is_stored_in_the_database() {
    let mirror = Mirror::refreshed(World::generate(200, 7, "kubernetes")).await;
    mirror
        .stub
        .world()
        .faults
        .push(FaultKind::PrimaryLimit { status: 403, reset_in: 7_200 }.into());
    mirror.refresh("kubernetes").await;
    let store: &dyn Store = &*mirror.service.store;
    let quota = store.quota(api::model::quota::Resource::Search).await.expect("the quota");
    assert_eq!(
        quota.paused_until.map(|until| until.timestamp()),
        Some(crate::support::START + 7_201)
    );
}
