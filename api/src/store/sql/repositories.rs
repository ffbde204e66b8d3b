//! The rows of `repositories`.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::types::Json;

use super::columns::{assignments, list, values};
use super::dialect::{Connection, EACH_ROW, Row};
use crate::model::repository::{Repository, RepositoryId};
use crate::store::archive::{Field, REPOSITORIES};

/// Every column that a search item fills, under the name of its field of [`Repository`].
const COLUMNS: &[Field] = REPOSITORIES.fields.split_at(REPOSITORIES.fields.len() - 1).0;

/// Stores a batch of repositories. A row that did not change is neither written nor returned.
static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let names = list(COLUMNS, str::to_owned);
    let values = values(COLUMNS).join(", ");
    let assignments = assignments(COLUMNS);
    let old = list(COLUMNS, |name| format!("repositories.{name}"));
    let new = list(COLUMNS, |name| format!("excluded.{name}"));
    format!(
        "INSERT INTO repositories ({names}, stored_at)
         SELECT {values}, $2 FROM {EACH_ROW} WHERE true
         ON CONFLICT (id) DO UPDATE SET {assignments}, stored_at = excluded.stored_at,
             version = repositories.version + 1
         WHERE ({old}) IS DISTINCT FROM ({new})
         RETURNING id, version"
    )
});

/// A repository's values in the order of [`COLUMNS`]. SQLite finds a value by its place in about
/// half the time that it takes by its name.
fn row_values(repository: &Repository) -> sqlx::Result<Vec<Value>> {
    let fields = serde_json::to_value(repository);
    let mut fields = fields.map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(COLUMNS.iter().map(|column| fields[column.name].take()).collect())
}

/// The columns of [`repository`].
pub(super) static REPOSITORY: LazyLock<String> =
    LazyLock::new(|| list(COLUMNS, |column| format!("repositories.{column}")));

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
    let batch = repositories.iter().map(row_values).collect::<Result<Vec<_>, _>>()?;
    let rows = query!(UPSERT.as_str(), Json(batch), now).fetch_all(connection).await?;
    let row = |row: &Row| {
        // A new row has the first version.
        Ok(UpsertedRow { id: row.try_get("id")?, is_new: row.try_get::<i64, _>("version")? == 1 })
    };
    rows.iter().map(row).collect()
}
