//! Facets: how many repositories of the list have each value, as links.

use super::super::links::Link;
use super::super::words::Grouped;
use crate::lists::catalogue::{Catalogue, Row};
use crate::lists::facets::{FacetValue, facets_of};

/// The most values of a facet.
const MOST_VALUES: usize = 8;

pub(super) struct FacetView {
    pub(super) parameter: &'static str,
    pub(super) name: &'static str,
    pub(super) values: Vec<FacetLink>,
}

pub(super) struct FacetLink {
    pub(super) value: String,
    pub(super) count: Grouped,
    /// The page with this value alone.
    pub(super) href: String,
}

impl FacetView {
    pub(super) fn values(&self) -> Vec<String> {
        self.values.iter().map(|link| link.value.clone()).collect()
    }
}

/// The facets of a list's repositories. `link` is the present page.
pub(super) fn facet_views(catalogue: &Catalogue, rows: &[&Row], link: &Link) -> Vec<FacetView> {
    let facets = facets_of(catalogue, rows.iter().copied());
    let view = |parameter, name, values: Vec<FacetValue>, condition: fn(&str) -> String| {
        let own = values.into_iter().filter(|value| {
            // A comma would end the value, and each repository has the list's own topic.
            !value.value.contains(',') && value.value != catalogue.topic().as_str()
        });
        let link = |FacetValue { value, count }: FacetValue| FacetLink {
            href: link.first_page().with(parameter, condition(&value)).to_string(),
            count: Grouped(count.into()),
            value,
        };
        let values = own.take(MOST_VALUES).map(link).collect();
        FacetView { parameter, name, values }
    };
    let views = [
        view("language", "Languages", facets.language, str::to_owned),
        view("license", "Licenses", facets.license, str::to_owned),
        view("owner", "Owners", facets.owner, str::to_owned),
        view("topic", "Topics", facets.topic, str::to_owned),
        view("created", "Created", facets.created, |year| format!("{year}-01-01..{year}-12-31")),
    ];
    views.into_iter().filter(|view| !view.values.is_empty()).collect()
}
