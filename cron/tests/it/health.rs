//! `cron healthcheck`.

use crate::process::{Cron, EVERY_SECOND, NEVER, eventually};
use crate::stand_in::StandIn;

#[tokio::test]
async fn it_is_healthy_from_its_start_though_nothing_answers() {
    let nobody = StandIn::refusing_connections();
    let cron = Cron::new(&nobody, NEVER);
    assert_eq!(cron.run(&["healthcheck"]).await.0, 1, "not before its start");
    let running = cron.start();
    eventually("it is healthy", async || cron.run(&["healthcheck"]).await.0 == 0).await;
    running.stop("-TERM").await;
}

#[tokio::test]
async fn it_is_not_healthy_once_two_periods_are_over_without_a_success_and_again_after_one() {
    let stand_in = StandIn::start();
    stand_in.service().report["outcome"] = "failed".into();
    let cron = Cron::new(&stand_in, EVERY_SECOND);
    let _running = cron.start();
    eventually("it is not healthy", async || {
        let (code, log) = cron.run(&["healthcheck"]).await;
        code == 1 && log.contains("two periods") && log.lines().count() == 1
    })
    .await;
    stand_in.service().report["outcome"] = "partial".into();
    eventually("it is healthy again", async || cron.run(&["healthcheck"]).await.0 == 0).await;
}
