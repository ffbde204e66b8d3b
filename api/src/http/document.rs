//! Documents as answers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use super::conditional::{encoding, is_current};
use super::cors;
use crate::lists::document::Document;
use crate::read::Served;

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Cache-Control of lists, and of documents that a refresh may change.
pub(super) const FOR_A_MINUTE: HeaderValue = HeaderValue::from_static(
    "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400",
);

/// A document in the encoding that the client likes best, or 304 if the client's copy is current.
pub(super) fn answer(served: &Served, request: &HeaderMap) -> Response {
    let document: &Document = &served.document;
    let encoding = encoding(request);
    let body = document.bodies.body(encoding);
    let mut head = document.head.clone();
    if let Some(name) = encoding.name() {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    head.insert(header::ETAG, body.etag.clone());
    head.insert(CACHE_STATUS, HeaderValue::from_static(served.cache_status));
    head.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    cors::open(&mut head);
    let etags = document.bodies.bodies().iter().map(|body| &body.etag);
    send(head, body.bytes.clone(), is_current(request, etags, document.modified_at))
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
