//! A repository as the mirror keeps it: what people ask for of GitHub's search item.

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// GitHub's id, the only name of a repository that lasts.
pub type RepositoryId = i64;

/// One row of `repositories`, and whether it may be shown. Every field but the id, the names, the
/// address and `updated_at` may be missing from an answer.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Repository {
    /// GitHub's id.
    pub id: RepositoryId,
    /// The id of GitHub's GraphQL API.
    #[serde(default)]
    pub node_id: Option<String>,
    /// The part of `full_name` after the slash.
    pub name: String,
    /// `owner/name`; not unique in life.
    pub full_name: String,
    /// The owner's login.
    #[serde(default, deserialize_with = "login")]
    pub owner: Option<String>,
    /// Only whom the token belongs to may see it: never stored.
    #[serde(default, deserialize_with = "null_is_default")]
    pub private: bool,
    /// The page for people.
    pub html_url: String,
    /// The owner's words.
    #[serde(default)]
    pub description: Option<String>,
    /// Often the empty string.
    #[serde(default)]
    pub homepage: Option<String>,
    /// The main programming language.
    #[serde(default)]
    pub language: Option<String>,
    /// The licence's SPDX id; `NOASSERTION` where GitHub could not tell.
    #[serde(default, deserialize_with = "spdx_id")]
    pub license: Option<String>,
    /// Absent from old answers.
    #[serde(default)]
    pub topics: Option<Vec<String>>,
    /// The branch shown first.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// A fork; searches leave these out unless told otherwise.
    #[serde(default, deserialize_with = "null_is_default")]
    pub fork: bool,
    /// Read-only.
    #[serde(default, deserialize_with = "null_is_default")]
    pub archived: bool,
    /// Taken down by GitHub.
    #[serde(default, deserialize_with = "null_is_default")]
    pub disabled: bool,
    /// Offered as a template.
    #[serde(default, deserialize_with = "null_is_default")]
    pub is_template: bool,
    /// In KB.
    #[serde(default, deserialize_with = "null_is_default")]
    pub size: i64,
    /// Falls as well as rises.
    pub stargazers_count: i64,
    /// How often it was forked.
    #[serde(default, deserialize_with = "null_is_default")]
    pub forks_count: i64,
    /// Issues and pull requests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub open_issues_count: i64,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// Changes with every star.
    pub updated_at: DateTime<Utc>,
    /// The last push; can go backwards.
    #[serde(default)]
    pub pushed_at: Option<DateTime<Utc>>,
}

impl Repository {
    /// Reads an item of GitHub's. U+0000, which PostgreSQL's text cannot hold and GitHub sends now
    /// and then, is left out.
    ///
    /// # Errors
    /// What is missing or of another type.
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
            text.retain(|character| character != '\0');
        }
        Ok(repository)
    }

    /// Whether the repository still carries the topic; an answer without topics does not deny it.
    #[must_use]
    pub fn has_topic(&self, topic: &str) -> bool {
        self.topics.as_ref().is_none_or(|topics| topics.iter().any(|own| own == topic))
    }
}

/// What a list shows of a repository: exactly these keys, in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListItem<'a> {
    /// GitHub's id.
    pub id: RepositoryId,
    /// The part of `full_name` after the slash.
    pub name: &'a str,
    /// `owner/name`.
    pub full_name: &'a str,
    /// The page for people.
    pub html_url: &'a str,
    /// May be null.
    pub language: Option<&'a str>,
    /// RFC 3339, UTC, whole seconds, `Z`.
    #[serde(serialize_with = "seconds")]
    pub updated_at: DateTime<Utc>,
    /// The same; may be null.
    #[serde(serialize_with = "optional_seconds")]
    pub pushed_at: Option<DateTime<Utc>>,
    /// Stars at the last refresh.
    pub stargazers_count: i64,
}

/// A time as lists and reports show it: `2018-05-01T17:01:50Z`. Digit by digit, since chrono's own
/// way took a fifth of the CPU of a list from the database.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    let Some(year) = u32::try_from(time.year()).ok().filter(|year| *year <= 9_999) else {
        return time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    };
    let mut text = String::with_capacity("2018-05-01T17:01:50Z".len());
    let pairs = [
        (year / 100, ""),
        (year % 100, "-"),
        (time.month(), "-"),
        (time.day(), "T"),
        (time.hour(), ":"),
        (time.minute(), ":"),
        (time.second(), "Z"),
    ];
    for (number, then) in pairs {
        text.extend(
            [number / 10, number % 10].into_iter().filter_map(|digit| char::from_digit(digit, 10)),
        );
        text.push_str(then);
    }
    text
}

/// For `serialize_with`: [`rfc3339`].
///
/// # Errors
/// The serializer's own.
pub fn seconds<S: serde::Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// For `serialize_with`: [`rfc3339`] or null.
///
/// # Errors
/// The serializer's own.
pub fn optional_seconds<S: serde::Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
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
    fn a_list_shows_exactly_the_eight_keys_with_times_in_whole_seconds_utc() {
        let item = ListItem {
            id: 20_580_498,
            name: "kubernetes",
            full_name: "kubernetes/kubernetes",
            html_url: "https://github.com/kubernetes/kubernetes",
            language: None,
            updated_at: "2018-05-01T17:01:50.25Z".parse().expect("a date"),
            pushed_at: Some("2018-05-01T16:59:09+02:00".parse().expect("a date")),
            stargazers_count: 34_914,
        };
        let expected = concat!(
            r#"{"id":20580498,"name":"kubernetes","full_name":"kubernetes/kubernetes","#,
            r#""html_url":"https://github.com/kubernetes/kubernetes","language":null,"updated_at":"2018-05-01T17:01:50Z","#,
            r#""pushed_at":"2018-05-01T14:59:09Z","stargazers_count":34914}"#
        );
        assert_eq!(serde_json::to_string(&item).expect("JSON"), expected);
    }

    #[test]
    fn times_are_written_as_chrono_writes_them() {
        for seconds in [
            0,
            1_525_194_110,
            1_790_000_000,
            951_782_399,
            -62_167_219_200,
            253_402_300_799,
            253_402_300_800,
            -1,
        ] {
            let time = DateTime::from_timestamp(seconds, 999_999_999).expect("a date");
            assert_eq!(rfc3339(time), time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        }
    }

    #[test]
    fn what_no_database_can_hold_is_left_out() {
        let item = r#"{"id":1,"name":"b","full_name":"a/b","html_url":"x","stargazers_count":2,"updated_at":"2018-05-01T17:01:50Z",
            "description":"\u0000a\u0000b","topics":["c\u0000"],"owner":{"login":"a\u0000"},"language":"\\u0000"}"#;
        let read = Repository::from_json(item.as_bytes()).expect("valid");
        let Repository { description, topics, owner, language, .. } = read;
        assert_eq!(
            (description.as_deref(), owner.as_deref(), language.as_deref()),
            (Some("ab"), Some("a"), Some("\\u0000"))
        );
        assert_eq!(topics, Some(vec!["c".to_owned()]));
    }

    #[test]
    fn what_may_be_missing_may_also_be_null() {
        let mut item = json!({ "id": 1, "name": "b", "full_name": "a/b", "html_url": "https://github.com/a/b",
            "stargazers_count": 2, "updated_at": "2018-05-01T17:01:50Z" });
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
