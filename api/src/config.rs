//! Settings: one table, read once, all faults told together.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use redis::{ConnectionInfo, IntoConnectionInfo};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::github::GitHubConfig;
use crate::model::topic::{Coverage, Coverages, Topic};
use crate::schedule::Schedule;
use crate::store::DatabaseUrl;

/// A row of the settings table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable; the flag is the same in lower case with hyphens.
    pub name: &'static str,
    /// What holds when it is unset or empty; empty where nothing does.
    pub default: &'static str,
    /// Never a flag and never shown; may stand in the file that NAME_FILE names.
    pub secret: bool,
    /// One line for `--help` and the README.
    pub help: &'static str,
}

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, secret: false, help }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: "", secret: true, help }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    setting("LISTEN_ADDR", "127.0.0.1:8081", "address and port to serve on"),
    setting("METRICS_ADDR", "", "address and port for Prometheus' /metrics; off when unset"),
    secret(
        "DATABASE_URL",
        "postgres://HOST:PORT/NAME or sqlite:PATH; an SQLite file under DATA_DIR when unset",
    ),
    setting("POSTGRES_USER", "", "PostgreSQL's role; DATABASE_URL's own when unset"),
    secret("POSTGRES_PASSWORD", "its password, any characters; DATABASE_URL's own when unset"),
    setting("POSTGRES_DB", "", "PostgreSQL's database; DATABASE_URL's own when unset"),
    secret(
        "REDIS_URL",
        "redis://HOST:PORT/0 or unix:PATH; the cache is in the process alone when unset",
    ),
    setting("DATA_DIR", "./data", "folder of the SQLite file"),
    setting(
        "GITHUB_API_URL",
        "https://api.github.com",
        "GitHub's API, or a GitHub Enterprise Server's",
    ),
    secret(
        "GITHUB_TOKEN",
        "raises GitHub's limit from 10 to 30 searches a minute; needs no permissions",
    ),
    setting(
        "TOPICS",
        "kubernetes",
        "topics to keep, separated by commas; `topic:complete` and `topic:top` name their own coverage",
    ),
    setting(
        "COVERAGE",
        "top",
        "what is kept of a topic: top, the first 500 of each ranking, or complete, every repository",
    ),
    setting(
        "ON_DEMAND_TOPICS",
        "true",
        "fetch other topics when they are first read: true or false",
    ),
    setting(
        "REFRESH_SCHEDULE",
        "0 * * * *",
        "when to refresh: cron, UTC, five fields or six with seconds",
    ),
    setting(
        "SCHEDULER",
        "internal",
        "internal, or external when another program rings /update_cache",
    ),
    secret(
        "MAINTENANCE_TOKEN",
        "bearer token that maintenance wants; required when reachable from elsewhere",
    ),
    setting(
        "APP_BIND_ADDR",
        "",
        "address under which the service is published; LISTEN_ADDR's own when unset",
    ),
    setting("LOG_FORMAT", "", "pretty or json; pretty on a terminal and json elsewhere when unset"),
];

/// The settings, parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// LISTEN_ADDR.
    pub listen_addr: SocketAddr,
    /// METRICS_ADDR.
    pub metrics_addr: Option<SocketAddr>,
    /// DATABASE_URL.
    pub database: DatabaseUrl,
    /// REDIS_URL.
    pub redis: Option<ConnectionInfo>,
    /// What GitHub is asked, and how.
    pub github: GitHubConfig,
    /// TOPICS.
    pub topics: Vec<Topic>,
    /// COVERAGE, and what TOPICS says of it.
    pub coverages: Coverages,
    /// ON_DEMAND_TOPICS.
    pub on_demand_topics: bool,
    /// REFRESH_SCHEDULE.
    pub schedule: Schedule,
    /// SCHEDULER.
    pub scheduler: Scheduler,
    /// MAINTENANCE_TOKEN.
    pub maintenance_token: Option<SecretString>,
    /// LOG_FORMAT.
    pub log_format: Option<LogFormat>,
}

/// Who rings for refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// This process.
    Internal,
    /// Another program, over HTTP.
    External,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Settings that do not parse.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{} wrong:\n{}", if .0.len() == 1 { "a setting is".to_owned() } else { format!("{} settings are", .0.len()) }, .0.join("\n"))]
pub struct InvalidConfig(Vec<String>);

/// Where settings come from: flags, then the environment.
pub trait Source {
    /// The value of a setting by its name, `None` when unset.
    fn get(&self, name: &str) -> Option<OsString>;
}

impl<F: Fn(&str) -> Option<OsString>> Source for F {
    fn get(&self, name: &str) -> Option<OsString> {
        self(name)
    }
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Every setting that does not parse: its name, its value unless secret, and what is accepted.
    pub fn read(source: &dyn Source) -> Result<Self, InvalidConfig> {
        let mut reader = Reader { source, problems: Vec::new() };
        let listen_addr = reader.required("LISTEN_ADDR", address);
        let metrics_addr = reader.optional("METRICS_ADDR", address);
        let data_dir = reader.required("DATA_DIR", |text| Ok(PathBuf::from(text)));
        let database = reader.optional("DATABASE_URL", database);
        let user = reader.value("POSTGRES_USER");
        let password = reader.value("POSTGRES_PASSWORD");
        let name = reader.value("POSTGRES_DB");
        let redis = reader.optional("REDIS_URL", |text| {
            text.into_connection_info().map_err(|_| "redis://HOST:PORT/0 or unix:PATH".to_owned())
        });
        let url = reader.required("GITHUB_API_URL", api_url);
        let token = reader.optional("GITHUB_TOKEN", header_token);
        let topics = reader.required("TOPICS", topics);
        let coverage = reader.required("COVERAGE", coverage);
        let on_demand_topics = reader.required("ON_DEMAND_TOPICS", |text| {
            text.parse().map_err(|_| "true or false".to_owned())
        });
        let schedule = reader.required("REFRESH_SCHEDULE", Schedule::parse);
        let scheduler = reader.required("SCHEDULER", |text| match text {
            "internal" => Ok(Scheduler::Internal),
            "external" => Ok(Scheduler::External),
            _ => Err("internal or external".to_owned()),
        });
        let maintenance_token = reader.optional("MAINTENANCE_TOKEN", header_token);
        let bind_addr = reader.optional("APP_BIND_ADDR", |text| {
            text.parse::<IpAddr>().map_err(|_| "an IP address, such as 127.0.0.1".to_owned())
        });
        let log_format = reader.optional("LOG_FORMAT", |text| match text {
            "pretty" => Ok(LogFormat::Pretty),
            "json" => Ok(LogFormat::Json),
            _ => Err("pretty or json".to_owned()),
        });
        let published = bind_addr.map(|address| ("APP_BIND_ADDR", address));
        if let Some((setting, address)) =
            published.or(listen_addr.map(|address: SocketAddr| ("LISTEN_ADDR", address.ip())))
            && !address.is_loopback()
            && reader.value("MAINTENANCE_TOKEN").is_none()
        {
            reader.problems.push(format!(
                "  MAINTENANCE_TOKEN is unset though {setting} is {address}: where others can reach the service, \
                 maintenance wants a token. Set one, or publish on 127.0.0.1"
            ));
        }
        match (listen_addr, data_dir, url, topics, coverage, on_demand_topics, schedule, scheduler)
        {
            (
                Some(listen_addr),
                Some(data_dir),
                Some(url),
                Some(topics),
                Some(coverage),
                Some(on_demand_topics),
                Some(schedule),
                Some(scheduler),
            ) if reader.problems.is_empty() => Ok(Self {
                listen_addr,
                metrics_addr,
                database: match database {
                    Some(DatabaseUrl::Postgres(options)) => {
                        DatabaseUrl::Postgres(Box::new(with_role(*options, user, password, name)))
                    }
                    Some(DatabaseUrl::Sqlite(path)) => DatabaseUrl::Sqlite(path),
                    None => DatabaseUrl::Sqlite(data_dir.join("mirror.sqlite")),
                },
                redis,
                github: GitHubConfig { url, token },
                coverages: Coverages {
                    default: coverage,
                    own: topics
                        .iter()
                        .filter_map(|(topic, own)| Some((topic.clone(), (*own)?)))
                        .collect(),
                },
                topics: topics.into_iter().map(|(topic, _)| topic).collect(),
                on_demand_topics,
                schedule,
                scheduler,
                maintenance_token,
                log_format,
            }),
            _ => Err(InvalidConfig(reader.problems)),
        }
    }
}

struct Reader<'a> {
    source: &'a dyn Source,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// A setting with a default; `None` when it does not parse, and that is noted.
    fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let default = lookup(name).default;
        let text = self.value(name).unwrap_or_else(|| default.to_owned());
        self.parse(name, &text, parse)
    }

    fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.value(name)?;
        self.parse(name, &text, parse)
    }

    fn parse<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(accepted) => {
                let shown = if lookup(name).secret {
                    "its value (not shown)".to_owned()
                } else {
                    format!("{text:?}")
                };
                self.problems.push(format!("  {name}: {shown} is not accepted; give {accepted}"));
                None
            }
        }
    }

    /// The value, for secrets also from the file that NAME_FILE names. Empty means unset, and blank
    /// is as empty.
    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.source.get(name).map(|value| value.to_string_lossy().into_owned());
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            return Some(value);
        }
        if !lookup(name).secret {
            return None;
        }
        let file_setting = format!("{name}_FILE");
        let file = self.source.get(&file_setting).filter(|file| !file.is_empty())?;
        match std::fs::read_to_string(Path::new(&file)) {
            Ok(text) => Some(text.trim_end().to_owned()).filter(|text| !text.trim().is_empty()),
            Err(error) => {
                let problem =
                    format!("  {file_setting}: {} cannot be read: {error}", file.to_string_lossy());
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "every name is written in this file; a wrong one fails the first test"
)]
fn lookup(name: &str) -> &'static Setting {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("only settings of the table are read")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port, such as 127.0.0.1:8081".to_owned())
}

fn database(text: &str) -> Result<DatabaseUrl, String> {
    let accepted = || "postgres://HOST:PORT/NAME or sqlite:PATH".to_owned();
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return text
            .parse()
            .map(|options| DatabaseUrl::Postgres(Box::new(options)))
            .map_err(|_| accepted());
    }
    let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    // Each connection would have a memory of its own, and SQLite's parameters would be part of a
    // file's name.
    let is_file = |path: &&str| !path.is_empty() && *path != ":memory:" && !path.contains('?');
    path.filter(is_file).map(|path| DatabaseUrl::Sqlite(PathBuf::from(path))).ok_or_else(accepted)
}

/// An address cannot hold every password as it is; settings of their own can.
fn with_role(
    mut options: PgConnectOptions,
    user: Option<String>,
    password: Option<String>,
    name: Option<String>,
) -> PgConnectOptions {
    if let Some(user) = user {
        options = options.username(&user);
    }
    if let Some(password) = password {
        options = options.password(&password);
    }
    if let Some(name) = name {
        options = options.database(&name);
    }
    options
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

/// A token that fits into a header.
fn header_token(text: &str) -> Result<SecretString, String> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(SecretString::from(text))
    } else {
        Err("visible ASCII characters without spaces".to_owned())
    }
}

fn topics(text: &str) -> Result<Vec<(Topic, Option<Coverage>)>, String> {
    let mut topics: Vec<(Topic, Option<Coverage>)> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, own) = match part.split_once(':') {
            Some((name, own)) => (
                name,
                Some(
                    coverage(own)
                        .map_err(|accepted| format!("after the colon in {part:?} {accepted}"))?,
                ),
            ),
            None => (part, None),
        };
        let topic: Topic = name
            .parse()
            .map_err(|error| format!("topics separated by commas; {name:?} is none: {error}"))?;
        match topics.iter().find(|(known, _)| *known == topic) {
            Some((_, known)) if *known != own => {
                return Err(format!("each topic once; {topic} has two coverages"));
            }
            Some(_) => {}
            None => topics.push((topic, own)),
        }
    }
    if topics.is_empty() { Err("topics separated by commas".to_owned()) } else { Ok(topics) }
}

fn coverage(text: &str) -> Result<Coverage, String> {
    text.parse().map_err(|_| "top or complete".to_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::model::topic::Origin;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
        let pairs: Vec<(String, OsString)> =
            pairs.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let source = move |name: &str| {
            pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
        };
        Config::read(&source)
    }

    #[test]
    fn nothing_set_is_a_laptop() {
        let config = read(&[("TOPICS", ""), ("GITHUB_TOKEN", "")]).expect("defaults are valid");
        assert_eq!(config.listen_addr.to_string(), "127.0.0.1:8081");
        assert!(
            matches!(config.database, DatabaseUrl::Sqlite(path) if path == Path::new("./data/mirror.sqlite"))
        );
        assert_eq!(config.topics.iter().map(Topic::as_str).collect::<Vec<_>>(), ["kubernetes"]);
        assert!(
            config.github.token.is_none()
                && config.metrics_addr.is_none()
                && config.on_demand_topics
        );
    }

    #[test]
    fn a_topic_may_name_its_own_coverage() {
        let config =
            read(&[("TOPICS", "kubernetes, mcp:complete,helm:top"), ("COVERAGE", "complete")])
                .expect("valid");
        assert_eq!(
            config.topics.iter().map(Topic::as_str).collect::<Vec<_>>(),
            ["kubernetes", "mcp", "helm"]
        );
        let of = |name: &str, origin| config.coverages.of(&name.parse().expect("a topic"), origin);
        assert_eq!(of("kubernetes", Origin::Configured), Coverage::Complete);
        assert_eq!(of("helm", Origin::Configured), Coverage::Top);
        assert_eq!(of("istio", Origin::Requested), Coverage::Complete);
        assert_eq!(of("istio", Origin::OnDemand), Coverage::Top, "strangers get what lists need");
        let refused = |topics| read(&[("TOPICS", topics)]).expect_err("not valid").to_string();
        assert!(refused("mcp,mcp:complete").contains("mcp has two coverages"));
        assert!(refused(",").contains("topics separated by commas"));
        let error = refused("mcp:all");
        assert!(error.contains("\"mcp:all\" top or complete"), "{error}");
    }

    #[test]
    fn every_fault_is_named_at_once_and_secrets_never_shown() {
        let error = read(&[
            ("LISTEN_ADDR", "here"),
            ("DATABASE_URL", "mysql://root:hunter2@db/x"),
            ("GITHUB_API_URL", "ftp://x"),
            ("GITHUB_TOKEN", "hunter2 with spaces"),
            ("TOPICS", "ok,not ok"),
            ("COVERAGE", "some"),
            ("ON_DEMAND_TOPICS", "maybe"),
            ("REFRESH_SCHEDULE", "sometimes"),
            ("SCHEDULER", "none"),
            ("LOG_FORMAT", "xml"),
            ("MAINTENANCE_TOKEN_FILE", "/nowhere"),
        ]);
        let text = error.expect_err("nothing of this is valid").to_string();
        for name in [
            "LISTEN_ADDR",
            "DATABASE_URL",
            "GITHUB_API_URL",
            "GITHUB_TOKEN",
            "TOPICS",
            "COVERAGE",
            "ON_DEMAND_TOPICS",
            "REFRESH_SCHEDULE",
            "SCHEDULER",
            "LOG_FORMAT",
            "MAINTENANCE_TOKEN_FILE",
        ] {
            assert_eq!(text.matches(&format!("  {name}:")).count(), 1, "{name} in {text}");
        }
        assert!(text.starts_with("11 settings are wrong:"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn published_beyond_loopback_it_wants_a_token() {
        for pairs in [
            &[("LISTEN_ADDR", "0.0.0.0:80")][..],
            &[("APP_BIND_ADDR", "10.0.0.1")],
            &[("APP_BIND_ADDR", "::")],
        ] {
            for token in ["", " "] {
                let text = read(&[pairs, &[("MAINTENANCE_TOKEN", token)]].concat())
                    .expect_err("open to everyone")
                    .to_string();
                assert!(
                    text.contains(&format!("MAINTENANCE_TOKEN is unset though {} is", pairs[0].0)),
                    "{text}"
                );
            }
            assert!(read(&[pairs, &[("MAINTENANCE_TOKEN", "longenough")]].concat()).is_ok());
        }
        assert!(read(&[("LISTEN_ADDR", "0.0.0.0:5000"), ("APP_BIND_ADDR", "127.0.0.1")]).is_ok());
    }

    #[test]
    fn postgres_takes_any_password() {
        let pairs = [
            ("DATABASE_URL", "postgres://database:5432/ignored"),
            ("POSTGRES_USER", "mirror"),
            ("POSTGRES_PASSWORD", "p@ss:w/rd?# %41 "),
            ("POSTGRES_DB", "git/hub"),
        ];
        let DatabaseUrl::Postgres(options) = read(&pairs).expect("valid").database else {
            panic!("PostgreSQL")
        };
        assert_eq!(
            (options.get_host(), options.get_port(), options.get_username()),
            ("database", 5432, "mirror")
        );
        assert_eq!(options.get_database(), Some("git/hub"));
    }

    #[test]
    fn the_readme_has_a_row_for_each() {
        let readme = include_str!("../../README.md");
        for Setting { name, default, secret, help } in SETTINGS {
            let default =
                if default.is_empty() { "unset".to_owned() } else { format!("`{default}`") };
            let row = format!(
                "| `{name}` | {default} | {help}{} |",
                if *secret { " (secret)" } else { "" }
            );
            assert!(readme.contains(&row), "README.md lacks the row {row}");
        }
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&file, "from-a-file\n").expect("written");
        let config = read(&[("GITHUB_TOKEN_FILE", &file.path().to_string_lossy())]).expect("valid");
        assert_eq!(config.github.token.expect("set").expose_secret(), "from-a-file");
    }
}
