//! When it rings, how it tries again, and how it stops.

use std::collections::VecDeque;

use axum::http::StatusCode;
use serde_json::Value;

use crate::process::{Cron, EVERY_SECOND, NEVER, eventually};
use crate::stand_in::StandIn;

#[tokio::test]
async fn it_waits_for_the_service_rings_and_logs_one_line() {
    let stand_in = StandIn::refusing_connections();
    stand_in.service().token = Some("let-me-in");
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&token, "let-me-in\n").expect("written");
    let cron =
        Cron::new(&stand_in, NEVER).with("MAINTENANCE_TOKEN_FILE", token.path().to_string_lossy());
    let running = cron.start();
    eventually("it has started", async || cron.noted().is_some()).await;
    let started = cron.noted();
    stand_in.listen();
    eventually("it has succeeded", async || cron.noted() != started).await;
    let (code, log) = running.stop("-TERM").await;

    assert_eq!(code, 0, "{log}");
    let service = stand_in.service();
    assert_eq!((service.bootstraps, service.rings, service.polls), (1, 1, 1));
    assert!(service.unexpected.is_empty(), "{:?}", service.unexpected);
    let lines =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let rung: Vec<Value> = lines.filter(|line| line["refresh"] == 1).collect();
    assert_eq!(rung.len(), 1, "{log}");
    assert_eq!(
        (&rung[0]["found"], &rung[0]["removed"], &rung[0]["complete"]),
        (&1_160.into(), &2.into(), &true.into())
    );
    assert!(!log.contains("let-me-in"), "{log}");
}

#[tokio::test]
async fn it_rings_on_schedule_and_every_ring_makes_the_schema() {
    let stand_in = StandIn::start();
    let cron = Cron::new(&stand_in, EVERY_SECOND);
    let _running = cron.start();
    eventually("three rings", async || stand_in.service().rings >= 3).await;
    assert!(stand_in.service().bootstraps >= 3);
}

#[tokio::test]
async fn rings_that_are_due_while_one_is_out_are_left_out() {
    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let cron = Cron::new(&stand_in, EVERY_SECOND);
    let _running = cron.start();
    // Polls grow rarer: the fifth comes after six seconds.
    eventually("five polls", async || stand_in.service().polls >= 5).await;
    assert_eq!(stand_in.service().rings, 1);
    stand_in.service().running = false;
    eventually("the next ring", async || stand_in.service().rings >= 2).await;
}

/// As when the first ring goes out shortly before the hour, and gives up after it.
#[tokio::test]
async fn a_ring_that_was_left_out_comes_after_one_that_gave_up() {
    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let due = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    let cron = Cron::new(&stand_in, &due.format("%S %M %H %d %m *").to_string());
    let running = cron.start();
    // Polls grow rarer: the fourth comes after three seconds.
    eventually("four polls", async || stand_in.service().polls >= 4).await;
    assert_eq!(stand_in.service().rings, 1);
    // Nobody asks again after this answer.
    stand_in.service().poll_faults.push_back(StatusCode::UNAUTHORIZED);
    eventually("the ring that was left out", async || stand_in.service().rings == 2).await;
    stand_in.service().running = false;
    let (started, polls) = (cron.noted(), stand_in.service().polls);
    eventually("it has succeeded", async || {
        stand_in.service().polls > polls && cron.noted() != started
    })
    .await;
    let (code, log) = running.stop("-TERM").await;
    assert_eq!((code, stand_in.service().rings), (0, 2), "{log}");
}

#[tokio::test]
async fn a_failed_ring_is_tried_again() {
    let stand_in = StandIn::start();
    stand_in.service().ring_faults =
        VecDeque::from([StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY]);
    let cron = Cron::new(&stand_in, NEVER);
    let _running = cron.start();
    eventually("the third try", async || stand_in.service().polls == 1).await;
    assert_eq!(stand_in.service().rings, 3);
}

#[tokio::test]
async fn a_refresh_that_brought_nothing_is_tried_again() {
    let stand_in = StandIn::start();
    stand_in.service().report["outcome"] = "failed".into();
    let cron = Cron::new(&stand_in, NEVER);
    let _running = cron.start();
    eventually("a second ring", async || stand_in.service().rings >= 2).await;
}

#[tokio::test]
async fn a_replica_that_dies_does_not_end_a_ring() {
    let stand_in = StandIn::start();
    let faults =
        [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    stand_in.service().poll_faults = VecDeque::from(faults);
    let cron = Cron::new(&stand_in, NEVER);
    let _running = cron.start();
    eventually("the fourth poll", async || stand_in.service().polls == 4).await;
    assert_eq!(stand_in.service().rings, 1);
}

#[tokio::test]
async fn it_stops_at_once_whatever_it_does() {
    let nobody = StandIn::refusing_connections();
    let waiting = Cron::new(&nobody, EVERY_SECOND);
    let running = waiting.start();
    eventually("it has started", async || waiting.noted().is_some()).await;
    let (code, log) = running.stop("-INT").await;
    assert_eq!(code, 0, "{log}");

    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let polling = Cron::new(&stand_in, EVERY_SECOND);
    let running = polling.start();
    eventually("it polls", async || stand_in.service().polls >= 1).await;
    let (code, log) = running.stop("-TERM").await;
    assert_eq!(code, 0, "{log}");
}
