//! Topics and their rows. Compiled for each database with the names that its own module gives.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Connection, EACH_ID, EACH_NAME, Row, SqlStore, ids, names, text};
use crate::model::list::{LIST_LENGTH, ListItem, ListMeta};
use crate::model::ranking::Ranking;
use crate::model::topic::{
    Origin, SyncCursor, Topic, TopicState, UNKNOWN_TOPIC_TIME, is_unknown_to_github,
};
use crate::store::{
    OnDemandLimits, Result, Rows, TopicStore, TrackOutcome, first_revision, next_modified,
};

const STATE: &str =
    "SELECT name, origin, last_read_at, revision, modified_at, refreshed_at, complete, total_count,
        found, shrunk_to, shrunk_at, covered_at, changes_until,
        (SELECT count(*) FROM topic_repositories WHERE topic = name) AS stored
    FROM topics";

/// What a topic's lists need; counting what it has stored would take longer than a list where that
/// is much.
const HEAD: &str = "SELECT origin, revision, modified_at, refreshed_at, complete, total_count,
        revision > listed_revision AS is_unlisted, EXISTS (SELECT 1 FROM topic_repositories WHERE topic = name) AS has_stored
    FROM topics WHERE name = $1 AND modified_at IS NOT NULL";

/// Repositories that are deleted in one transaction, each with its star counts: others who write
/// wait meanwhile.
const FORGOTTEN_AT_ONCE: usize = 500;

/// Room for a repository's JSON: 270 bytes on average.
const ITEM_BYTES: usize = 320;

#[async_trait]
impl TopicStore for SqlStore {
    async fn configure(&self, topics: &[Topic], now: DateTime<Utc>) -> Result<()> {
        let mut transaction = self.write().await?;
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO topics (name, origin, tracked_at, last_read_at, revision)
             SELECT value, 'configured', $2, $2, $3 FROM {EACH_NAME} WHERE true
             ON CONFLICT (name) DO UPDATE SET origin = 'configured' WHERE topics.origin <> 'configured'"
        )))
        .bind(names(topics))
        .bind(now)
        .bind(first_revision(now))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE topics SET origin = 'on_demand', last_read_at = $2
             WHERE origin = 'configured' AND name NOT IN (SELECT value FROM {EACH_NAME})"
        )))
        .bind(names(topics))
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn track(
        &self,
        topic: &Topic,
        origin: Origin,
        limits: Option<OnDemandLimits>,
        now: DateTime<Utc>,
    ) -> Result<TrackOutcome> {
        let mut transaction = self.write().await?;
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM topics WHERE name = $1)")
                .bind(topic.as_str())
                .fetch_one(&mut *transaction)
                .await?;
        if let (false, Some(limits)) = (known, limits)
            && let Some(refusal) = refusal(&mut transaction, limits, now).await?
        {
            return Ok(refusal);
        }
        // A topic that strangers asked for and that is then requested stays; nothing is ever
        // demoted here.
        sqlx::query(
            "INSERT INTO topics (name, origin, tracked_at, last_read_at, revision) VALUES ($1, $2, $3, $3, $4)
             ON CONFLICT (name) DO UPDATE SET origin = excluded.origin
             WHERE topics.origin = 'on_demand' AND excluded.origin <> 'on_demand'",
        )
        .bind(topic.as_str())
        .bind(<&str>::from(origin))
        .bind(now)
        .bind(first_revision(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(TrackOutcome::Yes)
    }

    async fn topics(&self) -> Result<Vec<TopicState>> {
        let order = "ORDER BY origin = 'on_demand', origin = 'requested', name";
        let rows =
            sqlx::query(AssertSqlSafe(format!("{STATE} {order}"))).fetch_all(self.reader()).await?;
        Ok(rows.iter().map(state).collect::<sqlx::Result<_>>()?)
    }

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicState>> {
        let query =
            sqlx::query(AssertSqlSafe(format!("{STATE} WHERE name = $1"))).bind(topic.as_str());
        Ok(query.fetch_optional(self.reader()).await?.as_ref().map(state).transpose()?)
    }

    async fn mark_read(&self, topic: &Topic, now: DateTime<Utc>) -> Result<()> {
        let query = sqlx::query(
            "UPDATE topics SET last_read_at = $2 WHERE name = $1 AND last_read_at < $2",
        );
        query.bind(topic.as_str()).bind(now).execute(self.writer()).await?;
        Ok(())
    }

    async fn forget(&self, topic: &Topic, now: DateTime<Utc>) -> Result<bool> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE refreshes SET outcome = 'failed', finished_at = $2 WHERE finished_at IS NULL
             AND id = (SELECT refresh_id FROM leases WHERE name = $1 AND owner IS NOT NULL)",
        )
        .bind(topic.as_str())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE leases SET owner = NULL, fence = fence + 1 WHERE name = $1")
            .bind(topic.as_str())
            .execute(&mut *transaction)
            .await?;
        let only_here = "SELECT repository_id FROM topic_repositories AS own WHERE topic = $1 AND NOT EXISTS
                 (SELECT 1 FROM topic_repositories AS other WHERE other.repository_id = own.repository_id AND topic <> $1)";
        let own: Vec<i64> =
            sqlx::query_scalar(only_here).bind(topic.as_str()).fetch_all(&mut *transaction).await?;
        let known = sqlx::query("DELETE FROM topics WHERE name = $1")
            .bind(topic.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        for some in own.chunks(FORGOTTEN_AT_ONCE) {
            let mut transaction = self.write().await?;
            sqlx::query(AssertSqlSafe(format!(
                "DELETE FROM repositories WHERE id IN (SELECT value FROM {EACH_ID})
                 AND NOT EXISTS (SELECT 1 FROM topic_repositories WHERE repository_id = id)"
            )))
            .bind(ids(some))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
        }
        Ok(known.rows_affected() == 1)
    }

    async fn stale(
        &self,
        unread_since: DateTime<Utc>,
        unknown_since: DateTime<Utc>,
    ) -> Result<Vec<Topic>> {
        let states = self.topics().await?.into_iter().filter(|state| {
            state.origin == Origin::OnDemand
                && (state.last_read_at < unread_since
                    || state.is_unknown_to_github()
                        && state.modified_at.is_some_and(|at| at < unknown_since))
        });
        Ok(states.map(|state| state.topic).collect())
    }

    async fn rows(
        &self,
        topic: &Topic,
        rankings: &[Ranking],
        now: DateTime<Utc>,
    ) -> Result<Option<Rows>> {
        let mut transaction = self.read().await?;
        let Some(mut head) = head(&mut transaction, topic).await? else { return Ok(None) };
        if head.try_get("is_unlisted")? {
            // Its connection first: many who waited for a second one could keep all of them.
            transaction.commit().await?;
            transaction = self.write().await?;
            // Somebody may have listed or forgotten it meanwhile.
            let Some(mut present) = self::head(&mut transaction, topic).await? else {
                return Ok(None);
            };
            if present.try_get("is_unlisted")? {
                list_revision(&mut transaction, topic, now).await?;
                present =
                    self::head(&mut transaction, topic).await?.ok_or(sqlx::Error::RowNotFound)?;
            }
            head = present;
        }
        let mut lists = Vec::with_capacity(rankings.len());
        for ranking in rankings {
            lists.push(json(&mut transaction, topic, *ranking).await?);
        }
        transaction.commit().await?;
        let standing = standing(&head)?;
        let is_unknown = is_unknown_to_github(
            text(&head, "origin")?,
            standing.total_count,
            head.try_get("has_stored")?,
        );
        let valid_until = is_unknown.then(|| standing.modified_at + UNKNOWN_TOPIC_TIME);
        Ok(Some(Rows { topic: topic.clone(), standing, valid_until, lists }))
    }
}

/// Why strangers may not have one more topic, if so.
async fn refusal(
    connection: &mut Connection,
    limits: OnDemandLimits,
    now: DateTime<Utc>,
) -> Result<Option<TrackOutcome>> {
    let tracked: i64 = sqlx::query_scalar("SELECT count(*) FROM topics WHERE origin = 'on_demand'")
        .fetch_one(&mut *connection)
        .await?;
    if tracked >= limits.topics {
        return Ok(Some(TrackOutcome::Full));
    }
    let hour = TimeDelta::hours(1);
    let last_hour = "SELECT tracked_at FROM topics WHERE origin = 'on_demand' AND tracked_at > $1 ORDER BY tracked_at DESC LIMIT $2";
    let new: Vec<DateTime<Utc>> = sqlx::query_scalar(last_hour)
        .bind(now - hour)
        .bind(limits.new_an_hour)
        .fetch_all(&mut *connection)
        .await?;
    let full = i64::try_from(new.len()).is_ok_and(|new| new >= limits.new_an_hour);
    Ok(new.last().filter(|_| full).map(|oldest| TrackOutcome::TooManyNew(*oldest + hour)))
}

async fn head(connection: &mut Connection, topic: &Topic) -> Result<Option<Row>> {
    Ok(sqlx::query(HEAD).bind(topic.as_str()).fetch_optional(connection).await?)
}

fn standing(head: &Row) -> sqlx::Result<ListMeta> {
    Ok(ListMeta {
        revision: head.try_get("revision")?,
        modified_at: head.try_get("modified_at")?,
        refreshed_at: head.try_get("refreshed_at")?,
        complete: head.try_get("complete")?,
        total_count: head.try_get("total_count")?,
    })
}

fn state(row: &Row) -> sqlx::Result<TopicState> {
    let shrunk: (Option<i64>, Option<DateTime<Utc>>) =
        (row.try_get("shrunk_to")?, row.try_get("shrunk_at")?);
    Ok(TopicState {
        topic: text(row, "name")?,
        origin: text(row, "origin")?,
        last_read_at: row.try_get("last_read_at")?,
        revision: row.try_get("revision")?,
        modified_at: row.try_get("modified_at")?,
        refreshed_at: row.try_get("refreshed_at")?,
        complete: row.try_get("complete")?,
        total_count: row.try_get("total_count")?,
        found: row.try_get("found")?,
        shrunk: shrunk.0.zip(shrunk.1),
        stored: row.try_get("stored")?,
        covered: SyncCursor {
            covered_at: row.try_get("covered_at")?,
            changes_until: row.try_get("changes_until")?,
        },
    })
}

/// The rows of a list, with the lowest id first where ranks are equal.
fn select(ranking: Ranking) -> &'static str {
    match ranking {
        Ranking::BestMatch => {
            "SELECT id, name, full_name, html_url, language, updated_at, pushed_at, stargazers_count
             FROM topic_repositories JOIN repositories ON id = repository_id
             WHERE topic = $1 AND rank IS NOT NULL ORDER BY rank, id LIMIT 500"
        }
        Ranking::Popularity => {
            "SELECT id, name, full_name, html_url, language, updated_at, pushed_at, stargazers_count
             FROM topic_repositories JOIN repositories ON id = repository_id
             WHERE topic = $1 ORDER BY stargazers_count DESC, id LIMIT 500"
        }
        Ranking::Activity => {
            "SELECT id, name, full_name, html_url, language, updated_at, pushed_at, stargazers_count
             FROM topic_repositories JOIN repositories ON id = repository_id
             WHERE topic = $1 ORDER BY updated_at DESC, id LIMIT 500"
        }
    }
}

/// A list's JSON, written in one pass over its rows as they come.
async fn json(
    connection: &mut Connection,
    topic: &Topic,
    ranking: Ranking,
) -> sqlx::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(2 + LIST_LENGTH * ITEM_BYTES);
    json.push(b'[');
    let mut rows = sqlx::query(select(ranking)).bind(topic.as_str()).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if json.len() > 1 {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, &item(&row)?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
    }
    json.push(b']');
    Ok(json)
}

fn item(row: &Row) -> sqlx::Result<ListItem<'_>> {
    Ok(ListItem {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        full_name: row.try_get(2)?,
        html_url: row.try_get(3)?,
        language: row.try_get(4)?,
        updated_at: row.try_get(5)?,
        pushed_at: row.try_get(6)?,
        stargazers_count: row.try_get(7)?,
    })
}

/// Allots the topic's present revision a Last-Modified: now, or a second later than the one before.
pub(super) async fn list_revision(
    connection: &mut Connection,
    topic: &Topic,
    now: DateTime<Utc>,
) -> Result<()> {
    let last: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT modified_at FROM topics WHERE name = $1")
            .bind(topic.as_str())
            .fetch_one(&mut *connection)
            .await?;
    sqlx::query("UPDATE topics SET listed_revision = revision, modified_at = $2 WHERE name = $1")
        .bind(topic.as_str())
        .bind(next_modified(last, now))
        .execute(connection)
        .await?;
    Ok(())
}
