//! Log set-up.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::Setting;

pub const LOG_FORMAT: Setting = Setting::optional(
    "LOG_FORMAT",
    "pretty or json; pretty on a terminal and json elsewhere when unset",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Parses LOG_FORMAT.
    ///
    /// # Errors
    /// A description of the accepted values.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err("pretty or json".to_owned()),
        }
    }
}

/// Starts to log to standard error. RUST_LOG (`warn,api=debug`) sets the levels; if it is unset or
/// does not parse, level info and above is logged, but only warnings and errors of
/// `noisy_targets`.
pub fn start_logging(format: Option<LogFormat>, noisy_targets: &[&str]) {
    let default_levels = || {
        let noisy = noisy_targets.iter().map(|target| (*target, Level::WARN));
        Targets::new().with_default(Level::INFO).with_targets(noisy)
    };
    let levels = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let levels: Targets = levels.unwrap_or_else(default_levels);
    let on_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(on_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(lines.with_filter(levels)).init();
}
