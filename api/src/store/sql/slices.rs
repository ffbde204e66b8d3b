//! Slices that a run has read whole, so that the next run need not read them again.

use chrono::{DateTime, Utc};

use super::dialect::Connection;
use crate::model::repository::RepositoryId;
use crate::model::slice::Slice;
use crate::model::topic::Topic;
use crate::store::Lease;

pub(super) async fn read_since(
    connection: &mut Connection,
    topic: &Topic,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<(Slice, DateTime<Utc>)>> {
    let rows: Vec<(DateTime<Utc>, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "SELECT created_from, created_to, read_at FROM slices WHERE topic = $1 AND read_at > $2",
    )
    .bind(topic.as_str())
    .bind(since)
    .fetch_all(connection)
    .await?;
    let slice = |(first, last, read_at)| (Slice::between(first, last), read_at);
    Ok(rows.into_iter().map(slice).collect())
}

pub(super) async fn keep(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    slice: Slice,
    began: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO slices (topic, created_from, created_to, refresh_id, read_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (topic, created_from, created_to) DO UPDATE
         SET refresh_id = excluded.refresh_id, read_at = excluded.read_at",
    )
    .bind(topic.as_str())
    .bind(slice.first())
    .bind(slice.last())
    .bind(lease.refresh)
    .bind(began)
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks the repositories that an earlier run saw in the slice, or a later one confirmed, as
/// confirmed by this run, and returns them.
pub(super) async fn take(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    slice: Slice,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<RepositoryId>> {
    // mutant in coverage: repositories of a slice that is taken over count as shown
    //     SET confirmed_in = $2 => SET confirmed_in = confirmed_in + 0 * $2
    let taken = sqlx::query_scalar(
        "UPDATE topic_repositories SET confirmed_in = $2, confirmed_at = $5
         WHERE topic = $1
           AND confirmed_in >= (SELECT refresh_id FROM slices
                                WHERE topic = $1 AND created_from = $3 AND created_to = $4)
           AND repository_id IN (SELECT id FROM repositories WHERE created_at BETWEEN $3 AND $4)
         RETURNING repository_id",
    )
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(slice.first())
    .bind(slice.last())
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE slices SET refresh_id = $2
         WHERE topic = $1 AND created_from = $3 AND created_to = $4",
    )
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(slice.first())
    .bind(slice.last())
    .execute(connection)
    .await?;
    Ok(taken)
}

pub(super) async fn delete_all(connection: &mut Connection, topic: &Topic) -> sqlx::Result<()> {
    let delete = sqlx::query("DELETE FROM slices WHERE topic = $1").bind(topic.as_str());
    delete.execute(connection).await?;
    Ok(())
}
