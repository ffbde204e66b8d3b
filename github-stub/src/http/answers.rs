//! GitHub's answers: JSON, error messages, rate-limit headers, ETag.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::limits::{Quota, Resource};

pub(super) const DOCS: &str = "https://docs.github.com/rest";
const LIMITS_DOCS: &str =
    "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api";

pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response {
    text_answer(status, value.to_string().into())
}

pub(super) fn text_answer(status: StatusCode, text: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-github-media-type"), "github.v3; format=json"),
    ];
    (status, headers, text).into_response()
}

/// 200 with an ETag, or 304 if `If-None-Match` has that ETag. As on GitHub, the ETag depends on the
/// token too.
pub(super) fn conditional(text: Bytes, headers: &HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let etag = format!("W/\"{:064x}\"", fnv1a(text.iter().chain(token)));
    let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits");
    let fresh = headers.get(header::IF_NONE_MATCH) == Some(&etag);
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        text_answer(StatusCode::OK, text)
    };
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// The 64-bit FNV-1a hash, which suffices to distinguish bodies in a test.
fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// An error in GitHub's form.
pub(super) fn message(status: StatusCode, text: &str, documentation: &str) -> Response {
    json_answer(
        status,
        &json!({"message": text, "documentation_url": documentation, "status": status.as_str()}),
    )
}

pub(super) fn missing_user_agent() -> Response {
    let text = "Request forbidden by administrative rules. \
                Please make sure your request has a User-Agent header (https://docs.github.com/\
                en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                Check https://developer.github.com for other possible causes.\n";
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

pub(super) fn primary_limit(
    status: StatusCode,
    with_token: bool,
    resource: Resource,
    quota: Quota,
) -> Response {
    let text = if with_token {
        "API rate limit exceeded for user ID 12345. If you reach out to GitHub Support for help, \
         please include the request ID 0000:0001 and timestamp."
    } else {
        "API rate limit exceeded for 192.0.2.1. (But here's the good news: Authenticated requests \
         get a higher rate limit. Check out the documentation for more details.)"
    };
    let mut response = message(status, text, LIMITS_DOCS);
    set_rate_headers(response.headers_mut(), resource, quota);
    response
}

pub(super) fn secondary_limit(
    status: StatusCode,
    retry_after: Option<u32>,
    resource: Resource,
    quota: Quota,
) -> Response {
    let text = "You have exceeded a secondary rate limit. Please wait a few minutes before you \
                try again. If you reach out to GitHub Support for help, please include the \
                request ID 0000:0001.";
    let documentation = format!("{LIMITS_DOCS}#about-secondary-rate-limits");
    let mut response = message(status, text, &documentation);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    set_rate_headers(response.headers_mut(), resource, quota);
    response
}

pub(super) fn set_rate_headers(headers: &mut HeaderMap, resource: Resource, quota: Quota) {
    let mut set = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value)
    };
    set("x-ratelimit-limit", quota.limit.into());
    set("x-ratelimit-remaining", quota.remaining().into());
    set("x-ratelimit-used", quota.used.into());
    set("x-ratelimit-reset", quota.reset.timestamp().into());
    set("x-ratelimit-resource", HeaderValue::from_static(resource.name()));
}
