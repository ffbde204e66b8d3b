//! The rows of `repositories`.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::dialect::{AS_BOOLEAN, AS_INTEGER, Connection, EACH_OBJECT, Row, as_time};
use crate::model::repository::{Repository, RepositoryId};

/// The type of a column.
#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Text,
    Boolean,
    Json,
    Time,
}

/// Every column that a search item fills, under the name of its field of [`Repository`].
const COLUMNS: [(&str, Kind); 23] = [
    ("id", Kind::Integer),
    ("node_id", Kind::Text),
    ("name", Kind::Text),
    ("full_name", Kind::Text),
    ("owner", Kind::Text),
    ("html_url", Kind::Text),
    ("description", Kind::Text),
    ("homepage", Kind::Text),
    ("language", Kind::Text),
    ("license", Kind::Text),
    ("topics", Kind::Json),
    ("default_branch", Kind::Text),
    ("fork", Kind::Boolean),
    ("archived", Kind::Boolean),
    ("disabled", Kind::Boolean),
    ("is_template", Kind::Boolean),
    ("size", Kind::Integer),
    ("stargazers_count", Kind::Integer),
    ("forks_count", Kind::Integer),
    ("open_issues_count", Kind::Integer),
    ("created_at", Kind::Time),
    ("updated_at", Kind::Time),
    ("pushed_at", Kind::Time),
];

/// Stores a batch of repositories. A row that did not change is neither written nor returned.
static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let list = |each: &dyn Fn(&str, Kind) -> String| {
        COLUMNS.map(|(name, kind)| each(name, kind)).join(", ")
    };
    let names = list(&|name, _| name.to_owned());
    let values = list(&value);
    let assignments = list(&|name, _| format!("{name} = excluded.{name}"));
    let old = list(&|name, _| format!("repositories.{name}"));
    let new = list(&|name, _| format!("excluded.{name}"));
    format!(
        "INSERT INTO repositories ({names}, stored_at)
         SELECT {values}, $2 FROM {EACH_OBJECT} WHERE true
         ON CONFLICT (id) DO UPDATE SET {assignments}, stored_at = excluded.stored_at,
             version = repositories.version + 1
         WHERE ({old}) IS DISTINCT FROM ({new})
         RETURNING id, version"
    )
});

/// The column's value in an object of the batch.
fn value(name: &str, kind: Kind) -> String {
    let text = format!("value->>'{name}'");
    match kind {
        Kind::Integer => format!("({text}){AS_INTEGER}"),
        Kind::Boolean => format!("({text}){AS_BOOLEAN}"),
        Kind::Text => text,
        Kind::Json => format!("value->'{name}'"),
        Kind::Time => as_time(&text),
    }
}

/// A row of `repositories` that was written.
pub(super) struct UpsertedRow {
    pub(super) id: RepositoryId,
    pub(super) is_new: bool,
}

/// Stores the repositories that are new or differ, and returns those.
pub(super) async fn upsert(
    connection: &mut Connection,
    repositories: &[Repository],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<UpsertedRow>> {
    let upsert = sqlx::query(AssertSqlSafe(UPSERT.as_str()));
    let rows = upsert.bind(Json(repositories)).bind(now).fetch_all(connection).await?;
    let row = |row: &Row| {
        // A new row has the first version.
        Ok(UpsertedRow { id: row.try_get("id")?, is_new: row.try_get::<i64, _>("version")? == 1 })
    };
    rows.iter().map(row).collect()
}
