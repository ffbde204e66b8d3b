//! The scheduler tells its token to nobody but the service, and a password in API_URL to nobody.

use axum::http::StatusCode;

use crate::process::{Cron, EVERY_SECOND, NEVER, eventually};
use crate::stand_in::StandIn;

const TOKEN: &str = "maint-Copper-Kettle";
const PASSWORD: &str = "proxy-Violet-Anchor";

#[track_caller]
fn assert_secret(text: &str) {
    let numbers = |text: &str| text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>();
    for secret in [TOKEN, PASSWORD] {
        assert!(!text.contains(secret), "{text}");
        assert!(!text.contains(&numbers(secret).join(", ")), "{text}");
    }
}

#[tokio::test]
async fn secrets_are_in_no_log_and_on_no_command_line() {
    let stand_in = StandIn::start();
    stand_in.service().token = Some(TOKEN);
    let cron = Cron::new(&stand_in, EVERY_SECOND)
        .with("MAINTENANCE_TOKEN", TOKEN)
        .with("RUST_LOG", "trace");
    let running = cron.start();
    eventually("a refresh was triggered", async || stand_in.service().triggers > 0).await;
    let command_line = std::fs::read(format!("/proc/{}/cmdline", running.id())).expect("it runs");
    assert_secret(&String::from_utf8_lossy(&command_line));
    for token in [Some("another"), Some(TOKEN)] {
        let before = stand_in.service().unauthorized;
        stand_in.service().token = token;
        stand_in.service().trigger_faults.push_back(StatusCode::SERVICE_UNAVAILABLE);
        eventually("the service has answered", async || {
            let service = stand_in.service();
            service.unauthorized > before || service.trigger_faults.is_empty()
        })
        .await;
    }
    let (_, log) = running.stop("-TERM").await;
    assert!(log.contains("TRACE") && log.contains("401"), "{log}");
    assert_secret(&log);
}

#[tokio::test]
async fn secrets_are_in_no_error_of_a_service_that_is_not_there() {
    let down = StandIn::refusing_connections();
    let with_password = down.url.replace("://", &format!("://mirror:{PASSWORD}@"));
    for (url, code) in [(down.url.clone(), 1), (with_password, 2)] {
        let cron = Cron::new(&down, NEVER)
            .with("API_URL", url)
            .with("MAINTENANCE_TOKEN", TOKEN)
            .with("RUST_LOG", "trace");
        let (ended, log) = cron.run(&["--once"]).await;
        assert_eq!(ended, code, "{log}");
        assert_secret(&log);
    }
}
