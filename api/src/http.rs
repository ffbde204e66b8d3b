//! The routes.

mod envelope;
mod lists;
mod maintenance;
mod metrics;
mod negotiation;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};

use crate::error::Error;
use crate::model::ranking::Ranking;
use crate::model::topic::{InvalidTopic, Topic};
use crate::service::Service;

/// Every route, with what each answer gets around it. A slash too many at either end is the same
/// path.
pub fn router(service: Arc<Service>) -> NormalizePath<Router> {
    let router = Router::new()
        .route("/", get(status::guide))
        .route("/api/{topic}", lists::cached(Ranking::BestMatch))
        .route("/api/popularity/{topic}", lists::cached(Ranking::Popularity))
        .route("/api/activity/{topic}", lists::cached(Ranking::Activity))
        .route("/db/{topic}", lists::stored(Ranking::BestMatch))
        .route("/db/popularity/{topic}", lists::stored(Ranking::Popularity))
        .route("/db/activity/{topic}", lists::stored(Ranking::Activity))
        .route(
            "/bootstrap_db",
            maintenance_route(get(maintenance::bootstrap_db).post(maintenance::bootstrap_db)),
        )
        .route(
            "/update_cache",
            maintenance_route(get(maintenance::update_cache).post(maintenance::track_and_update)),
        )
        .route("/test", get(status::test))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/topics", get(status::topics))
        .route("/topics/{topic}", get(status::topic).delete(maintenance::forget))
        .route("/refreshes", get(status::refreshes))
        .route("/refreshes/{id}", get(status::refresh))
        .with_state(Arc::clone(&service))
        .layer(CatchPanicLayer::custom(|_| Error::Internal.into_response()))
        .layer(axum::middleware::from_fn_with_state(service, envelope::envelope));
    NormalizePathLayer::trim_trailing_slash().layer(router)
}

/// HEAD promises to change nothing, which maintenance cannot.
fn maintenance_route(route: MethodRouter<Arc<Service>>) -> MethodRouter<Arc<Service>> {
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
