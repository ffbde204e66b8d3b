//! The trait of slices.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::model::repository::RepositoryId;
use crate::model::slice::Slice;
use crate::model::topic::Topic;
use crate::store::{Lease, Result};

/// Slices of a topic that a run has read whole, which need not be read again.
#[async_trait]
pub trait SliceStore: Send + Sync {
    /// The slices of a topic that were read whole since then, and when each reading began.
    async fn slices(
        &self,
        topic: &Topic,
        since: DateTime<Utc>,
    ) -> Result<Vec<(Slice, DateTime<Utc>)>>;

    /// Notes that the run has read a slice whole, beginning at `began`.
    async fn keep_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        began: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Takes over a slice that an earlier run has read, and returns its repositories: they count as
    /// shown by this run. If their number is not among `sizes`, returns `None` and changes nothing.
    async fn take_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        sizes: Option<RangeInclusive<i64>>,
        now: DateTime<Utc>,
    ) -> Result<Option<Vec<RepositoryId>>>;
}
