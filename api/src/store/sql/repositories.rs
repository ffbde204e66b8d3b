//! The rows of `repositories`.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::dialect::{AS_BOOLEAN, AS_INTEGER, Connection, EACH_ROW, Row, as_time};
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
    let list = |each: &dyn Fn(&str) -> String| COLUMNS.map(|(name, _)| each(name)).join(", ");
    let names = list(&str::to_owned);
    let values = COLUMNS.iter().enumerate().map(|(place, (_, kind))| value(place, *kind));
    let values = values.collect::<Vec<_>>().join(", ");
    let assignments = list(&|name| format!("{name} = excluded.{name}"));
    let old = list(&|name| format!("repositories.{name}"));
    let new = list(&|name| format!("excluded.{name}"));
    format!(
        "INSERT INTO repositories ({names}, stored_at)
         SELECT {values}, $2 FROM {EACH_ROW} WHERE true
         ON CONFLICT (id) DO UPDATE SET {assignments}, stored_at = excluded.stored_at,
             version = repositories.version + 1
         WHERE ({old}) IS DISTINCT FROM ({new})
         RETURNING id, version"
    )
});

/// The value of the column at this place in a row of the batch.
fn value(place: usize, kind: Kind) -> String {
    let text = format!("value->>{place}");
    match kind {
        Kind::Integer => format!("({text}){AS_INTEGER}"),
        Kind::Boolean => format!("({text}){AS_BOOLEAN}"),
        Kind::Text => text,
        Kind::Json => format!("value->{place}"),
        Kind::Time => as_time(&text),
    }
}

/// A repository's values in the order of [`COLUMNS`]. SQLite finds a value by its place in about
/// half the time that it takes by its name.
fn row_values(repository: &Repository) -> sqlx::Result<Vec<Value>> {
    let fields = serde_json::to_value(repository);
    let mut fields = fields.map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(COLUMNS.iter().map(|(name, _)| fields[*name].take()).collect())
}

/// The columns of [`repository`].
pub(super) static REPOSITORY: LazyLock<String> =
    LazyLock::new(|| COLUMNS.map(|(name, _)| format!("repositories.{name}")).join(", "));

/// The repository of a row with [`REPOSITORY`].
pub(super) fn repository(row: &Row) -> sqlx::Result<Repository> {
    let Json(topics) = row.try_get("topics")?;
    Ok(Repository {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        name: row.try_get("name")?,
        full_name: row.try_get("full_name")?,
        owner: row.try_get("owner")?,
        private: false,
        internal: false,
        html_url: row.try_get("html_url")?,
        description: row.try_get("description")?,
        homepage: row.try_get("homepage")?,
        language: row.try_get("language")?,
        license: row.try_get("license")?,
        topics,
        topics_cut: false,
        default_branch: row.try_get("default_branch")?,
        fork: row.try_get("fork")?,
        archived: row.try_get("archived")?,
        disabled: row.try_get("disabled")?,
        is_template: row.try_get("is_template")?,
        size: row.try_get("size")?,
        stargazers_count: row.try_get("stargazers_count")?,
        forks_count: row.try_get("forks_count")?,
        open_issues_count: row.try_get("open_issues_count")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        pushed_at: row.try_get("pushed_at")?,
    })
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
    let batch = repositories.iter().map(row_values).collect::<Result<Vec<_>, _>>()?;
    let rows = upsert.bind(Json(batch)).bind(now).fetch_all(connection).await?;
    let row = |row: &Row| {
        // A new row has the first version.
        Ok(UpsertedRow { id: row.try_get("id")?, is_new: row.try_get::<i64, _>("version")? == 1 })
    };
    rows.iter().map(row).collect()
}
