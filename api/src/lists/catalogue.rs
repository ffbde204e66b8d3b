//! A catalogue: all of a topic's repositories at one revision, as facts to rank and to write.
//!
//! Texts stand one after the other in one string, and a language is stored once however many
//! repositories have it, so a topic of 35,000 repositories takes some 6 MB.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::model::growth::Growth;
use crate::model::list::{DatedItem, GrowingItem, ListItem, ListMeta};
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;

/// An immutable snapshot of a topic.
#[derive(Debug)]
pub struct Catalogue {
    topic: Topic,
    meta: ListMeta,
    rows: Vec<Row>,
    texts: String,
    languages: Vec<String>,
}

/// A repository in a catalogue.
#[derive(Debug)]
pub struct Row {
    pub id: RepositoryId,
    pub stars: i64,
    pub updated_at: Option<DateTime<Utc>>,
    pub created_at: Option<DateTime<Utc>>,
    /// `None` if the repository has no count within the window.
    pub growth: Option<Box<Growth>>,
    /// The place in GitHub's best match, from 0.
    pub best_match: Option<i64>,
    pushed_at: Option<DateTime<Utc>>,
    /// The row's texts begin here: full name, name, address, one after the other.
    text: usize,
    full_name: u32,
    name: u32,
    html_url: u32,
    /// An index into the catalogue's languages.
    language: Option<u32>,
}

impl Catalogue {
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The facts for the headers of the topic's lists.
    #[must_use]
    pub fn meta(&self) -> &ListMeta {
        &self.meta
    }

    /// The repositories, in no particular order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row of a list.
    #[must_use]
    pub fn item(&self, row: &Row) -> ListItem<'_> {
        let texts = &self.texts[row.text..];
        let (full_name, texts) = texts.split_at(row.full_name as usize);
        let (name, texts) = texts.split_at(row.name as usize);
        ListItem {
            id: row.id,
            name,
            full_name,
            html_url: &texts[..row.html_url as usize],
            language: row.language.map(|language| self.languages[language as usize].as_str()),
            updated_at: row.updated_at,
            pushed_at: row.pushed_at,
            stargazers_count: row.stars,
        }
    }

    /// A row of the newest repositories.
    #[must_use]
    pub fn dated_item(&self, row: &Row) -> DatedItem<'_> {
        DatedItem { item: self.item(row), created_at: row.created_at }
    }

    /// A row of those that grow or fall.
    #[must_use]
    pub fn growing_item<'a>(&'a self, row: &'a Row) -> Option<GrowingItem<'a>> {
        let growth = row.growth.as_ref()?;
        Some(GrowingItem { item: self.dated_item(row), growth })
    }

    /// The memory that the catalogue takes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let grown = self.rows.iter().filter(|row| row.growth.is_some()).count();
        self.rows.capacity() * size_of::<Row>()
            + grown * size_of::<Growth>()
            + self.texts.capacity()
    }
}

/// The facts that the order of a list depends on besides its items.
#[derive(Debug, Default)]
pub struct RowFacts {
    pub best_match: Option<i64>,
    pub created_at: Option<DateTime<Utc>>,
    pub growth: Option<Growth>,
}

/// Builds a catalogue row by row.
#[derive(Default)]
pub struct CatalogueBuilder {
    rows: Vec<Row>,
    texts: String,
    languages: HashMap<String, u32>,
}

impl CatalogueBuilder {
    pub fn push(&mut self, item: &ListItem<'_>, facts: RowFacts) {
        let text = self.texts.len();
        self.texts.extend([item.full_name, item.name, item.html_url]);
        let language = item.language.map(|language| self.language(language));
        self.rows.push(Row {
            id: item.id,
            stars: item.stargazers_count,
            updated_at: item.updated_at,
            created_at: facts.created_at,
            growth: facts.growth.map(Box::new),
            best_match: facts.best_match,
            pushed_at: item.pushed_at,
            text,
            full_name: length(item.full_name),
            name: length(item.name),
            html_url: length(item.html_url),
            language,
        });
    }

    /// The catalogue of the rows so far.
    #[must_use]
    pub fn build(mut self, topic: Topic, meta: ListMeta) -> Catalogue {
        self.rows.shrink_to_fit();
        self.texts.shrink_to_fit();
        let mut languages: Vec<(String, u32)> = self.languages.into_iter().collect();
        languages.sort_unstable_by_key(|(_, index)| *index);
        let languages = languages.into_iter().map(|(language, _)| language).collect();
        Catalogue { topic, meta, rows: self.rows, texts: self.texts, languages }
    }

    fn language(&mut self, language: &str) -> u32 {
        if let Some(index) = self.languages.get(language) {
            return *index;
        }
        let index = u32::try_from(self.languages.len()).unwrap_or(u32::MAX);
        self.languages.insert(language.to_owned(), index);
        index
    }
}

#[expect(clippy::expect_used, reason = "a page of GitHub's has 16 MB at most")]
fn length(text: &str) -> u32 {
    u32::try_from(text.len()).expect("a short text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_is_equal_to_the_item_that_was_pushed() {
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
        let item = |id, name, language| ListItem {
            id,
            name,
            full_name: "o/ü",
            html_url: "https://github.com/o/ü",
            language,
            updated_at: Some(at),
            pushed_at: (id == 1).then_some(at),
            stargazers_count: id * 10,
        };
        let items = [
            item(1, "é", Some("Go")),
            item(2, "", None),
            item(3, "c", Some("Rust")),
            item(4, "d", Some("Go")),
        ];
        let mut builder = CatalogueBuilder::default();
        for item in &items {
            builder.push(item, RowFacts::default());
        }
        let meta = ListMeta {
            epoch: 1,
            revision: 1,
            modified_at: None,
            refreshed_at: None,
            complete: true,
            total_count: None,
            valid_until: None,
            history: None,
        };
        let catalogue = builder.build("go".parse().expect("a topic"), meta);
        let back: Vec<_> = catalogue.rows().iter().map(|row| catalogue.item(row)).collect();
        assert_eq!(back, items);
    }
}
