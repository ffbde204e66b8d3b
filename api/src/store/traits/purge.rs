//! The trait of purges.

use async_trait::async_trait;

use crate::model::topic::Topic;
use crate::store::Result;

/// A topic, and the published revision of its lists; `None` if it was deleted.
pub type Change = (Topic, Option<i64>);

/// The changes of topics that the CDN was told of.
#[async_trait]
pub trait PurgeStore: Send + Sync {
    /// The changes that are not purged yet, by topic.
    async fn unpurged(&self) -> Result<Vec<Change>>;

    /// Notes that these changes are purged. With the revision 0, the topic's next change is to be
    /// purged even if that is its deletion.
    async fn note_purged(&self, changes: &[Change]) -> Result<()>;
}
