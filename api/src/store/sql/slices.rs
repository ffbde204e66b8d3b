//! Slices that a run has read whole, so that the next run need not read them again.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::dialect::SqlStore;
use crate::model::repository::RepositoryId;
use crate::model::slice::Slice;
use crate::model::topic::Topic;
use crate::store::{Lease, Result, SliceStore};

#[async_trait]
impl SliceStore for SqlStore {
    async fn slices(
        &self,
        topic: &Topic,
        since: DateTime<Utc>,
    ) -> Result<Vec<(Slice, DateTime<Utc>)>> {
        let select = "SELECT created_from, created_to, read_at FROM slices
            WHERE topic = $1 AND read_at > $2";
        let rows: Vec<(DateTime<Utc>, DateTime<Utc>, DateTime<Utc>)> =
            query_as!(select, topic.as_str(), since).fetch_all(&mut self.reader().await?).await?;
        let slice = |(first, last, read_at)| (Slice::between(first, last), read_at);
        Ok(rows.into_iter().map(slice).collect())
    }

    async fn keep_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        began: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        let insert = "INSERT INTO slices (topic, created_from, created_to, refresh_id, read_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (topic, created_from, created_to) DO UPDATE
             SET refresh_id = excluded.refresh_id, read_at = excluded.read_at";
        query!(insert, topic.as_str(), slice.first(), slice.last(), lease.refresh, began)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Marks the repositories that an earlier run saw in the slice, or a later one confirmed, as
    /// confirmed by this run.
    async fn take_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        sizes: Option<RangeInclusive<i64>>,
        now: DateTime<Utc>,
    ) -> Result<Option<Vec<RepositoryId>>> {
        let (topic, first, last) = (topic.as_str(), slice.first(), slice.last());
        let mut transaction = self.write_as(lease, now).await?;
        // mutant in coverage: repositories of a slice that is taken over count as shown
        //     SET confirmed_in = $2 => SET confirmed_in = confirmed_in + 0 * $2
        let confirm = "UPDATE topic_repositories SET confirmed_in = $2, confirmed_at = $5
             WHERE topic = $1
               AND confirmed_in >= (SELECT refresh_id FROM slices
                                    WHERE topic = $1 AND created_from = $3 AND created_to = $4)
               AND repository_id IN
                   (SELECT id FROM repositories WHERE created_at BETWEEN $3 AND $4)
             RETURNING repository_id";
        let taken: Vec<RepositoryId> =
            query_scalar!(confirm, topic, lease.refresh, first, last, now)
                .fetch_all(&mut transaction)
                .await?;
        // mutant in coverage: a slice that repositories have left is read again
        //     !sizes.contains(&size) => false
        let size = taken.len() as i64;
        if sizes.is_some_and(|sizes| !sizes.contains(&size)) {
            transaction.rollback().await?;
            return Ok(None);
        }
        let take = "UPDATE slices SET refresh_id = $2
             WHERE topic = $1 AND created_from = $3 AND created_to = $4";
        query!(take, topic, lease.refresh, first, last).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Some(taken))
    }
}
