//! Events: what happened to the repositories of a topic.

use chrono::{DateTime, TimeDelta, Utc};
use strum::{EnumString, IntoStaticStr};

use super::repository::RepositoryId;
use super::topic::Topic;

/// How long events are kept.
pub const EVENT_TIME: TimeDelta = TimeDelta::days(400);

/// How long history is kept that no tracked topic needs any more.
pub const UNKEPT_TIME: TimeDelta = TimeDelta::days(90);

#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, PartialOrd, Ord)]
#[strum(serialize_all = "snake_case")]
pub enum EventKind {
    Joined,
    Left,
    Renamed,
    Archived,
    Unarchived,
}

/// Why a repository left a topic.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, PartialOrd, Ord)]
#[strum(serialize_all = "snake_case")]
pub enum LeftReason {
    TopicRemoved,
    /// Taken down by GitHub as well.
    Deleted,
    Private,
}

/// An event of a topic. Topic, time, repository and kind identify it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub topic: Topic,
    /// In whole seconds.
    pub at: DateTime<Utc>,
    pub kind: EventKind,
    pub repository: RepositoryId,
    /// The name after the event.
    pub full_name: String,
    /// Of [`EventKind::Left`].
    pub reason: Option<LeftReason>,
    /// The names before and after, of [`EventKind::Renamed`].
    pub renamed: Option<(String, String)>,
}
