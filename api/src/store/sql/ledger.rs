//! The ledger of refreshes.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::dialect::{Connection, Row};
use super::text;
use crate::model::run::{Outcome, RefreshRun, Report, RunState};
use crate::model::topic::Topic;
use crate::store::NewRefresh;

const ENTRY: &str =
    "SELECT id, topic, cause, outcome, started_at, finished_at, report FROM refreshes";

pub(super) async fn newest(
    connection: &mut Connection,
    limit: i64,
) -> sqlx::Result<Vec<RefreshRun>> {
    let query = format!("{ENTRY} WHERE parent_id IS NULL ORDER BY id DESC LIMIT $1");
    let query = sqlx::query(AssertSqlSafe(query)).bind(limit);
    query.fetch_all(connection).await?.iter().map(entry).collect()
}

pub(super) async fn latest(
    connection: &mut Connection,
    topic: &Topic,
) -> sqlx::Result<Option<RefreshRun>> {
    let query = format!("{ENTRY} WHERE topic = $1 ORDER BY id DESC LIMIT 1");
    let query = sqlx::query(AssertSqlSafe(query)).bind(topic.as_str());
    query.fetch_optional(connection).await?.as_ref().map(entry).transpose()
}

/// An entry with its children. A run over several topics writes its own numbers at its end; until
/// then the sum of its topics' numbers stands for them.
pub(super) async fn entry_with_children(
    connection: &mut Connection,
    id: i64,
) -> sqlx::Result<Option<RefreshRun>> {
    let query = format!("{ENTRY} WHERE id = $1 OR parent_id = $1 ORDER BY id <> $1, id");
    let rows = sqlx::query(AssertSqlSafe(query)).bind(id).fetch_all(connection).await?;
    let mut entries = rows.iter().map(entry).collect::<sqlx::Result<Vec<_>>>()?.into_iter();
    let Some(mut refresh) = entries.next().filter(|first| first.id == id) else {
        return Ok(None);
    };
    refresh.topics = entries.collect();
    if refresh.state == RunState::Running {
        refresh.topics.iter().for_each(|topic| refresh.report.add(&topic.report));
    }
    Ok(Some(refresh))
}

/// Shows a running refresh as a child of a run over several topics that joins it.
pub(super) async fn adopt(
    connection: &mut Connection,
    running: i64,
    parent: i64,
) -> sqlx::Result<()> {
    let adopt = "UPDATE refreshes SET parent_id = $2 WHERE id = $1 AND parent_id IS NULL";
    sqlx::query(adopt).bind(running).bind(parent).execute(connection).await?;
    Ok(())
}

/// Whether a refresh has ended; false if its entry was deleted.
pub(super) async fn has_ended(connection: &mut Connection, id: i64) -> sqlx::Result<bool> {
    let ended = "SELECT finished_at IS NOT NULL FROM refreshes WHERE id = $1";
    let ended = sqlx::query_scalar(ended).bind(id).fetch_optional(connection).await?;
    Ok(ended == Some(true))
}

/// Closes the entry of a refresh whose process ended without doing that.
pub(super) async fn abandon(
    connection: &mut Connection,
    id: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let report = sqlx::query_scalar("SELECT report FROM refreshes WHERE id = $1").bind(id);
    let report: Option<Option<Json<Report>>> = report.fetch_optional(&mut *connection).await?;
    let mut report = report.flatten().map(|report| report.0).unwrap_or_default();
    report.fail_with("its process ended");
    close_entry(connection, id, Outcome::Failed, &report, now).await
}

pub(super) async fn open_entry(
    connection: &mut Connection,
    refresh: &NewRefresh<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO refreshes (parent_id, topic, cause, started_at) VALUES ($1, $2, $3, $4)
         RETURNING id",
    )
    .bind(refresh.parent)
    .bind(refresh.topic.map(Topic::as_str))
    .bind(<&str>::from(refresh.trigger))
    .bind(now)
    .fetch_one(connection)
    .await
}

/// Stores the report of a refresh that is running.
pub(super) async fn note_progress(
    connection: &mut Connection,
    id: i64,
    report: &Report,
) -> sqlx::Result<()> {
    let update = sqlx::query("UPDATE refreshes SET report = $2 WHERE id = $1").bind(id);
    update.bind(Json(report)).execute(connection).await?;
    Ok(())
}

pub(super) async fn close_entry(
    connection: &mut Connection,
    id: i64,
    outcome: Outcome,
    report: &Report,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE refreshes SET outcome = $2, finished_at = $3, report = $4 WHERE id = $1")
        .bind(id)
        .bind(<&str>::from(outcome))
        .bind(now)
        .bind(Json(report))
        .execute(connection)
        .await?;
    Ok(())
}

fn entry(row: &Row) -> sqlx::Result<RefreshRun> {
    let outcome: Option<Outcome> = match row.try_get::<Option<&str>, _>("outcome")? {
        Some(_) => Some(text(row, "outcome")?),
        None => None,
    };
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    let finished_at: Option<DateTime<Utc>> = row.try_get("finished_at")?;
    let report: Option<Json<Report>> = row.try_get("report")?;
    Ok(RefreshRun {
        id: row.try_get("id")?,
        topic: row.try_get("topic")?,
        trigger: text(row, "cause")?,
        state: if finished_at.is_some() { RunState::Finished } else { RunState::Running },
        outcome,
        complete: outcome == Some(Outcome::Complete),
        started_at,
        finished_at,
        seconds_left: None,
        duration_ms: finished_at.map(|finished_at| (finished_at - started_at).num_milliseconds()),
        report: report.map(|report| report.0).unwrap_or_default(),
        topics: Vec::new(),
    })
}
