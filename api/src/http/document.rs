//! Documents as answers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use super::conditional::{encoding, is_current};
use super::cors;
use crate::app::App;
use crate::lists::bundle::Encoding;
use crate::read::Served;

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Cache-Control of lists, and of documents that a refresh may change.
pub(super) const FOR_A_MINUTE: HeaderValue = HeaderValue::from_static(
    "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400",
);

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
    head.entry(header::VARY).or_insert(HeaderValue::from_static("Accept-Encoding"));
    cors::open(&mut head);
    let etags = Encoding::ALL.map(|encoding| document.etag(encoding));
    if is_current(request, etags.iter(), document.modified_at) {
        return send(head, Bytes::new(), true);
    }
    send(head, app.documents.encoded(document, encoding).await, false)
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
