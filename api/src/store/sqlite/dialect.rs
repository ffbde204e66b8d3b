//! Every name that SQLite gives to the statements in `sql/`. A batch is one JSON parameter, always
//! the first.

pub(super) use super::SqliteStore as SqlStore;
pub(super) use super::statements::Checkout as Connection;
pub(super) use super::{MIGRATIONS, STATEMENT_TIME};
pub(super) use sqlx::Sqlite as Database;
pub(super) use sqlx::sqlite::{
    SqliteConnectOptions as ConnectOptions, SqliteConnection as RawConnection,
    SqliteQueryResult as QueryResult, SqliteRow as Row, SqliteStatement as Statement,
    SqliteTypeInfo as TypeInfo,
};

use sqlx::{ConnectOptions as _, Connection as _};

/// Whether migrations were ever run.
pub(super) const HAS_MIGRATIONS: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')";

/// The identity of the database's life.
pub(super) const EPOCH: &str = "COALESCE((SELECT epoch FROM database_life), 0)";

/// The rows of a batch of ids.
pub(super) const EACH_ID: &str = "json_each($1)";

/// The rows of a batch of names.
pub(super) const EACH_NAME: &str = "json_each($1)";

/// The rows of a batch of rows, each a JSON array.
pub(super) const EACH_ROW: &str = "json_each($1)";

/// The rows of a batch of ids with their places in it, from 0. The limit is no limit; it keeps
/// SQLite from reading the batch again for each row that it is joined with.
pub(super) const PLACES: &str = "(SELECT value, key AS place FROM json_each($1) LIMIT -1) AS best";

/// Reads a text of a batch's row as an integer; SQLite keeps JSON's type.
pub(super) const AS_INTEGER: &str = "";

/// Reads a text of a batch's row as a boolean; SQLite makes integers of JSON's booleans.
pub(super) const AS_BOOLEAN: &str = "";

/// Reads a text of a batch's row, which is RFC 3339 in UTC, as a time. sqlx writes times as text
/// that ends in `+00:00`, and times are compared as text.
pub(super) fn as_time(text: &str) -> String {
    format!("replace({text}, 'Z', '+00:00')")
}

/// Compares text byte by byte.
pub(super) const BINARY: &str = "";

/// Reads a text of a batch's row, such as `2026-01-31`, as a day.
pub(super) fn as_date(text: &str) -> String {
    text.to_owned()
}

/// Rows as one JSON array, each an array of these columns.
pub(super) fn as_rows(columns: &str, order: &str) -> String {
    format!("json_group_array(json_array({columns}) ORDER BY {order})")
}

/// The UTC day of a time.
pub(super) fn day_of(time: &str) -> String {
    format!("substr({time}, 1, 10)")
}

/// The days between a row's day and its number in a window: equal in days that follow each other.
pub(super) const DAY_LESS_NUMBER: &str = "julianday(day) -";

/// A transaction that writes has the only write lock from its beginning.
pub(super) const WITH_LOCK: &str = "";

/// Whether the server has too many connections; a file has no such limit.
pub(super) fn is_full(_: &sqlx::Error) -> bool {
    false
}

/// Opens a connection.
pub(super) async fn connect(options: &ConnectOptions) -> sqlx::Result<RawConnection> {
    options.connect().await
}

/// Tests an open connection.
pub(super) async fn test(raw: &mut RawConnection, _: &ConnectOptions) -> sqlx::Result<()> {
    raw.ping().await
}
