//! Log lines, for people or for machines; the same as the service's.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::config::LogFormat;

/// Logs to standard error from now on: at level info and above, or as RUST_LOG says.
pub(crate) fn start(format: Option<LogFormat>) {
    let filter = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    // The scheduler tells of its own insides at level info.
    let usual = || {
        Targets::new().with_default(Level::INFO).with_target("tokio_cron_scheduler", Level::WARN)
    };
    let filter: Targets = filter.unwrap_or_else(usual);
    let on_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(on_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(lines.with_filter(filter)).init();
}
