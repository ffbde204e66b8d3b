//! The rows of a catalogue that a filter leaves.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};

use super::catalogue::{Catalogue, Row};
use super::names::Names;
use crate::model::filter::{Choice, Filter, folded};
use crate::model::topic::Topic;

/// The marks of a catalogue's rows.
#[derive(Debug)]
pub(super) struct Marks(Vec<bool>);

impl Marks {
    /// The rows that a filter leaves.
    pub(super) fn of(catalogue: &Catalogue, filter: &Filter) -> Self {
        let conditions = Conditions::of(catalogue, filter);
        let rows = catalogue.rows().iter();
        let mut marks: Vec<bool> = rows.map(|row| conditions.hold(catalogue, row)).collect();
        for word in &filter.words {
            catalogue.search().retain(word, &mut marks);
        }
        Self(marks)
    }

    pub(super) fn has(&self, row: u32) -> bool {
        self.0[row as usize]
    }
}

/// A filter's conditions on the rows of one catalogue.
struct Conditions<'a> {
    filter: &'a Filter,
    languages: Option<Allowed>,
    licenses: Option<Allowed>,
    owners: Option<Allowed>,
    /// Indexes of topics; `None` if the catalogue has no such topic.
    wanted_topics: Vec<Option<u32>>,
    unwanted_topics: Vec<u32>,
}

impl<'a> Conditions<'a> {
    fn of(catalogue: &Catalogue, filter: &'a Filter) -> Self {
        let (wanted, unwanted) = &filter.topics;
        let topic = |topic: &Topic| catalogue.topics.find(topic.as_str());
        Self {
            filter,
            languages: Allowed::of(&catalogue.languages, &filter.language),
            licenses: Allowed::of(&catalogue.licenses, &filter.license),
            owners: Allowed::of(&catalogue.owners, &filter.owner),
            wanted_topics: wanted.iter().map(topic).collect(),
            unwanted_topics: unwanted.iter().filter_map(topic).collect(),
        }
    }

    fn hold(&self, catalogue: &Catalogue, row: &Row) -> bool {
        let filter = self.filter;
        let allows = |allowed: &Option<Allowed>, name| {
            allowed.as_ref().is_none_or(|allowed| allowed.allows(name))
        };
        allows(&self.languages, row.language)
            && allows(&self.licenses, row.license)
            && allows(&self.owners, row.owner)
            && is_within(filter.stars.as_ref(), Some(row.stars))
            && is_within(filter.forks.as_ref(), Some(row.forks))
            && is_within(filter.created.as_ref(), row.created_at.map(day))
            && is_within(filter.pushed.as_ref(), row.pushed_at.map(day))
            && is_within(filter.updated.as_ref(), row.updated_at.map(day))
            && filter.archived.is_none_or(|archived| archived == row.is_archived)
            && filter.template.is_none_or(|template| template == row.is_template)
            && self.topics_hold(catalogue, row)
    }

    fn topics_hold(&self, catalogue: &Catalogue, row: &Row) -> bool {
        if self.wanted_topics.is_empty() && self.unwanted_topics.is_empty() {
            return true;
        }
        let own = catalogue.topic_list(row).unwrap_or_default();
        self.wanted_topics.iter().all(|topic| topic.is_some_and(|topic| own.contains(&topic)))
            && !self.unwanted_topics.iter().any(|topic| own.contains(topic))
    }
}

/// The names that a choice allows.
struct Allowed {
    by_name: Vec<bool>,
    without_name: bool,
}

impl Allowed {
    /// `None` if the choice is none.
    fn of(names: &Names, choice: &Choice) -> Option<Self> {
        if *choice == Choice::default() {
            return None;
        }
        let allows = |name: Option<&str>| {
            let is = |chosen: &Option<String>| match (chosen, name) {
                (Some(chosen), Some(name)) => is_folded(name, chosen),
                (chosen, name) => chosen.is_none() && name.is_none(),
            };
            (choice.wanted.is_empty() || choice.wanted.iter().any(is))
                && !choice.unwanted.iter().any(is)
        };
        let by_name = names.iter().map(|name| allows(Some(name))).collect();
        Some(Self { by_name, without_name: allows(None) })
    }

    fn allows(&self, name: Option<u32>) -> bool {
        name.map_or(self.without_name, |name| self.by_name[name as usize])
    }
}

/// Whether a name in lower case is `folded`. A topic has tens of thousands of owners, so no text is
/// made for each.
fn is_folded(name: &str, folded: &str) -> bool {
    self::folded(name).eq(folded.chars())
}

fn is_within<T: PartialOrd>(range: Option<&RangeInclusive<T>>, value: Option<T>) -> bool {
    range.is_none_or(|range| value.is_some_and(|value| range.contains(&value)))
}

fn day(time: DateTime<Utc>) -> NaiveDate {
    time.date_naive()
}
