//! Topics, and the revisions of their lists.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row as _;
use sqlx::types::Json;

use super::dialect::{Connection, EACH_NAME, Row, SqlStore};
use super::{history, text};
use crate::model::on_demand::OnDemandLimits;
use crate::model::time::CLOCK_SKEW;
use crate::model::topic::{Origin, SyncCursor, Topic, TopicState};
use crate::store::revision::{first_revision, next_modified};
use crate::store::{HistoryStore as _, Result, TopicStore, TrackOutcome};

const STATE: &str = "
    SELECT name, origin, tracked_at, last_read_at, unread_at, revision, modified_at, refreshed_at,
        complete, total_count, found, shrunk_to, shrunk_at, covered_at, changes_until,
        (SELECT count(*) FROM topic_repositories WHERE topic = name) AS stored
    FROM topics";

#[async_trait]
impl TopicStore for SqlStore {
    async fn configure(&self, topics: &[Topic], now: DateTime<Utc>) -> Result<()> {
        let mut transaction = self.write().await?;
        let insert = format!(
            "INSERT INTO topics (name, origin, tracked_at, last_read_at, revision)
             SELECT value, 'configured', $2, $2, $3 FROM {EACH_NAME} WHERE true
             ON CONFLICT (name) DO UPDATE SET origin = 'configured'
             WHERE topics.origin <> 'configured'"
        );
        query!(insert, Json(topics), now, first_revision(now)).execute(&mut transaction).await?;
        let update = format!(
            "UPDATE topics SET origin = 'on_demand', last_read_at = $2
             WHERE origin = 'configured' AND name NOT IN (SELECT value FROM {EACH_NAME})"
        );
        query!(update, Json(topics), now).execute(&mut transaction).await?;
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
        let known = "SELECT EXISTS (SELECT 1 FROM topics WHERE name = $1)";
        let known = query_scalar!(known, topic.as_str());
        let known: bool = known.fetch_one(&mut transaction).await?;
        if let (false, Some(limits)) = (known, limits)
            && let Some(refusal) = refusal(&mut transaction, limits, now).await?
        {
            transaction.rollback().await?;
            return Ok(refusal);
        }
        // An on-demand topic can become a requested one; no topic is ever demoted here.
        let insert = "INSERT INTO topics (name, origin, tracked_at, last_read_at, revision)
             VALUES ($1, $2, $3, $3, $4)
             ON CONFLICT (name) DO UPDATE SET origin = excluded.origin
             WHERE topics.origin = 'on_demand' AND excluded.origin <> 'on_demand'";
        query!(insert, topic.as_str(), <&str>::from(origin), now, first_revision(now))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(TrackOutcome::Tracked)
    }

    async fn topics(&self) -> Result<Vec<TopicState>> {
        let order = "ORDER BY origin = 'on_demand', origin = 'requested', name";
        let rows = query!(format!("{STATE} {order}")).fetch_all(&mut self.reader().await?).await?;
        Ok(rows.iter().map(state).collect::<sqlx::Result<_>>()?)
    }

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicState>> {
        let query = query!(format!("{STATE} WHERE name = $1"), topic.as_str());
        let row = query.fetch_optional(&mut self.reader().await?).await?;
        Ok(row.as_ref().map(state).transpose()?)
    }

    async fn mark_read(&self, topic: &Topic, now: DateTime<Utc>) -> Result<()> {
        let update = "UPDATE topics SET last_read_at = $2 WHERE name = $1 AND last_read_at < $2";
        query!(update, topic.as_str(), now).execute(&mut self.writer().await?).await?;
        Ok(())
    }

    async fn note_unread(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<()> {
        let update = "UPDATE topics SET unread_at = CASE WHEN last_read_at < $1 THEN $2 END
            WHERE origin = 'on_demand' AND (last_read_at < $1) <> (unread_at IS NOT NULL)";
        query!(update, since, now).execute(&mut self.writer().await?).await?;
        Ok(())
    }

    async fn delete_topic(
        &self,
        topic: &Topic,
        keep_history: bool,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut transaction = self.write().await?;
        end_its_refresh(&mut transaction, topic, now).await?;
        let known = "SELECT EXISTS (SELECT 1 FROM topics WHERE name = $1)
            OR $2 AND EXISTS (SELECT 1 FROM forgotten_topics WHERE topic = $1)";
        let is_known: bool =
            query_scalar!(known, topic.as_str(), !keep_history).fetch_one(&mut transaction).await?;
        let own = match keep_history {
            true => Vec::new(),
            false => history::own_repositories(&mut transaction, topic).await?,
        };
        history::forget(&mut transaction, topic, now).await?;
        query!("DELETE FROM topics WHERE name = $1", topic.as_str())
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        if !keep_history {
            self.delete_repositories(&own).await?;
            self.delete_topic_history(topic).await?;
        }
        Ok(is_known)
    }
}

/// Leaves out topics that GitHub knows nothing of, which are mostly typing errors and are deleted
/// after an hour.
const KNOWN: &str = "(coalesce(total_count, 1) > 0
    OR EXISTS (SELECT 1 FROM topic_repositories WHERE topic = name))";

/// The reason why readers may not add a topic, if there is one.
async fn refusal(
    connection: &mut Connection,
    limits: OnDemandLimits,
    now: DateTime<Utc>,
) -> Result<Option<TrackOutcome>> {
    let tracked = format!("SELECT count(*) FROM topics WHERE origin = 'on_demand' AND {KNOWN}");
    let tracked: i64 = query_scalar!(tracked).fetch_one(&mut *connection).await?;
    if tracked >= limits.topics {
        return Ok(Some(TrackOutcome::Full));
    }
    let hour = TimeDelta::hours(1);
    let select = format!(
        "SELECT tracked_at FROM topics WHERE origin = 'on_demand' AND tracked_at > $1
         AND tracked_at <= $3 AND {KNOWN} ORDER BY tracked_at DESC LIMIT $2",
    );
    let new: Vec<DateTime<Utc>> =
        query_scalar!(select, now - hour, limits.new_an_hour, now + CLOCK_SKEW)
            .fetch_all(&mut *connection)
            .await?;
    let full = i64::try_from(new.len()).is_ok_and(|new| new >= limits.new_an_hour);
    let oldest = new.last().filter(|_| full);
    Ok(oldest.map(|oldest| TrackOutcome::TooManyNew(*oldest + hour)))
}

/// Closes the running refresh of a topic that is being deleted, and takes its lease away.
async fn end_its_refresh(
    connection: &mut Connection,
    topic: &Topic,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let update =
        "UPDATE refreshes SET outcome = 'failed', finished_at = $2 WHERE finished_at IS NULL
         AND id = (SELECT refresh_id FROM leases WHERE name = $1 AND owner IS NOT NULL)";
    query!(update, topic.as_str(), now).execute(&mut *connection).await?;
    query!("UPDATE leases SET owner = NULL, fence = fence + 1 WHERE name = $1", topic.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

fn state(row: &Row) -> sqlx::Result<TopicState> {
    let shrunk_to: Option<i64> = row.try_get("shrunk_to")?;
    let shrunk_at: Option<DateTime<Utc>> = row.try_get("shrunk_at")?;
    Ok(TopicState {
        topic: text(row, "name")?,
        origin: text(row, "origin")?,
        tracked_at: row.try_get("tracked_at")?,
        last_read_at: row.try_get("last_read_at")?,
        unread_at: row.try_get("unread_at")?,
        revision: row.try_get("revision")?,
        modified_at: row.try_get("modified_at")?,
        refreshed_at: row.try_get("refreshed_at")?,
        complete: row.try_get("complete")?,
        total_count: row.try_get("total_count")?,
        found: row.try_get("found")?,
        shrunk: shrunk_to.zip(shrunk_at),
        stored: row.try_get("stored")?,
        cursor: SyncCursor {
            covered_at: row.try_get("covered_at")?,
            changes_until: row.try_get("changes_until")?,
        },
    })
}

/// The SET clause of a new revision that changes the headers of a topic's lists but not their rows:
/// such a revision keeps its Last-Modified.
// mutant in refreshes: a refresh that brings nothing does not move Last-Modified
//     WHEN listed_revision = revision => WHEN FALSE
pub(super) const NEW_HEADERS: &str = "revision = revision + 1, listed_revision =
    CASE WHEN listed_revision = revision THEN revision + 1 ELSE listed_revision END";

/// Makes a new revision after the rows of a topic's lists have changed.
pub(super) async fn new_revision(connection: &mut Connection, topic: &Topic) -> sqlx::Result<()> {
    let update = "UPDATE topics SET revision = revision + 1 WHERE name = $1";
    query!(update, topic.as_str()).execute(connection).await?;
    Ok(())
}

/// Allots a Last-Modified to the topic's revision unless it has one. A topic without a list gets
/// its first one only if `first` says so, or if it was imported.
pub(super) async fn allot(
    connection: &mut Connection,
    topic: &Topic,
    first: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // mutant in store: a revision has one Last-Modified however many callers allot it
    //     revision > listed_revision => TRUE
    let unlisted = "SELECT modified_at, refreshed_at IS NOT NULL
        FROM topics WHERE name = $1 AND revision > listed_revision";
    let unlisted = query_as!(unlisted, topic.as_str());
    let unlisted: Option<(Option<DateTime<Utc>>, bool)> =
        unlisted.fetch_optional(&mut *connection).await?;
    let Some((last, has_rows)) = unlisted else { return Ok(()) };
    if !(first || has_rows || last.is_some()) {
        return Ok(());
    }
    query!(
        "UPDATE topics SET listed_revision = revision, modified_at = $2 WHERE name = $1",
        topic.as_str(),
        next_modified(last, now)
    )
    .execute(connection)
    .await?;
    Ok(())
}
