//! Documents as answers.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use super::conditional::{encoding, is_current};
use super::cors;
use crate::app::App;
use crate::error::Error;
use crate::lists::bundle::Encoding;
use crate::lists::document::Document;
use crate::read::{FROM_DATABASE, Served};

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Cache-Control of lists, of documents that a refresh may change, and of all stale answers: no
/// purge comes for one that a CDN takes after a refresh was purged.
pub(super) const FOR_A_MINUTE: HeaderValue = HeaderValue::from_static(
    "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400",
);

/// Cache-Control of answers that may change at any time: a copy is to be confirmed by its ETag.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// A document in the encoding that the client likes best, or 304 if the client's copy is current.
pub(super) async fn answer(app: &App, served: &Served, request: &HeaderMap) -> Response {
    let document = &served.document;
    let encoding = document.encoding(encoding(request));
    let mut head = document.head.clone();
    if let Some(name) = encoding.name() {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    head.insert(header::ETAG, document.etag(encoding));
    head.insert(CACHE_STATUS, HeaderValue::from_static(served.cache_status));
    if served.is_stale || document.is_provisional {
        head.insert(header::CACHE_CONTROL, FOR_A_MINUTE);
    }
    head.entry(header::VARY).or_insert(HeaderValue::from_static("Accept-Encoding"));
    cors::open(&mut head);
    let etags = Encoding::ALL.map(|encoding| document.etag(encoding));
    if is_current(request, etags.iter(), document.modified_at) {
        return send(head, Bytes::new(), true);
    }
    send(head, app.documents.encoded(document, encoding).await, false)
}

/// A value as JSON that is made for each request, and compressed for those who take it.
pub(super) async fn json(
    app: &App,
    value: &impl Serialize,
    request: &HeaderMap,
) -> Result<Response, Error> {
    let bytes = serde_json::to_vec(value).map_err(|_| Error::Internal)?;
    let document = Arc::new(Document::new("application/json", NO_CACHE, bytes));
    let served = Served { document, cache_status: FROM_DATABASE, is_stale: false };
    Ok(answer(app, &served, request).await)
}

/// Headers and body, or 304 if the client's copy is current.
pub(super) fn send(head: HeaderMap, bytes: Bytes, current: bool) -> Response {
    let mut response = Response::new(if current { Body::empty() } else { Body::from(bytes) });
    *response.headers_mut() = head;
    if current {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_ENCODING);
    }
    response
}
