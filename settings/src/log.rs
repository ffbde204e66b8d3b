//! Log set-up.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
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
/// does not parse, level info and above is logged. Of `noisy_targets` only warnings and errors are
/// logged, unless RUST_LOG names the target.
pub fn start_logging(format: Option<LogFormat>, noisy_targets: &[&str]) {
    let levels = levels(std::env::var("RUST_LOG").ok().as_deref(), noisy_targets);
    let on_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(on_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(lines.with_filter(levels)).init();
}

fn levels(rust_log: Option<&str>, noisy_targets: &[&str]) -> Targets {
    let levels = rust_log.and_then(|text| text.parse().ok());
    let levels: Targets = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let most = levels.default_level().unwrap_or(LevelFilter::OFF).min(LevelFilter::WARN);
    let is_named = |target: &str| levels.iter().any(|(named, _)| named == target);
    let quiet: Vec<_> = noisy_targets.iter().filter(|target| !is_named(target)).collect();
    levels.with_targets(quiet.into_iter().map(|target| (*target, most)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn noisy_targets_log_warnings_alone_unless_rust_log_names_them() {
        let logs = |rust_log, target: &str, level| {
            levels(rust_log, &["noisy"]).would_enable(target, &level)
        };
        for rust_log in [None, Some("debug"), Some("info,api=debug"), Some("no=such=level")] {
            assert!(logs(rust_log, "api", Level::INFO), "{rust_log:?}");
            assert!(logs(rust_log, "noisy::part", Level::WARN), "{rust_log:?}");
            assert!(!logs(rust_log, "noisy::part", Level::INFO), "{rust_log:?}");
        }
        assert!(logs(Some("debug"), "api", Level::DEBUG));
        assert!(logs(Some("warn,noisy=debug"), "noisy::part", Level::DEBUG));
        assert!(!logs(Some("error"), "noisy", Level::WARN));
    }
}
