//! The routes of the lists.

use axum::routing::get;
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema};

use super::lists;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::list_parameters::{FILTERS, parameters_of};
use crate::lists::facets::Facets;
use crate::lists::query::all_fields;
use crate::lists::table::Format;
use crate::model::growth::Growth;
use crate::model::list::ListItem;
use crate::model::ranking::{Listing, Ranking};
use crate::model::repository::{Places, Repository};

/// The headers that tell how fresh and how complete a list is.
pub(super) const FACTS: &[&str] =
    &["Last-Modified", "X-Complete", "X-Refreshed-At", "X-Total-Count"];

/// The headers of a list with parameters.
const PAGE_FACTS: &[&str] = &["Link", "X-Matched"];

/// The headers of a list by growth.
const GROWTH_FACTS: &[&str] = &["X-History-Since", "X-Window"];

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default();
    for listing in Listing::ALL {
        let id = format!("list_{}", listing.name());
        let summary = format!("The repositories of a topic {}", listing.summary());
        routes = routes.routes(
            Operation::get(id, summary)
                .takes(&parameters_of(listing))
                .kept(answer(listing))
                .fails(&[404])
                .at(&format!("/api{}", listing.path()), lists::cached(listing)),
        );
    }
    for ranking in Ranking::ALL {
        let listing = Listing::from(*ranking);
        let id = format!("list_stored_{}", listing.name());
        let summary = format!("The same list from the database, {}", listing.summary());
        routes = routes.routes(
            Operation::get(id, summary)
                .kept(Answer::rows::<ListItem<'_>>().with(FACTS))
                .fails(&[404])
                .at(&format!("/db{}", listing.path()), lists::stored(*ranking)),
        );
    }
    routes.routes(
        Operation::get("get_facets", "The counts of a topic's repositories by their fields")
            .takes(&FILTERS)
            .kept(Answer::json::<Facets>().with(FACTS))
            .fails(&[404])
            .at("/topics/{topic}/facets", get(lists::facets)),
    )
}

fn answer(listing: Listing) -> Answer {
    let name = match listing {
        Listing::Ranked(_) => "RankedRow",
        Listing::Newest => "NewestRow",
        Listing::Trend(_) => "TrendRow",
    };
    let growth_facts = if matches!(listing, Listing::Trend(_)) { GROWTH_FACTS } else { &[] };
    Answer::rows_of(name, row(listing))
        .or_text(Format::Ndjson.content_type())
        .or_text("text/csv")
        .with(FACTS)
        .with(PAGE_FACTS)
        .with(growth_facts)
}

/// A row, of which the parameter `fields` chooses the properties.
fn row(listing: Listing) -> Object {
    // The first schema with a property describes it: as of a past day, rows lack some times.
    let parts = [ListItem::schema(), Repository::schema(), Places::schema(), Growth::schema()];
    let mut row = Object::new();
    for field in all_fields(listing) {
        let property = parts.iter().find_map(|part| match part {
            RefOr::T(Schema::Object(part)) => part.properties.get(field.name()),
            _ => None,
        });
        row.properties.extend(property.map(|property| (field.name().to_owned(), property.clone())));
    }
    row.min_properties = Some(1);
    row
}
