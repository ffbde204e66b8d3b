//! The history of a topic, for readers.

use async_trait::async_trait;

use crate::model::event::{EventPage, EventQuery};
use crate::model::topic::Topic;
use crate::model::topic_day::TopicDay;
use crate::store::Result;

/// The days and events of a topic. Each read sees one instant.
#[async_trait]
pub trait TopicHistoryStore: Send + Sync {
    /// The days of a topic, oldest first; `None` if it is not tracked.
    async fn topic_days(&self, topic: &Topic) -> Result<Option<Vec<TopicDay>>>;

    /// Events of a topic; `None` if it is not tracked.
    async fn events(&self, topic: &Topic, query: &EventQuery) -> Result<Option<EventPage>>;
}
