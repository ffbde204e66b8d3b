//! The types of fields of the archive, and their values.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::model::list::LIST_LENGTH;
use crate::model::repository::{MAX_COUNT, is_http};
use crate::model::time::{parse_day, rfc3339};
use crate::model::topic::{InvalidTopic, Topic};

/// The longest texts, in characters.
pub(super) const NAME: usize = 400;
pub(super) const TEXT: usize = 2_000;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer,
    /// A place from 1, which the database keeps from 0.
    Place,
    Boolean,
    /// Text of at most so many characters.
    Text(usize),
    /// An address of http or https.
    Address,
    /// The same, or the empty text.
    Homepage,
    Topic,
    OneOf(&'static [&'static str]),
    /// At most 20 texts.
    Texts,
    /// At most 500 ids.
    Ids,
    Time,
    Day,
}

/// Whether a text of this length has a year from 1 to 9999, which both databases know.
fn has_year(text: &str, length: usize) -> bool {
    text.len() == length && !text.starts_with("0000")
}

impl Kind {
    pub(super) fn has(self, value: &Value) -> bool {
        let text = value.as_str();
        let is_array = |limit, has: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|all| all.len() <= limit && all.iter().all(has))
        };
        let is_short_text = |limit, value: &Value| {
            let is_short = |text: &str| !text.contains('\0') && text.chars().count() <= limit;
            value.as_str().is_some_and(is_short)
        };
        let is_number =
            |least| value.as_i64().is_some_and(|number| (least..=MAX_COUNT).contains(&number));
        match self {
            Self::Integer => is_number(0),
            Self::Place => is_number(1),
            Self::Boolean => value.is_boolean(),
            Self::Text(limit) => is_short_text(limit, value),
            Self::Address => is_short_text(TEXT, value) && text.is_some_and(is_http),
            Self::Homepage => text == Some("") || Self::Address.has(value),
            Self::Topic => text.is_some_and(|text| {
                text.parse::<Topic>().is_ok_and(|topic| topic.as_str() == text)
            }),
            Self::OneOf(accepted) => text.is_some_and(|text| accepted.contains(&text)),
            Self::Texts => is_array(20, &|value| is_short_text(NAME, value)),
            Self::Ids => is_array(LIST_LENGTH, &|value| Self::Integer.has(value)),
            Self::Time => text.is_some_and(|text| {
                has_year(text, "2026-01-31T10:00:00Z".len())
                    && text.parse::<DateTime<Utc>>().is_ok_and(|time| rfc3339(time) == text)
            }),
            Self::Day => text.is_some_and(|text| {
                has_year(text, "2026-01-31".len()) && parse_day(text).is_some()
            }),
        }
    }

    /// A description of the accepted values.
    pub(super) fn accepted(self) -> String {
        match self {
            Self::Integer => format!("a whole number from 0 to {MAX_COUNT}"),
            Self::Place => format!("a whole number from 1 to {MAX_COUNT}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Text(limit) => format!("text of at most {limit} characters"),
            Self::Address | Self::Homepage => "an address of http or https".to_owned(),
            Self::Topic => InvalidTopic.to_string(),
            Self::OneOf(accepted) => format!("one of {}", accepted.join(", ")),
            Self::Texts => "at most 20 short texts".to_owned(),
            Self::Ids => format!("at most {LIST_LENGTH} ids"),
            Self::Time => "a time such as 2026-01-31T10:00:00Z".to_owned(),
            Self::Day => "a day such as 2026-01-31".to_owned(),
        }
    }
}
