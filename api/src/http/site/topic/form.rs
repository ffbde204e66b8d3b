//! The form of a list: a field for each parameter, made from the table of parameters.

use super::super::fields::{Field, choice};
use super::super::links::Link;
use super::facets::FacetView;
use crate::error::ParameterFault;
use crate::http::list_parameters::page_parameters;
use crate::http::pages::{PAGE, PER_PAGE};
use crate::http::parameters::{Parameter, Shape};
use crate::model::ranking::Listing;

/// The parameters that come first; the others are folded away.
const FIRST: [&str; 6] = ["window", "by", "language", "stars", "pushed", "q"];

/// The parameters that no chip takes away: they choose a list, not some of its rows.
const WITHOUT_CHIP: [&str; 4] = ["window", "by", "page", "per_page"];

pub(super) struct Form {
    pub(super) action: String,
    pub(super) first: Vec<Field>,
    pub(super) others: Vec<Field>,
    /// Faults of parameters that have no field.
    pub(super) faults: Vec<ParameterFault>,
    /// Whether a fault or a value is among the fields that are folded away.
    pub(super) is_open: bool,
    pub(super) has_faults: bool,
}

/// A parameter in use, and the page without it.
pub(super) struct Chip {
    pub(super) text: String,
    pub(super) href: String,
}

impl Form {
    pub(super) fn new(
        listing: Listing,
        action: &str,
        link: &Link,
        mut faults: Vec<ParameterFault>,
        facets: &[FacetView],
    ) -> Self {
        let has_faults = !faults.is_empty();
        let parameters = page_parameters(listing).into_iter();
        let fields = parameters.filter(|parameter| parameter.name != PAGE.name).map(|parameter| {
            let fault = faults.iter().position(|fault| fault.parameter == parameter.name);
            let fault = fault.map(|place| faults.swap_remove(place).rule);
            field(parameter, link, fault, facets)
        });
        let (first, others): (Vec<_>, Vec<_>) =
            fields.partition(|field: &Field| FIRST.contains(&field.name));
        let is_open = others.iter().any(|field| field.fault.is_some() || !field.value.is_empty());
        Self { action: action.to_owned(), first, others, faults, is_open, has_faults }
    }
}

fn field(parameter: &Parameter, link: &Link, fault: Option<String>, facets: &[FacetView]) -> Field {
    let Parameter { name, example, shape, .. } = parameter;
    let value = link.get(name).unwrap_or_default().to_owned();
    let options = match (*name, shape) {
        ("window", Shape::OneOf(choices)) => choice(choices, "7d", &value),
        ("by", Shape::OneOf(choices)) => choice(choices, "gained", &value),
        (_, Shape::Boolean) => choice(&["any", "true", "false"], "any", &value),
        _ => Vec::new(),
    };
    let facet = facets.iter().find(|facet| facet.parameter == *name);
    Field {
        name,
        label: label(name).to_owned(),
        placeholder: example,
        help: parameter.help(),
        fault,
        options,
        proposals: facet.map(FacetView::values).unwrap_or_default(),
        is_long: ["q", "topic", "owner"].contains(name),
        value,
    }
}

fn label(name: &str) -> &str {
    match name {
        "q" => "words",
        "topic" => "other topics",
        name if name == PER_PAGE.name => "rows",
        _ => name,
    }
}

/// A chip for each parameter in use.
pub(super) fn chips(link: &Link) -> Vec<Chip> {
    let parameters = link.parameters().iter();
    let parameters = parameters.filter(|(name, _)| !WITHOUT_CHIP.contains(&name.as_str()));
    let chip = |(name, value): &(String, String)| Chip {
        text: match (name.as_str(), value.as_str()) {
            ("archived", "false") => "not archived".to_owned(),
            ("archived", "true") => "archived".to_owned(),
            ("template", "false") => "no templates".to_owned(),
            ("template", "true") => "templates".to_owned(),
            _ => format!("{}: {}", label(name), value.replace(',', ", ")),
        },
        href: link.without(name).first_page().to_string(),
    };
    parameters.map(chip).collect()
}
