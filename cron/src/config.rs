//! Settings: one table, read once, all faults told together.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};
use reqwest::Url;
use secrecy::SecretString;

use crate::schedule::Schedule;

/// A setting that is also a flag: its name, what holds when it is unset or empty, and a line for
/// `--help` and the README.
struct Setting {
    name: &'static str,
    default: &'static str,
    help: &'static str,
}

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help }
}

const SETTINGS: &[Setting] = &[
    setting(
        "API_URL",
        "http://127.0.0.1:8081",
        "where the service, or the proxy in front of it, is reached",
    ),
    setting(
        "REFRESH_SCHEDULE",
        "0 * * * *",
        "when to refresh: cron, UTC, five fields or six with seconds",
    ),
    setting(
        "STATE_FILE",
        "",
        "where `cron healthcheck` finds the time of the last success; in the temporary folder when unset",
    ),
    setting("LOG_FORMAT", "", "pretty or json; pretty on a terminal and json elsewhere when unset"),
];

/// The only secret: never a flag, never shown.
const TOKEN: &str = "MAINTENANCE_TOKEN";

/// The settings, parsed.
#[derive(Debug)]
pub(crate) struct Config {
    /// API_URL.
    pub(crate) api_url: Url,
    /// REFRESH_SCHEDULE.
    pub(crate) schedule: Schedule,
    /// MAINTENANCE_TOKEN.
    pub(crate) token: Option<SecretString>,
    /// STATE_FILE.
    pub(crate) state_file: PathBuf,
    /// LOG_FORMAT.
    pub(crate) log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Settings that do not parse.
#[derive(Debug, thiserror::Error)]
#[error("{} wrong:\n{}", if .0.len() == 1 { "a setting is".to_owned() } else { format!("{} settings are", .0.len()) }, .0.join("\n"))]
pub(crate) struct InvalidConfig(Vec<String>);

/// A flag for every setting that is no secret.
pub(crate) fn flags() -> impl Iterator<Item = Arg> {
    SETTINGS.iter().map(|Setting { name, default, help }| {
        let default =
            if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        Arg::new(*name)
            .long(name.to_ascii_lowercase().replace('_', "-"))
            .value_name("VALUE")
            .value_parser(value_parser!(OsString))
            .global(true)
            .help(format!("{help}{default}"))
    })
}

/// Settings from the flags, then from the environment.
pub(crate) fn source(matches: &ArgMatches) -> impl Fn(&str) -> Option<OsString> {
    |name| {
        let flag = matches.try_get_one::<OsString>(name).ok().flatten().cloned();
        flag.or_else(|| std::env::var_os(name))
    }
}

impl Config {
    /// Reads every setting; `source` gives a setting's value by its name.
    ///
    /// # Errors
    /// Every setting that does not parse: its name, its value unless secret, and what is accepted.
    pub(crate) fn read(source: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, InvalidConfig> {
        let mut reader = Reader { source, problems: Vec::new() };
        let api_url = reader.setting("API_URL", api_url);
        let schedule = reader.setting("REFRESH_SCHEDULE", Schedule::parse);
        let state_file = reader.setting("STATE_FILE", |text| {
            Ok(if text.is_empty() {
                std::env::temp_dir().join("cron-last-success")
            } else {
                text.into()
            })
        });
        let log_format = reader.setting("LOG_FORMAT", |text| match text {
            "" => Ok(None),
            "pretty" => Ok(Some(LogFormat::Pretty)),
            "json" => Ok(Some(LogFormat::Json)),
            _ => Err("pretty or json".to_owned()),
        });
        let token = reader.token();
        match (api_url, schedule, state_file, log_format) {
            (Some(api_url), Some(schedule), Some(state_file), Some(log_format))
                if reader.problems.is_empty() =>
            {
                Ok(Self { api_url, schedule, token, state_file, log_format })
            }
            _ => Err(InvalidConfig(reader.problems)),
        }
    }
}

struct Reader<'a> {
    source: &'a dyn Fn(&str) -> Option<OsString>,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// `None` when the value does not parse, and that is noted.
    fn setting<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let default = SETTINGS
            .iter()
            .find(|setting| setting.name == name)
            .map_or("", |setting| setting.default);
        let text = self.value(name).unwrap_or_else(|| default.to_owned());
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(accepted) => {
                self.problems.push(format!("  {name}: {text:?} is not accepted; give {accepted}"));
                None
            }
        }
    }

    /// Empty means unset.
    fn value(&self, name: &str) -> Option<String> {
        (self.source)(name)
            .filter(|value| !value.is_empty())
            .map(|value| value.to_string_lossy().into_owned())
    }

    /// From the environment, or from the file that MAINTENANCE_TOKEN_FILE names.
    fn token(&mut self) -> Option<SecretString> {
        let file_setting = format!("{TOKEN}_FILE");
        let text = match (self.value(TOKEN), self.value(&file_setting)) {
            (Some(text), _) => text,
            (None, Some(file)) => match std::fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) => {
                    self.problems.push(format!("  {file_setting}: {file} cannot be read: {error}"));
                    return None;
                }
            },
            (None, None) => return None,
        };
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let accepted = "visible ASCII characters without spaces";
            self.problems
                .push(format!("  {TOKEN}: its value (not shown) is not accepted; give {accepted}"));
        }
        Some(text).filter(|text| !text.is_empty()).map(SecretString::from)
    }
}

fn api_url(text: &str) -> Result<Url, String> {
    let accepted = || "an http or https address without user, query and fragment".to_owned();
    let url = Url::parse(text.trim_end_matches('/')).map_err(|_| accepted())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(accepted()) }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
        Config::read(&|name| {
            pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn nothing_set_is_a_laptop() {
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
    fn every_fault_is_named_at_once_and_the_token_never_shown() {
        let pairs = [
            ("API_URL", "api:8081"),
            ("REFRESH_SCHEDULE", "often"),
            ("LOG_FORMAT", "xml"),
            (TOKEN, "hunter2 hunter2"),
        ];
        let text = read(&pairs).expect_err("nothing of this is valid").to_string();
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
    fn the_token_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&file, "from-a-file\n").expect("written");
        let config =
            read(&[("MAINTENANCE_TOKEN_FILE", &file.path().to_string_lossy())]).expect("valid");
        assert_eq!(config.token.expect("set").expose_secret(), "from-a-file");
    }

    #[test]
    fn the_readme_has_a_row_for_each() {
        let readme = include_str!("../../docs/operations.md");
        for Setting { name, default, help } in SETTINGS {
            let default =
                if default.is_empty() { "unset".to_owned() } else { format!("`{default}`") };
            let row = format!("| `{name}` | {default} | {help} |");
            assert!(readme.contains(&row), "docs/operations.md lacks the row {row}");
        }
    }
}
