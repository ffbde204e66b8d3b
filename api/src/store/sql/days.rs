//! Days in the archive, which the database keeps as spans.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use serde_json::{Value, json};
use sqlx::types::Json;

use super::counts::{self, SPAN};
use super::dialect::{Connection, EACH_ID};
use crate::model::counts::{Counts, Span, without};
use crate::model::repository::RepositoryId;
use crate::store::archive::{ArchiveRow, Merge, Table};

/// The archive's rows of a row of the database: one for each day of a span.
pub(super) fn of_row(table: &Table, row: &ArchiveRow) -> Vec<ArchiveRow> {
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

/// Adds the counts of days that have none, and returns their number.
pub(super) async fn import(
    connection: &mut Connection,
    table: &Table,
    rows: &[ArchiveRow],
) -> sqlx::Result<u64> {
    let mut spans = spans(rows);
    let ids: BTreeSet<RepositoryId> = spans.iter().map(|span| span.repository).collect();
    let select = format!(
        "SELECT {SPAN} FROM {source} AS counts
         WHERE repository_id IN (SELECT value FROM {EACH_ID}) ORDER BY repository_id, first_day",
        source = table.source
    );
    let known = query!(select, Json(&ids)).fetch_all(&mut *connection).await?;
    let known = known.iter().map(counts::span).collect::<sqlx::Result<Vec<_>>>()?;
    let known: Vec<Span> = known.into_iter().flatten().collect();
    if matches!(table.merge, Merge::Backfill) {
        let known: BTreeSet<RepositoryId> = known.iter().map(|span| span.repository).collect();
        spans.retain(|span| !known.contains(&span.repository));
    }
    let added = unknown(spans, &known);
    counts::write(connection, table.source, &added).await?;
    Ok(added.len() as u64)
}

/// The parts of spans on days that are not known of their repositories, whose spans are in order.
fn unknown(spans: Vec<Span>, known: &[Span]) -> Vec<Span> {
    let mut of: HashMap<RepositoryId, &[Span]> = HashMap::new();
    for spans in known.chunk_by(|one, other| one.repository == other.repository) {
        of.insert(spans[0].repository, spans);
    }
    let known = |span: &Span| of.get(&span.repository).copied().unwrap_or_default();
    spans.into_iter().flat_map(|span| without(span, known(&span))).collect()
}

/// The parts of a topic's memberships on days that are not known.
pub(super) async fn new_memberships(
    connection: &mut Connection,
    rows: &[ArchiveRow],
) -> sqlx::Result<Vec<ArchiveRow>> {
    let span = |(repository, first, last)| {
        let counts = Counts { stars: 0, forks: None, open_issues: None };
        Span { repository, first, last, counts }
    };
    let own = rows.iter().filter_map(|row| {
        let day = |place: usize| row[place].as_str().and_then(|day| day.parse().ok());
        Some(span((row[1].as_i64()?, day(2)?, day(3)?)))
    });
    let own: Vec<Span> = own.collect();
    let ids: BTreeSet<RepositoryId> = own.iter().map(|span| span.repository).collect();
    let topic = &rows[0][0];
    let select = format!(
        "SELECT repository_id, first_day, last_day FROM former_members
         WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})
         ORDER BY repository_id, first_day"
    );
    let known: Vec<(RepositoryId, NaiveDate, NaiveDate)> =
        query_as!(select, Json(&ids), topic.as_str()).fetch_all(connection).await?;
    let known: Vec<Span> = known.into_iter().map(span).collect();
    let row = |span: Span| {
        vec![topic.clone(), json!(span.repository), json!(span.first), json!(span.last)]
    };
    Ok(unknown(own, &known).into_iter().map(row).collect())
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
