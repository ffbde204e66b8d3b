//! The settings table of the scheduler, and its config.

use std::path::PathBuf;

use reqwest::Url;
use secrecy::SecretString;
use settings::{
    InvalidSettings, LOG_FORMAT, LogFormat, MAINTENANCE_TOKEN, REFRESH_SCHEDULE, Reader, Schedule,
    Setting, Source, header_token, http_url,
};

pub(crate) const SETTINGS: &[Setting] = &[
    Setting::with_default(
        "API_URL",
        "http://127.0.0.1:8081",
        "where the service, or the proxy in front of it, is reached",
    ),
    REFRESH_SCHEDULE,
    Setting::optional(
        "STATE_FILE",
        "where `cron healthcheck` finds the time of the last success; in the temporary folder \
         when unset",
    ),
    MAINTENANCE_TOKEN,
    LOG_FORMAT,
];

/// The parsed settings.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) api_url: Url,
    pub(crate) schedule: Schedule,
    pub(crate) token: Option<SecretString>,
    pub(crate) state_file: PathBuf,
    pub(crate) log_format: Option<LogFormat>,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Every setting that does not parse: its name, its value unless secret, and what is accepted.
    pub(crate) fn read(source: &Source<'_>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(SETTINGS, source);
        let config = Self {
            api_url: reader.required("API_URL", http_url),
            schedule: reader.required("REFRESH_SCHEDULE", Schedule::parse),
            state_file: reader
                .optional("STATE_FILE", |text| Ok(PathBuf::from(text)))
                .unwrap_or_else(|| std::env::temp_dir().join("cron-last-success")),
            token: reader.optional("MAINTENANCE_TOKEN", header_token),
            log_format: reader.optional("LOG_FORMAT", LogFormat::parse),
        };
        reader.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, InvalidSettings> {
        Config::read(&|name| {
            pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        let config = read(&[("API_URL", ""), ("MAINTENANCE_TOKEN", ""), ("STATE_FILE", "")])
            .expect("defaults are valid");
        assert_eq!(config.api_url.as_str(), "http://127.0.0.1:8081/");
        assert!(config.token.is_none() && config.log_format.is_none());
        assert!(
            config.state_file.starts_with(std::env::temp_dir()),
            "{}",
            config.state_file.display()
        );
    }

    #[test]
    fn read_reports_every_problem_and_does_not_show_the_token() {
        let pairs = [
            ("API_URL", "api:8081"),
            ("REFRESH_SCHEDULE", "often"),
            ("LOG_FORMAT", "xml"),
            ("MAINTENANCE_TOKEN", "hunter2 hunter2"),
        ];
        let text = read(&pairs).expect_err("none of these is valid").to_string();
        assert!(text.starts_with("4 settings are wrong:"), "{text}");
        for (name, _) in pairs {
            assert_eq!(text.matches(&format!("  {name}:")).count(), 1, "{name} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        let text =
            read(&[("MAINTENANCE_TOKEN_FILE", "/nowhere")]).expect_err("no such file").to_string();
        assert!(
            text.starts_with("a setting is wrong:")
                && text.contains("MAINTENANCE_TOKEN_FILE: /nowhere"),
            "{text}"
        );
    }

    #[test]
    fn the_token_is_read_from_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&file, "from-a-file\n").expect("written");
        let config =
            read(&[("MAINTENANCE_TOKEN_FILE", &file.path().to_string_lossy())]).expect("valid");
        assert_eq!(config.token.expect("set").expose_secret(), "from-a-file");
    }

    #[test]
    fn operations_md_has_a_row_for_each_setting() {
        let operations = include_str!("../../docs/operations.md");
        for Setting { name, default, secret, help } in SETTINGS {
            let default = default.map_or("unset".to_owned(), |default| format!("`{default}`"));
            let secret = if *secret { " (secret)" } else { "" };
            let row = format!("| `{name}` | {default} | {help}{secret} |");
            assert!(operations.contains(&row), "docs/operations.md lacks the row {row}");
        }
    }
}
