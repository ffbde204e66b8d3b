//! Triggers at start and on schedule, retries, and the stop.

use std::collections::VecDeque;

use axum::http::StatusCode;
use serde_json::Value;

use crate::process::{Cron, EVERY_SECOND, NEVER, eventually};
use crate::stand_in::StandIn;

#[tokio::test]
async fn start_waits_for_the_service_then_triggers_once_and_logs_one_line() {
    let stand_in = StandIn::refusing_connections();
    stand_in.service().token = Some("let-me-in");
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&token, "let-me-in\n").expect("written");
    let cron =
        Cron::new(&stand_in, NEVER).with("MAINTENANCE_TOKEN_FILE", token.path().to_string_lossy());
    let running = cron.start();
    eventually("the scheduler has started", async || cron.last_success().is_some()).await;
    let started = cron.last_success();
    stand_in.listen();
    eventually("the refresh has succeeded", async || cron.last_success() != started).await;
    let (code, log) = running.stop("-TERM").await;

    assert_eq!(code, 0, "{log}");
    let service = stand_in.service();
    assert_eq!((service.bootstraps, service.triggers, service.polls), (1, 1, 1));
    assert!(service.unexpected.is_empty(), "{:?}", service.unexpected);
    let lines =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let reports: Vec<Value> = lines.filter(|line| line["refresh"] == 1).collect();
    assert_eq!(reports.len(), 1, "{log}");
    assert_eq!(
        (&reports[0]["found"], &reports[0]["removed"], &reports[0]["complete"]),
        (&1_160.into(), &2.into(), &true.into())
    );
    assert!(!log.contains("let-me-in"), "{log}");
}

#[tokio::test]
async fn schedule_triggers_refreshes_and_each_creates_the_schema() {
    let stand_in = StandIn::start();
    let cron = Cron::new(&stand_in, EVERY_SECOND);
    let _running = cron.start();
    eventually("three triggers", async || stand_in.service().triggers >= 3).await;
    assert!(stand_in.service().bootstraps >= 3);
}

#[tokio::test]
async fn schedule_is_skipped_while_a_refresh_runs() {
    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let cron = Cron::new(&stand_in, EVERY_SECOND);
    let _running = cron.start();
    // Polls back off: the fifth comes after six seconds.
    eventually("five polls", async || stand_in.service().polls >= 5).await;
    assert_eq!(stand_in.service().triggers, 1);
    stand_in.service().running = false;
    eventually("the next trigger", async || stand_in.service().triggers >= 2).await;
}

/// For example, the first refresh starts shortly before the hour and fails after it.
#[tokio::test]
async fn skipped_trigger_runs_after_a_refresh_that_fails() {
    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let due = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    let cron = Cron::new(&stand_in, &due.format("%S %M %H %d %m *").to_string());
    let running = cron.start();
    // Polls back off: the fourth comes after three seconds.
    eventually("four polls", async || stand_in.service().polls >= 4).await;
    assert_eq!(stand_in.service().triggers, 1);
    // This status is not retried.
    stand_in.service().poll_faults.push_back(StatusCode::UNAUTHORIZED);
    eventually("the skipped trigger", async || stand_in.service().triggers == 2).await;
    stand_in.service().report["duration_ms"] = 1.into();
    stand_in.service().running = false;
    let (started, polls) = (cron.last_success(), stand_in.service().polls);
    eventually("the refresh has succeeded", async || {
        stand_in.service().polls > polls && cron.last_success() != started
    })
    .await;
    let (code, log) = running.stop("-TERM").await;
    assert_eq!((code, stand_in.service().triggers), (0, 2), "{log}");
}

/// The stand-in's refreshes take half a minute by their reports.
#[tokio::test]
async fn skipped_trigger_runs_after_a_refresh_that_began_before_it() {
    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let due = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    let cron = Cron::new(&stand_in, &due.format("%S %M %H %d %m *").to_string());
    let _running = cron.start();
    eventually("four polls", async || stand_in.service().polls >= 4).await;
    assert_eq!(stand_in.service().triggers, 1);
    stand_in.service().running = false;
    eventually("the skipped trigger", async || stand_in.service().triggers >= 2).await;
}

#[tokio::test]
async fn trigger_is_retried_when_it_is_refused() {
    let stand_in = StandIn::start();
    stand_in.service().trigger_faults =
        VecDeque::from([StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY]);
    let cron = Cron::new(&stand_in, NEVER);
    let _running = cron.start();
    eventually("the third try", async || stand_in.service().polls == 1).await;
    assert_eq!(stand_in.service().triggers, 3);
}

#[tokio::test]
async fn refresh_is_retried_when_it_fails() {
    let stand_in = StandIn::start();
    stand_in.service().report["outcome"] = "failed".into();
    let cron = Cron::new(&stand_in, NEVER);
    let _running = cron.start();
    eventually("a second trigger", async || stand_in.service().triggers >= 2).await;
}

#[tokio::test]
async fn polls_are_retried_when_a_replica_dies() {
    let stand_in = StandIn::start();
    let faults =
        [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    stand_in.service().poll_faults = VecDeque::from(faults);
    let cron = Cron::new(&stand_in, NEVER);
    let _running = cron.start();
    eventually("the fourth poll", async || stand_in.service().polls == 4).await;
    assert_eq!(stand_in.service().triggers, 1);
}

#[tokio::test]
async fn stop_signal_ends_waits_and_polls_at_once() {
    let down = StandIn::refusing_connections();
    let waiting = Cron::new(&down, EVERY_SECOND);
    let running = waiting.start();
    eventually("the scheduler has started", async || waiting.last_success().is_some()).await;
    let (code, log) = running.stop("-INT").await;
    assert_eq!(code, 0, "{log}");

    let stand_in = StandIn::start();
    stand_in.service().running = true;
    let polling = Cron::new(&stand_in, EVERY_SECOND);
    let running = polling.start();
    eventually("the scheduler polls", async || stand_in.service().polls >= 1).await;
    let (code, log) = running.stop("-TERM").await;
    assert_eq!(code, 0, "{log}");
}
