//! Filters: which of a topic's repositories a list has.

use std::ops::RangeInclusive;

use chrono::NaiveDate;

use super::topic::Topic;

/// A condition on each of several fields, all of which must hold.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Filter {
    pub language: Choice,
    pub license: Choice,
    pub owner: Choice,
    /// Topics that a repository must have, and topics that it must not have.
    pub topics: (Vec<Topic>, Vec<Topic>),
    pub stars: Option<RangeInclusive<i64>>,
    pub forks: Option<RangeInclusive<i64>>,
    pub created: Option<RangeInclusive<NaiveDate>>,
    pub pushed: Option<RangeInclusive<NaiveDate>>,
    pub updated: Option<RangeInclusive<NaiveDate>>,
    pub archived: Option<bool>,
    pub template: Option<bool>,
    /// In lower case, each without white space.
    pub words: Vec<String>,
}

impl Filter {
    /// Whether it has no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names of which a repository must have one, and names that it must not have. `None` stands for no
/// name.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Choice {
    pub wanted: Vec<Option<String>>,
    pub unwanted: Vec<Option<String>>,
}

/// A text in lower case, letter by letter: `str::to_lowercase` writes a sigma at a word's end in
/// another way, and parts of words would not be found.
pub fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}
