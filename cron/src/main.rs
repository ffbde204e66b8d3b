//! The program: settings, logging, then one ring, the answer to a health check, or a ring at start
//! and on schedule.

mod config;
mod last_success;
mod logging;
mod mirror;
mod ring;
mod schedule;
mod scheduler;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;

/// As for every program that was called wrongly.
const INVALID_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let config = match Config::read(&config::source(&matches)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(INVALID_CONFIG);
        }
    };
    logging::start(config.log_format);
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
            rung = ring::once(&config) => rung,
            () = stop => bail!("stopped; the refresh goes on in the service"),
        };
    }
    scheduler::run(config, stop).await
}

fn command() -> Command {
    Command::new("cron")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Rings for the mirror's refreshes: at start, then on schedule.")
        .after_help(
            "Each flag is also an environment variable (API_URL); the flag wins. Only in the environment, or in a file named by \
             MAINTENANCE_TOKEN_FILE: MAINTENANCE_TOKEN.",
        )
        .args(config::flags())
        .arg(Arg::new("once").long("once").action(ArgAction::SetTrue).help(
            "Ring once and wait for the end: exit code 0 when the refresh is complete, else 1 (for schedulers of other kinds)",
        ))
        .subcommand(Command::new("healthcheck").about("Whether the last success is younger than two periods"))
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
