//! The tables of the archive: the fields of their rows, and how a row is checked.

use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};

use crate::model::list::LIST_LENGTH;
use crate::model::repository::is_http;
use crate::model::time::rfc3339;
use crate::model::topic::{InvalidTopic, Topic};

/// A row of the archive: its values in the order of the table's fields.
pub type ArchiveRow = Vec<Value>;

/// A receiver of an archive's rows. It breaks off the export when it cannot take more.
pub trait ArchiveSink: Send {
    /// The rows that follow are of this table.
    fn begin(&mut self, table: &'static Table) -> ControlFlow<()>;

    fn row(&mut self, row: &ArchiveRow) -> ControlFlow<()>;
}

/// A table of the archive.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// Those of the key come first.
    pub fields: &'static [Field],
    /// The number of fields by which rows are ordered, and told apart.
    pub(super) key: usize,
    /// The table of the database.
    pub(super) source: &'static str,
}

/// The tables in the order in which they are imported.
pub const TABLES: [&Table; 9] = [
    &TOPICS,
    &REPOSITORIES,
    &MEMBERS,
    &COUNTS,
    &BACKFILLED,
    &TOPIC_DAYS,
    &EVENTS,
    &NAMES,
    &FORMER_MEMBERS,
];

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub is_required: bool,
    /// The column or the expression of the database.
    pub(super) column: &'static str,
}

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

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: true, column: name }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: false, column: name }
}

/// The longest texts, in characters.
const NAME: usize = 400;
const TEXT: usize = 2_000;

const COVERAGES: &[&str] = &["top", "complete"];
const ORIGINS: &[&str] = &["configured", "requested", "on_demand"];
const EVENT_KINDS: &[&str] = &["joined", "left", "renamed", "archived", "unarchived"];
const LEFT_REASONS: &[&str] = &["topic_removed", "deleted", "private"];

pub const TOPICS: Table = Table {
    name: "topics",
    source: "topics",
    key: 1,
    fields: &[
        Field { column: "name", ..required("topic", Kind::Topic) },
        required("origin", Kind::OneOf(ORIGINS)),
        Field { column: "filled", ..optional("coverage", Kind::OneOf(COVERAGES)) },
        required("tracked_at", Kind::Time),
        optional("refreshed_at", Kind::Time),
        required("complete", Kind::Boolean),
        optional("total_count", Kind::Integer),
        optional("found", Kind::Integer),
    ],
};

pub const REPOSITORIES: Table = Table {
    name: "repositories",
    source: "repositories",
    key: 1,
    fields: &[
        required("id", Kind::Integer),
        optional("node_id", Kind::Text(NAME)),
        required("name", Kind::Text(NAME)),
        required("full_name", Kind::Text(NAME)),
        optional("owner", Kind::Text(NAME)),
        required("html_url", Kind::Address),
        optional("description", Kind::Text(TEXT)),
        optional("homepage", Kind::Homepage),
        optional("language", Kind::Text(NAME)),
        optional("license", Kind::Text(NAME)),
        optional("topics", Kind::Texts),
        optional("default_branch", Kind::Text(NAME)),
        required("fork", Kind::Boolean),
        required("archived", Kind::Boolean),
        required("disabled", Kind::Boolean),
        required("is_template", Kind::Boolean),
        required("size", Kind::Integer),
        required("stargazers_count", Kind::Integer),
        required("forks_count", Kind::Integer),
        required("open_issues_count", Kind::Integer),
        optional("created_at", Kind::Time),
        required("updated_at", Kind::Time),
        optional("pushed_at", Kind::Time),
        required("stored_at", Kind::Time),
    ],
};

pub const MEMBERS: Table = Table {
    name: "members",
    source: "topic_repositories",
    key: 2,
    fields: &[
        required("topic", Kind::Topic),
        required("repository_id", Kind::Integer),
        Field { column: "rank", ..optional("best_match_rank", Kind::Place) },
        optional("joined_at", Kind::Time),
        optional("since", Kind::Day),
    ],
};

/// The counts of each day, which the database keeps as spans.
const DAILY_FIELDS: &[Field] = &[
    required("repository_id", Kind::Integer),
    required("day", Kind::Day),
    required("stargazers_count", Kind::Integer),
    optional("forks_count", Kind::Integer),
    optional("open_issues_count", Kind::Integer),
];

pub(super) const SPAN_FIELDS: &[Field] = &[
    required("repository_id", Kind::Integer),
    required("first_day", Kind::Day),
    required("last_day", Kind::Day),
    required("stargazers_count", Kind::Integer),
    optional("forks_count", Kind::Integer),
    optional("open_issues_count", Kind::Integer),
];

pub const COUNTS: Table = Table { name: "counts", source: "counts", key: 2, fields: DAILY_FIELDS };

pub const BACKFILLED: Table =
    Table { name: "backfilled", source: "backfilled", key: 2, fields: DAILY_FIELDS.split_at(3).0 };

pub const TOPIC_DAYS: Table = Table {
    name: "topic_days",
    source: "topic_days",
    key: 2,
    fields: &[
        required("topic", Kind::Topic),
        required("day", Kind::Day),
        optional("total_count", Kind::Integer),
        required("stored", Kind::Integer),
        required("complete", Kind::Boolean),
        optional("best_match", Kind::Ids),
    ],
};

pub const EVENTS: Table = Table {
    name: "events",
    source: "events",
    key: 4,
    fields: &[
        required("topic", Kind::Topic),
        required("at", Kind::Time),
        required("repository_id", Kind::Integer),
        required("kind", Kind::OneOf(EVENT_KINDS)),
        required("full_name", Kind::Text(NAME)),
        optional("reason", Kind::OneOf(LEFT_REASONS)),
        Field { column: "old_name", ..optional("from", Kind::Text(NAME)) },
        Field { column: "new_name", ..optional("to", Kind::Text(NAME)) },
    ],
};

pub const NAMES: Table = Table {
    name: "names",
    source: "names",
    key: 2,
    fields: &[
        required("repository_id", Kind::Integer),
        required("until", Kind::Time),
        required("full_name", Kind::Text(NAME)),
    ],
};

pub const FORMER_MEMBERS: Table = Table {
    name: "former_members",
    source: "former_members",
    key: 3,
    fields: &[
        required("topic", Kind::Topic),
        required("repository_id", Kind::Integer),
        required("first_day", Kind::Day),
        required("last_day", Kind::Day),
    ],
};

impl Table {
    /// Whether the database keeps its rows as spans of days.
    pub(super) fn is_daily(&self) -> bool {
        self.source == COUNTS.source || self.source == BACKFILLED.source
    }

    /// The values of a row, checked. Fields that the table does not have are left out.
    ///
    /// # Errors
    /// The field that is wrong, and what it must be.
    pub fn read(&self, mut fields: Map<String, Value>) -> Result<ArchiveRow, String> {
        let read = |field: &Field| {
            let value = fields.remove(field.name).unwrap_or_default();
            let accepted =
                if value.is_null() { !field.is_required } else { field.kind.has(&value) };
            let Field { name, kind, .. } = field;
            accepted.then_some(value).ok_or_else(|| format!("{name} must be {}", kind.accepted()))
        };
        self.fields.iter().map(read).collect()
    }
}

impl Kind {
    fn has(self, value: &Value) -> bool {
        let text = value.as_str();
        let is_array = |limit, has: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|all| all.len() <= limit && all.iter().all(has))
        };
        let is_short_text = |limit, value: &Value| {
            let is_short = |text: &str| !text.contains('\0') && text.chars().count() <= limit;
            value.as_str().is_some_and(is_short)
        };
        match self {
            Self::Integer => value.as_i64().is_some_and(|number| number >= 0),
            Self::Place => value.as_i64().is_some_and(|number| number >= 1),
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
                text.ends_with('Z')
                    && text.parse::<DateTime<Utc>>().is_ok_and(|time| rfc3339(time) == text)
            }),
            Self::Day => text.is_some_and(|text| {
                text.parse::<NaiveDate>().is_ok_and(|day| day.to_string() == text)
            }),
        }
    }

    /// A description of the accepted values.
    fn accepted(self) -> String {
        match self {
            Self::Integer => "a whole number from 0".to_owned(),
            Self::Place => "a whole number from 1".to_owned(),
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
