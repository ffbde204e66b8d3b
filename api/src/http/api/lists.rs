//! The lists: `/api` from the caches, `/db` from the database.
//!
//! nginx (`nginx/nginx.conf`) answers lists itself and relies on these agreements:
//! - the ETag of a compressed list ends in `.gzip` or `.br`, that of a plain one in neither;
//! - `X-Accel-Expires` names the end of the present second;
//! - br goes before gzip if the client likes both equally.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::routing::{MethodRouter, get};
use chrono::{DateTime, Utc};

use crate::app::App;
use crate::error::Error;
use crate::http::conditional::{encoding, http_date, is_current};
use crate::http::cors;
use crate::http::document::{FOR_A_MINUTE, send};
use crate::lists::bundle::{self, Encoding};
use crate::model::list::ListMeta;
use crate::model::ranking::Ranking;
use crate::model::time::rfc3339;
use crate::model::topic::Topic;
use crate::read::FROM_DATABASE;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

/// Room for all headers of a list's answer.
const HEADERS: usize = 24;

/// A list from the caches, as a body that is ready to send.
pub(super) fn cached(ranking: Ranking) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, topic: Topic, request: Request| {
        let hit = app.reader.lists(&topic).await?;
        let (list, meta) = (hit.bundle.list(ranking), &hit.bundle.meta);
        let encoding = encoding(request.headers());
        let body = list.body(encoding);
        let head = body.head.get_or_init(|| {
            let mut head = head(meta, &body.etag, encoding);
            head.insert(header::CACHE_CONTROL, FOR_A_MINUTE);
            head.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            head
        });
        let etags = list.bodies().iter().map(|body| &body.etag);
        let current = is_current(request.headers(), etags, meta.modified_at);
        let mut response = send(head.clone(), body.bytes.clone(), current);
        let headers = response.headers_mut();
        headers.insert(CACHE_STATUS, HeaderValue::from_static(hit.cache_status));
        headers.insert(X_ACCEL_EXPIRES, end_of_this_second(app.clock.now()));
        Ok::<_, Error>(response)
    };
    get(answer)
}

/// A list as the database has it now.
pub(super) fn stored(ranking: Ranking) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, topic: Topic, request: Request| {
        let (meta, json) = app.reader.stored_list(&topic, ranking).await?;
        let body = bundle::Body::new(json.into(), Encoding::Identity);
        let etags = std::iter::once(&body.etag);
        let current = is_current(request.headers(), etags, meta.modified_at);
        let head = head(&meta, &body.etag, Encoding::Identity);
        let mut response = send(head, body.bytes, current);
        let headers = response.headers_mut();
        headers.insert(CACHE_STATUS, HeaderValue::from_static(FROM_DATABASE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok::<_, Error>(response)
    };
    get(answer)
}

/// The headers of a list that are the same for every client.
fn head(meta: &ListMeta, etag: &HeaderValue, encoding: Encoding) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(name) = encoding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers.insert(header::ETAG, etag.clone());
    if let Some(modified_at) = meta.modified_at {
        headers.insert(header::LAST_MODIFIED, http_date(modified_at));
    }
    let complete = if meta.complete { "true" } else { "false" };
    headers.insert("x-complete", HeaderValue::from_static(complete));
    let refreshed_at = meta.refreshed_at.map(|at| HeaderValue::try_from(rfc3339(at)));
    if let Some(Ok(refreshed_at)) = refreshed_at {
        headers.insert("x-refreshed-at", refreshed_at);
    }
    if let Some(total_count) = meta.total_count {
        headers.insert("x-total-count", HeaderValue::from(total_count));
    }
    cors::open(&mut headers);
    headers
}

/// The time until which nginx may answer in the service's place. nginx counts in whole seconds:
/// one second from now would be up to two.
fn end_of_this_second(now: DateTime<Utc>) -> HeaderValue {
    let time = format!("@{}", now.timestamp());
    HeaderValue::try_from(time).unwrap_or(HeaderValue::from_static("0"))
}
