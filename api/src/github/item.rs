//! An item of GitHub's as the mirror keeps it. Only the id, the names, the address, the stars and
//! `updated_at` can make an item unreadable: any other field that cannot be read is absent.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Datelike, Utc};
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::bounded::Bounded;
use crate::model::repository::{MAX_COUNT, Repository, is_http};
use crate::model::run::Skipped;

/// The most characters of a name, and of any other text that is not a description or an address.
pub(super) const MAX_NAME: usize = 400;

/// The most characters of a description or a homepage; a longer one is cut.
pub(super) const MAX_TEXT: usize = 2_000;

/// GitHub's own limit for a repository's topics.
pub(super) const MAX_TOPICS: usize = 20;

/// The years that both databases can hold and that lists can show.
pub(super) const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// The fields that the mirror keeps.
pub(super) const KEPT: [&str; 25] = [
    "id",
    "node_id",
    "name",
    "full_name",
    "owner",
    "private",
    "visibility",
    "html_url",
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
    "stargazers_count",
    "forks_count",
    "open_issues_count",
    "created_at",
    "updated_at",
    "pushed_at",
];

/// A repository, and how many of its fields are not as GitHub sent them.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub repository: Repository,
    /// Fields that could not be read or were too long.
    pub mended: usize,
}

impl Item {
    /// Reads an item without U+0000, which GitHub sends now and then and PostgreSQL's text cannot
    /// hold.
    ///
    /// # Errors
    /// The field that is missing, of another type or too long.
    pub fn read(text: &str) -> Result<Self, Skipped> {
        let Ok(mut fields) = serde_json::from_str::<Fields<'_>>(text) else {
            return Err(Skipped { id: None, reason: "it is no object".to_owned() });
        };
        let repository = fields
            .repository()
            .map_err(|reason| Skipped { id: fields.number("id").ok(), reason })?;
        Ok(Self { repository, mended: fields.mended })
    }
}

/// The fields of an item as JSON. Those that the mirror does not keep take no memory.
struct Fields<'a> {
    values: HashMap<&'static str, &'a RawValue>,
    mended: usize,
}

impl Fields<'_> {
    fn repository(&mut self) -> Result<Repository, String> {
        let updated_at = self.required::<DateTime<Utc>>("updated_at")?;
        if !YEARS.contains(&updated_at.year()) {
            return Err(unreadable("updated_at"));
        }
        let html_url = self.name("html_url")?;
        if !is_http(&html_url) {
            return Err("`html_url` is not an http or https address".to_owned());
        }
        let (topics, is_cut) = self.topics();
        Ok(Repository {
            id: self.number("id")?,
            node_id: self.short("node_id"),
            name: self.name("name")?,
            full_name: self.name("full_name")?,
            owner: self.optional::<Owner>("owner").and_then(|owner| self.bounded(owner.login?)),
            private: self.optional("private").unwrap_or_default(),
            internal: self.optional::<String>("visibility").is_some_and(|text| text == "internal"),
            html_url,
            description: self.cut("description"),
            // Often the empty string.
            homepage: self.cut("homepage").filter(|text| text.is_empty() || is_http(text)),
            language: self.short("language"),
            license: self
                .optional::<License>("license")
                .and_then(|license| self.bounded(license.spdx_id?)),
            topics,
            topics_cut: is_cut,
            default_branch: self.short("default_branch"),
            fork: self.optional("fork").unwrap_or_default(),
            archived: self.optional("archived").unwrap_or_default(),
            disabled: self.optional("disabled").unwrap_or_default(),
            is_template: self.optional("is_template").unwrap_or_default(),
            size: self.count("size"),
            stargazers_count: self.number("stargazers_count")?,
            forks_count: self.count("forks_count"),
            open_issues_count: self.count("open_issues_count"),
            created_at: self.date("created_at"),
            updated_at,
            pushed_at: self.date("pushed_at"),
        })
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let value = self.values.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
        serde_json::from_str(value.get()).map_err(|_| unreadable(name))
    }

    /// A required text.
    fn name(&self, name: &str) -> Result<String, String> {
        let text = without_nul(self.required(name)?);
        // mutant in github::item: an item with an over-long name is skipped
        //     is_longer(&text, MAX_NAME) => false
        if is_longer(&text, MAX_NAME) {
            return Err(format!("`{name}` is longer than {MAX_NAME} characters"));
        }
        Ok(text)
    }

    /// A required id or count.
    fn number(&self, name: &str) -> Result<i64, String> {
        self.required(name).map(|Number(number)| number)
    }

    /// A count that is 0 if it cannot be read.
    fn count(&mut self, name: &str) -> i64 {
        self.optional(name).map_or(0, |Number(number)| number)
    }

    /// A value that is absent if it cannot be read.
    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.values.get(name)?;
        let read = serde_json::from_str::<Option<T>>(value.get());
        self.mended += usize::from(read.is_err());
        read.ok().flatten()
    }

    /// The first topics, and whether some are left out. `None` in answers of GitHub's older than
    /// topics.
    fn topics(&mut self) -> (Option<Vec<String>>, bool) {
        let topics = self.optional::<Bounded<String, MAX_TOPICS>>("topics");
        let Some(Bounded { first, is_cut }) = topics else { return (None, false) };
        let count = first.len();
        let topics = first.into_iter().filter(|topic| !is_longer(topic, MAX_NAME));
        let topics: Vec<String> = topics.map(without_nul).collect();
        let is_cut = is_cut || topics.len() < count;
        self.mended += usize::from(is_cut);
        (Some(topics), is_cut)
    }

    /// A text that is cut if it is too long.
    fn cut(&mut self, name: &str) -> Option<String> {
        let mut text = without_nul(self.optional(name)?);
        if is_longer(&text, MAX_TEXT) {
            let end = text.char_indices().nth(MAX_TEXT - 1).map_or(0, |(end, _)| end);
            text.truncate(end);
            text.push('…');
            self.mended += 1;
        }
        Some(text)
    }

    /// A text that means nothing when it is cut, so it is absent if it is too long.
    fn short(&mut self, name: &str) -> Option<String> {
        let text = self.optional(name)?;
        self.bounded(text)
    }

    fn bounded(&mut self, text: String) -> Option<String> {
        let text = Some(without_nul(text)).filter(|text| !is_longer(text, MAX_NAME));
        self.mended += usize::from(text.is_none());
        text
    }

    fn date(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let date = self.optional::<DateTime<Utc>>(name)?;
        let is_usual = YEARS.contains(&date.year());
        self.mended += usize::from(!is_usual);
        Some(date).filter(|_| is_usual)
    }
}

fn unreadable(name: &str) -> String {
    format!("`{name}` cannot be read")
}

fn is_longer(text: &str, most: usize) -> bool {
    text.chars().nth(most).is_some()
}

fn without_nul(mut text: String) -> String {
    // mutant in github::item: U+0000 is left out
    //     character != '\0' => character == character
    text.retain(|character| character != '\0');
    text
}

/// An id or a count that can be right. The database adds counts up in 64 bits.
#[derive(Deserialize)]
#[serde(try_from = "i64")]
struct Number(i64);

impl TryFrom<i64> for Number {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        // mutant in github::item: numbers that cannot be right are not believed
        //     (0..=MAX_COUNT).contains(&number) => true
        if (0..=MAX_COUNT).contains(&number) { Ok(Self(number)) } else { Err("out of range") }
    }
}

#[derive(Deserialize)]
struct Owner {
    login: Option<String>,
}

#[derive(Deserialize)]
struct License {
    spdx_id: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = deserializer.deserialize_map(FieldsVisitor)?;
        Ok(Self { values, mended: 0 })
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = HashMap<&'static str, &'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a repository")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = HashMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match KEPT.iter().find(|kept| **kept == key) {
                Some(kept) => drop(values.insert(*kept, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn item() -> Value {
        json!({ "id": 1, "name": "b", "full_name": "a/b", "html_url": "https://github.com/a/b",
            "stargazers_count": 2, "updated_at": "2018-05-01T17:01:50Z" })
    }

    fn read(fields: &Value) -> Result<Item, Skipped> {
        let mut item = item();
        for (name, value) in fields.as_object().expect("fields") {
            item[name] = value.clone();
        }
        Item::read(&item.to_string())
    }

    #[test]
    fn optional_field_may_be_missing_or_null() {
        let missing = Item::read(&item().to_string()).expect("what is needed is there");
        let needed = item();
        for name in KEPT.iter().filter(|name| needed.get(**name).is_none()) {
            assert_eq!(read(&json!({ *name: null })), Ok(missing.clone()), "{name}");
        }
        assert_eq!(missing.mended, 0);
        assert!(missing.repository.has_topic("mcp"), "an answer without topics does not deny it");
    }

    #[test]
    fn optional_field_that_cannot_be_read_is_absent_and_counted() {
        let whole = Item::read(&item().to_string()).expect("an item");
        for (name, value) in [
            ("homepage", json!(false)),
            ("description", json!(["a"])),
            ("license", json!("MIT")),
            ("license", json!({ "spdx_id": 7 })),
            ("owner", json!({ "login": ["a"] })),
            ("topics", json!({ "a": "b" })),
            ("topics", json!(["a", 7])),
            ("size", json!(1.5)),
            ("forks_count", json!("many")),
            ("open_issues_count", json!(1e30)),
            ("forks_count", json!(-1)),
            ("size", json!(MAX_COUNT + 1)),
            ("archived", json!("no")),
            ("private", json!(0)),
            ("created_at", json!("yesterday")),
            ("pushed_at", json!("0000-01-01T00:00:00Z")),
            ("pushed_at", json!(1_525_194_110)),
            ("node_id", json!("n".repeat(401))),
            ("owner", json!({ "login": "o".repeat(401) })),
        ] {
            let expected = Item { mended: 1, ..whole.clone() };
            assert_eq!(read(&json!({ name: value })), Ok(expected), "{name}: {value}");
        }
        assert_eq!(read(&json!({ "score": "x", "watchers": [] })), Ok(whole));
    }

    #[test]
    fn needed_field_that_cannot_be_read_costs_the_item_and_is_named() {
        for (name, value) in [
            ("name", Value::Null),
            ("full_name", json!(7)),
            ("html_url", json!("javascript:alert(1)")),
            ("html_url", json!("//github.com/a/b")),
            ("stargazers_count", json!("9".repeat(100_000))),
            ("stargazers_count", json!(-1)),
            ("stargazers_count", json!(i64::MAX)),
            ("updated_at", json!("10000-01-01T00:00:00Z")),
            ("updated_at", json!("0000-01-01T00:00:00Z")),
            ("name", json!("n".repeat(401))),
            ("full_name", json!("é".repeat(401))),
            ("html_url", json!(format!("https://github.com/{}", "n".repeat(400)))),
        ] {
            let skipped = read(&json!({ name: value })).expect_err(name);
            assert_eq!(skipped.id, Some(1), "{name}");
            assert!(skipped.reason.contains(name) && skipped.reason.len() <= 200, "{skipped:?}");
        }
        for text in ["7", "[]", "\"a\"", "null"] {
            assert_eq!(Item::read(text).expect_err(text).id, None);
        }
        for id in [json!("one"), json!(-1), json!(u64::MAX)] {
            let skipped = read(&json!({ "id": id })).expect_err("no id");
            assert_eq!((skipped.id, &*skipped.reason), (None, "`id` cannot be read"));
        }
    }

    #[test]
    fn long_texts_are_cut_with_an_ellipsis() {
        for (length, expected) in [(2_000, 2_000), (2_001, 2_000), (3_000_000, 2_000)] {
            let text = "é".repeat(length);
            let homepage = format!("https://{text}");
            let item =
                read(&json!({ "description": text, "homepage": homepage })).expect("an item");
            let Repository { description, homepage, .. } = item.repository;
            let description = description.expect("a description");
            assert_eq!(description.chars().count(), expected);
            assert_eq!(description.ends_with('…'), length > 2_000);
            assert!(homepage.is_some_and(|text| text.chars().count() == 2_000));
        }
        assert_eq!(read(&json!({ "name": "n".repeat(400) })).expect("an item").mended, 0);
    }

    #[test]
    fn homepage_that_is_not_http_is_absent() {
        for (homepage, expected) in [
            ("https://example.com", Some("https://example.com")),
            ("HTTP://example.com", Some("HTTP://example.com")),
            ("", Some("")),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("/é", None),
        ] {
            let item = read(&json!({ "homepage": homepage })).expect("an item");
            assert_eq!(item.repository.homepage.as_deref(), expected, "{homepage}");
        }
    }

    #[test]
    fn topics_beyond_twenty_are_cut_and_deny_no_topic() {
        let names: Vec<String> = (0..5_000).map(|number| format!("t{number}")).collect();
        let item = read(&json!({ "topics": names })).expect("an item");
        assert_eq!(item.repository.topics.as_deref(), Some(&names[..20]));
        assert!(item.repository.has_topic("t21"), "it may be among those that were cut");
        let item = read(&json!({ "topics": names[..20] })).expect("an item");
        assert!(!item.repository.has_topic("t21") && item.repository.has_topic("t19"));
    }

    #[test]
    fn u0000_is_left_out() {
        let fields = json!({ "description": "\0a\0b", "topics": ["c\0"], "name": "\0b",
            "owner": { "login": "a\0" }, "language": "\\u0000" });
        let Repository { name, description, topics, owner, language, .. } =
            read(&fields).expect("an item").repository;
        assert_eq!(
            (&*name, description.as_deref(), owner.as_deref(), language.as_deref()),
            ("b", Some("ab"), Some("a"), Some("\\u0000"))
        );
        assert_eq!(topics, Some(vec!["c".to_owned()]));
    }
}
