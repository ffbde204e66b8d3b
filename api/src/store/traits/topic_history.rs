//! The history of a topic, for readers.

use std::ops::ControlFlow;

use async_trait::async_trait;

use crate::model::counts::Span;
use crate::model::event::{EventPage, EventQuery};
use crate::model::list::ListMeta;
use crate::model::topic::Topic;
use crate::model::topic_day::TopicDay;
use crate::store::Result;

/// A receiver of the counts of a topic's repositories. It breaks off the reading when it can take
/// no more.
#[async_trait]
pub trait CountsSink: Send {
    /// The facts about the topic, before its repositories.
    async fn begin(&mut self, meta: ListMeta) -> ControlFlow<()>;

    /// All counts of a repository, which has the name now, in the order of their days.
    async fn repository(&mut self, full_name: &str, spans: &[Span]) -> ControlFlow<()>;
}

/// The days and events of a topic. Each read sees one instant.
#[async_trait]
pub trait TopicHistoryStore: Send + Sync {
    /// The days of a topic, oldest first; `None` if it is not tracked.
    async fn topic_days(&self, topic: &Topic) -> Result<Option<Vec<TopicDay>>>;

    /// Events of a topic; `None` if it is not tracked.
    async fn events(&self, topic: &Topic, query: &EventQuery) -> Result<Option<EventPage>>;

    /// Gives the counts of every repository that the topic has to the sink, in the order of their
    /// ids; false if the topic has no list. The transaction lasts as long as the sink takes.
    async fn counts(&self, topic: &Topic, sink: &mut dyn CountsSink) -> Result<bool>;
}
