//! A catalogue: all of a topic's repositories at one revision, as facts to filter, to rank and to
//! write.
//!
//! Texts stand one after the other in one string, and a language, a license, an owner and a topic
//! are stored once however many repositories have them, so a topic of 35,000 repositories takes
//! some 25 MB.

mod growth;
mod spans;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};

use self::spans::CompactSpan;
use super::names::{Names, index};
use super::search::Search;
use crate::model::counts::Span;
use crate::model::growth::Window;
use crate::model::list::ListMeta;
use crate::model::ranking::Order;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;

/// The memory of an order, in bytes a row, and the number of orders that a catalogue has room for.
const ORDER_BYTES: usize = 4 * 12;

/// A snapshot of a topic, immutable once it is finished.
#[derive(Debug)]
pub struct Catalogue {
    topic: Topic,
    meta: ListMeta,
    /// The last day with counts; `None` if there are none.
    last_day: Option<NaiveDate>,
    /// By id.
    rows: Vec<Row>,
    texts: String,
    spans: Vec<CompactSpan>,
    /// The topics of one repository after those of another.
    topic_lists: Vec<u32>,
    pub(super) languages: Names,
    pub(super) licenses: Names,
    pub(super) owners: Names,
    pub(super) topics: Names,
    search: OnceLock<Search>,
    orders: Mutex<HashMap<OrderAt, Arc<[u32]>>>,
}

/// An order now, or as it was when a window began.
type OrderAt = (Order, Option<Window>);

/// A repository in a catalogue.
#[derive(Debug)]
pub struct Row {
    pub id: RepositoryId,
    pub stars: i64,
    pub forks: i64,
    pub open_issues: i64,
    /// In KB.
    pub size: i64,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub pushed_at: Option<DateTime<Utc>>,
    pub joined_at: Option<DateTime<Utc>>,
    /// The place in GitHub's best match, from 0.
    pub best_match: Option<i64>,
    pub is_fork: bool,
    pub is_archived: bool,
    pub is_disabled: bool,
    pub is_template: bool,
    /// Indexes into the catalogue's languages, licenses and owners.
    pub(super) language: Option<u32>,
    pub(super) license: Option<u32>,
    pub(super) owner: Option<u32>,
    /// A range of the catalogue's lists of topics; `None` if GitHub's answer had no topics.
    topics: Option<Range<u32>>,
    spans: Range<u32>,
    /// The row's texts begin here, in the order of [`Text`].
    text: usize,
    lengths: [TextLength; Text::COUNT],
}

/// The length of a text, in bytes; `None` if there is no text.
type TextLength = Option<u32>;

/// The texts of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    FullName,
    Name,
    HtmlUrl,
    Description,
    Homepage,
    DefaultBranch,
    NodeId,
}

impl Text {
    const COUNT: usize = Self::NodeId as usize + 1;
}

impl Catalogue {
    /// A catalogue without rows, whose counts end on this day.
    #[must_use]
    pub fn new(topic: Topic, meta: ListMeta, last_day: Option<NaiveDate>) -> Self {
        Self {
            topic,
            meta,
            last_day,
            rows: Vec::new(),
            texts: String::new(),
            spans: Vec::new(),
            topic_lists: Vec::new(),
            languages: Names::default(),
            licenses: Names::default(),
            owners: Names::default(),
            topics: Names::default(),
            search: OnceLock::new(),
            orders: Mutex::default(),
        }
    }

    /// Adds a row, in any order.
    pub fn push(&mut self, entry: &Entry<'_>) {
        let text = self.texts.len();
        let texts = [
            Some(entry.full_name),
            Some(entry.name),
            Some(entry.html_url),
            entry.description,
            entry.homepage,
            entry.default_branch,
            entry.node_id,
        ];
        self.texts.extend(texts.into_iter().flatten());
        let first_span = index(self.spans.len());
        self.spans.extend(entry.spans.iter().map(CompactSpan::from));
        let first_topic = index(self.topic_lists.len());
        for topic in entry.topics.into_iter().flatten() {
            self.topic_lists.push(self.topics.index(topic));
        }
        self.rows.push(Row {
            id: entry.id,
            stars: entry.stars,
            forks: entry.forks,
            open_issues: entry.open_issues,
            size: entry.size,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            pushed_at: entry.pushed_at,
            joined_at: entry.joined_at,
            best_match: entry.best_match,
            is_fork: entry.is_fork,
            is_archived: entry.is_archived,
            is_disabled: entry.is_disabled,
            is_template: entry.is_template,
            language: entry.language.map(|language| self.languages.index(language)),
            license: entry.license.map(|license| self.licenses.index(license)),
            owner: entry.owner.map(|owner| self.owners.index(owner)),
            topics: entry.topics.map(|_| first_topic..index(self.topic_lists.len())),
            spans: first_span..index(self.spans.len()),
            text,
            lengths: texts.map(|text| text.map(|text| index(text.len()))),
        });
    }

    /// Sorts the rows and gives spare memory back, after the last row.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.rows.sort_unstable_by_key(|row| row.id);
        self.rows.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.spans.shrink_to_fit();
        self.topic_lists.shrink_to_fit();
        self
    }

    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The facts for the headers of the topic's lists.
    #[must_use]
    pub fn meta(&self) -> &ListMeta {
        &self.meta
    }

    /// The repositories by id.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The indexes of the rows that have a place in an order, now or when a window began. They are
    /// kept once they are sorted.
    pub(super) fn order(&self, order: OrderAt, sorted: impl FnOnce() -> Arc<[u32]>) -> Arc<[u32]> {
        // Two readers may sort the same order at once, which is harmless.
        if let Some(kept) = self.orders.lock().unwrap_or_else(PoisonError::into_inner).get(&order) {
            return Arc::clone(kept);
        }
        let rows = sorted();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(orders.entry(order).or_insert(rows))
    }

    /// The texts in which words are looked for.
    pub(super) fn search(&self) -> &Search {
        let texts = |row| {
            let description = self.text(row, Text::Description).unwrap_or_default();
            let topics = self.topic_list(row).unwrap_or_default().iter();
            let topics = topics.map(|topic| self.topics.get(*topic));
            [self.full_name(row), description].into_iter().chain(topics)
        };
        self.search.get_or_init(|| Search::of(self.rows.iter().map(texts)))
    }

    pub(super) fn text(&self, row: &Row, text: Text) -> Option<&str> {
        let (before, rest) = row.lengths.split_at(text as usize);
        let start =
            row.text + before.iter().flatten().map(|length| *length as usize).sum::<usize>();
        let length = (*rest.first()?)? as usize;
        Some(&self.texts[start..start + length])
    }

    /// `owner/name`.
    #[must_use]
    pub fn full_name(&self, row: &Row) -> &str {
        self.text(row, Text::FullName).unwrap_or_default()
    }

    #[must_use]
    pub fn html_url(&self, row: &Row) -> &str {
        self.text(row, Text::HtmlUrl).unwrap_or_default()
    }

    #[must_use]
    pub fn description(&self, row: &Row) -> Option<&str> {
        self.text(row, Text::Description)
    }

    #[must_use]
    pub fn language(&self, row: &Row) -> Option<&str> {
        row.language.map(|language| self.languages.get(language))
    }

    /// Indexes into the catalogue's topics.
    pub(super) fn topic_list(&self, row: &Row) -> Option<&[u32]> {
        let range = row.topics.as_ref()?;
        Some(&self.topic_lists[range.start as usize..range.end as usize])
    }

    /// The memory that the catalogue takes once it was searched and sorted, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let names = [&self.languages, &self.licenses, &self.owners, &self.topics];
        self.rows.capacity() * (size_of::<Row>() + ORDER_BYTES)
            + self.spans.capacity() * size_of::<CompactSpan>()
            + self.topic_lists.capacity() * size_of::<u32>()
            + self.texts.capacity() * 2
            + names.into_iter().map(Names::size).sum::<usize>()
    }
}

/// A repository as a catalogue takes it.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    pub id: RepositoryId,
    pub full_name: &'a str,
    pub name: &'a str,
    pub html_url: &'a str,
    pub description: Option<&'a str>,
    pub homepage: Option<&'a str>,
    pub default_branch: Option<&'a str>,
    pub node_id: Option<&'a str>,
    pub language: Option<&'a str>,
    pub license: Option<&'a str>,
    pub owner: Option<&'a str>,
    pub topics: Option<&'a [String]>,
    pub stars: i64,
    pub forks: i64,
    pub open_issues: i64,
    pub size: i64,
    pub created_at: Option<DateTime<Utc>>,
    /// `None` as of a past day.
    pub updated_at: Option<DateTime<Utc>>,
    pub pushed_at: Option<DateTime<Utc>>,
    pub joined_at: Option<DateTime<Utc>>,
    pub best_match: Option<i64>,
    pub is_fork: bool,
    pub is_archived: bool,
    pub is_disabled: bool,
    pub is_template: bool,
    /// The spans that matter to the growth that will be asked for, by their days.
    pub spans: &'a [Span],
}
