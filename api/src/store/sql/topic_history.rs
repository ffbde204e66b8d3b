//! Reads the history of a topic: its days, its events, and the counts of its repositories.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::dialect::{BINARY, Connection, EACH_NAME, Row, SqlStore, as_rows, day_of};
use super::{lists, text};
use crate::model::counts::{Counts, Span};
use crate::model::event::{Event, EventPage, EventQuery};
use crate::model::repository::{RepositoryId, address_under};
use crate::model::topic::Topic;
use crate::model::topic_day::TopicDay;
use crate::store::{CountsSink, Result, TopicHistoryStore};

/// The days of a topic. The counts of stars change only where a span begins, so a day's gain is the
/// sum over the spans that begin on it.
static DAYS: LazyLock<String> = LazyLock::new(|| {
    let day = day_of("at");
    format!(
        "WITH memberships AS
             (SELECT repository_id, since, NULL AS until FROM topic_repositories WHERE topic = $1
              UNION ALL
              SELECT repository_id, first_day, last_day FROM former_members WHERE topic = $1),
         steps AS
             (SELECT repository_id, first_day AS day, stargazers_count - lag(stargazers_count)
                  OVER (PARTITION BY repository_id ORDER BY first_day) AS step
              FROM counts WHERE repository_id IN (SELECT repository_id FROM memberships)),
         gains AS
             (SELECT day, CAST(sum(step) AS BIGINT) AS gained FROM steps
              WHERE step <> 0 AND EXISTS
                  (SELECT 1 FROM memberships AS own
                   WHERE own.repository_id = steps.repository_id
                     AND since <= day AND (until IS NULL OR until >= day))
              GROUP BY day),
         moves AS
             (SELECT {day} AS day, count(CASE WHEN kind = 'joined' THEN 1 END) AS arrived,
                  count(CASE WHEN kind = 'left' THEN 1 END) AS gone
              FROM events WHERE topic = $1 GROUP BY {day})
         SELECT topic_days.day, total_count, stored, complete, coalesce(gained, 0) AS gained,
             coalesce(arrived, 0) AS arrived, coalesce(gone, 0) AS gone
         FROM topic_days LEFT JOIN gains ON gains.day = topic_days.day
             LEFT JOIN moves ON moves.day = topic_days.day
         WHERE topic = $1 ORDER BY topic_days.day"
    )
});

/// Repositories whose counts one statement reads: each may have a span a day, for years.
const REPOSITORIES_AT_ONCE: usize = 50;

/// The next repositories of a topic after the id of the second parameter, with their counts.
static COUNTS: LazyLock<String> = LazyLock::new(|| {
    let columns = "first_day, last_day, stargazers_count, forks_count, open_issues_count";
    let rows = as_rows(columns, "first_day");
    format!(
        "SELECT id, full_name,
             (SELECT {rows} FROM counts WHERE counts.repository_id = member.repository_id) AS spans
         FROM topic_repositories AS member JOIN repositories ON id = member.repository_id
         WHERE topic = $1 AND member.repository_id > $2
         ORDER BY member.repository_id LIMIT {REPOSITORIES_AT_ONCE}"
    )
});

/// The columns of a span in [`COUNTS`].
type SpanRow = (NaiveDate, NaiveDate, i64, Option<i64>, Option<i64>);

#[async_trait]
impl TopicHistoryStore for SqlStore {
    async fn topic_days(&self, topic: &Topic) -> Result<Option<Vec<TopicDay>>> {
        let mut transaction = self.read_behind(Some(topic)).await?;
        let days = days(&mut transaction, topic).await?;
        transaction.commit().await?;
        Ok(days)
    }

    async fn events(&self, topic: &Topic, query: &EventQuery) -> Result<Option<EventPage>> {
        let mut transaction = self.read_behind(Some(topic)).await?;
        let events = events(&mut transaction, topic, query).await?;
        transaction.commit().await?;
        Ok(events)
    }

    async fn counts(&self, topic: &Topic, sink: &mut dyn CountsSink) -> Result<bool> {
        let mut transaction = self.read_behind(Some(topic)).await?;
        Self::allow_pauses(&mut transaction).await?;
        let meta = lists::meta(&mut transaction, topic).await?;
        let found = meta.is_some();
        if let Some(meta) = meta
            && sink.begin(meta).await.is_continue()
        {
            counts(&mut transaction, topic, sink).await?;
        }
        transaction.rollback().await?;
        Ok(found)
    }
}

async fn counts(
    connection: &mut Connection,
    topic: &Topic,
    sink: &mut dyn CountsSink,
) -> sqlx::Result<()> {
    let mut after = RepositoryId::MIN;
    loop {
        let rows = query!(COUNTS.as_str(), topic.as_str(), after);
        let rows = rows.fetch_all(&mut *connection).await?;
        for row in &rows {
            after = row.try_get("id")?;
            let spans = spans(row, after)?;
            if sink.repository(row.try_get("full_name")?, &spans).await.is_break() {
                return Ok(());
            }
        }
        if rows.len() < REPOSITORIES_AT_ONCE {
            return Ok(());
        }
    }
}

fn spans(row: &Row, repository: RepositoryId) -> sqlx::Result<Vec<Span>> {
    let spans: Option<Json<Vec<SpanRow>>> = row.try_get("spans")?;
    let span = |(first, last, stars, forks, open_issues)| Span {
        repository,
        first,
        last,
        counts: Counts { stars, forks, open_issues },
    };
    Ok(spans.map(|Json(spans)| spans).unwrap_or_default().into_iter().map(span).collect())
}

async fn days(connection: &mut Connection, topic: &Topic) -> sqlx::Result<Option<Vec<TopicDay>>> {
    if !is_tracked(connection, topic).await? {
        return Ok(None);
    }
    let rows = sqlx::query(AssertSqlSafe(DAYS.as_str())).bind(topic.as_str());
    let rows = rows.fetch_all(connection).await?;
    let day = |(number, row): (usize, &Row)| {
        Ok(TopicDay {
            day: row.try_get("day")?,
            total_count: row.try_get("total_count")?,
            stored: row.try_get("stored")?,
            complete: row.try_get("complete")?,
            stars_gained: if number == 0 { None } else { Some(row.try_get("gained")?) },
            joined: row.try_get("arrived")?,
            left: row.try_get("gone")?,
        })
    };
    rows.iter().enumerate().map(day).collect::<sqlx::Result<_>>().map(Some)
}

async fn is_tracked(connection: &mut Connection, topic: &Topic) -> sqlx::Result<bool> {
    let known = "SELECT EXISTS (SELECT 1 FROM topics WHERE name = $1)";
    sqlx::query_scalar(known).bind(topic.as_str()).fetch_one(connection).await
}

async fn events(
    connection: &mut Connection,
    topic: &Topic,
    query: &EventQuery,
) -> sqlx::Result<Option<EventPage>> {
    if !is_tracked(connection, topic).await? {
        return Ok(None);
    }
    let kinds: Vec<&str> = query.kinds.iter().map(Into::into).collect();
    let chosen = format!(
        "topic = $2 AND kind IN (SELECT value FROM {EACH_NAME})
         AND ($3 IS NULL OR at >= $3) AND ($4 IS NULL OR at < $4)"
    );
    let count = format!("SELECT count(*) FROM events WHERE {chosen}");
    let count = sqlx::query_scalar(AssertSqlSafe(count)).bind(Json(&kinds)).bind(topic.as_str());
    let count = count.bind(query.since).bind(query.until);
    let matched = count.fetch_one(&mut *connection).await?;
    // No kind begins with another one, so this is the order of ids.
    let day = day_of("at");
    let select = format!(
        "SELECT at, kind, repository_id, chosen.full_name, reason, old_name, new_name, html_url,
             description, language,
             (SELECT counts.stargazers_count FROM counts
              WHERE counts.repository_id = chosen.repository_id AND first_day <= {day}
              ORDER BY first_day DESC LIMIT 1) AS stars
         FROM (SELECT * FROM events WHERE {chosen}
               ORDER BY at DESC, kind{BINARY}, CAST(repository_id AS TEXT){BINARY}
               LIMIT $5 OFFSET $6) AS chosen
             LEFT JOIN repositories ON repositories.id = repository_id
         ORDER BY at DESC, kind{BINARY}, CAST(repository_id AS TEXT){BINARY}"
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(Json(&kinds)).bind(topic.as_str());
    let select = select.bind(query.since).bind(query.until).bind(query.limit).bind(query.offset);
    let rows = select.fetch_all(connection).await?;
    let events = rows.iter().map(event).collect::<sqlx::Result<_>>()?;
    Ok(Some(EventPage { matched, events }))
}

fn event(row: &Row) -> sqlx::Result<Event> {
    let is_left = row.try_get::<Option<&str>, _>("reason")?.is_some();
    let from: Option<String> = row.try_get("old_name")?;
    let to: Option<String> = row.try_get("new_name")?;
    let full_name: &str = row.try_get("full_name")?;
    let html_url: Option<&str> = row.try_get("html_url")?;
    Ok(Event {
        at: row.try_get("at")?,
        kind: text(row, "kind")?,
        repository: row.try_get("repository_id")?,
        full_name: full_name.to_owned(),
        reason: if is_left { Some(text(row, "reason")?) } else { None },
        renamed: from.zip(to),
        stars: row.try_get("stars")?,
        html_url: html_url.map(|present| address_under(full_name, present)),
        description: row.try_get("description")?,
        language: row.try_get("language")?,
    })
}
