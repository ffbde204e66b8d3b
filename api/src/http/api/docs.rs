//! The description of all routes, for programs and for people.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::{MethodRouter, get};
use utoipa::openapi::OpenApi;

use crate::app::App;
use crate::error::Error;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document;
use crate::http::site::docs;
use crate::lists::document::Document;
use crate::read::Served;

const JSON: &str = "/openapi.json";
const PAGE: &str = "/docs";

/// The description changes with a release alone.
const CACHE_CONTROL: HeaderValue =
    HeaderValue::from_static("public, max-age=3600, stale-if-error=86400");

/// The descriptions of the two routes. [`serve`] adds the handlers, which need those of all routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(
            Operation::get("openapi", "This description (OpenAPI 3.1)")
                .kept(Answer::text("application/json"))
                .at(JSON, MethodRouter::new()),
        )
        .routes(
            Operation::get("docs", "This description as a page for people")
                .kept(Answer::text("text/html"))
                .at(PAGE, MethodRouter::new()),
        )
}

/// Serves the description of all routes, which `complete` returns.
pub(super) fn serve(
    router: Router<Arc<App>>,
    root: String,
    complete: impl FnOnce() -> OpenApi + Send + 'static,
) -> Router<Arc<App>> {
    let api = Arc::new(LazyLock::new(complete));
    let own = Arc::clone(&api);
    let json = move || {
        let bytes = serde_json::to_vec(&**own).unwrap_or_default();
        Ok(Document::new("application/json", CACHE_CONTROL, bytes))
    };
    let page = move || docs::page(&api, root, CACHE_CONTROL);
    router.route(JSON, made_once(json)).route(PAGE, made_once(page))
}

/// A document that the first request makes.
fn made_once(
    make: impl FnOnce() -> Result<Document, Error> + Send + 'static,
) -> MethodRouter<Arc<App>> {
    let document = Arc::new(LazyLock::new(|| make().map(Arc::new)));
    get(async move |State(app): State<Arc<App>>, request: HeaderMap| {
        let document = (*document).clone()?;
        let served = Served { document, cache_status: "memory; hit", is_stale: false };
        Ok::<_, Error>(document::answer(&app, &served, &request).await)
    })
}
