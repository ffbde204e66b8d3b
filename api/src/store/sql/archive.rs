//! The archive: reads every table of history in the order of its key, and merges rows into it.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::counts::{self, SPAN};
use super::dialect::{
    AS_BOOLEAN, AS_INTEGER, BINARY, Connection, EACH_ID, EACH_ROW, Row, SqlStore, as_date, as_time,
    day_of,
};
use crate::model::counts::{Counts, Span, without};
use crate::model::repository::RepositoryId;
use crate::model::time::rfc3339;
use crate::store::archive::{
    ArchiveRow, ArchiveSink, Field, Kind, MEMBERS, REPOSITORIES, SPAN_FIELDS, TABLES, TOPICS, Table,
};
use crate::store::revision::first_revision;
use crate::store::{ArchiveStore, Result};

/// Rows that one statement reads.
const PAGE: usize = 2_000;

/// Members that one statement writes.
const MEMBERS_AT_ONCE: usize = 1_000;

/// The place of `refreshed_at` among the fields of a topic.
const REFRESHED_AT: usize = 4;

#[async_trait]
impl ArchiveStore for SqlStore {
    async fn export(&self, sink: &mut dyn ArchiveSink) -> Result<()> {
        let mut transaction = self.read_slowly().await?;
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
                    let mut days = archived(table, row).into_iter();
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
        if table.is_daily() {
            import_days(&mut transaction, table, rows).await?;
        } else if merge(&mut transaction, table, rows, now).await? > 0
            && table.name == REPOSITORIES.name
        {
            let ids: Vec<RepositoryId> = rows.iter().filter_map(|row| row[0].as_i64()).collect();
            new_revisions(&mut transaction, &ids).await?;
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
            let places = sqlx::query("UPDATE topic_repositories SET rank = NULL WHERE topic = $1");
            places.bind(name).execute(&mut transaction).await?;
        }
        // A topic that was refreshed since the archive was written keeps its members.
        let refreshed = "SELECT refreshed_at FROM topics WHERE name = $1";
        let refreshed = sqlx::query_scalar(refreshed).bind(name);
        let refreshed: Option<DateTime<Utc>> = refreshed.fetch_one(&mut transaction).await?;
        if refreshed.map(rfc3339).as_deref() == row[REFRESHED_AT].as_str() {
            for some in members.chunks(MEMBERS_AT_ONCE) {
                changed += merge(&mut transaction, &MEMBERS, some, now).await?;
            }
        }
        if changed > 0 {
            let update = "UPDATE topics SET revision = revision + 1 WHERE name = $1";
            sqlx::query(update).bind(name).execute(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// The fields as the database keeps them.
fn stored(table: &Table) -> &'static [Field] {
    if table.is_daily() { SPAN_FIELDS } else { table.fields }
}

/// The text of a JSON value as a value of the database.
fn typed(json: &str, place: usize, kind: Kind) -> String {
    let text = format!("{json}->>{place}");
    match kind {
        Kind::Integer => format!("({text}){AS_INTEGER}"),
        Kind::Place => format!("({text}){AS_INTEGER} - 1"),
        Kind::Boolean => format!("({text}){AS_BOOLEAN}"),
        Kind::Text(_) | Kind::Address | Kind::Homepage | Kind::Topic | Kind::OneOf(_) => text,
        Kind::Texts => format!("{json}->{place}"),
        Kind::Ids => format!("nullif({json}->{place}, 'null')"),
        Kind::Time => as_time(&text),
        Kind::Day => as_date(&text),
    }
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
    let mut select = sqlx::query(AssertSqlSafe(select));
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

/// The archive's rows of a row of the database: one for each day of a span.
fn archived(table: &Table, row: &ArchiveRow) -> Vec<ArchiveRow> {
    if !table.is_daily() {
        return vec![row.clone()];
    }
    let day = |value: &Value| value.as_str().and_then(|day| day.parse::<NaiveDate>().ok());
    let (Some(first), Some(last)) = (day(&row[1]), day(&row[2])) else { return Vec::new() };
    let days = first.iter_days().take_while(|day| *day <= last);
    let daily = |day: NaiveDate| {
        let mut daily = vec![row[0].clone(), json!(day)];
        daily.extend_from_slice(&row[3..table.fields.len() + 1]);
        daily
    };
    days.map(daily).collect()
}

/// Merges rows, and returns the number of rows that changed.
async fn merge(
    connection: &mut Connection,
    table: &Table,
    rows: &[ArchiveRow],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let fields = table.fields.iter().enumerate();
    let values = fields.map(|(place, field)| typed("value", place, field.kind));
    let (mut columns, mut values): (Vec<&str>, Vec<String>) =
        (table.fields.iter().map(|field| field.column).collect(), values.collect());
    let conflict = match table.name {
        "topics" => {
            columns.extend(["last_read_at", "revision"]);
            values.extend(["$2".to_owned(), first_revision(now).to_string()]);
            NEWER_TOPIC.to_owned()
        }
        "members" => {
            columns.extend(["added_in", "confirmed_in", "confirmed_at"]);
            values.extend(["0".to_owned(), "0".to_owned(), CONFIRMED_AT.to_owned()]);
            values[SINCE] = since(&values[SINCE], &values[SINCE - 1]);
            MEMBER.to_owned()
        }
        "repositories" => newer_repository(),
        _ => "DO NOTHING".to_owned(),
    };
    let insert = format!(
        "INSERT INTO {source} ({columns}) SELECT {values} FROM {EACH_ROW} WHERE $2 IS NOT NULL
         ON CONFLICT {conflict}",
        source = table.source,
        columns = columns.join(", "),
        values = values.join(", ")
    );
    let insert = sqlx::query(AssertSqlSafe(insert)).bind(Json(rows)).bind(now);
    Ok(insert.execute(connection).await?.rows_affected())
}

/// Makes a new revision of each topic that has one of the repositories.
async fn new_revisions(connection: &mut Connection, ids: &[RepositoryId]) -> sqlx::Result<()> {
    let update = format!(
        "UPDATE topics SET revision = revision + 1 WHERE name IN
             (SELECT topic FROM topic_repositories
              WHERE repository_id IN (SELECT value FROM {EACH_ID}))"
    );
    sqlx::query(AssertSqlSafe(update)).bind(Json(ids)).execute(connection).await?;
    Ok(())
}

/// Takes over a topic that was not refreshed since. Its next run reads every repository.
const NEWER_TOPIC: &str = "(name) DO UPDATE
    SET filled = excluded.filled, refreshed_at = excluded.refreshed_at,
        complete = excluded.complete, total_count = excluded.total_count, found = excluded.found,
        covered_at = NULL, changes_until = NULL,
        tracked_at = CASE WHEN topics.tracked_at < excluded.tracked_at
            THEN topics.tracked_at ELSE excluded.tracked_at END
    WHERE excluded.refreshed_at > topics.refreshed_at
       OR topics.refreshed_at IS NULL AND excluded.refreshed_at IS NOT NULL";

/// The topic's last complete run has seen the member.
const CONFIRMED_AT: &str = "
    (SELECT coalesce(refreshed_at, tracked_at) FROM topics WHERE name = value->>0)";

/// The place of `since` among the fields of a member, after that of `joined_at`.
const SINCE: usize = 4;

/// A member's first day, which an archive of another program may lack.
fn since(day: &str, joined_at: &str) -> String {
    let (joined, tracked) = (day_of(joined_at), day_of("tracked_at"));
    let tracked = format!("SELECT {tracked} FROM topics WHERE name = value->>0");
    format!("coalesce({day}, {joined}, ({tracked}))")
}

const MEMBER: &str = "(topic, repository_id) DO UPDATE
    SET rank = excluded.rank,
        joined_at = coalesce(topic_repositories.joined_at, excluded.joined_at),
        since = CASE WHEN topic_repositories.since <= excluded.since
            THEN topic_repositories.since ELSE excluded.since END
    WHERE topic_repositories.rank IS DISTINCT FROM excluded.rank
       OR topic_repositories.joined_at IS NULL AND excluded.joined_at IS NOT NULL
       OR topic_repositories.since IS NULL AND excluded.since IS NOT NULL
       OR topic_repositories.since > excluded.since";

/// The newer row wins.
fn newer_repository() -> String {
    let columns = REPOSITORIES.fields.iter().map(|field| field.column);
    let assignments: Vec<String> =
        columns.map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "(id) DO UPDATE SET {}, version = repositories.version + 1
         WHERE (repositories.updated_at, repositories.stored_at)
             < (excluded.updated_at, excluded.stored_at)",
        assignments.join(", ")
    )
}

/// Adds the counts of days that have none.
async fn import_days(
    connection: &mut Connection,
    table: &Table,
    rows: &[ArchiveRow],
) -> sqlx::Result<()> {
    let spans = spans(rows);
    let ids: BTreeSet<RepositoryId> = spans.iter().map(|span| span.repository).collect();
    let select = format!(
        "SELECT {SPAN} FROM {source} AS counts
         WHERE repository_id IN (SELECT value FROM {EACH_ID}) ORDER BY repository_id, first_day",
        source = table.source
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(Json(&ids));
    let mut known: HashMap<RepositoryId, Vec<Span>> = HashMap::new();
    for row in &select.fetch_all(&mut *connection).await? {
        if let Some(span) = counts::span(row)? {
            known.entry(span.repository).or_default().push(span);
        }
    }
    let mut added = Vec::new();
    for span in spans {
        let known = known.entry(span.repository).or_default();
        let parts = without(span, known);
        known.extend(&parts);
        known.sort_unstable_by_key(|span| span.first);
        added.extend(parts);
    }
    counts::write(connection, table.source, &added).await
}

/// The rows of days as spans.
fn spans(rows: &[ArchiveRow]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for row in rows {
        let number = |place: usize| row.get(place).and_then(Value::as_i64);
        let day = row[1].as_str().and_then(|day| day.parse().ok());
        let (Some(repository), Some(day), Some(stars)) = (number(0), day, number(2)) else {
            continue;
        };
        let counts = Counts { stars, forks: number(3), open_issues: number(4) };
        match spans.last_mut() {
            Some(last)
                if last.repository == repository
                    && last.counts == counts
                    && last.last.succ_opt() == Some(day) =>
            {
                last.last = day;
            }
            _ => spans.push(Span { repository, first: day, last: day, counts }),
        }
    }
    spans
}
