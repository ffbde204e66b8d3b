//! Rows as our types. Compiled for each database with the names that its own module gives.

use std::str::FromStr;

use sqlx::Row as _;

use super::Row;
use crate::store::UpsertedRow;

/// A column of text that has a type of its own.
pub(super) fn text<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row,
    column: &str,
) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    })
}

/// A row of the statement that stores repositories.
pub(super) fn written(row: &Row) -> sqlx::Result<UpsertedRow> {
    Ok(UpsertedRow { id: row.try_get("id")?, is_new: row.try_get::<i64, _>("version")? == 1 })
}
