//! A repository: the fields of GitHub's search item that the mirror keeps.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// GitHub's id, the only name of a repository that lasts.
pub type RepositoryId = i64;

/// A repository as GitHub sends it and as the store keeps it. It is deserialized from an item of
/// GitHub's and serialized as the row that the store writes: the owner's login and the licence's
/// SPDX id stand for the objects that GitHub sends. Only the id, the names, the address, the stars
/// and `updated_at` must be there.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Repository {
    pub id: RepositoryId,
    /// The id of GitHub's GraphQL API.
    #[serde(default)]
    pub node_id: Option<String>,
    /// The part of `full_name` after the slash.
    pub name: String,
    /// `owner/name`. Another repository may have had it before.
    pub full_name: String,
    /// The owner's login.
    #[serde(default, deserialize_with = "login")]
    pub owner: Option<String>,
    /// Visible to the token's owner alone; the mirror never stores such a repository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing)]
    pub private: bool,
    pub html_url: String,
    #[serde(default)]
    pub description: Option<String>,
    /// Often the empty string.
    #[serde(default)]
    pub homepage: Option<String>,
    /// The main programming language.
    #[serde(default)]
    pub language: Option<String>,
    /// The licence's SPDX id; `NOASSERTION` if GitHub could not tell.
    #[serde(default, deserialize_with = "spdx_id")]
    pub license: Option<String>,
    /// `None` in answers of GitHub's older than topics.
    #[serde(default)]
    pub topics: Option<Vec<String>>,
    #[serde(default)]
    pub default_branch: Option<String>,
    /// Searches leave forks out unless asked for them.
    #[serde(default, deserialize_with = "null_is_default")]
    pub fork: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    pub archived: bool,
    /// Taken down by GitHub.
    #[serde(default, deserialize_with = "null_is_default")]
    pub disabled: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    pub is_template: bool,
    /// In KB.
    #[serde(default, deserialize_with = "null_is_default")]
    pub size: i64,
    /// Falls as well as rises.
    pub stargazers_count: i64,
    #[serde(default, deserialize_with = "null_is_default")]
    pub forks_count: i64,
    /// Issues and pull requests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub open_issues_count: i64,
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// Changes with every star.
    pub updated_at: DateTime<Utc>,
    /// The last push; can go backwards.
    #[serde(default)]
    pub pushed_at: Option<DateTime<Utc>>,
}

impl Repository {
    /// Reads an item of GitHub's without U+0000, which GitHub sends now and then and PostgreSQL's
    /// text cannot hold.
    ///
    /// # Errors
    /// The field that is missing or of another type.
    pub fn from_json(item: &[u8]) -> serde_json::Result<Self> {
        let mut repository: Self = serde_json::from_slice(item)?;
        let Self {
            name,
            full_name,
            html_url,
            owner,
            description,
            homepage,
            language,
            node_id,
            license,
            default_branch,
            topics,
            ..
        } = &mut repository;
        let optional = [owner, description, homepage, language, node_id, license, default_branch];
        let texts = [name, full_name, html_url].into_iter().chain(optional.into_iter().flatten());
        for text in texts.chain(topics.iter_mut().flatten()) {
            // mutant in repository: U+0000 is left out
            //     character != '\0' => character == character
            text.retain(|character| character != '\0');
        }
        Ok(repository)
    }

    /// Whether the repository may still carry the topic; an answer without topics does not deny it.
    #[must_use]
    pub fn has_topic(&self, topic: &str) -> bool {
        self.topics.as_ref().is_none_or(|topics| topics.iter().any(|own| own == topic))
    }
}

fn login<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Owner {
        login: Option<String>,
    }
    Ok(Option::<Owner>::deserialize(deserializer)?.and_then(|owner| owner.login))
}

fn spdx_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct License {
        spdx_id: Option<String>,
    }
    Ok(Option::<License>::deserialize(deserializer)?.and_then(|license| license.spdx_id))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn from_json_leaves_out_u0000() {
        let item = r#"{"id":1,"name":"b","full_name":"a/b","html_url":"x","stargazers_count":2,
            "updated_at":"2018-05-01T17:01:50Z","description":"\u0000a\u0000b",
            "topics":["c\u0000"],"owner":{"login":"a\u0000"},"language":"\\u0000"}"#;
        let read = Repository::from_json(item.as_bytes()).expect("valid");
        let Repository { description, topics, owner, language, .. } = read;
        assert_eq!(
            (description.as_deref(), owner.as_deref(), language.as_deref()),
            (Some("ab"), Some("a"), Some("\\u0000"))
        );
        assert_eq!(topics, Some(vec!["c".to_owned()]));
    }

    #[test]
    fn optional_fields_may_be_missing_or_null() {
        let mut item = json!({ "id": 1, "name": "b", "full_name": "a/b",
            "html_url": "https://github.com/a/b", "stargazers_count": 2,
            "updated_at": "2018-05-01T17:01:50Z" });
        let missing: Repository =
            serde_json::from_value(item.clone()).expect("what is needed is there");
        for key in [
            "node_id",
            "owner",
            "description",
            "homepage",
            "language",
            "license",
            "topics",
            "default_branch",
            "fork",
            "archived",
            "disabled",
            "is_template",
            "size",
            "forks_count",
            "open_issues_count",
            "created_at",
            "pushed_at",
        ] {
            item[key] = serde_json::Value::Null;
        }
        assert_eq!(serde_json::from_value::<Repository>(item).expect("nulls"), missing);
        assert!(missing.has_topic("kubernetes"), "an answer without topics does not deny it");
    }
}
