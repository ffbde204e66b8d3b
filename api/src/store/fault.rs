//! Why the database failed, as far as clients are told.

use std::io;

use rustls::CertificateError::{
    BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer,
};
use rustls::Error::InvalidCertificate;
use serde::Serialize;
use sqlx::migrate::MigrateError;

use super::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    #[error("the database does not answer; ask again in a moment")]
    Down,
    #[error("the database has no connection to spare; ask again in a moment")]
    Busy,
    #[error(
        "the database refuses this service: its role, password or rights are not the right ones"
    )]
    Refused,
    #[error("the database has no schema yet, or an older release's; POST /bootstrap_db makes it")]
    NoSchema,
    #[error("the database's schema is an older release's; POST /bootstrap_db brings it up to date")]
    OldSchema,
    #[error("the schema could not be made; the log says more under this request id")]
    Migration,
    #[error("the database takes no writes: it is read-only, or its disk is full")]
    ReadOnly,
    #[error(
        "the database's certificate is not trusted: sslrootcert in DATABASE_URL must name the file \
         of its authority"
    )]
    Certificate,
    #[error("the database's certificate is for another host than DATABASE_URL names")]
    CertificateName,
    #[error(
        "sslmode in DATABASE_URL asks for TLS, but the database offers none or its certificate is \
         not valid; the log says more under this request id"
    )]
    Tls,
    #[error(
        "DATABASE_URL leads to a connection pooler such as PgBouncer, but must be a direct \
         connection to PostgreSQL, or to a pooler in session mode as docs/operations.md sets it up"
    )]
    Pooler,
    #[error(
        "the database's encoding is not UTF8: make a new one with CREATE DATABASE … ENCODING \
         'UTF8' TEMPLATE template0"
    )]
    Encoding,
    #[error("the database answers with an error; the log says more under this request id")]
    Failed,
}

impl StoreError {
    /// Why the database failed.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Database(error) => fault(error),
            Self::Migration(
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
            ) => match fault(error) {
                Fault::Failed | Fault::OldSchema | Fault::NoSchema => Fault::Migration,
                known => known,
            },
            Self::Migration(_) => Fault::Migration,
            Self::Busy => Fault::Busy,
            Self::LeaseLost | Self::Replaced(_) => Fault::Failed,
        }
    }
}

pub(super) fn fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Io(error) => of_input(error),
        sqlx::Error::Tls(_) => Fault::Tls,
        sqlx::Error::Configuration(error) => error.downcast_ref().copied().unwrap_or(Fault::Failed),
        sqlx::Error::Database(error) => error.code().map_or(Fault::Failed, |code| of_code(&code)),
        sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Fault::Down,
        _ => Fault::Failed,
    }
}

/// A handshake that failed is an error of input that has rustls' own error.
fn of_input(error: &io::Error) -> Fault {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(InvalidCertificate(UnknownIssuer | BadSignature)) => Fault::Certificate,
        Some(InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            Fault::CertificateName
        }
        Some(_) => Fault::Tls,
        None => Fault::Down,
    }
}

/// PostgreSQL's SQLSTATEs have five characters (its manual, appendix A), and SQLite's result codes
/// at most four digits, the low byte of which is the primary code.
fn of_code(code: &str) -> Fault {
    match code {
        "42P01" | "3D000" | "3F000" => return Fault::NoSchema,
        "42703" => return Fault::OldSchema,
        "42501" => return Fault::Refused,
        "53300" => return Fault::Busy,
        "25006" | "53100" => return Fault::ReadOnly,
        // A prepared statement that another connection of a pooler has, or has not.
        "26000" | "42P05" => return Fault::Pooler,
        // A shutdown, a start, and a statement that took too long.
        // 40001 is a standby's: it has to replay a change of rows that a long read still sees.
        "57P01" | "57P02" | "57P03" | "57014" | "40001" => return Fault::Down,
        _ if code.len() == 5 && code.starts_with("28") => return Fault::Refused,
        _ if code.len() == 5 && code.starts_with("08") => return Fault::Down,
        _ => {}
    }
    match code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff) {
        Some(3 | 14 | 23) => Fault::Refused,
        Some(5 | 6) => Fault::Busy,
        Some(8 | 13) => Fault::ReadOnly,
        _ => Fault::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_follows_from_the_code_of_each_database() {
        for (code, expected) in [
            ("42P01", Fault::NoSchema),
            ("42703", Fault::OldSchema),
            ("28P01", Fault::Refused),
            ("42501", Fault::Refused),
            ("53300", Fault::Busy),
            ("53100", Fault::ReadOnly),
            ("26000", Fault::Pooler),
            ("08006", Fault::Down),
            ("57P03", Fault::Down),
            ("23505", Fault::Failed),
            // SQLITE_BUSY_SNAPSHOT, SQLITE_READONLY_DBMOVED, SQLITE_FULL, SQLITE_CANTOPEN.
            ("517", Fault::Busy),
            ("1032", Fault::ReadOnly),
            ("13", Fault::ReadOnly),
            ("14", Fault::Refused),
            ("1", Fault::Failed),
        ] {
            assert_eq!(of_code(code), expected, "{code}");
        }
        assert_eq!(StoreError::from(sqlx::Error::PoolTimedOut).fault(), Fault::Down);
        let dirty = StoreError::from(MigrateError::Dirty(2));
        assert_eq!(dirty.fault(), Fault::Migration);
    }
}
