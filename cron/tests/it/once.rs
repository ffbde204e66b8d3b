//! `cron --once`, and invalid settings.

use axum::http::StatusCode;

use crate::process::{Cron, NEVER};
use crate::stand_in::StandIn;

#[tokio::test]
async fn once_exits_0_only_when_the_refresh_is_complete() {
    let stand_in = StandIn::start();
    let cron = Cron::new(&stand_in, NEVER);
    let (code, log) = cron.run(&["--once"]).await;
    assert_eq!(code, 0, "{log}");
    assert_eq!(stand_in.service().triggers, 1);
    assert!(!cron.state_file().exists(), "--once does not record a success");

    for (outcome, word) in [("partial", "not complete"), ("failed", "failed")] {
        stand_in.service().report["outcome"] = outcome.into();
        stand_in.service().report["reason"] = "GitHub said no".into();
        let (code, log) = cron.run(&["--once"]).await;
        assert_eq!((code, log.lines().count()), (1, 1), "{log}");
        assert!(log.contains(word) && log.contains("GitHub said no"), "{log}");
    }
    assert_eq!(stand_in.service().triggers, 3, "--once does not retry");
}

#[tokio::test]
async fn failures_are_reported_in_one_line() {
    let stand_in = StandIn::start();
    stand_in.service().token = Some("another");
    let (code, log) = Cron::new(&stand_in, NEVER)
        .with("MAINTENANCE_TOKEN", "not-this-one")
        .run(&["--once"])
        .await;
    assert_eq!((code, log.lines().count()), (1, 1), "{log}");
    assert!(
        log.contains("/bootstrap_db answered 401 Unauthorized: maintenance wants a token"),
        "{log}"
    );
    assert!(!log.contains("not-this-one"), "{log}");

    stand_in.service().token = None;
    stand_in.service().trigger_faults.push_back(StatusCode::SERVICE_UNAVAILABLE);
    let (code, log) = Cron::new(&stand_in, NEVER).run(&["--once"]).await;
    assert_eq!((code, log.lines().count()), (1, 1), "{log}");

    let down = StandIn::refusing_connections();
    let (code, log) = Cron::new(&down, NEVER).run(&["--once"]).await;
    assert_eq!((code, log.lines().count()), (1, 1), "{log}");
    assert!(log.contains(&down.url) && log.contains("refused"), "{log}");

    let cron = Cron::new(&down, NEVER).with("STATE_FILE", "/nowhere/state");
    let (code, log) = cron.run(&[]).await;
    assert_eq!((code, log.lines().count()), (1, 1), "{log}");
    assert!(log.contains("/nowhere/state") && log.contains("STATE_FILE"), "{log}");
}

#[tokio::test]
async fn invalid_settings_are_reported_together() {
    let down = StandIn::refusing_connections();
    let cron = Cron::new(&down, "often")
        .with("LOG_FORMAT", "xml")
        .with("MAINTENANCE_TOKEN", "hunter2 hunter2");
    let (code, log) = cron.run(&["--api-url", "nowhere"]).await;
    assert_eq!(code, 2, "{log}");
    for expected in [
        "4 settings are wrong",
        "API_URL: \"nowhere\"",
        "REFRESH_SCHEDULE: \"often\"",
        "LOG_FORMAT",
        "MAINTENANCE_TOKEN",
    ] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
    assert_eq!(cron.run(&["--no-such-flag"]).await.0, 2);
}

#[tokio::test]
async fn service_is_asked_directly_when_http_proxy_is_set() {
    let stand_in = StandIn::start();
    // Docker's client gives containers the proxy that it is configured with.
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        let cron = Cron::new(&stand_in, NEVER).with(name, "http://127.0.0.1:1");
        let (code, log) = cron.run(&["--once"]).await;
        assert_eq!(code, 0, "{name}: {log}");
    }
}
