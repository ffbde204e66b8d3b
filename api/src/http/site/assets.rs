//! The style sheet, the script and the icon of pages, whose names change with their bytes; and the
//! rules for crawlers.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::get;

use crate::app::App;
use crate::error::Error;
use crate::http::description::Routes;
use crate::http::document::{self, FOR_A_MINUTE};
use crate::lists::document::Document;
use crate::pictures::colors;
use crate::read::Served;

/// The bytes of a name never change.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A file that pages use.
pub(super) struct Asset {
    /// The path below the service's address.
    pub(super) path: String,
    document: Arc<Document>,
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let css = [include_str!("../../../templates/site.css"), &colors::page_style()].concat();
    Asset::new("css", "text/css; charset=utf-8", css)
});

pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let script = include_str!("../../../templates/site.js").to_owned();
    Asset::new("js", "text/javascript; charset=utf-8", script)
});

pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let icon = include_str!("../../../templates/icon.svg").to_owned();
    Asset::new("svg", "image/svg+xml", icon)
});

impl Asset {
    fn new(extension: &str, content_type: &'static str, text: String) -> Self {
        let document = Document::new(content_type, FOR_EVER, text.into_bytes());
        let hash = &document.digest[..12];
        Self { path: format!("assets/{hash}.{extension}"), document: Arc::new(document) }
    }
}

/// RFC 9309.
static ROBOTS: LazyLock<Arc<Document>> = LazyLock::new(|| {
    let rules = include_bytes!("../../../templates/robots.txt").to_vec();
    Arc::new(Document::new("text/plain; charset=utf-8", FOR_A_MINUTE, rules))
});

/// The routes have no description: pages alone know the names of assets, and crawlers know theirs.
pub(super) fn routes() -> Routes {
    Routes::default().route("/assets/{asset}", get(asset)).route("/robots.txt", get(robots))
}

async fn asset(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: HeaderMap,
) -> Result<Response, Error> {
    let assets: [&Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let asset = assets.into_iter().find(|asset| asset.path.strip_prefix("assets/") == Some(&name));
    Ok(answer(&app, &asset.ok_or(Error::NoAsset(name))?.document, &request).await)
}

async fn robots(State(app): State<Arc<App>>, request: HeaderMap) -> Response {
    answer(&app, &ROBOTS, &request).await
}

async fn answer(app: &App, document: &Arc<Document>, request: &HeaderMap) -> Response {
    let document = Arc::clone(document);
    let served = Served { document, cache_status: "memory; hit", is_stale: false };
    document::answer(app, &served, request).await
}
