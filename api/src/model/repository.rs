//! A repository: the fields of GitHub's search item that the mirror keeps.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// GitHub's id, the only name of a repository that lasts.
pub type RepositoryId = i64;

/// A repository as the store keeps it, which is serialized as the row that the store writes: the
/// owner's login and the licence's SPDX id stand for the objects that GitHub sends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repository {
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
    pub created_at: Option<DateTime<Utc>>,
    /// Changes with every star.
    pub updated_at: DateTime<Utc>,
    /// The last push; can go backwards.
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

/// Whether an address is one that pages may link: http or https.
#[must_use]
pub fn is_http(address: &str) -> bool {
    let starts = |scheme: &str| {
        address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts("https://") || starts("http://")
}
