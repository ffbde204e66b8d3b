//! The lists.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::negotiation::{encoding, http_date, is_current};
use crate::error::Error;
use crate::lists::{self, Encoding};
use crate::model::list::ListMeta;
use crate::model::ranking::Ranking;
use crate::model::time::rfc3339;
use crate::model::topic::Topic;
use crate::service::Service;

const CACHE_CONTROL: HeaderValue = HeaderValue::from_static(
    "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400",
);

/// Headers that scripts of other origins may read besides the simple ones.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ETag, X-Refreshed-At, X-Complete, X-Total-Count, Cache-Status");

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

/// Room for every header of a list's answer.
const HEADERS: usize = 24;

/// `/api`: the ready bodies.
pub(super) fn cached(ranking: Ranking) -> MethodRouter<Arc<Service>> {
    get(
        async move |State(service): State<Arc<Service>>,
                    topic: Topic,
                    request: Request|
                    -> Result<Response, Error> {
            let read = service.reader.lists(&topic).await?;
            let list = read.lists.list(ranking);
            let encoding = encoding(request.headers());
            let (body, standing) = (list.body(encoding), &read.lists.standing);
            let head = body.head.get_or_init(|| {
                let mut head = head(standing, &body.etag, encoding);
                head.insert(header::CACHE_CONTROL, CACHE_CONTROL);
                head.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
                head
            });
            let current = is_current(
                request.headers(),
                list.bodies().map(|body| &body.etag),
                standing.modified_at,
            );
            let mut response = answer(head.clone(), body.bytes.clone(), current);
            response.headers_mut().insert(CACHE_STATUS, cache_status(read.tier));
            response.headers_mut().insert(X_ACCEL_EXPIRES, end_of_this_second(service.clock.now()));
            Ok(response)
        },
    )
}

/// `/db`: the rows as they are now.
pub(super) fn stored(ranking: Ranking) -> MethodRouter<Arc<Service>> {
    get(
        async move |State(service): State<Arc<Service>>,
                    topic: Topic,
                    request: Request|
                    -> Result<Response, Error> {
            let rows = service.reader.rows(&topic, ranking).await?;
            let json = rows.lists.into_iter().next().ok_or(Error::Internal)?;
            let body = lists::Body::new(json.into(), Encoding::Identity);
            let current = is_current(
                request.headers(),
                std::iter::once(&body.etag),
                rows.standing.modified_at,
            );
            let mut response =
                answer(head(&rows.standing, &body.etag, Encoding::Identity), body.bytes, current);
            response.headers_mut().insert(CACHE_STATUS, cache_status(None));
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        },
    )
}

/// A list, or that the client's copy is current.
fn answer(head: HeaderMap, bytes: Bytes, current: bool) -> Response {
    let mut response = Response::new(if current { Body::empty() } else { Body::from(bytes) });
    *response.headers_mut() = head;
    if current {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_ENCODING);
    }
    response
}

/// The headers of a list that are the same for everyone.
fn head(standing: &ListMeta, etag: &HeaderValue, encoding: Encoding) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(name) = encoding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers.insert(header::ETAG, etag.clone());
    headers.insert(header::LAST_MODIFIED, http_date(standing.modified_at));
    headers.insert(
        "x-complete",
        HeaderValue::from_static(if standing.complete { "true" } else { "false" }),
    );
    if let Some(Ok(refreshed_at)) =
        standing.refreshed_at.map(|at| HeaderValue::try_from(rfc3339(at)))
    {
        headers.insert("x-refreshed-at", refreshed_at);
    }
    if let Some(total_count) = standing.total_count {
        headers.insert("x-total-count", HeaderValue::from(total_count));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers
}

/// For how long the proxy may answer for us. nginx counts in whole seconds: one second from now
/// would be up to two.
fn end_of_this_second(now: DateTime<Utc>) -> HeaderValue {
    HeaderValue::try_from(format!("@{}", now.timestamp())).unwrap_or(HeaderValue::from_static("0"))
}

/// RFC 9211: who had it.
fn cache_status(tier: Option<&'static str>) -> HeaderValue {
    match tier {
        Some("memory") => HeaderValue::from_static("memory; hit"),
        Some("redis") => HeaderValue::from_static("redis; hit"),
        _ => HeaderValue::from_static("database; fwd=miss"),
    }
}
