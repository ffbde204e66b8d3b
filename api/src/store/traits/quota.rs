//! The trait of GitHub's limits.

use async_trait::async_trait;

use crate::model::quota::{Quota, Resource};
use crate::store::Result;

/// GitHub's limits, shared by every process.
#[async_trait]
pub trait QuotaStore: Send + Sync {
    async fn quota(&self, resource: Resource) -> Result<Quota>;

    /// Stores the quota unless another process has changed it since it was read; false then.
    async fn save_quota(&self, resource: Resource, quota: &Quota) -> Result<bool>;
}
