//! Log lines, for people or for machines.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::config::LogFormat;

/// Upper ends of the histogram's buckets, in seconds: from a list out of memory to a new topic's
/// first read.
const BUCKETS: [f64; 8] = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Logs to standard error from now on: at level info and above, or as RUST_LOG says
/// (`warn,api=debug`).
pub fn start_logging(format: Option<LogFormat>) {
    let filter = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let filter: Targets =
        filter.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let on_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(on_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(lines.with_filter(filter)).init();
}

/// Counts from now on what `/metrics` shows.
///
/// # Errors
/// When something else counts already.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?)
}
