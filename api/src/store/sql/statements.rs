//! The statements, written once. `postgres.rs` and `sqlite.rs` each compile this folder with their
//! own `dialect`, since sqlx's drivers share no type that would be simpler.

/// A statement with its parameters; its text has no value of a client. sqlx's own macros of these
/// names need a database when the program is built.
macro_rules! query {
    ($sql:expr $(, $parameter:expr)* $(,)?) => {
        sqlx::query(sqlx::AssertSqlSafe($sql))$(.bind($parameter))*
    };
}

macro_rules! query_as {
    ($sql:expr $(, $parameter:expr)* $(,)?) => {
        sqlx::query_as(sqlx::AssertSqlSafe($sql))$(.bind($parameter))*
    };
}

macro_rules! query_scalar {
    ($sql:expr $(, $parameter:expr)* $(,)?) => {
        sqlx::query_scalar(sqlx::AssertSqlSafe($sql))$(.bind($parameter))*
    };
}

mod archive;
mod backfills;
mod checkout;
mod columns;
mod connections;
mod counts;
mod days;
mod doubts;
mod events;
mod growth;
mod history;
mod leases;
mod ledger;
mod lists;
mod lookup;
mod members;
mod pages;
mod pool;
mod purges;
mod quotas;
mod repositories;
mod runs;
mod schema;
mod slices;
mod topic_history;
mod topics;

pub(in crate::store) use checkout::Checkout;
pub(in crate::store) use pool::Pools;

use super::dialect;

use std::str::FromStr;

use sqlx::Row as _;

/// A column of text that has a type of its own.
fn text<T>(row: &dialect::Row, column: &str) -> sqlx::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    })
}
