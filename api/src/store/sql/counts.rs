//! The counts of each day: writes those that a run sees.

use chrono::{DateTime, Days, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::dialect::{AS_INTEGER, Connection, EACH_ID, EACH_ROW, Row, as_date};
use crate::model::counts::{Counts, Span, record};
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;

/// Repositories whose counts are written in one statement.
const BATCH: usize = 500;

/// The columns of [`span`]; of the span that begins last on the day of the second parameter or
/// before it.
pub(super) const SPAN: &str = "counts.repository_id, counts.first_day, counts.last_day,
    counts.stargazers_count AS stars, counts.forks_count AS forks,
    counts.open_issues_count AS open_issues";

/// Joins that span to the rows of a batch of ids.
pub(super) const LEFT_JOIN_SPAN: &str = "LEFT JOIN counts ON counts.repository_id = value
    AND counts.first_day = (SELECT max(first_day) FROM counts
                            WHERE repository_id = value AND first_day <= $2)";

/// The span of a row with [`SPAN`], if there is one.
pub(super) fn span(row: &Row) -> sqlx::Result<Option<Span>> {
    let Some(repository) = row.try_get("repository_id")? else { return Ok(None) };
    Ok(Some(Span {
        repository,
        first: row.try_get("first_day")?,
        last: row.try_get("last_day")?,
        counts: Counts {
            stars: row.try_get("stars")?,
            forks: row.try_get("forks")?,
            open_issues: row.try_get("open_issues")?,
        },
    }))
}

/// Writes spans into a table of counts. One that is there with the same first day is replaced.
pub(super) async fn write(
    connection: &mut Connection,
    table: &str,
    spans: &[Span],
) -> sqlx::Result<()> {
    if spans.is_empty() {
        return Ok(());
    }
    let (first, last) = (as_date("value->>1"), as_date("value->>2"));
    let row = |span: &Span| -> Value {
        let Counts { stars, forks, open_issues } = span.counts;
        json!([span.repository, span.first, span.last, stars, forks, open_issues])
    };
    let rows: Vec<Value> = spans.iter().map(row).collect();
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {table} (repository_id, first_day, last_day, stargazers_count, forks_count,
             open_issues_count)
         SELECT (value->>0){AS_INTEGER}, {first}, {last}, (value->>3){AS_INTEGER},
             (value->>4){AS_INTEGER}, (value->>5){AS_INTEGER}
         FROM {EACH_ROW} WHERE true
         ON CONFLICT (repository_id, first_day) DO UPDATE
         SET last_day = excluded.last_day, stargazers_count = excluded.stargazers_count,
             forks_count = excluded.forks_count, open_issues_count = excluded.open_issues_count"
    )))
    .bind(Json(rows))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the day's counts of the repositories of a topic that no run has shown on the day: a
/// complete run of a topic that is kept whole would have shown a change.
pub(super) async fn write_unchanged(
    connection: &mut Connection,
    topic: &Topic,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let day = now.date_naive();
    // Most spans go on, and the database finds those itself.
    sqlx::query(
        "UPDATE counts SET last_day = $2 FROM topic_repositories AS member, repositories
         WHERE member.topic = $1 AND repositories.id = member.repository_id
           AND counts.repository_id = member.repository_id AND counts.last_day = $3
           AND counts.stargazers_count = repositories.stargazers_count
           AND counts.forks_count = repositories.forks_count
           AND counts.open_issues_count = repositories.open_issues_count
           AND NOT EXISTS (SELECT 1 FROM counts AS today
                           WHERE today.repository_id = member.repository_id
                             AND today.first_day <= $2 AND today.last_day >= $2)",
    )
    .bind(topic.as_str())
    .bind(day)
    .bind(day - Days::new(1))
    .execute(&mut *connection)
    .await?;
    let unseen = "SELECT repository_id FROM topic_repositories AS member
        WHERE topic = $1 AND NOT EXISTS
            (SELECT 1 FROM counts WHERE counts.repository_id = member.repository_id
                 AND first_day <= $2 AND last_day >= $2)";
    let unseen = sqlx::query_scalar(unseen).bind(topic.as_str()).bind(day);
    let unseen: Vec<RepositoryId> = unseen.fetch_all(&mut *connection).await?;
    for ids in unseen.chunks(BATCH) {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {SPAN}, repositories.id, repositories.stargazers_count,
                 repositories.forks_count, repositories.open_issues_count
             FROM {EACH_ID} JOIN repositories ON repositories.id = value {LEFT_JOIN_SPAN}"
        )))
        .bind(Json(ids))
        .bind(day)
        .fetch_all(&mut *connection)
        .await?;
        let spans = rows.iter().map(|row| {
            let counts = Counts {
                stars: row.try_get("stargazers_count")?,
                forks: row.try_get("forks_count")?,
                open_issues: row.try_get("open_issues_count")?,
            };
            Ok(record(row.try_get("id")?, span(row)?, day, counts))
        });
        let spans = spans.collect::<sqlx::Result<Vec<_>>>()?;
        write(connection, "counts", &spans.concat()).await?;
    }
    Ok(())
}
