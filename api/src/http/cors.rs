//! Access for scripts of other origins (the Fetch standard's CORS): every reading route, errors
//! too, and no maintenance.
//!
//! tower-http's layer answers any OPTIONS, also one that is no preflight, and builds a map of
//! headers for each answer, which a list in memory would pay for.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

const ANY_ORIGIN: (HeaderName, HeaderValue) =
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// Headers that scripts may read besides the simple ones. nginx's own errors have the same line.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Link, Retry-After, X-Request-Id, X-Refreshed-At, X-Complete, X-Total-Count, X-Matched, \
     X-Window, X-History-Since, Cache-Status",
);

/// Browsers keep the answer to a preflight for a day at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Whether a browser asks if a script of another origin may send a request.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of a reading route.
pub(super) fn preflight() -> Response {
    let allowed = [
        ANY_ORIGIN,
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD")),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("If-None-Match, If-Modified-Since, X-Request-Id"),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

/// Opens an answer to scripts of every origin. The headers of a kept list are open already.
pub(super) fn open(headers: &mut HeaderMap) {
    let (name, any) = ANY_ORIGIN;
    if !headers.contains_key(&name) {
        headers.insert(name, any);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}
