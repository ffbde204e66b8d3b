//! `cron healthcheck`.

use crate::process::{Cron, EVERY_SECOND, NEVER, eventually};
use crate::stand_in::StandIn;

#[tokio::test]
async fn healthcheck_succeeds_from_the_start_when_the_service_is_down() {
    let stand_in = StandIn::refusing_connections();
    let cron = Cron::new(&stand_in, NEVER);
    assert_eq!(cron.run(&["healthcheck"]).await.0, 1, "no scheduler runs yet");
    let running = cron.start();
    eventually("the scheduler is healthy", async || cron.run(&["healthcheck"]).await.0 == 0).await;
    running.stop("-TERM").await;
}

#[tokio::test]
async fn healthcheck_fails_after_two_periods_without_success_and_recovers_with_one() {
    let stand_in = StandIn::start();
    stand_in.service().report["outcome"] = "failed".into();
    let cron = Cron::new(&stand_in, EVERY_SECOND);
    let _running = cron.start();
    eventually("the scheduler is unhealthy", async || {
        let (code, log) = cron.run(&["healthcheck"]).await;
        code == 1 && log.contains("two periods") && log.lines().count() == 1
    })
    .await;
    stand_in.service().report["outcome"] = "partial".into();
    eventually("the scheduler is healthy again", async || cron.run(&["healthcheck"]).await.0 == 0)
        .await;
}
