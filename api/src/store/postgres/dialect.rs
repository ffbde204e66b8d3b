//! Every name that PostgreSQL gives to the statements in `sql/`. A batch is one JSON parameter,
//! always the first.

pub(super) use super::PostgresStore as SqlStore;
pub(super) use super::servers::{PostgresServers as ConnectOptions, is_full};
pub(super) use super::statements::Checkout as Connection;
pub(super) use super::{MIGRATIONS, STATEMENT_TIME};
pub(super) use sqlx::Postgres as Database;
pub(super) use sqlx::postgres::{
    PgConnection as RawConnection, PgQueryResult as QueryResult, PgRow as Row,
    PgStatement as Statement, PgTypeInfo as TypeInfo,
};

/// Opens a connection.
pub(super) async fn connect(options: &ConnectOptions) -> sqlx::Result<RawConnection> {
    options.connect().await
}

/// Tests an open connection.
pub(super) async fn test(raw: &mut RawConnection, options: &ConnectOptions) -> sqlx::Result<()> {
    options.test(raw).await
}

/// Whether migrations were ever run.
pub(super) const HAS_MIGRATIONS: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";

/// The identity of the database's life. Tables that a dump restores have other numbers.
pub(super) const EPOCH: &str = "
    (COALESCE((SELECT epoch FROM database_life), 0) + 'topics'::regclass::oid::int8)";

/// The rows of a batch of ids.
pub(super) const EACH_ID: &str =
    "(SELECT id::int8 AS value FROM jsonb_array_elements_text($1) AS id) AS each";

/// The rows of a batch of names.
pub(super) const EACH_NAME: &str = "jsonb_array_elements_text($1) AS each(value)";

/// The rows of a batch of rows, each a JSON array.
pub(super) const EACH_ROW: &str = "jsonb_array_elements($1) AS each(value)";

/// The rows of a batch of ids with their places in it, from 0.
pub(super) const PLACES: &str = "
    (SELECT id::int8 AS value, ordinality - 1 AS place
     FROM jsonb_array_elements_text($1) WITH ORDINALITY AS each(id, ordinality)) AS best";

/// Reads a text of a batch's row as an integer.
pub(super) const AS_INTEGER: &str = "::int8";

/// Reads a text of a batch's row as a boolean.
pub(super) const AS_BOOLEAN: &str = "::boolean";

/// Reads a text of a batch's row, which is RFC 3339 in UTC, as a time.
pub(super) fn as_time(text: &str) -> String {
    format!("({text})::timestamptz")
}

/// Compares text byte by byte.
pub(super) const BINARY: &str = " COLLATE \"C\"";

/// Reads a text of a batch's row, such as `2026-01-31`, as a day.
pub(super) fn as_date(text: &str) -> String {
    format!("({text})::date")
}

/// Rows as one JSON array, each an array of these columns.
pub(super) fn as_rows(columns: &str, order: &str) -> String {
    format!("json_agg(json_build_array({columns}) ORDER BY {order})")
}

/// The UTC day of a time.
pub(super) fn day_of(time: &str) -> String {
    format!("({time} AT TIME ZONE 'UTC')::date")
}

/// The days between a row's day and its number in a window: equal in days that follow each other.
pub(super) const DAY_LESS_NUMBER: &str = "(day - date '1970-01-01') -";

/// A condition that takes the writers' lock, for a transaction that begins with
/// [`begin`](super::PostgresStore::begin).
pub(super) const WITH_LOCK: &str = " AND pg_advisory_xact_lock(7106914) IS NOT NULL";
