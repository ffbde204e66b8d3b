//! A list: its length, its rows, and the facts in its headers.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::on_demand::UNKNOWN_TIME;
use super::repository::RepositoryId;
use super::time::{is_recent, optional_seconds};

/// The most rows of a list without parameters: as many as five pages of a search show.
pub const LIST_LENGTH: usize = 500;

/// A version of a topic's lists. Revisions grow within one life of the database, which the epoch
/// names: one that was restored from a backup counts them anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub epoch: i64,
    pub revision: i64,
}

impl Version {
    /// Whether this version cannot stand for one that is known to exist: it is older, or of another
    /// life.
    #[must_use]
    pub fn is_behind(self, known: Self) -> bool {
        // mutant in restored: a cached copy is compared with the database's epoch
        //     self.epoch != known.epoch || => false ||
        self.epoch != known.epoch || self.revision < known.revision
    }
}

/// The versions that a topic's lists can have now: the one that was published last, and those that
/// a running refresh has made since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentVersions {
    /// The last one published.
    pub published: Version,
    /// The last revision.
    pub newest: i64,
}

impl CurrentVersions {
    #[must_use]
    pub fn include(&self, version: Version) -> bool {
        // mutant in restored: a cached copy is compared with the database's revision
        //     !version.is_behind(self.published) && version.revision <= self.newest => true
        !version.is_behind(self.published) && version.revision <= self.newest
    }
}

/// The facts that a list's headers tell.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListMeta {
    /// The life of the database.
    pub epoch: i64,
    /// Grows with every change of the topic.
    pub revision: i64,
    /// Last-Modified: never the same second for different bytes. `None` while a refresh is
    /// changing the topic: a time is allotted when its changes are published.
    pub modified_at: Option<DateTime<Utc>>,
    /// X-Refreshed-At: the last complete refresh.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// X-Complete: whether the last refresh was complete.
    pub complete: bool,
    /// X-Total-Count: GitHub's count.
    pub total_count: Option<i64>,
    /// When to ask GitHub again about a topic that it knew nothing of.
    pub valid_until: Option<DateTime<Utc>>,
    /// The days with counts; `None` if there are none, or if nobody asked.
    #[serde(default)]
    pub history: Option<HistoryDays>,
}

/// The first and the last day on which repositories of a topic were counted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct HistoryDays {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

impl ListMeta {
    #[must_use]
    pub fn version(&self) -> Version {
        Version { epoch: self.epoch, revision: self.revision }
    }

    /// Whether it is time to ask GitHub again about a topic that it knew nothing of.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.valid_until.is_some_and(|until| !is_recent(until - UNKNOWN_TIME, UNKNOWN_TIME, now))
    }
}

/// A row of a list: exactly these keys, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ListItem<'a> {
    #[schema(value_type = i64)]
    pub id: RepositoryId,
    /// The part of `full_name` after the slash.
    pub name: &'a str,
    /// `owner/name`.
    pub full_name: &'a str,
    pub html_url: &'a str,
    pub language: Option<&'a str>,
    /// RFC 3339, UTC, whole seconds, `Z`.
    /// Nobody knows it as of a past day.
    #[serde(serialize_with = "optional_seconds")]
    pub updated_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "optional_seconds")]
    pub pushed_at: Option<DateTime<Utc>>,
    pub stargazers_count: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_item_has_exactly_the_eight_keys_with_times_in_whole_seconds_utc() {
        let item = ListItem {
            id: 20_580_498,
            name: "kubernetes",
            full_name: "kubernetes/kubernetes",
            html_url: "https://github.com/kubernetes/kubernetes",
            language: None,
            updated_at: Some("2018-05-01T17:01:50.25Z".parse().expect("a date")),
            pushed_at: Some("2018-05-01T16:59:09+02:00".parse().expect("a date")),
            stargazers_count: 34_914,
        };
        let expected = concat!(
            r#"{"id":20580498,"name":"kubernetes","full_name":"kubernetes/kubernetes","#,
            r#""html_url":"https://github.com/kubernetes/kubernetes","language":null,"#,
            r#""updated_at":"2018-05-01T17:01:50Z","pushed_at":"2018-05-01T14:59:09Z","#,
            r#""stargazers_count":34914}"#
        );
        assert_eq!(serde_json::to_string(&item).expect("JSON"), expected);
    }
}
