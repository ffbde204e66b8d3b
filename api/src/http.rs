//! HTTP: the routes, and what surrounds every answer.

mod address;
mod api;
mod cdn;
mod conditional;
mod cors;
mod description;
mod document;
mod list_parameters;
mod metrics;
mod middleware;
mod pages;
mod parameters;
mod problem;
#[cfg(test)]
mod properties;
pub(crate) mod scrape;
mod security;
mod site;

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};

use crate::app::App;
use crate::error::Error;

/// Every route. A doubled slash at either end of a path is the same path.
pub fn router(app: Arc<App>) -> NormalizePath<Router> {
    let router = api::routes(app.config.public_url.clone())
        .with_state(Arc::clone(&app))
        .layer(CatchPanicLayer::custom(|_| Error::Internal.into_response()))
        .layer(axum::middleware::from_fn_with_state(app, middleware::surround));
    NormalizePathLayer::trim_trailing_slash().layer(router)
}
