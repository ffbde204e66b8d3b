//! The events of a repository in words.

use chrono::{DateTime, Utc};

use super::super::words::Moment;
use crate::model::event::{EventKind, LeftReason, RepositoryEvent};

pub(super) struct EventView {
    pub(super) at: Moment,
    pub(super) words: String,
}

impl EventView {
    pub(super) fn new(event: &RepositoryEvent, now: DateTime<Utc>) -> Self {
        Self { at: Moment::new(event.at, now), words: words(event) }
    }
}

fn words(event: &RepositoryEvent) -> String {
    let topic = event.topic.as_ref().map(ToString::to_string).unwrap_or_default();
    match (event.kind, event.reason, &event.renamed) {
        (EventKind::Joined, ..) => format!("joined {topic}"),
        (EventKind::Left, Some(LeftReason::Deleted), _) => format!("left {topic}: it was deleted"),
        (EventKind::Left, Some(LeftReason::Private), _) => {
            format!("left {topic}: it became private")
        }
        (EventKind::Left, ..) => format!("left {topic}: the topic was removed"),
        (EventKind::Renamed, _, Some((from, to))) => format!("renamed from {from} to {to}"),
        (EventKind::Renamed, ..) => "renamed".to_owned(),
        (EventKind::Archived, ..) => "archived".to_owned(),
        (EventKind::Unarchived, ..) => "no longer archived".to_owned(),
    }
}
