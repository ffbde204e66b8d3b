//! The tables of the archive: the fields of their rows, how a row is checked and merged.

mod kind;
#[cfg(test)]
mod properties;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

pub use kind::Kind;

use kind::{NAME, TEXT};

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
    pub(super) merge: Merge,
}

/// How rows of the archive are merged into the database's.
#[derive(Debug)]
pub(super) enum Merge {
    /// By an insertion with this `ON CONFLICT` clause, in which `{fields}` stands for the
    /// assignments of all fields, and with these further columns.
    Rows(&'static str, &'static [(&'static str, &'static str)]),
    /// Counts of days, which the database keeps as spans; those of days that are there stay.
    Days,
    /// The same, but the counts of a repository that has some stay alone: one backfill brought all.
    Backfill,
    /// Spans of days on which a topic had a repository; those that are there stay.
    Memberships,
}

/// Rows that are there stay.
const NEW_ROWS: Merge = Merge::Rows("DO NOTHING", &[]);

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

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: true, column: name }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: false, column: name }
}

const COVERAGES: &[&str] = &["top", "complete"];
const ORIGINS: &[&str] = &["configured", "requested", "on_demand"];
const EVENT_KINDS: &[&str] = &["joined", "left", "renamed", "archived", "unarchived"];
const LEFT_REASONS: &[&str] = &["topic_removed", "deleted", "private"];

pub const TOPICS: Table = Table {
    name: "topics",
    source: "topics",
    key: 1,
    // Takes over a topic that was not refreshed since. Its next run reads every repository. A topic
    // that has lists keeps the time since which it is tracked: its feeds begin there.
    merge: Merge::Rows(
        "(name) DO UPDATE
         SET filled = excluded.filled, refreshed_at = excluded.refreshed_at,
             complete = excluded.complete, total_count = excluded.total_count,
             found = excluded.found, covered_at = NULL, changes_until = NULL,
             tracked_at = CASE WHEN topics.refreshed_at IS NOT NULL
                     OR topics.tracked_at < excluded.tracked_at
                 THEN topics.tracked_at ELSE excluded.tracked_at END
         WHERE excluded.refreshed_at > topics.refreshed_at
            OR topics.refreshed_at IS NULL AND excluded.refreshed_at IS NOT NULL",
        &[("last_read_at", "$2"), ("revision", "$3")],
    ),
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
    // The newer row wins.
    merge: Merge::Rows(
        "(id) DO UPDATE SET {fields}, version = repositories.version + 1
         WHERE (repositories.updated_at, repositories.stored_at)
             < (excluded.updated_at, excluded.stored_at)",
        &[],
    ),
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
    merge: Merge::Rows(
        "(topic, repository_id) DO UPDATE
         SET rank = excluded.rank,
             joined_at = coalesce(topic_repositories.joined_at, excluded.joined_at),
             since = CASE WHEN topic_repositories.since <= excluded.since
                 THEN topic_repositories.since ELSE excluded.since END
         WHERE topic_repositories.rank IS DISTINCT FROM excluded.rank
            OR topic_repositories.joined_at IS NULL AND excluded.joined_at IS NOT NULL
            OR topic_repositories.since IS NULL AND excluded.since IS NOT NULL
            OR topic_repositories.since > excluded.since",
        &[
            ("added_in", "0"),
            ("confirmed_in", "0"),
            // The topic's last complete run has seen the member.
            (
                "confirmed_at",
                "(SELECT coalesce(refreshed_at, tracked_at) FROM topics WHERE name = value->>0)",
            ),
        ],
    ),
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

pub const COUNTS: Table =
    Table { name: "counts", source: "counts", key: 2, merge: Merge::Days, fields: DAILY_FIELDS };

pub const BACKFILLED: Table = Table {
    name: "backfilled",
    source: "backfilled",
    key: 2,
    merge: Merge::Backfill,
    fields: DAILY_FIELDS.split_at(3).0,
};

pub const TOPIC_DAYS: Table = Table {
    name: "topic_days",
    source: "topic_days",
    key: 2,
    merge: NEW_ROWS,
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
    merge: NEW_ROWS,
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
    merge: NEW_ROWS,
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
    merge: Merge::Memberships,
    fields: &[
        required("topic", Kind::Topic),
        required("repository_id", Kind::Integer),
        required("first_day", Kind::Day),
        required("last_day", Kind::Day),
    ],
};

impl Table {
    /// Whether the database keeps rows of days as spans.
    #[must_use]
    pub fn is_daily(&self) -> bool {
        matches!(self.merge, Merge::Days | Merge::Backfill)
    }

    /// Checks a row against the one before it.
    ///
    /// # Errors
    /// The order or the days that are wrong.
    pub fn check_order(&self, before: Option<&ArchiveRow>, row: &ArchiveRow) -> Result<(), String> {
        let is_after = |before: &ArchiveRow| {
            let pairs = before.iter().zip(row).take(self.key);
            pairs.map(compare).fold(Ordering::Equal, Ordering::then).is_lt()
        };
        if !before.is_none_or(is_after) {
            let key: Vec<&str> = self.fields[..self.key].iter().map(|field| field.name).collect();
            return Err(format!("rows must be ordered by {}, each once", key.join(", ")));
        }
        if let (Merge::Memberships, [topic, id, first, last]) = (&self.merge, &row[..]) {
            let ends_before = |before: &ArchiveRow| {
                before[..2] != [topic.clone(), id.clone()] || before[3].as_str() < first.as_str()
            };
            if last.as_str() < first.as_str() || before.is_some_and(|before| !ends_before(before)) {
                return Err("first_day must be after the days before, and before last_day".into());
            }
        }
        Ok(())
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

/// Compares values of a key.
fn compare((one, other): (&Value, &Value)) -> Ordering {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_str().cmp(&other.as_str()),
    }
}
