//! The routes of the lists.

use super::lists::{self, BY, DAY, WINDOW};
use crate::http::description::{Answer, Operation, Routes};
use crate::http::parameters::Parameter;
use crate::model::list::{DatedItem, GrowingItem, ListItem};
use crate::model::ranking::{Listing, Ranking, Trend};

/// The headers that tell how fresh and how complete a list is.
const FACTS: &[&str] = &["Last-Modified", "X-Complete", "X-Refreshed-At", "X-Total-Count"];

/// The headers of a list by growth.
const GROWTH_FACTS: &[&str] = &["X-History-Since", "X-Window"];

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default();
    for listing in Listing::ALL {
        let handler = match listing {
            Listing::Trend(trend) => lists::trend(trend),
            Listing::Ranked(_) | Listing::Newest => lists::cached(listing),
        };
        let id = format!("list_{}", listing.name());
        let summary = format!("The repositories of a topic {}", listing.summary());
        routes = routes.routes(
            Operation::get(id, summary)
                .takes(parameters(listing))
                .kept(answer(listing))
                .fails(&[404])
                .at(&format!("/api{}", listing.path()), handler),
        );
    }
    for ranking in Ranking::ALL {
        let listing = Listing::from(*ranking);
        let id = format!("list_stored_{}", listing.name());
        let summary = format!("The same list from the database, {}", listing.summary());
        routes = routes.routes(
            Operation::get(id, summary)
                .kept(answer(listing))
                .fails(&[404])
                .at(&format!("/db{}", listing.path()), lists::stored(*ranking)),
        );
    }
    routes
}

fn parameters(listing: Listing) -> &'static [&'static Parameter] {
    match listing {
        Listing::Ranked(_) | Listing::Newest => &[],
        Listing::Trend(Trend::Trending) => &[&WINDOW, &BY, &DAY],
        Listing::Trend(Trend::Falling) => &[&WINDOW, &DAY],
    }
}

fn answer(listing: Listing) -> Answer {
    match listing {
        Listing::Ranked(_) => Answer::rows::<ListItem<'_>>(),
        Listing::Newest => Answer::rows::<DatedItem<'_>>(),
        Listing::Trend(_) => Answer::rows::<GrowingItem<'_>>().with(GROWTH_FACTS),
    }
    .with(FACTS)
}
