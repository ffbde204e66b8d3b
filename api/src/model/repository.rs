//! A repository: the fields of GitHub's search item that the mirror keeps, and what is known of it
//! besides.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::time::{optional_seconds, seconds};
use super::topic::Topic;

/// GitHub's id, the only name of a repository that lasts.
pub type RepositoryId = i64;

/// The largest id, and the largest count, that is believed. GitHub has a thousandth of so many
/// repositories.
pub const MAX_COUNT: i64 = 1_000_000_000_000;

/// Far more than the 140 bytes of GitHub's own names.
const MAX_NAME_BYTES: usize = 400;

/// A repository as the store keeps it, which is serialized as the row that the store writes and for
/// clients: the owner's login and the licence's SPDX id stand for the objects that GitHub sends.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Repository {
    #[schema(value_type = i64)]
    pub id: RepositoryId,
    /// The id of GitHub's GraphQL API.
    pub node_id: Option<String>,
    /// The part of `full_name` after the slash.
    pub name: String,
    /// `owner/name`. Another repository may have had it before.
    pub full_name: String,
    /// The owner's login.
    pub owner: Option<String>,
    /// Visible to the token's owner alone; the mirror never stores such a repository.
    #[serde(skip)]
    pub private: bool,
    /// Private, but visible to every member of a GitHub Enterprise.
    #[serde(skip)]
    pub internal: bool,
    pub html_url: String,
    pub description: Option<String>,
    /// Often the empty string.
    pub homepage: Option<String>,
    /// The main programming language.
    pub language: Option<String>,
    /// The licence's SPDX id; `NOASSERTION` if GitHub could not tell.
    pub license: Option<String>,
    /// `None` in answers of GitHub's older than topics.
    pub topics: Option<Vec<String>>,
    /// Some topics are not among those.
    #[serde(skip)]
    pub topics_cut: bool,
    pub default_branch: Option<String>,
    /// Searches leave forks out unless asked for them.
    pub fork: bool,
    pub archived: bool,
    /// Taken down by GitHub.
    pub disabled: bool,
    pub is_template: bool,
    /// In KB.
    pub size: i64,
    /// Falls as well as rises.
    pub stargazers_count: i64,
    pub forks_count: i64,
    /// Issues and pull requests.
    pub open_issues_count: i64,
    #[serde(serialize_with = "optional_seconds")]
    pub created_at: Option<DateTime<Utc>>,
    /// Changes with every star.
    #[serde(serialize_with = "seconds")]
    pub updated_at: DateTime<Utc>,
    /// The last push; can go backwards.
    #[serde(serialize_with = "optional_seconds")]
    pub pushed_at: Option<DateTime<Utc>>,
}

impl Repository {
    /// Whether the repository may still carry the topic; an answer without topics, or with more of
    /// them than the mirror reads, does not deny it.
    #[must_use]
    pub fn has_topic(&self, topic: &str) -> bool {
        let has = |topics: &Vec<String>| topics.iter().any(|own| own == topic);
        self.topics_cut || self.topics.as_ref().is_none_or(has)
    }
}

/// A repository's places in a topic that has it, each from 1 in the order of the topic's lists.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Places {
    pub topic: Topic,
    /// `None` if GitHub's best match does not show the repository.
    pub best_match: Option<i64>,
    pub popularity: i64,
    pub activity: i64,
    /// `None` if the topic had the repository before it was tracked.
    #[serde(serialize_with = "optional_seconds")]
    pub joined_at: Option<DateTime<Utc>>,
}

/// A name that a repository has no longer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FormerName {
    pub full_name: String,
    /// When a refresh first saw the next name.
    #[serde(serialize_with = "seconds")]
    pub until: DateTime<Utc>,
}

/// A repository as the database has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRepository {
    pub repository: Repository,
    /// The topics with a list that have the repository, by name.
    pub topics: Vec<Topic>,
    /// The last one first.
    pub former_names: Vec<FormerName>,
}

/// Everything about a repository but its days.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RepositoryDetails {
    #[serde(flatten)]
    pub repository: Repository,
    /// By topic. Empty if the repository has left every topic.
    pub topics_ranked: Vec<Places>,
    /// The last one first.
    pub former_names: Vec<FormerName>,
}

/// The answer to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOwner {
    /// The repository that has the name now.
    Present(RepositoryId),
    /// The present name of the repository that had the name last; no other one has it now.
    Former(String),
}

/// `owner/name` as a client writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullName(String);

/// The text is no name of a repository; displays the rule for clients.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq)]
#[error("a repository is named OWNER/NAME")]
pub struct InvalidName;

impl FullName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case: GitHub compares names without case.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FromStr for FullName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_part = |part: &str| !part.is_empty() && !part.contains('/');
        let has_parts =
            text.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name));
        let is_valid =
            has_parts && text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The address of a repository under another of its names, which leads to the present one.
#[must_use]
pub fn address_under(full_name: &str, html_url: &str) -> String {
    let site = html_url.match_indices('/').nth(2).map_or(html_url, |(end, _)| &html_url[..end]);
    format!("{site}/{full_name}")
}

/// Whether an address is one that pages may link: http or https.
#[must_use]
pub fn is_http(address: &str) -> bool {
    let starts = |scheme: &str| {
        address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts("https://") || starts("http://")
}
