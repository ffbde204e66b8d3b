//! The trait of a standby that reads go to.

use async_trait::async_trait;

use crate::model::list::Version;
use crate::model::topic::Topic;
use crate::store::StandbyState;

/// A standby of the database. SQLite has none.
#[async_trait]
pub trait StandbyStore: Send + Sync {
    /// Its state; `None` if there is no standby.
    fn standby(&self) -> Option<StandbyState> {
        None
    }

    /// Measures how far the standby is behind. It is read only if this is done each second.
    async fn measure_standby(&self) {}

    /// Notes a version of the topic's lists that the database has: older ones are not read from the
    /// standby.
    fn note_version(&self, _topic: &Topic, _version: Version) {}

    async fn close_standby(&self) {}
}
