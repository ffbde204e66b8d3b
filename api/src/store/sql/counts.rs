//! The counts of each day: writes those that a run sees.

use chrono::{DateTime, Days, Utc};
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::types::Json;

use super::dialect::{AS_INTEGER, Connection, EACH_ROW, Row, as_date};
use super::text;
use crate::model::counts::{Counts, Span};
use crate::model::topic::Topic;
use crate::store::{Lease, Scope};

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
    let insert = format!(
        "INSERT INTO {table} (repository_id, first_day, last_day, stargazers_count, forks_count,
             open_issues_count)
         SELECT (value->>0){AS_INTEGER}, {first}, {last}, (value->>3){AS_INTEGER},
             (value->>4){AS_INTEGER}, (value->>5){AS_INTEGER}
         FROM {EACH_ROW} WHERE true
         ON CONFLICT (repository_id, first_day) DO UPDATE
         SET last_day = excluded.last_day, stargazers_count = excluded.stargazers_count,
             forks_count = excluded.forks_count, open_issues_count = excluded.open_issues_count"
    );
    query!(insert, Json(rows)).execute(connection).await?;
    Ok(())
}

/// Members of a topic that a complete run has seen unchanged: it has confirmed them, or would have
/// shown a change. A member that it should have shown and did not is in doubt, and so is one of
/// which the last answer could not be read. One that was counted on the day was shown.
// mutant in store::history: a repository in doubt was not seen
//     confirmed_in = $2 OR => TRUE OR
const UNCHANGED: &str = "
    member.topic = $1 AND member.asked_at IS NULL
    AND repositories.id = member.repository_id
    AND (confirmed_in = $2 OR updated_at <= $3 AND confirmed_at >= $4)
    AND NOT EXISTS (SELECT 1 FROM counts AS later
                    WHERE later.repository_id = member.repository_id AND later.last_day >= $5)";

/// Writes the day's counts of the repositories of a topic that a complete run has seen, but not
/// shown; true if there were some. A run that began on the day before writes none: it saw those
/// repositories before midnight, and the counts of a day that has passed never change.
pub(super) async fn write_unchanged(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    scope: Scope,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let began = "SELECT started_at FROM refreshes WHERE id = $1";
    let began: DateTime<Utc> =
        query_scalar!(began, lease.refresh).fetch_one(&mut *connection).await?;
    let day = now.date_naive();
    // mutant in store::history: a run past midnight claims no counts that it did not show
    //     began.date_naive() != day => false
    if began.date_naive() != day {
        return Ok(false);
    }
    let (updated_at, confirmed_at) = scope.since().unzip();
    let extend = format!(
        "UPDATE counts SET last_day = $5 FROM topic_repositories AS member, repositories
         WHERE {UNCHANGED} AND counts.repository_id = member.repository_id
           AND counts.last_day = $6
           AND counts.stargazers_count = repositories.stargazers_count
           AND counts.forks_count = repositories.forks_count
           AND counts.open_issues_count = repositories.open_issues_count"
    );
    let begin = format!(
        "INSERT INTO counts (repository_id, first_day, last_day, stargazers_count, forks_count,
             open_issues_count)
         SELECT id, $5, $5, stargazers_count, forks_count, open_issues_count
         FROM topic_repositories AS member, repositories WHERE {UNCHANGED}"
    );
    let bind = |statement: String| {
        query!(statement, topic.as_str(), lease.refresh, updated_at, confirmed_at, day)
    };
    let extend = bind(extend).bind(day - Days::new(1)).execute(&mut *connection).await?;
    let begin = bind(begin).execute(connection).await?;
    Ok(extend.rows_affected() + begin.rows_affected() > 0)
}

/// Makes a new revision of each topic that shares a repository with this one, and returns those.
pub(super) async fn new_revisions_of_shared(
    connection: &mut Connection,
    topic: &Topic,
) -> sqlx::Result<Vec<Topic>> {
    let update = "UPDATE topics SET revision = revision + 1 WHERE name IN
        (SELECT other.topic FROM topic_repositories AS own
             JOIN topic_repositories AS other ON other.repository_id = own.repository_id
         WHERE own.topic = $1)
        RETURNING name";
    let rows = query!(update, topic.as_str()).fetch_all(connection).await?;
    rows.iter().map(|row| text(row, "name")).collect()
}
