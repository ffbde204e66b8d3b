//! The API's routes, one file a resource.

mod events;
mod exports;
mod feeds;
mod index;
mod lists;
mod maintenance;
mod pictures;
mod ready;
mod refreshes;
mod repositories;
mod topics;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::Method;
use axum::http::request::Parts;
use axum::routing::{MethodRouter, get};
use strum::VariantArray as _;

use crate::app::App;
use crate::error::Error;
use crate::feeds::{FeedFormat, FeedKind};
use crate::model::ranking::{Listing, Ranking};
use crate::model::repository::FullName;
use crate::model::topic::{InvalidTopic, Topic};

const BOOTSTRAP_DB: &str = "/bootstrap_db";
const UPDATE_CACHE: &str = "/update_cache";

/// Whether a route is maintenance in this method. Scripts of other origins may read all others.
pub(super) fn is_maintenance(route: &str, method: &Method) -> bool {
    *method == Method::DELETE || [BOOTSTRAP_DB, UPDATE_CACHE].contains(&route)
}

pub(super) fn routes() -> Router<Arc<App>> {
    let bootstrap_db = get(maintenance::bootstrap_db).post(maintenance::bootstrap_db);
    let update_cache = get(maintenance::update_cache).post(maintenance::track_and_update);
    let mut routes = pictures::routes()
        .route("/", get(index::index))
        .route(BOOTSTRAP_DB, maintenance_route(bootstrap_db))
        .route(UPDATE_CACHE, maintenance_route(update_cache))
        .route("/test", get(index::test))
        .route("/health", get(index::health))
        .route("/ready", get(ready::ready))
        .route("/topics", get(topics::topics))
        .route("/topics/{topic}", get(topics::topic).delete(maintenance::delete_topic))
        .route("/topics/{topic}/events", get(events::events))
        .route("/topics/{topic}/history", get(topics::history))
        .route("/topics/{topic}/facets", get(lists::facets))
        .route("/feeds.opml", get(feeds::list))
        .route("/exports/{file}", get(exports::repositories))
        .route("/api/repos/{owner}/{repo}", get(repositories::repository))
        .route("/api/repos/{owner}/{repo}/history", get(repositories::history))
        .route("/api/repositories/{id}", get(repositories::repository))
        .route("/api/repositories/{id}/history", get(repositories::history))
        .route("/refreshes", get(refreshes::refreshes))
        .route("/refreshes/{id}", get(refreshes::refresh));
    for (kind, format) in FeedKind::VARIANTS
        .iter()
        .flat_map(|kind| FeedFormat::VARIANTS.iter().map(|format| (*kind, *format)))
    {
        routes = routes.route(&feeds::path(kind, format), feeds::feed(kind, format));
    }
    for format in exports::FORMATS {
        routes = routes.route(&exports::history_path(format), exports::history(format));
    }
    for listing in Listing::ALL {
        routes = routes.route(&format!("/api{}", listing.path()), lists::cached(listing));
    }
    for ranking in Ranking::ALL {
        let path = Listing::from(*ranking).path();
        routes = routes.route(&format!("/db{path}"), lists::stored(*ranking));
    }
    routes
}

/// HEAD promises to change nothing, which maintenance cannot.
fn maintenance_route(route: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    async fn refuse() -> Error {
        Error::MethodNotAllowed("GET, POST")
    }
    route.head(refuse).fallback(refuse)
}

impl<S: Send + Sync> FromRequestParts<S> for Topic {
    type Rejection = Error;

    /// The path's only parameter.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(name) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| InvalidTopic)?;
        Ok(name.parse()?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FullName {
    type Rejection = Error;

    /// The path's only parameters: owner and name.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let name = path.map(|Path((owner, name))| format!("{owner}/{name}")).unwrap_or_default();
        name.parse().map_err(|_| Error::NoRepository(name))
    }
}
