//! The scheduler's program. It triggers a refresh at start and on schedule, or once; or it answers
//! a health check.

mod api_client;
mod clock;
mod config;
mod last_success;
mod refresh;
mod scheduler;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command};
use settings::{start_logging, stop_signal};

use crate::config::{Config, SETTINGS};

fn main() -> ExitCode {
    let matches = command().get_matches();
    let config = match Config::read(&settings::source(&matches)) {
        Ok(config) => config,
        Err(invalid) => return invalid.report(),
    };
    // tokio-cron-scheduler logs its internals at level info.
    start_logging(config.log_format, &["tokio_cron_scheduler"]);
    match run(&matches, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cron: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(matches: &ArgMatches, config: Config) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("TLS was set up twice");
    }
    if matches.subcommand_name() == Some("healthcheck") {
        return last_success::check(&config);
    }
    let stop = stop_signal()?;
    if matches.get_flag("once") {
        return tokio::select! {
            result = refresh::once(&config) => result,
            () = stop => bail!("stopped; the refresh goes on in the service"),
        };
    }
    scheduler::run(config, stop).await
}

fn command() -> Command {
    let once = Arg::new("once").long("once").action(ArgAction::SetTrue).help(
        "Trigger one refresh and wait for its end: exit code 0 if it is complete, else 1 (for \
         other schedulers)",
    );
    let healthcheck = Command::new("healthcheck")
        .about("Check that the last success is younger than two periods of the schedule");
    let command = Command::new("cron")
        .version(settings::version())
        .about("Triggers the mirror's refreshes at start, then on schedule.")
        .arg(once)
        .subcommand(healthcheck);
    settings::with_flags(command, SETTINGS)
}
