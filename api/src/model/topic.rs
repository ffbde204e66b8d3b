//! A topic: its name, why it is tracked, how much of it is kept, and its state.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

/// The longest topic that GitHub allows, in characters.
const MAX_LENGTH: usize = 50;

/// How far before the last run's beginning the next run looks for changes. Clocks differ, and
/// GitHub's index lags behind its data.
pub const CHANGES_OVERLAP: TimeDelta = TimeDelta::minutes(5);

/// A valid topic: 1 to 50 lower-case letters, digits and hyphens, the first one not a hyphen.
/// Source: GitHub's "Classifying your repository with topics".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,49}$", examples("kubernetes"))]
pub struct Topic(Arc<str>);

/// The text is no topic; displays the rule for clients.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq)]
#[error("a topic is 1 to 50 letters, digits and hyphens, and does not start with a hyphen")]
pub struct InvalidTopic;

impl Topic {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    /// Upper case is folded, as GitHub does.
    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let valid = !text.is_empty()
            && text.len() <= MAX_LENGTH
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if valid { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(InvalidTopic) }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Why a topic is tracked, which decides for how long.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    /// TOPICS names it.
    Configured,
    /// `POST /update_cache` or `api refresh` asked for it.
    Requested,
    /// A reader asked for it; it is deleted when nobody reads it.
    OnDemand,
}

/// A row of `topics`.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicState {
    pub topic: Topic,
    pub origin: Origin,
    pub tracked_at: DateTime<Utc>,
    /// The last read, to the hour.
    pub last_read_at: DateTime<Utc>,
    /// When an on-demand topic was first found to be unread, if it still is.
    pub unread_at: Option<DateTime<Utc>>,
    /// Counts every change that the topic's lists could show.
    pub revision: i64,
    /// Last-Modified of the topic's lists; `None` while there is no list to serve.
    pub modified_at: Option<DateTime<Utc>>,
    /// The end of the last complete refresh.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// Whether the last refresh was complete.
    pub complete: bool,
    /// GitHub's count of the topic's repositories.
    pub total_count: Option<i64>,
    /// The number of repositories that the last complete refresh found.
    pub found: Option<i64>,
    /// A result less than half as large as `found`, and when a run saw it. It counts once a later
    /// run agrees.
    pub shrunk: Option<(i64, DateTime<Utc>)>,
    /// The number of repositories kept.
    pub stored: i64,
    pub cursor: SyncCursor,
}

/// How much of a topic is kept.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    Serialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Coverage {
    /// The first 500 of each ranking.
    #[default]
    Top,
    /// Every repository.
    Complete,
}

/// COVERAGE, and the coverages that TOPICS gives single topics.
#[derive(Clone, Debug, Default)]
pub struct Coverages {
    /// COVERAGE.
    pub default: Coverage,
    /// `topic:complete` and `topic:top`.
    pub own: Vec<(Topic, Coverage)>,
}

impl Coverages {
    /// The coverage of a topic. A topic that readers brought is always `Top`, since anyone can be a
    /// reader and a complete topic costs hundreds of requests.
    #[must_use]
    pub fn of(&self, topic: &Topic, origin: Origin) -> Coverage {
        if origin == Origin::OnDemand {
            return Coverage::Top;
        }
        let own = self.own.iter().find(|(own, _)| own == topic);
        own.map_or(self.default, |(_, coverage)| *coverage)
    }
}

/// How far earlier runs have read a topic that is kept whole. Times are those of a run's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCursor {
    /// The last run that saw every repository; `None` when the next run must.
    pub covered_at: Option<DateTime<Utc>>,
    /// Every change up to this `updated_at` was seen.
    pub changes_until: Option<DateTime<Utc>>,
}

impl SyncCursor {
    /// The cursor after a run that began at `began`, saw every change, and saw `newest` as the
    /// newest `updated_at`.
    #[must_use]
    pub fn after(
        covered_at: DateTime<Utc>,
        began: DateTime<Utc>,
        newest: Option<DateTime<Utc>>,
    ) -> Self {
        let until = began - CHANGES_OVERLAP;
        let until = newest.map_or(until, |newest| newest.min(until));
        Self { covered_at: Some(covered_at), changes_until: Some(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_folds_upper_case_and_refuses_names_that_github_refuses() {
        let folded = "KuberNetes".parse::<Topic>().map(|topic| topic.to_string());
        assert_eq!(folded, Ok("kubernetes".to_owned()));
        for valid in ["c", "3d", "web-components", &"a".repeat(50)] {
            assert!(valid.parse::<Topic>().is_ok(), "{valid}");
        }
        for invalid in ["", "-a", "a b", "a_b", "c++", "é", "a/b", &"a".repeat(51)] {
            assert_eq!(invalid.parse::<Topic>(), Err(InvalidTopic), "{invalid}");
        }
    }
}
