//! The API's routes, one file a resource.

mod docs;
mod events;
mod exports;
mod feeds;
mod health;
mod list_routes;
pub(in crate::http) mod lists;
mod maintenance;
pub(in crate::http) mod pictures;
pub(in crate::http) mod ready;
pub(in crate::http) mod refreshes;
pub(in crate::http) mod repositories;
pub(in crate::http) mod topics;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::Method;
use axum::http::request::Parts;
use url::Url;

use self::maintenance::{BOOTSTRAP_DB, UPDATE_CACHE};
use crate::app::App;
use crate::error::Error;
use crate::http::description::{self, Routes};
use crate::http::site;
use crate::model::repository::FullName;
use crate::model::topic::{InvalidTopic, Topic};

/// Whether a route is maintenance in this method. Scripts of other origins may read all others.
pub(super) fn is_maintenance(route: &str, method: &Method) -> bool {
    *method == Method::DELETE || [BOOTSTRAP_DB, UPDATE_CACHE].contains(&route)
}

/// The resources: name, meaning, routes.
fn resources() -> [(&'static str, &'static str, Routes); 10] {
    [
        ("Lists", "The repositories of a topic, 500 in each list.", list_routes::routes()),
        ("Repositories", "Single repositories.", repositories::routes()),
        ("Topics", "The tracked topics.", topics::routes().merge(events::routes())),
        ("Exports", "All of a topic in one answer.", exports::routes()),
        ("Feeds", "Feeds of a topic, for feed readers.", feeds::routes()),
        ("Pictures", "Charts and badges, and the numbers in them.", pictures::routes()),
        ("Refreshes", "The ledger of refreshes.", refreshes::routes()),
        (
            "Service",
            "The service itself.",
            health::routes().merge(ready::routes()).merge(docs::routes()),
        ),
        ("Pages", "Pages for people, for browsers with and without scripts.", site::routes()),
        ("Maintenance", "For maintainers only.", maintenance::routes()),
    ]
}

pub(super) fn routes(public_url: Option<Url>) -> Router<Arc<App>> {
    let mut all = Routes::default();
    let mut tags = Vec::new();
    for (name, meaning, routes) in resources() {
        all = all.merge(description::tagged(routes, name));
        tags.push((name, meaning));
    }
    let (router, api) = all.split_for_parts();
    let root = site::root(public_url.as_ref());
    docs::serve(router, root, move || description::complete(api, public_url.as_ref(), &tags))
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
