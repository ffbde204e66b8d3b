//! The servers that a URL names: one, or several of which each connection needs one of a kind.

use std::env::var_os;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;
use url::Url;

use crate::store::error::INVALID_CATALOG_NAME;
use crate::store::fault::{Fault, fault};

/// The longest time to try one of several servers: a caller waits a second for a connection.
const SERVER_TIME: Duration = Duration::from_millis(450);

/// The SQLSTATE of a server whose clients together have too many connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The SQLSTATE of a protocol violation: PgBouncer's answer to settings that it does not know.
const PROTOCOL_VIOLATION: &str = "08P01";

/// The settings of each connection. The time-outs keep a statement, and a writer that was cut off,
/// from blocking the others for ever. The data is in memory: with the default cost of random pages,
/// PostgreSQL reads all repositories rather than look up a hundred.
const SESSION: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("random_page_cost", "1.1"),
];

/// A read-only snapshot, planned for each topic: a generic plan, which PostgreSQL may settle on,
/// looks up each row of a large topic.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL plan_cache_mode = force_custom_plan";

/// The parameters that name a file.
const FILES: [&str; 7] =
    ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// The servers that a URL names, in their order.
#[derive(Clone, Debug)]
pub struct PostgresServers {
    each: Vec<PgConnectOptions>,
    wanted: Option<Wanted>,
    takes_any_encoding: bool,
    /// The place of the server to try first: the last one that was good, or the one after the last
    /// that was not.
    first: Arc<AtomicUsize>,
}

/// The servers that a connection may lead to: `target_session_attrs`, which is libpq's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
}

impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "read-write" | "primary" => Some(Self::ReadWrite),
            "read-only" | "standby" | "prefer-standby" => Some(Self::ReadOnly),
            _ => None,
        }
    }

    /// Checks a server, which has the setting `transaction_read_only`.
    fn check(self, is_read_only: &str) -> sqlx::Result<()> {
        match (self, is_read_only) {
            (Self::ReadWrite, "on") => Err(unusable(Fault::ReadOnly)),
            (Self::ReadOnly, "off") => Err(sqlx::Error::Configuration(
                "target_session_attrs asks for a server that takes no writes".into(),
            )),
            _ => Ok(()),
        }
    }
}

impl PostgresServers {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME?target_session_attrs=…`, libpq's
    /// form.
    ///
    /// # Errors
    /// A description of the accepted values.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let accepted = || "postgres://HOST:PORT,HOST:PORT/NAME".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(accepted)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        let user = authority.strip_suffix(hosts).unwrap_or_default();
        let mut each = Vec::new();
        let mut wanted = None;
        for host in hosts.split(',') {
            let url = format!("{scheme}://{user}{host}{rest}");
            let url: Url = url.parse().map_err(|_| accepted())?;
            if host.is_empty() && hosts.contains(',') {
                return Err(accepted());
            }
            for (name, value) in url.query_pairs() {
                if name == "target_session_attrs" {
                    let known = Wanted::parse(&value);
                    wanted = Some(known.ok_or("target_session_attrs as read-write or standby")?);
                } else if FILES.contains(&&*name) && !is_file(&value) {
                    return Err(format!("a file that can be read as {name}"));
                }
            }
            each.push(options(&url).map_err(|_| accepted())?);
        }
        Ok(Self { each, wanted, takes_any_encoding: false, first: Arc::default() })
    }

    /// The same servers with other options.
    pub(crate) fn map(&self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self { each: self.each.iter().cloned().map(change).collect(), ..self.clone() }
    }

    /// The same servers, with the settings of sessions.
    pub(super) fn with_session(&self) -> Self {
        self.map(|options| options.options(SESSION))
    }

    /// The same servers. Of several, one that takes writes is wanted if the URL says nothing else.
    pub(super) fn for_writes(&self) -> Self {
        let wanted = (self.each.len() > 1).then_some(Wanted::ReadWrite);
        Self { wanted: self.wanted.or(wanted), ..self.clone() }
    }

    /// The database of the same servers that is always there, to create another one from.
    pub(super) fn maintenance(&self) -> Self {
        let servers = self.map(|options| options.database("postgres"));
        Self { takes_any_encoding: true, ..servers }
    }

    /// The name of the database. A server takes that of the role if a client names none.
    pub(super) fn database(&self) -> &str {
        let first = &self.each[0];
        first.get_database().unwrap_or_else(|| first.get_username())
    }

    /// Opens a connection to the first server that is of the wanted kind.
    ///
    /// # Errors
    /// The one that says most, of those of all servers.
    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        let first = self.first.load(Ordering::Relaxed);
        let mut errors = Vec::new();
        for place in (0..self.each.len()).map(|place| (first + place) % self.each.len()) {
            match self.try_server(&self.each[place]).await {
                Ok(connection) => {
                    self.first.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => {
                    self.first.store((place + 1) % self.each.len(), Ordering::Relaxed);
                    errors.push(error);
                }
            }
        }
        let weight = |error: &sqlx::Error| match fault(error) {
            Fault::ReadOnly => 0,
            Fault::Down => 1,
            _ => 2,
        };
        Err(errors.into_iter().max_by_key(weight).unwrap_or(sqlx::Error::PoolClosed))
    }

    async fn try_server(&self, options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
        let connect = async {
            let mut connection = options.connect().await.map_err(explain)?;
            self.check(&mut connection).await?;
            Ok(connection)
        };
        if self.each.len() == 1 {
            return connect.await;
        }
        timeout(SERVER_TIME, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Checks that a new connection leads to PostgreSQL itself, to a server of the wanted kind, and
    /// to a database in UTF8.
    async fn check(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let settings = "SELECT current_setting('server_encoding') AS encoding,
            current_setting('idle_in_transaction_session_timeout') AS time_limit,
            current_setting('transaction_read_only') AS is_read_only";
        // A simple query, because a pooler may answer a prepared one by another connection.
        let settings = sqlx::raw_sql(settings).fetch_one(connection).await?;
        let (encoding, limit): (&str, &str) = (settings.try_get(0)?, settings.try_get(1)?);
        if limit != SESSION[1].1 {
            return Err(unusable(Fault::Pooler));
        }
        if encoding != "UTF8" && !self.takes_any_encoding {
            return Err(unusable(Fault::Encoding));
        }
        self.wanted.unwrap_or(Wanted::Any).check(settings.try_get(2)?)
    }

    /// Tests an open connection: its server must answer and must still be of the wanted kind.
    pub(super) async fn test(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let Some(wanted) = self.wanted.filter(|wanted| *wanted != Wanted::Any) else {
            return connection.ping().await;
        };
        let setting = sqlx::raw_sql("SHOW transaction_read_only").fetch_one(connection).await?;
        wanted.check(setting.try_get(0)?)
    }
}

/// The options of one server. Unless the URL names authorities of its own, those of SSL_CERT_FILE
/// are trusted besides Mozilla's, which are in the program.
fn options(url: &Url) -> sqlx::Result<PgConnectOptions> {
    let options: PgConnectOptions = url.as_str().parse()?;
    // An IPv6 address has brackets in a URL only.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    let options = options.host(&host);
    let is_named = url.query_pairs().any(|(name, _)| FILES[..3].contains(&&*name))
        || var_os("PGSSLROOTCERT").is_some();
    Ok(match var_os("SSL_CERT_FILE") {
        Some(file) if !is_named => options.ssl_root_cert(file),
        _ => options,
    })
}

/// Whether a parameter names a file that can be read, or is one.
fn is_file(value: &str) -> bool {
    value.trim().starts_with("-----BEGIN") || File::open(value).is_ok()
}

/// Whether the server answers, but has no such database.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    has_code(error, INVALID_CATALOG_NAME)
}

/// Whether the server refused a connection because its clients have too many.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    has_code(error, TOO_MANY_CONNECTIONS)
}

pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some(code)
}

/// The error of a database that cannot be used as it is set up.
fn unusable(fault: Fault) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(fault))
}

/// Names the reason of a pooler that refuses this service's settings.
fn explain(error: sqlx::Error) -> sqlx::Error {
    if has_code(&error, PROTOCOL_VIOLATION) && error.to_string().contains("startup parameter") {
        unusable(Fault::Pooler)
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_names_several_servers_and_the_kind_that_is_wanted() {
        let parse = |text: &str| PostgresServers::parse(text).expect(text);
        let two = parse("postgres://mirror:p%40s@one:5433,[::1],three/name?sslmode=require");
        let hosts: Vec<_> =
            two.each.iter().map(|server| (server.get_host(), server.get_port())).collect();
        assert_eq!(hosts, [("one", 5433), ("::1", 5432), ("three", 5432)]);
        for server in &two.each {
            assert_eq!((server.get_username(), server.get_database()), ("mirror", Some("name")));
        }
        for (text, wanted, for_writes) in [
            ("postgres://one/name", None, None),
            ("postgres://one,two/name", None, Some(Wanted::ReadWrite)),
            ("postgres://one?target_session_attrs=primary", Some(Wanted::ReadWrite), None),
            ("postgres://one,two?target_session_attrs=any", Some(Wanted::Any), None),
            ("postgres://one,two?target_session_attrs=standby", Some(Wanted::ReadOnly), None),
        ] {
            let servers = parse(text);
            assert_eq!(servers.wanted, wanted, "{text}");
            assert_eq!(servers.for_writes().wanted, wanted.or(for_writes), "{text}");
        }
        for (text, accepted) in [
            ("postgres:one", "HOST:PORT"),
            ("postgres://one,,two/name", "HOST:PORT"),
            ("postgres://one:x,two/name", "HOST:PORT"),
            ("postgres://one?target_session_attrs=some", "target_session_attrs"),
            ("postgres://one?sslrootcert=/nowhere/root.pem", "sslrootcert"),
        ] {
            let error = PostgresServers::parse(text).expect_err(text);
            assert!(error.contains(accepted), "{text}: {error}");
        }
    }
}
