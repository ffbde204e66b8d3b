//! The lists.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::negotiation::{encoding, http_date, is_current};
use crate::error::Error;
use crate::lists::{self, Encoding, Ranking, Standing};
use crate::repository::rfc3339;
use crate::service::Service;
use crate::topic::Topic;

const CACHE_CONTROL: HeaderValue =
    HeaderValue::from_static("public, max-age=60, stale-while-revalidate=600, stale-if-error=86400");

/// Headers that scripts of other origins may read besides the simple ones.
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag, X-Refreshed-At, X-Complete, X-Total-Count, Cache-Status");

/// `/api`: the ready bodies.
pub(super) fn cached(ranking: Ranking) -> MethodRouter<Arc<Service>> {
    get(async move |State(service): State<Arc<Service>>, topic: Topic, headers: HeaderMap| -> Result<Response, Error> {
        let read = service.reader.lists(&topic).await?;
        let list = read.lists.list(ranking);
        let encoding = encoding(&headers);
        let body = list.body(encoding);
        let standing = &read.lists.standing;
        let mut response = if is_current(&headers, list.bodies().map(|body| &body.etag), standing.modified_at) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            json(body.bytes.clone(), encoding)
        };
        describe(response.headers_mut(), standing, &body.etag, cache_status(read.tier));
        response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
        response.headers_mut().insert("x-accel-expires", end_of_this_second(service.clock.now()));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        Ok(response)
    })
}

/// `/db`: the rows as they are now.
pub(super) fn stored(ranking: Ranking) -> MethodRouter<Arc<Service>> {
    get(async move |State(service): State<Arc<Service>>, topic: Topic, headers: HeaderMap| -> Result<Response, Error> {
        let rows = service.reader.rows(&topic, ranking).await?;
        let standing = Standing::of(&rows.state).ok_or(Error::Internal)?;
        let items = rows.lists.first().ok_or(Error::Internal)?;
        let body = lists::Body::new(lists::json(items).into(), Encoding::Identity);
        let mut response = if is_current(&headers, std::iter::once(&body.etag), standing.modified_at) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            json(body.bytes, Encoding::Identity)
        };
        describe(response.headers_mut(), &standing, &body.etag, cache_status(None));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
}

/// For how long the proxy may answer for us. nginx counts in whole seconds: one second from now would be up to two.
fn end_of_this_second(now: DateTime<Utc>) -> HeaderValue {
    HeaderValue::try_from(format!("@{}", now.timestamp())).unwrap_or(HeaderValue::from_static("0"))
}

fn json(bytes: Bytes, encoding: Encoding) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(name) = encoding.name() {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    response
}

/// What a list's headers say of it, with a body and without.
fn describe(headers: &mut HeaderMap, standing: &Standing, etag: &HeaderValue, cache_status: HeaderValue) {
    headers.insert(header::ETAG, etag.clone());
    headers.insert(header::LAST_MODIFIED, http_date(standing.modified_at));
    headers.insert("x-complete", HeaderValue::from_static(if standing.complete { "true" } else { "false" }));
    if let Some(Ok(refreshed_at)) = standing.refreshed_at.map(|at| HeaderValue::try_from(rfc3339(at))) {
        headers.insert("x-refreshed-at", refreshed_at);
    }
    if let Some(total_count) = standing.total_count {
        headers.insert("x-total-count", HeaderValue::from(total_count));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert("cache-status", cache_status);
}

/// RFC 9211: who had it.
fn cache_status(tier: Option<&'static str>) -> HeaderValue {
    match tier {
        Some("memory") => HeaderValue::from_static("memory; hit"),
        Some("redis") => HeaderValue::from_static("redis; hit"),
        _ => HeaderValue::from_static("database; fwd=miss"),
    }
}
