//! The load test: the target, the scenarios, the run and the verdict.

mod check;
mod content;
mod exchange;
mod rankings;
mod routes;
mod scenarios;
mod verdict;

use std::process::ExitCode;

use anyhow::{Context, bail};
use goose::GooseError;
use goose::config::GooseConfiguration;
use goose::prelude::{GooseAttack, GooseDefault, GooseDefaultType, GooseScheduler};
use serde::Deserialize;

use crate::check::MAX_ITEMS;
use crate::exchange::LimitedCounts;
use crate::scenarios::Target;

/// The address of `make demo` and of the stack.
const HOST: &str = "http://127.0.0.1:8081";
const TOPIC: &str = "kubernetes";

/// The sum of the scenarios' weights, so that each scenario has its share of the users.
const USERS: usize = 33;
/// Seconds.
const RUN_TIME: usize = 60;

/// These hold on two cores that run the whole stack and the load test. No answer may be wrong.
const THRESHOLDS: [&str; 2] = ["p95<500ms", "error-rate<=0%"];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the run passed.
async fn run() -> anyhow::Result<bool> {
    let mut config = GooseConfiguration::parse_args_default_or_exit();
    let host =
        config.host.take().or_else(|| setting("LOAD_HOST")).unwrap_or_else(|| HOST.to_owned());
    let topic = setting("TOPIC").unwrap_or_else(|| TOPIC.to_owned());
    let target = target(&host, topic).await?;
    config.host = Some(host);

    let mut attack = Box::new(
        GooseAttack::initialize_with_config(config)?.set_scheduler(GooseScheduler::Random),
    );
    // goose runs without its telnet controller; the scenarios choose and check encodings; the
    // metrics cover the whole run, and a failed threshold does not end it; we print the report.
    for (setting, value) in [
        (GooseDefault::NoTelnet, true),
        (GooseDefault::NoGzip, true),
        (GooseDefault::NoResetMetrics, true),
        (GooseDefault::NoThresholdAbort, true),
        (GooseDefault::NoPrintMetrics, true),
    ] {
        attack = attack.set_default(setting, value)?;
    }
    attack = attack
        .set_default(GooseDefault::Users, USERS)?
        .set_default(GooseDefault::RunTime, RUN_TIME)?;
    attack = attack
        .set_default(GooseDefault::IncreaseRate, "10")?
        .set_default(GooseDefault::Quiet, 1)?;
    for threshold in THRESHOLDS {
        attack = attack.set_default(GooseDefault::Threshold, threshold)?;
    }
    for scenario in scenarios::all(&target)? {
        *attack = attack.register_scenario(scenario);
    }
    let (metrics, thresholds_hold) = match attack.execute().await {
        Ok(metrics) => (metrics, true),
        Err(GooseError::ThresholdsFailed { metrics, .. }) => (*metrics.0, false),
        Err(error) => return Err(error.into()),
    };
    let (passed, text) = verdict::verdict(&metrics, &target.limited.rows(), thresholds_hold);
    println!("{text}");
    Ok(passed)
}

/// An environment variable; empty means unset.
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Requests the topic's status for the length of its lists.
async fn target(host: &str, topic: String) -> anyhow::Result<Target> {
    #[derive(Deserialize)]
    struct Status {
        stored: usize,
    }
    let url = format!("{}/topics/{topic}", host.trim_end_matches('/'));
    let answer = reqwest::get(&url)
        .await
        .with_context(|| format!("{host} does not answer; set LOAD_HOST"))?;
    if !answer.status().is_success() {
        bail!("{url} returned {}; set TOPIC to a topic of /topics", answer.status());
    }
    let Status { stored } = answer
        .json()
        .await
        .with_context(|| format!("the answer of {url} is not that of the mirror"))?;
    if stored == 0 {
        bail!("{topic} has no lists yet; fetch them by {host}/update_cache");
    }
    Ok(Target { topic, size: stored.min(MAX_ITEMS), limited: LimitedCounts::default() })
}
