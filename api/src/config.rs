//! The settings table of the service, and its config.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use secrecy::SecretString;
use settings::{
    InvalidSettings, LOG_FORMAT, LogFormat, MAINTENANCE_TOKEN, REFRESH_SCHEDULE, Reader, Schedule,
    Setting, Source, header_token, http_url,
};
use url::Url;

use crate::cache::RedisAddress;
use crate::github::GitHubConfig;
use crate::model::topic::{Coverage, Coverages, Topic};
use crate::purge::PurgeConfig;
use crate::store::{DatabaseUrl, PostgresServers};

pub const SETTINGS: &[Setting] = &[
    Setting::with_default("LISTEN_ADDR", "127.0.0.1:8081", "address and port to serve on"),
    Setting::optional("METRICS_ADDR", "address and port for Prometheus' /metrics; off when unset"),
    Setting::secret(
        "DATABASE_URL",
        "postgres://HOST:PORT,HOST:PORT/NAME or sqlite:PATH; an SQLite file under DATA_DIR when \
         unset",
    ),
    Setting::secret(
        "DATABASE_READ_URL",
        "a standby of DATABASE_URL's PostgreSQL for `/db`, history and exports; none when unset",
    ),
    Setting::optional("POSTGRES_USER", "PostgreSQL's role; DATABASE_URL's own when unset"),
    Setting::secret(
        "POSTGRES_PASSWORD",
        "its password, any characters; DATABASE_URL's own when unset",
    ),
    Setting::optional("POSTGRES_DB", "PostgreSQL's database; DATABASE_URL's own when unset"),
    Setting::secret(
        "REDIS_URL",
        "redis(s)://, redis(s)+sentinel://, redis(s)-cluster:// or unix:PATH; the cache is in the \
         process when unset",
    ),
    Setting::with_default("DATA_DIR", "./data", "folder of the SQLite file"),
    Setting::with_default(
        "GITHUB_API_URL",
        "https://api.github.com",
        "GitHub's API, or a GitHub Enterprise Server's",
    ),
    Setting::secret(
        "GITHUB_TOKEN",
        "raises GitHub's limit from 10 to 30 searches a minute; needs no permissions",
    ),
    Setting::with_default(
        "GITHUB_INTERNAL_REPOSITORIES",
        "false",
        "keep repositories that are visible to every member of a GitHub Enterprise: true or false",
    ),
    Setting::with_default(
        "TOPICS",
        "kubernetes",
        "topics to keep, separated by commas; `topic:complete` and `topic:top` name their own \
         coverage",
    ),
    Setting::with_default(
        "COVERAGE",
        "top",
        "what is kept of a topic: top, the first 500 of each ranking, or complete, every \
         repository",
    ),
    Setting::with_default(
        "ON_DEMAND_TOPICS",
        "true",
        "fetch other topics when they are first read: true or false",
    ),
    REFRESH_SCHEDULE,
    Setting::with_default(
        "SCHEDULER",
        "internal",
        "internal, or external when another program calls /update_cache",
    ),
    MAINTENANCE_TOKEN,
    Setting::optional(
        "APP_BIND_ADDR",
        "address under which the service is published; LISTEN_ADDR's own when unset",
    ),
    Setting::optional(
        "PUBLIC_URL",
        "address of the service in links that must be absolute, such as those of feeds; scheme \
         and Host of the request when unset",
    ),
    Setting::optional(
        "PURGE_URL",
        "address of the CDN's API that purges answers after a refresh; without it, a CDN keeps \
         them for a minute",
    ),
    Setting::optional("PURGE_DIALECT", "the CDN: fastly, cloudflare, bunny or varnish"),
    Setting::secret("PURGE_KEY", "the key of that API"),
    LOG_FORMAT,
];

/// The parsed settings.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen_addr: SocketAddr,
    pub metrics_addr: Option<SocketAddr>,
    pub database: DatabaseUrl,
    pub redis: Option<RedisAddress>,
    pub github: GitHubConfig,
    pub topics: Vec<Topic>,
    pub coverages: Coverages,
    pub on_demand_topics: bool,
    pub schedule: Schedule,
    pub scheduler: Scheduler,
    pub maintenance_token: Option<SecretString>,
    pub public_url: Option<Url>,
    pub purge: Option<PurgeConfig>,
    pub log_format: Option<LogFormat>,
}

/// The process whose scheduler triggers refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// This process.
    Internal,
    /// Another program, over HTTP.
    External,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Every setting that does not parse: its name, its value unless secret, and what is accepted.
    pub fn read(source: &Source<'_>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(SETTINGS, source);
        let data_dir = reader.required("DATA_DIR", |text| Ok(PathBuf::from(text)));
        let database = database(&mut reader, data_dir.join("mirror.sqlite"));
        let topics = reader.required("TOPICS", topics);
        let config = Self {
            listen_addr: reader.required("LISTEN_ADDR", address),
            metrics_addr: reader.optional("METRICS_ADDR", address),
            database,
            redis: reader.optional("REDIS_URL", |text| {
                RedisAddress::parse(text).ok_or_else(|| RedisAddress::ACCEPTED.to_owned())
            }),
            github: GitHubConfig {
                url: reader.required("GITHUB_API_URL", http_url),
                token: reader.optional("GITHUB_TOKEN", header_token),
                keeps_internal: reader.required("GITHUB_INTERNAL_REPOSITORIES", boolean),
            },
            coverages: Coverages {
                default: reader.required("COVERAGE", coverage),
                own: topics
                    .iter()
                    .filter_map(|(topic, own)| Some((topic.clone(), (*own)?)))
                    .collect(),
            },
            topics: topics.into_iter().map(|(topic, _)| topic).collect(),
            on_demand_topics: reader.required("ON_DEMAND_TOPICS", boolean),
            schedule: reader.required("REFRESH_SCHEDULE", Schedule::parse),
            scheduler: reader.required("SCHEDULER", scheduler),
            maintenance_token: reader.optional("MAINTENANCE_TOKEN", header_token),
            public_url: reader.optional("PUBLIC_URL", http_url),
            purge: purge(&mut reader),
            log_format: reader.optional("LOG_FORMAT", LogFormat::parse),
        };
        let is_public = config.github.url.host_str() == Some("api.github.com");
        if config.github.keeps_internal && is_public {
            reader.note(
                "GITHUB_INTERNAL_REPOSITORIES is true though GITHUB_API_URL is GitHub's own: set \
                 it to a GitHub Enterprise Server's, since everyone can read the lists"
                    .to_owned(),
            );
        }
        require_token_unless_loopback(&mut reader, config.listen_addr.ip());
        reader.finish(config)
    }
}

/// The database: a file unless a setting names one.
fn database(reader: &mut Reader<'_>, file: PathBuf) -> DatabaseUrl {
    let mut database =
        reader.optional("DATABASE_URL", DatabaseUrl::parse).unwrap_or(DatabaseUrl::Sqlite(file));
    let reads = reader.optional("DATABASE_READ_URL", PostgresServers::parse);
    match (&mut database, reads) {
        (DatabaseUrl::Postgres { standby, .. }, reads) => *standby = reads,
        (DatabaseUrl::Sqlite(_), Some(_)) => {
            reader.note("DATABASE_READ_URL is set though DATABASE_URL names no PostgreSQL".into());
        }
        (DatabaseUrl::Sqlite(_), None) => {}
    }
    let [user, password, name] =
        ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"].map(|name| reader.value(name));
    database.with_role(user, password, name)
}

/// Others can reach a service that is not published on loopback, so its maintenance needs a token.
fn require_token_unless_loopback(reader: &mut Reader<'_>, listen_addr: IpAddr) {
    let bind_addr = reader.optional("APP_BIND_ADDR", |text| {
        text.parse().map_err(|_| "an IP address, such as 127.0.0.1".to_owned())
    });
    let (setting, address) =
        bind_addr.map_or(("LISTEN_ADDR", listen_addr), |address| ("APP_BIND_ADDR", address));
    if !address.is_loopback() && reader.value("MAINTENANCE_TOKEN").is_none() {
        reader.note(format!(
            "MAINTENANCE_TOKEN is unset though {setting} is {address}: if others can reach the \
             service, maintenance needs a token. Set one, or publish on 127.0.0.1"
        ));
    }
}

fn purge(reader: &mut Reader<'_>) -> Option<PurgeConfig> {
    let names = ["PURGE_URL", "PURGE_DIALECT", "PURGE_KEY"];
    let set = names.into_iter().filter(|name| reader.value(name).is_some()).count();
    if set > 0 && set < names.len() {
        reader.note("PURGE_URL, PURGE_DIALECT and PURGE_KEY: set all of them, or none".to_owned());
    }
    let url = reader.optional("PURGE_URL", http_url);
    let dialect = reader.optional("PURGE_DIALECT", |text| {
        text.parse().map_err(|_| "fastly, cloudflare, bunny or varnish".to_owned())
    });
    let key = reader.optional("PURGE_KEY", header_token);
    Some(PurgeConfig { url: url?, dialect: dialect?, key: key? })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port, such as 127.0.0.1:8081".to_owned())
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "true or false".to_owned())
}

fn scheduler(text: &str) -> Result<Scheduler, String> {
    match text {
        "internal" => Ok(Scheduler::Internal),
        "external" => Ok(Scheduler::External),
        _ => Err("internal or external".to_owned()),
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
        let topic: Topic = name.parse().map_err(|error| {
            format!("topics separated by commas; {name:?} is not a topic: {error}")
        })?;
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

impl DatabaseUrl {
    /// Parses DATABASE_URL.
    ///
    /// # Errors
    /// A description of the accepted values.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let accepted = || "postgres://HOST:PORT,HOST:PORT/NAME or sqlite:PATH".to_owned();
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            let primary = PostgresServers::parse(text)?;
            return Ok(Self::Postgres { primary, standby: None });
        }
        let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        // In memory, each connection would have a database of its own, and SQLite's parameters
        // would become part of the file's name.
        let is_file = |path: &&str| !path.is_empty() && *path != ":memory:" && !path.contains('?');
        path.filter(is_file).map(|path| Self::Sqlite(PathBuf::from(path))).ok_or_else(accepted)
    }

    /// Replaces PostgreSQL's role, password and database name where they are given. They have
    /// settings of their own, because a URL cannot hold every password unescaped.
    pub(crate) fn with_role(
        self,
        user: Option<String>,
        password: Option<String>,
        name: Option<String>,
    ) -> Self {
        let Self::Postgres { primary, standby } = self else { return self };
        let role = |servers: PostgresServers| {
            servers.map(|mut options| {
                if let Some(user) = &user {
                    options = options.username(user);
                }
                if let Some(password) = &password {
                    options = options.password(password);
                }
                if let Some(name) = &name {
                    options = options.database(name);
                }
                options
            })
        };
        Self::Postgres { primary: role(primary), standby: standby.map(role) }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::model::topic::Origin;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, InvalidSettings> {
        let pairs: Vec<(String, OsString)> =
            pairs.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let source = move |name: &str| {
            pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
        };
        Config::read(&source)
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        let config = read(&[("TOPICS", ""), ("GITHUB_TOKEN", "")]).expect("defaults are valid");
        assert_eq!(config.listen_addr.to_string(), "127.0.0.1:8081");
        let DatabaseUrl::Sqlite(path) = config.database else { panic!("SQLite") };
        assert_eq!(path, Path::new("./data/mirror.sqlite"));
        assert_eq!(config.topics.iter().map(Topic::as_str).collect::<Vec<_>>(), ["kubernetes"]);
        assert!(
            config.github.token.is_none()
                && config.metrics_addr.is_none()
                && config.on_demand_topics
        );
    }

    #[test]
    fn topics_name_their_own_coverage() {
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
        assert_eq!(
            of("istio", Origin::OnDemand),
            Coverage::Top,
            "anonymous readers get what lists need"
        );
        let refused = |topics| read(&[("TOPICS", topics)]).expect_err("not valid").to_string();
        assert!(refused("mcp,mcp:complete").contains("mcp has two coverages"));
        assert!(refused(",").contains("topics separated by commas"));
        let error = refused("mcp:all");
        assert!(error.contains("\"mcp:all\" top or complete"), "{error}");
    }

    #[test]
    fn read_reports_every_problem_and_shows_no_secret() {
        let error = read(&[
            ("LISTEN_ADDR", "here"),
            ("DATABASE_URL", "mysql://root:hunter2@db/x"),
            ("GITHUB_API_URL", "ftp://x"),
            ("GITHUB_TOKEN", "hunter2 with spaces"),
            ("GITHUB_INTERNAL_REPOSITORIES", "some"),
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
            "GITHUB_INTERNAL_REPOSITORIES",
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
        assert!(text.starts_with("12 settings are wrong:"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn internal_repositories_are_kept_only_of_an_enterprise() {
        let keep = ("GITHUB_INTERNAL_REPOSITORIES", "true");
        let error = read(&[keep]).expect_err("everyone reads GitHub's").to_string();
        assert!(error.contains("GITHUB_API_URL is GitHub's own"), "{error}");
        let enterprise = ("GITHUB_API_URL", "https://github.example.com/api/v3");
        assert!(read(&[keep, enterprise]).expect("valid").github.keeps_internal);
        assert!(!read(&[enterprise]).expect("valid").github.keeps_internal);
    }

    #[test]
    fn read_requires_a_token_if_published_beyond_loopback() {
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
    fn purge_settings_are_set_together_and_show_no_key() {
        let all = [
            ("PURGE_URL", "https://api.fastly.com/service/1/purge"),
            ("PURGE_DIALECT", "fastly"),
            ("PURGE_KEY", "hunter2"),
        ];
        let purge = read(&all).expect("valid").purge.expect("set");
        assert_eq!(purge.dialect, crate::purge::Dialect::Fastly);
        assert!(!format!("{purge:?}").contains("hunter2"));
        assert!(read(&[]).expect("valid").purge.is_none());
        for left_out in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(left_out);
            let error = read(&some).expect_err("one is missing").to_string();
            assert!(error.contains("set all of them, or none"), "{error}");
        }
        let error = read(&[all[0], ("PURGE_DIALECT", "akamai"), ("PURGE_KEY", "hunter2 x")]);
        let error = error.expect_err("not valid").to_string();
        assert!(error.starts_with("2 settings are wrong:") && !error.contains("hunter2"));
    }

    #[test]
    fn postgres_settings_accept_any_characters() {
        let pairs = [
            ("DATABASE_URL", "postgres://database:5432/ignored"),
            ("DATABASE_READ_URL", "postgres://standby"),
            ("POSTGRES_USER", "mirror"),
            ("POSTGRES_PASSWORD", "p@ss:w/rd?# %41 "),
            ("POSTGRES_DB", "git/hub"),
        ];
        let DatabaseUrl::Postgres { primary, standby } = read(&pairs).expect("valid").database
        else {
            panic!("PostgreSQL")
        };
        for (servers, host) in [(primary, "database"), (standby.expect("one"), "standby")] {
            servers.map(|options| {
                assert_eq!(
                    (options.get_host(), options.get_port(), options.get_username()),
                    (host, 5432, "mirror")
                );
                assert_eq!(options.get_database(), Some("git/hub"));
                options
            });
        }
        let error = read(&[("DATABASE_READ_URL", "postgres://standby")]).expect_err("no primary");
        assert!(error.to_string().contains("names no PostgreSQL"), "{error}");
    }

    #[test]
    fn the_readme_has_a_row_for_each_setting() {
        let readme = include_str!("../../README.md");
        for Setting { name, default, secret, help } in SETTINGS {
            let default = default.map_or("unset".to_owned(), |default| format!("`{default}`"));
            let row = format!(
                "| `{name}` | {default} | {help}{} |",
                if *secret { " (secret)" } else { "" }
            );
            assert!(readme.contains(&row), "README.md lacks the row {row}");
        }
    }

    #[test]
    fn secrets_are_read_from_files() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&file, "from-a-file\n").expect("written");
        let config = read(&[("GITHUB_TOKEN_FILE", &file.path().to_string_lossy())]).expect("valid");
        assert_eq!(config.github.token.expect("set").expose_secret(), "from-a-file");
    }
}
