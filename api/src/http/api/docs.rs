//! The description of all routes, for programs and for people.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::{MethodRouter, get};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;

use crate::app::App;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::docs::{self, STYLE};
use crate::http::document;
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
    complete: impl FnOnce() -> OpenApi + Send + 'static,
) -> Router<Arc<App>> {
    let api = Arc::new(LazyLock::new(complete));
    let own = Arc::clone(&api);
    let json = move || {
        let bytes = serde_json::to_vec(&**own).unwrap_or_default();
        Document::new("application/json", CACHE_CONTROL, bytes)
    };
    let page = move || {
        let html = docs::page(&api).unwrap_or_default();
        let document = Document::new("text/html; charset=utf-8", CACHE_CONTROL, html.into_bytes());
        document.with(header::CONTENT_SECURITY_POLICY, policy())
    };
    router.route(JSON, made_once(json)).route(PAGE, made_once(page))
}

/// A document that the first request makes.
fn made_once(make: impl FnOnce() -> Document + Send + 'static) -> MethodRouter<Arc<App>> {
    let document = Arc::new(LazyLock::new(|| Arc::new(make())));
    get(async move |State(app): State<Arc<App>>, request: HeaderMap| {
        let served = Served { document: Arc::clone(&document), cache_status: "memory; hit" };
        document::answer(&app, &served, &request).await
    })
}

/// The page has its own style and needs nothing else.
fn policy() -> HeaderValue {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}
