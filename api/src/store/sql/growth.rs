//! The counts from which growth is computed.

use std::collections::HashMap;

use chrono::NaiveDate;
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::types::Json;

use super::dialect::{Connection, as_rows};
use crate::model::counts::{Counts, Span};
use crate::model::growth::Period;
use crate::model::list::HistoryDays;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;

/// The repositories that a topic, the first parameter, has, or had on the day of the second.
const MEMBERS: &str = "(SELECT repository_id FROM topic_repositories WHERE topic = $1) AS member";
pub(super) const MEMBERS_ON: &str = "
    (SELECT repository_id FROM topic_repositories WHERE topic = $1 AND coalesce(since, $2) <= $2
     UNION
     SELECT repository_id FROM former_members
     WHERE topic = $1 AND first_day <= $2 AND last_day >= $2) AS member";

/// First day, last day, stars and forks of a span.
type SpanRow = (NaiveDate, NaiveDate, i64, Option<i64>);

/// The counts of a topic's repositories within a period.
pub(super) struct Counted {
    spans: HashMap<RepositoryId, Vec<Span>>,
    /// The period's last day; `None` if nothing was counted.
    pub(super) last: Option<NaiveDate>,
}

impl Counted {
    /// The spans of a repository, by their days.
    pub(super) fn spans(&self, repository: RepositoryId) -> &[Span] {
        self.spans.get(&repository).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads the counts that matter to the period.
pub(super) async fn counted(
    connection: &mut Connection,
    topic: &Topic,
    period: Period,
) -> sqlx::Result<Counted> {
    let last_run = "SELECT max(day) FROM topic_days WHERE topic = $1";
    let mut end = period.day;
    if end.is_none() {
        end = query_scalar!(last_run, topic.as_str()).fetch_one(&mut *connection).await?;
    }
    loop {
        // Without a day of the topic, every count is read.
        let from = end.map_or(NaiveDate::default(), |end| period.window.first_day(end));
        let spans = spans(connection, topic, period.day, from).await?;
        let lasts = spans.values().filter_map(|spans| spans.last());
        let last = period.day.or_else(|| lasts.map(|span| span.last).max());
        // A run may have stored no counts on its day.
        let needed = last.map(|last| period.window.first_day(last));
        if needed.is_none_or(|needed| from <= needed) {
            return Ok(Counted { spans, last });
        }
        end = last;
    }
}

/// The spans since a day, and the one before it, of each repository.
async fn spans(
    connection: &mut Connection,
    topic: &Topic,
    day: Option<NaiveDate>,
    from: NaiveDate,
) -> sqlx::Result<HashMap<RepositoryId, Vec<Span>>> {
    let rows = as_rows("first_day, last_day, stargazers_count, forks_count", "first_day");
    let select = format!(
        "SELECT repository_id,
             (SELECT {rows} FROM counts
              WHERE counts.repository_id = member.repository_id AND first_day <= $2
                AND first_day >= coalesce(
                    (SELECT max(first_day) FROM counts
                     WHERE counts.repository_id = member.repository_id AND first_day <= $3), $3)
             ) AS spans
         FROM {}",
        if day.is_some() { MEMBERS_ON } else { MEMBERS }
    );
    let select = query!(select, topic.as_str(), day.unwrap_or(LAST_DAY), from);
    let mut rows = select.fetch(connection);
    let mut counted = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        let repository: RepositoryId = row.try_get("repository_id")?;
        let Some(Json(spans)) = row.try_get::<Option<Json<Vec<SpanRow>>>, _>("spans")? else {
            continue;
        };
        let span = |(first, last, stars, forks)| Span {
            repository,
            first,
            last,
            counts: Counts { stars, forks, open_issues: None },
        };
        let spans: Vec<Span> = spans.into_iter().map(span).collect();
        counted.insert(repository, spans);
    }
    Ok(counted)
}

/// Later than every day that is counted, and text of ten characters.
const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// The days on which the topic had repositories with counts, up to the last one that was read.
pub(super) async fn history_days(
    connection: &mut Connection,
    topic: &Topic,
    counted: &Counted,
) -> sqlx::Result<Option<HistoryDays>> {
    let counts = "(SELECT min(first_day) FROM counts
        WHERE counts.repository_id = member.repository_id) AS counted";
    let first = format!(
        "SELECT min(CASE WHEN since > counted THEN since ELSE counted END) FROM
             (SELECT since, {counts} FROM topic_repositories AS member WHERE topic = $1
              UNION ALL
              SELECT first_day, {counts} FROM former_members AS member WHERE topic = $1) AS spans"
    );
    let first = query_scalar!(first, topic.as_str());
    let first: Option<NaiveDate> = first.fetch_one(connection).await?;
    Ok(first.zip(counted.last).map(|(first, last)| HistoryDays { first, last }))
}
