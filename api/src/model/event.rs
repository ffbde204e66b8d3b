//! Events: what happened to the repositories of a topic.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::repository::RepositoryId;
use super::topic::Topic;

/// How long events are kept.
pub const EVENT_TIME: TimeDelta = TimeDelta::days(400);

/// How long history is kept that no tracked topic needs any more.
pub const UNKEPT_TIME: TimeDelta = TimeDelta::days(90);

#[derive(
    Clone,
    Copy,
    Debug,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    VariantArray,
    Serialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventKind {
    Joined,
    Left,
    Renamed,
    Archived,
    Unarchived,
}

/// Why a repository left a topic.
#[derive(
    Clone,
    Copy,
    Debug,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
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
    /// The last stars seen by the end of the event's day.
    pub stars: Option<i64>,
    /// The address of the repository under `full_name`; `None` once the repository is deleted.
    pub html_url: Option<String>,
    // The repository's fields as they are now.
    pub description: Option<String>,
    pub language: Option<String>,
}

impl Event {
    /// The event's id within its topic, made of the content alone: the same in every database.
    #[must_use]
    pub fn id(&self) -> String {
        let kind: &str = self.kind.into();
        format!("{}-{kind}-{}", self.at.format("%Y%m%dT%H%M%SZ"), self.repository)
    }
}

/// An event of a repository, whichever topics have it.
#[derive(Clone, Debug, PartialEq)]
pub struct RepositoryEvent {
    /// In whole seconds.
    pub at: DateTime<Utc>,
    pub kind: EventKind,
    /// Of [`EventKind::Joined`] and [`EventKind::Left`].
    pub topic: Option<Topic>,
    /// Of [`EventKind::Left`].
    pub reason: Option<LeftReason>,
    /// The names before and after, of [`EventKind::Renamed`].
    pub renamed: Option<(String, String)>,
}

/// The events of a topic to read, newest first; those of one second come in the order of their ids.
#[derive(Clone, Debug)]
pub struct EventQuery {
    pub kinds: Vec<EventKind>,
    pub since: Option<DateTime<Utc>>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
    pub offset: i64,
    pub limit: i64,
}

/// A part of the events that match a query.
#[derive(Debug)]
pub struct EventPage {
    /// The number of all that match.
    pub matched: i64,
    pub events: Vec<Event>,
}
