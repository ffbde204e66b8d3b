//! The GitHub client against every kind of response and fault that GitHub has shown.

use api::clock::Clock;
use api::model::run::{Report, Trigger};
use api::model::topic::Origin;
use api::store::{BeginOutcome, NewRefresh, Store};
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
        FaultKind::PrimaryLimit { status: 403, reset_in: -40 },
        FaultKind::PrimaryLimit { status: 403, reset_in: 1 << 40 },
        FaultKind::JsonError { status: 408 },
        FaultKind::JsonError { status: 421 },
        FaultKind::HtmlError { status: 425 },
        FaultKind::Unauthorized,
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
async fn refusal_ends_only_its_query_and_is_not_retried() {
    for (kind, reason, requests) in [
        (FaultKind::Forbidden, "status 403", 3),
        (
            FaultKind::Redirect { to: "http://127.0.0.1:1/elsewhere".to_owned() },
            "redirect to elsewhere",
            3,
        ),
        // The token was accepted before, so the first query is tried three times.
        (FaultKind::Unauthorized, "GITHUB_TOKEN", 4),
    ] {
        let mirror = Mirror::refreshed(World::generate(200, 7, "kubernetes")).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).times(1_000));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["outcome"], &report["requests"]),
            (&"failed".into(), &requests.into()),
            "{kind:?}: {report}"
        );
        assert!(
            report["reason"].as_str().is_some_and(|text| text.contains(reason)),
            "{kind:?}: {report}"
        );
        assert_eq!(mirror.get("/api/kubernetes").await.ids().len(), 200);
    }
}

#[tokio::test]
async fn refused_query_costs_the_run_nothing_but_itself() {
    for kind in [FaultKind::Forbidden, FaultKind::Unauthorized] {
        let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
        let top = mirror.expected("kubernetes")[2][0];
        let now = "2026-09-21T14:13:21Z".parse().expect("a date");
        mirror.stub.world().star(top, 9_000_000, now);
        let fault = Fault::from(kind.clone()).on("stars", 1).times(3);
        mirror.stub.world().faults.push(fault);
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "partial", "{kind:?}: {report}");
        assert_eq!(report["updated"], 1, "{kind:?}: sort=updated was read: {report}");
    }
}

#[tokio::test]
async fn token_that_was_never_accepted_ends_the_run_at_once() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    mirror.stub.world().faults.push(Fault::from(FaultKind::Unauthorized).times(1_000));
    // The other process has not asked GitHub before.
    let report = mirror.replica(&[]).await.refresh("kubernetes").await;
    assert_eq!((&report["outcome"], &report["requests"]), (&"failed".into(), &1.into()));
}

#[tokio::test]
async fn unreachable_host_ends_the_run_after_the_tries_of_one_query() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    let replica = mirror.replica(&[("GITHUB_API_URL", &url)]).await;
    let report = replica.refresh("kubernetes").await;
    assert_eq!((&report["outcome"], &report["requests"]), (&"failed".into(), &4.into()));
    assert_eq!(report["reason"], "GitHub failed 4 times: it could not be reached");
}

#[tokio::test]
async fn links_of_a_gateway_are_followed_at_the_services_own_origin() {
    let elsewhere =
        github_stub::Stub::start(World::generate(700, 7, "kubernetes")).await.expect("a free port");
    for kind in [
        FaultKind::ForeignLink { origin: elsewhere.url() },
        FaultKind::ForeignLink { origin: "https://api.github.com:444".to_owned() },
        FaultKind::LinkLines { origin: elsewhere.url() },
    ] {
        let settings = [("GITHUB_TOKEN", "github-secret")];
        let mirror = Mirror::start_with(World::generate(700, 7, "kubernetes"), &settings).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).times(1_000));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["complete"], &report["requests"]),
            (&true.into(), &15.into()),
            "{kind:?}: {report}"
        );
        assert_lists(
            &mirror.lists("kubernetes").await,
            &mirror.expected("kubernetes"),
            format!("{kind:?}"),
        );
    }
    assert_eq!(elsewhere.world().counters.requests, [], "the token goes nowhere else");
}

#[tokio::test]
async fn page_that_names_itself_as_the_next_one_makes_the_run_partial() {
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    for page in [1, 3] {
        let fault = Fault::from(FaultKind::LoopLink).on("stars", page).times(1_000);
        mirror.stub.world().faults = vec![fault];
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["outcome"], &report["requests"]),
            (&"partial".into(), &(10 + page).into()),
            "{report}"
        );
    }
}

#[tokio::test]
async fn pages_before_a_failure_are_stored_and_listed() {
    for kind in [
        FaultKind::HtmlError { status: 502 },
        FaultKind::Forbidden,
        FaultKind::SecondaryLimit { status: 403, retry_after: Some(3_600) },
    ] {
        let mirror = Mirror::start(World::generate(1_234, 7, "kubernetes")).await;
        for sort in ["best-match", "stars", "updated"] {
            let fault = Fault::from(kind.clone()).on(sort, 2).times(1_000);
            mirror.stub.world().faults.push(fault);
        }
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "partial", "{kind:?}: {report}");
        let list = mirror.get("/api/kubernetes").await.ids();
        assert_eq!(list, mirror.expected("kubernetes")[0][..100], "{kind:?}");
    }
}

#[tokio::test]
async fn refresh_is_complete_whatever_githubs_clock_and_resets_say() {
    for ahead in [10_800, -10_800, 86_400 * 400] {
        for reset in [None, Some(0), Some(-5), Some(1_790_000_000_000), Some(i64::MAX)] {
            let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
            {
                let mut world = mirror.stub.world();
                world.settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
                world.settings.clock_ahead = ahead;
                if let Some(reset) = reset {
                    world.faults.push(Fault::from(FaultKind::OddReset { reset }).times(1_000));
                }
            }
            let report = mirror.refresh("kubernetes").await;
            assert_eq!(report["complete"], true, "{ahead} {reset:?}: {report}");
            let waited = report["waited_ms"].as_i64().expect("a number");
            assert!(waited < 180_000, "{ahead} {reset:?}: {report}");
            assert_eq!(mirror.stub.world().counters.impatient, 0);
        }
    }
}

#[tokio::test]
async fn what_nobody_needs_costs_nothing() {
    for (kind, mended) in [
        (FaultKind::BadText { count: 100 }, 200),
        (FaultKind::OddFields { count: 100 }, 1_000),
        (FaultKind::LongTexts { count: 100 }, 600),
    ] {
        let mirror = Mirror::start(World::generate(200, 7, "kubernetes")).await;
        mirror.stub.world().faults.push(Fault::from(kind.clone()).times(1_000));
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(
            (&report["complete"], &report["skipped"], &report["mended"]),
            (&true.into(), &0.into(), &mended.into()),
            "{kind:?}: {report}"
        );
        assert_lists(
            &mirror.lists("kubernetes").await,
            &mirror.expected("kubernetes"),
            format!("{kind:?}"),
        );
        let long = "SELECT id || '' FROM repositories WHERE length(description) > 2000
            OR length(language) > 400 OR homepage LIKE 'javascript:%'";
        assert_eq!(mirror.database.query(long).await, Vec::<String>::new(), "{kind:?}");
    }
}

#[tokio::test]
async fn over_long_name_skips_its_item_with_a_short_reason() {
    let mirror = Mirror::start(World::generate(200, 7, "kubernetes")).await;
    let fault = Fault::from(FaultKind::LongNames { count: 2 }).on("best-match", 1);
    mirror.stub.world().faults.push(fault);
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["complete"], &report["skipped"]), (&true.into(), &2.into()), "{report}");
    assert!(report.to_string().len() < 2_000, "{report}");
    assert_eq!(mirror.get("/api/kubernetes").await.ids().len(), 198);
}

#[tokio::test]
async fn reader_of_a_new_topic_hears_of_the_last_failure() {
    let mirror = Mirror::start(World::generate(700, 7, "mcp")).await;
    // Another process refreshes the topic, and GitHub has failed twice.
    let topic = "mcp".parse().expect("a topic");
    let refresh = NewRefresh {
        topic: Some(&topic),
        parent: None,
        awaited: None,
        trigger: Trigger::Request,
        owner: "another",
    };
    let (store, now) = (&mirror.service.store, mirror.clock.now());
    store.track(&topic, Origin::Requested, None, now).await.expect("tracked");
    let begun = store.begin(&refresh, now).await.expect("begun");
    let BeginOutcome::Started(lease) = begun else { panic!("{begun:?}") };
    let detail = async || mirror.get("/api/mcp").await.json()["detail"].to_string();
    assert!(detail().await.contains("0 of about 1 requests done"), "{}", detail().await);
    let report = Report {
        requests: 2,
        requests_expected: 15,
        last_failure: Some("GitHub failed twice".to_owned()),
        ..Report::default()
    };
    store.note_progress(&lease, &report, now).await.expect("noted");
    let detail = detail().await;
    assert!(detail.contains("2 of about 15 requests done"), "{detail}");
    assert!(detail.ends_with("; GitHub failed twice\""), "{detail}");
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
    let limit = FaultKind::SecondaryLimit { status: 429, retry_after: Some(4_000) };
    mirror.stub.world().faults.push(Fault::from(limit).on("stars", 1));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!((&report["outcome"], &report["requests"]), (&"partial".into(), &6.into()));
    let retry_at = report["retry_at"].as_str().expect("a time");
    assert!(retry_at.starts_with("2026-09-21T15:13:20"), "an hour is the longest wait: {report}");
    assert!(
        report["reason"].as_str().is_some_and(|text| text.contains("2026-09-21T15:13:20Z")),
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
        .push(FaultKind::SecondaryLimit { status: 403, retry_after: Some(7_200) }.into());
    mirror.refresh("kubernetes").await;
    let store: &dyn Store = &*mirror.service.store;
    let quota = store.quota(api::model::quota::Resource::Search).await.expect("the quota");
    assert_eq!(
        quota.paused_until.map(|until| until.timestamp()),
        Some(crate::support::START + 3_600)
    );
}

/// Answers TLS handshakes with a certificate that nobody has signed.
fn serve_untrusted(listener: &std::net::TcpListener) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let pem = include_bytes!("client/untrusted.pem");
    let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pem).expect("a key");
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).expect("they fit");
    let config = std::sync::Arc::new(config);
    for connection in listener.incoming() {
        let mut connection = connection.expect("a connection");
        let mut tls =
            rustls::ServerConnection::new(std::sync::Arc::clone(&config)).expect("a session");
        // The client breaks the handshake off.
        let _ = tls.complete_io(&mut connection);
    }
}

#[tokio::test]
async fn certificate_that_is_not_trusted_is_named_as_the_reason() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || serve_untrusted(&listener));
    let report = mirror.replica(&[("GITHUB_API_URL", &url)]).await.refresh("kubernetes").await;
    assert_eq!(report["reason"], "GitHub failed 4 times: its certificate is not trusted");
}
