//! Looks up single repositories: by name, with their places in topics, their days and events.

use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::{AssertSqlSafe, Row as _};

use super::counts::{self, SPAN};
use super::dialect::{BINARY, Connection, Row, SqlStore};
use super::repositories::{REPOSITORY, repository};
use super::text;
use crate::model::counts::{RepositoryDays, Span};
use crate::model::event::RepositoryEvent;
use crate::model::repository::{
    FormerName, FullName, NameOwner, Places, RepositoryId, StoredRepository,
};
use crate::model::topic::Topic;
use crate::store::{RepositoryStore, Result};

/// The owners of a name, the present ones first. A row is confirmed by each refresh that sees the
/// repository, and written by those that see a change.
const OWNERS: &str = "
    SELECT id, full_name, is_former FROM
        (SELECT id, full_name, FALSE AS is_former,
             CASE WHEN confirmed_at > stored_at THEN confirmed_at ELSE stored_at END AS at
         FROM repositories LEFT JOIN topic_repositories ON repository_id = id
         WHERE lower(full_name) = lower($1)
         UNION ALL
         SELECT id, repositories.full_name, TRUE, until
         FROM names JOIN repositories ON id = repository_id
         WHERE lower(names.full_name) = lower($1)) AS owners
    ORDER BY is_former, at DESC, id DESC LIMIT 1";

const TOPICS: &str = "
    SELECT topic FROM topic_repositories
        JOIN topics ON topics.name = topic AND modified_at IS NOT NULL
    WHERE repository_id = $1 ORDER BY topic";

/// The places of a repository in a topic with a list, by the orders of the lists.
const PLACES: &str = "
    SELECT own.topic, own.joined_at,
        CASE WHEN own.rank IS NOT NULL
            THEN 1 + count(CASE WHEN other.rank < own.rank THEN 1 END) END AS best_match,
        1 + count(CASE WHEN (them.stargazers_count, us.id) > (us.stargazers_count, them.id)
            THEN 1 END) AS popularity,
        1 + count(CASE WHEN (them.updated_at, us.id) > (us.updated_at, them.id)
            THEN 1 END) AS activity
    FROM topic_repositories AS own
        JOIN topics ON topics.name = own.topic AND modified_at IS NOT NULL
        JOIN repositories AS us ON us.id = own.repository_id
        JOIN topic_repositories AS other ON other.topic = own.topic
        JOIN repositories AS them ON them.id = other.repository_id
    WHERE own.repository_id = $1 AND own.topic = $2
    GROUP BY own.topic, own.joined_at, own.rank";

#[async_trait]
impl RepositoryStore for SqlStore {
    async fn name_owner(&self, name: &FullName) -> Result<Option<NameOwner>> {
        let owner = sqlx::query(OWNERS).bind(name.as_str());
        let owner = owner.fetch_optional(&mut self.reader().await?).await?;
        let Some(row) = owner else { return Ok(None) };
        Ok(Some(if row.try_get("is_former")? {
            NameOwner::Former(row.try_get("full_name")?)
        } else {
            NameOwner::Present(row.try_get("id")?)
        }))
    }

    async fn repository(&self, id: RepositoryId) -> Result<Option<StoredRepository>> {
        let mut transaction = self.read().await?;
        let select = format!("SELECT {} FROM repositories WHERE id = $1", *REPOSITORY);
        let select = sqlx::query(AssertSqlSafe(select)).bind(id);
        let row = select.fetch_optional(&mut transaction).await?;
        let stored = match row {
            Some(row) => Some(StoredRepository {
                repository: repository(&row)?,
                topics: topics(&mut transaction, id).await?,
                former_names: former_names(&mut transaction, id).await?,
            }),
            None => None,
        };
        transaction.rollback().await?;
        Ok(stored)
    }

    async fn places(&self, id: RepositoryId, topic: &Topic) -> Result<Option<Places>> {
        let select = sqlx::query(PLACES).bind(id).bind(topic.as_str());
        let row = select.fetch_optional(&mut self.reader().await?).await?;
        Ok(row.as_ref().map(places).transpose()?)
    }

    async fn repository_days(
        &self,
        id: RepositoryId,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
    ) -> Result<Option<RepositoryDays>> {
        let mut transaction = self.read_behind(None).await?;
        let select = sqlx::query("SELECT full_name, created_at FROM repositories WHERE id = $1");
        let row = select.bind(id).fetch_optional(&mut transaction).await?;
        let days = match row {
            Some(row) => Some(RepositoryDays {
                id,
                full_name: row.try_get("full_name")?,
                created_at: row.try_get("created_at")?,
                seen: spans(&mut transaction, "counts", id, from, to).await?,
                backfilled: spans(&mut transaction, "backfilled", id, from, to).await?,
            }),
            None => None,
        };
        transaction.rollback().await?;
        Ok(days)
    }

    async fn repository_events(
        &self,
        id: RepositoryId,
        limit: i64,
    ) -> Result<Vec<RepositoryEvent>> {
        let select = format!(
            "SELECT * FROM
                 (SELECT DISTINCT at, kind, reason, old_name, new_name,
                      CASE WHEN kind IN ('joined', 'left') THEN topic END AS topic
                  FROM events WHERE repository_id = $1) AS own
             ORDER BY at DESC, kind{BINARY}, topic{BINARY} LIMIT $2"
        );
        let select = sqlx::query(AssertSqlSafe(select)).bind(id).bind(limit);
        let rows = select.fetch_all(&mut self.reader().await?).await?;
        Ok(rows.iter().map(event).collect::<sqlx::Result<_>>()?)
    }
}

fn event(row: &Row) -> sqlx::Result<RepositoryEvent> {
    let has = |column: &str| row.try_get::<Option<&str>, _>(column).map(|text| text.is_some());
    let from: Option<String> = row.try_get("old_name")?;
    let to: Option<String> = row.try_get("new_name")?;
    Ok(RepositoryEvent {
        at: row.try_get("at")?,
        kind: text(row, "kind")?,
        topic: if has("topic")? { Some(text(row, "topic")?) } else { None },
        reason: if has("reason")? { Some(text(row, "reason")?) } else { None },
        renamed: from.zip(to),
    })
}

async fn topics(connection: &mut Connection, id: RepositoryId) -> sqlx::Result<Vec<Topic>> {
    let rows = sqlx::query(TOPICS).bind(id).fetch_all(connection).await?;
    rows.iter().map(|row| text(row, "topic")).collect()
}

fn places(row: &Row) -> sqlx::Result<Places> {
    Ok(Places {
        topic: text(row, "topic")?,
        best_match: row.try_get("best_match")?,
        popularity: row.try_get("popularity")?,
        activity: row.try_get("activity")?,
        joined_at: row.try_get("joined_at")?,
    })
}

async fn former_names(
    connection: &mut Connection,
    id: RepositoryId,
) -> sqlx::Result<Vec<FormerName>> {
    let select = "SELECT full_name, until FROM names WHERE repository_id = $1 ORDER BY until DESC";
    let rows = sqlx::query(select).bind(id).fetch_all(connection).await?;
    let name = |row: &Row| {
        Ok(FormerName { full_name: row.try_get("full_name")?, until: row.try_get("until")? })
    };
    rows.iter().map(name).collect()
}

/// The spans of a repository in a table of counts, without the days outside.
async fn spans(
    connection: &mut Connection,
    table: &str,
    id: RepositoryId,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
) -> sqlx::Result<Vec<Span>> {
    let select = format!(
        "SELECT {SPAN} FROM {table} AS counts WHERE repository_id = $1
             AND ($2 IS NULL OR last_day >= $2) AND ($3 IS NULL OR first_day <= $3)
         ORDER BY first_day"
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(id).bind(from).bind(to);
    let rows = select.fetch_all(connection).await?;
    let spans: Vec<Option<Span>> = rows.iter().map(counts::span).collect::<sqlx::Result<_>>()?;
    Ok(spans.into_iter().flatten().filter_map(|span| span.within(from, to)).collect())
}
