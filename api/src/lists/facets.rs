//! Facets: how many repositories have each value of a field.

use std::collections::HashMap;

use chrono::Datelike;
use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::{Catalogue, Row};
use super::names::Names;
use super::query::matching;
use crate::model::filter::Filter;

/// The most values of a facet.
const MOST_VALUES: usize = 50;

/// The value of repositories that have none, as filters name it.
const NONE: &str = "none";

/// The counts of the repositories that match a filter, most first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Facets {
    /// Repositories that match the filter.
    pub matched: usize,
    pub language: Vec<FacetValue>,
    pub license: Vec<FacetValue>,
    pub owner: Vec<FacetValue>,
    pub topic: Vec<FacetValue>,
    /// By year.
    pub created: Vec<FacetValue>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FacetValue {
    /// `none` stands for no value.
    pub value: String,
    /// Repositories with the value.
    pub count: u32,
}

/// Counts the repositories that match a filter.
#[must_use]
pub fn facets(catalogue: &Catalogue, filter: &Filter) -> Facets {
    facets_of(catalogue, matching(catalogue, filter))
}

/// Counts these repositories.
pub fn facets_of<'a>(catalogue: &Catalogue, rows: impl IntoIterator<Item = &'a Row>) -> Facets {
    let mut languages = Counter::of(&catalogue.languages);
    let mut licenses = Counter::of(&catalogue.licenses);
    let mut owners = Counter::of(&catalogue.owners);
    let mut topics = Counter::of(&catalogue.topics);
    let mut years: HashMap<i32, u32> = HashMap::new();
    let mut matched = 0;
    for row in rows {
        matched += 1;
        languages.count(row.language);
        licenses.count(row.license);
        owners.count(row.owner);
        for topic in catalogue.topic_list(row).unwrap_or_default() {
            topics.count(Some(*topic));
        }
        if let Some(created_at) = row.created_at {
            *years.entry(created_at.year()).or_default() += 1;
        }
    }
    let years =
        years.into_iter().map(|(year, count)| FacetValue { value: year.to_string(), count });
    Facets {
        matched,
        language: languages.most(),
        license: licenses.most(),
        owner: owners.most(),
        topic: topics.most(),
        created: most(years.collect()),
    }
}

/// Counts by the index of a name.
struct Counter<'a> {
    names: &'a Names,
    by_name: Vec<u32>,
    without_name: u32,
}

impl<'a> Counter<'a> {
    fn of(names: &'a Names) -> Self {
        Self { names, by_name: vec![0; names.iter().len()], without_name: 0 }
    }

    fn count(&mut self, name: Option<u32>) {
        match name {
            Some(name) => self.by_name[name as usize] += 1,
            None => self.without_name += 1,
        }
    }

    fn most(self) -> Vec<FacetValue> {
        let named = self.names.iter().zip(self.by_name);
        let all = named.chain([(NONE, self.without_name)]).filter(|(_, count)| *count > 0);
        let mut all: Vec<(&str, u32)> = all.collect();
        if all.len() > MOST_VALUES {
            all.select_nth_unstable_by(MOST_VALUES, |one, other| {
                (other.1, one.0).cmp(&(one.1, other.0))
            });
            all.truncate(MOST_VALUES);
        }
        most(
            all.into_iter()
                .map(|(value, count)| FacetValue { value: value.to_owned(), count })
                .collect(),
        )
    }
}

/// The values with the most first; equal counts by value.
fn most(mut values: Vec<FacetValue>) -> Vec<FacetValue> {
    values.sort_unstable_by(|one, other| (other.count, &one.value).cmp(&(one.count, &other.value)));
    values.truncate(MOST_VALUES);
    values
}
