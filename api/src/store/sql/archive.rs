//! The archive: reads every table of history in the order of its key, and merges rows into it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::types::Json;

use super::columns::{assignments, typed, values};
use super::days;
use super::dialect::{BINARY, Connection, EACH_ID, EACH_NAME, EACH_ROW, Row, SqlStore};
use crate::model::repository::RepositoryId;
use crate::model::time::rfc3339;
use crate::store::archive::{
    ArchiveRow, ArchiveSink, Field, Kind, MEMBERS, Merge, SPAN_FIELDS, TABLES, TOPICS, Table,
};
use crate::store::revision::first_revision;
use crate::store::{ArchiveStore, Result};

/// Rows that one statement reads.
const PAGE: usize = 2_000;

/// Members that one statement writes.
const MEMBERS_AT_ONCE: usize = 1_000;

/// The places of `tracked_at` and `refreshed_at` among the fields of a topic.
const TRACKED_AT: usize = 3;
const REFRESHED_AT: usize = 4;

/// The place of `since` among the fields of a member, after that of `joined_at`.
const SINCE: usize = 4;

#[async_trait]
impl ArchiveStore for SqlStore {
    async fn export(&self, sink: &mut dyn ArchiveSink) -> Result<()> {
        let mut transaction = self.read().await?;
        Self::allow_pauses(&mut transaction).await?;
        for table in TABLES {
            if sink.begin(table).is_break() {
                break;
            }
            let mut after = None;
            loop {
                let rows = page(&mut transaction, table, after.as_ref()).await?;
                let is_last = rows.len() < PAGE;
                after = rows.last().cloned();
                for row in &rows {
                    let mut days = days::of_row(table, row).into_iter();
                    if days.any(|row| sink.row(&row).is_break()) {
                        return Ok(transaction.rollback().await?);
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(transaction.rollback().await?)
    }

    async fn import(
        &self,
        table: &'static Table,
        rows: &[ArchiveRow],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let changed = merge(&mut transaction, table, rows, now).await?;
        if table.fields[0].kind == Kind::Topic {
            note_forgotten(&mut transaction, rows, now).await?;
        }
        let is_id = |field: &Field| field.name == "id" || field.name == "repository_id";
        if let Some(place) = table.fields.iter().position(is_id).filter(|_| changed > 0) {
            let ids = rows.iter().filter_map(|row| row[place].as_i64());
            new_revisions(&mut transaction, &ids.collect::<Vec<_>>()).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn import_topic(
        &self,
        row: &ArchiveRow,
        members: &[ArchiveRow],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let name = row[0].as_str().unwrap_or_default();
        let rows = std::slice::from_ref(row);
        let mut changed = merge(&mut transaction, &TOPICS, rows, now).await?;
        if changed > 0 {
            // Places of the archive and of the topic would be twice.
            let places = "UPDATE topic_repositories SET rank = NULL WHERE topic = $1";
            query!(places, name).execute(&mut transaction).await?;
        }
        // A topic that was refreshed since the archive was written keeps its members.
        let refreshed = "SELECT refreshed_at FROM topics WHERE name = $1";
        let refreshed: Option<DateTime<Utc>> =
            query_scalar!(refreshed, name).fetch_one(&mut transaction).await?;
        if refreshed.map(rfc3339).as_deref() == row[REFRESHED_AT].as_str() {
            for some in members.chunks(MEMBERS_AT_ONCE) {
                let some: Vec<ArchiveRow> =
                    some.iter().map(|member| with_since(member, row)).collect();
                changed += merge(&mut transaction, &MEMBERS, &some, now).await?;
            }
        }
        if changed > 0 {
            let update = "UPDATE topics SET revision = revision + 1 WHERE name = $1";
            query!(update, name).execute(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// A member with its first day in the topic, which an archive of another program may lack: that of
/// `joined_at`, or of the topic's `tracked_at`.
fn with_since(member: &ArchiveRow, topic: &ArchiveRow) -> ArchiveRow {
    let mut member = member.clone();
    let time = [&member[SINCE - 1], &topic[TRACKED_AT]].into_iter().find_map(Value::as_str);
    if member[SINCE].is_null() {
        member[SINCE] = json!(time.and_then(|time| time.get(.."2026-01-31".len())));
    }
    member
}

/// The fields as the database keeps them.
fn stored(table: &Table) -> &'static [Field] {
    if table.is_daily() { SPAN_FIELDS } else { table.fields }
}

/// The rows of a table after one of them, ordered by the key.
async fn page(
    connection: &mut Connection,
    table: &Table,
    after: Option<&ArchiveRow>,
) -> sqlx::Result<Vec<ArchiveRow>> {
    let fields = stored(table);
    let columns: Vec<&str> = fields.iter().map(|field| field.column).collect();
    let binary = |field: &Field| match field.kind {
        Kind::Topic | Kind::OneOf(_) => format!("{}{BINARY}", field.column),
        _ => field.column.to_owned(),
    };
    let (key, after_key): (Vec<String>, Vec<String>) = fields[..table.key]
        .iter()
        .enumerate()
        .map(|(place, field)| (binary(field), typed("$1", place, field.kind)))
        .unzip();
    let (columns, key, after_key) = (columns.join(", "), key.join(", "), after_key.join(", "));
    let source = table.source;
    let condition = match after {
        Some(_) => format!("WHERE ({key}) > ({after_key})"),
        None => String::new(),
    };
    let select = format!("SELECT {columns} FROM {source} {condition} ORDER BY {key} LIMIT {PAGE}");
    let mut select = query!(select);
    if let Some(after) = after {
        select = select.bind(Json(after));
    }
    let rows = select.fetch_all(connection).await?;
    let values = |row: &Row| {
        let value = |(place, field): (usize, &Field)| value(row, place, field.kind);
        fields.iter().enumerate().map(value).collect()
    };
    rows.iter().map(values).collect()
}

fn value(row: &Row, place: usize, kind: Kind) -> sqlx::Result<Value> {
    Ok(match kind {
        Kind::Integer => json!(row.try_get::<Option<i64>, _>(place)?),
        Kind::Place => json!(row.try_get::<Option<i64>, _>(place)?.map(|place| place + 1)),
        Kind::Boolean => json!(row.try_get::<Option<bool>, _>(place)?),
        Kind::Text(_) | Kind::Address | Kind::Homepage | Kind::Topic | Kind::OneOf(_) => {
            json!(row.try_get::<Option<&str>, _>(place)?)
        }
        Kind::Texts | Kind::Ids => {
            row.try_get::<Option<Json<Value>>, _>(place)?.map_or(Value::Null, |json| json.0)
        }
        Kind::Time => json!(row.try_get::<Option<DateTime<Utc>>, _>(place)?.map(rfc3339)),
        Kind::Day => json!(row.try_get::<Option<NaiveDate>, _>(place)?),
    })
}

/// Merges rows, and returns the number of rows that changed.
async fn merge(
    connection: &mut Connection,
    table: &Table,
    rows: &[ArchiveRow],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    match table.merge {
        Merge::Rows(conflict, extra) => {
            let conflict = conflict.replace("{fields}", &assignments(table.fields));
            insert(connection, table, rows, (&conflict, extra), now).await
        }
        Merge::Days | Merge::Backfill => days::import(connection, table, rows).await,
        Merge::Memberships => {
            let mut added = Vec::new();
            for of_topic in rows.chunk_by(|one, other| one[0] == other[0]) {
                added.extend(days::new_memberships(connection, of_topic).await?);
            }
            insert(connection, table, &added, ("DO NOTHING", &[]), now).await
        }
    }
}

async fn insert(
    connection: &mut Connection,
    table: &Table,
    rows: &[ArchiveRow],
    (conflict, extra): (&str, &[(&str, &str)]),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let columns = table.fields.iter().map(|field| field.column);
    let columns: Vec<&str> = columns.chain(extra.iter().map(|(column, _)| *column)).collect();
    let extra = extra.iter().map(|(_, value)| (*value).to_owned());
    let values: Vec<String> = values(table.fields).into_iter().chain(extra).collect();
    let insert = format!(
        "INSERT INTO {source} ({columns}) SELECT {values} FROM {EACH_ROW}
         WHERE $2 IS NOT NULL AND $3 IS NOT NULL ON CONFLICT {conflict}",
        source = table.source,
        columns = columns.join(", "),
        values = values.join(", ")
    );
    let insert = query!(insert, Json(rows), now, first_revision(now));
    Ok(insert.execute(connection).await?.rows_affected())
}

/// Makes a new revision of each topic that has one of the repositories.
async fn new_revisions(connection: &mut Connection, ids: &[RepositoryId]) -> sqlx::Result<()> {
    let update = format!(
        "UPDATE topics SET revision = revision + 1 WHERE name IN
             (SELECT topic FROM topic_repositories
              WHERE repository_id IN (SELECT value FROM {EACH_ID}))"
    );
    query!(update, Json(ids)).execute(connection).await?;
    Ok(())
}

/// Notes since when topics of which there is only history are forgotten.
async fn note_forgotten(
    connection: &mut Connection,
    rows: &[ArchiveRow],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let topics: BTreeSet<&str> = rows.iter().filter_map(|row| row[0].as_str()).collect();
    let note = format!(
        "INSERT INTO forgotten_topics (topic, forgotten_at)
         SELECT value, $2 FROM {EACH_NAME} WHERE value NOT IN (SELECT name FROM topics)
         ON CONFLICT (topic) DO UPDATE SET forgotten_at = excluded.forgotten_at"
    );
    query!(note, Json(topics), now).execute(connection).await?;
    Ok(())
}
