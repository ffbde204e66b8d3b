//! The ledger of refreshes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::types::Json;

use super::dialect::{Connection, Row, SqlStore};
use super::text;
use crate::model::run::{Outcome, RefreshRun, Report, RunState};
use crate::model::topic::Topic;
use crate::store::{LedgerStore, NewRefresh, Result};

const ENTRY: &str =
    "SELECT id, topic, cause, outcome, started_at, finished_at, report FROM refreshes";

#[async_trait]
impl LedgerStore for SqlStore {
    async fn refreshes(&self, limit: i64) -> Result<Vec<RefreshRun>> {
        let select = format!("{ENTRY} WHERE parent_id IS NULL ORDER BY id DESC LIMIT $1");
        let rows = query!(select, limit).fetch_all(&mut self.reader().await?).await?;
        Ok(rows.iter().map(entry).collect::<sqlx::Result<_>>()?)
    }

    /// A run over several topics writes its own numbers at its end; until then the sum of its
    /// topics' numbers stands for them.
    async fn refresh(&self, id: i64) -> Result<Option<RefreshRun>> {
        let select = format!("{ENTRY} WHERE id = $1 OR parent_id = $1 ORDER BY id <> $1, id");
        let rows = query!(select, id).fetch_all(&mut self.reader().await?).await?;
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

    async fn latest(&self, topic: &Topic) -> Result<Option<RefreshRun>> {
        let select = format!("{ENTRY} WHERE topic = $1 ORDER BY id DESC LIMIT 1");
        let select = query!(select, topic.as_str());
        let row = select.fetch_optional(&mut self.reader().await?).await?;
        Ok(row.as_ref().map(entry).transpose()?)
    }
}

/// Shows a running refresh as a child of a run over several topics that joins it.
pub(super) async fn adopt(
    connection: &mut Connection,
    running: i64,
    parent: i64,
) -> sqlx::Result<()> {
    let adopt = "UPDATE refreshes SET parent_id = $2 WHERE id = $1 AND parent_id IS NULL";
    query!(adopt, running, parent).execute(connection).await?;
    Ok(())
}

/// Whether a refresh has ended; false if its entry was deleted.
pub(super) async fn has_ended(connection: &mut Connection, id: i64) -> sqlx::Result<bool> {
    let ended = "SELECT finished_at IS NOT NULL FROM refreshes WHERE id = $1";
    let ended = query_scalar!(ended, id).fetch_optional(connection).await?;
    Ok(ended == Some(true))
}

/// Closes the entry of a refresh whose process ended without doing that.
pub(super) async fn abandon(
    connection: &mut Connection,
    id: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let report = query_scalar!("SELECT report FROM refreshes WHERE id = $1", id);
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
    let insert =
        "INSERT INTO refreshes (parent_id, topic, cause, started_at) VALUES ($1, $2, $3, $4)
         RETURNING id";
    query_scalar!(
        insert,
        refresh.parent,
        refresh.topic.map(Topic::as_str),
        <&str>::from(refresh.trigger),
        now
    )
    .fetch_one(connection)
    .await
}

/// Stores the report of a refresh that is running.
pub(super) async fn note_progress(
    connection: &mut Connection,
    id: i64,
    report: &Report,
) -> sqlx::Result<()> {
    let update = "UPDATE refreshes SET report = $2 WHERE id = $1";
    query!(update, id, Json(report)).execute(connection).await?;
    Ok(())
}

pub(super) async fn close_entry(
    connection: &mut Connection,
    id: i64,
    outcome: Outcome,
    report: &Report,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let update = "UPDATE refreshes SET outcome = $2, finished_at = $3, report = $4 WHERE id = $1";
    let update = query!(update, id, <&str>::from(outcome), now, Json(report));
    update.execute(connection).await?;
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
