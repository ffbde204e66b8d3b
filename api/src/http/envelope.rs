//! What every answer gets, whichever route gave it: a request id, problem details for an error, a
//! log line when it was slow or failed, metrics.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::{Instrument, info_span, warn};

use super::metrics;
use crate::error::Detail;
use crate::service::Service;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A list from memory takes microseconds; a new topic's first read may wait three seconds for
/// GitHub.
const SLOW: Duration = Duration::from_secs(1);

pub(super) async fn envelope(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span =
        || info_span!("request", id = id.to_str().unwrap_or_default(), %method, path = uri.path());

    let mut answer = pin!(next.run(request));
    // A list out of memory is there at once. Only what waits has anything to log, and pays for a
    // span.
    let mut response = match futures_util::poll!(answer.as_mut()) {
        Poll::Ready(response) => response,
        Poll::Pending => answer.instrument(span()).await,
    };
    let (status, took) = (response.status(), started.elapsed());
    if (status.is_client_error() || status.is_server_error()) && !is_json(&response) {
        response = problem(response, uri.path(), &id);
    }
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(X_REQUEST_ID.clone(), id.clone());
    if service.stopping.is_cancelled() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    if status.is_server_error() || (took >= SLOW && route != "/update_cache") {
        let milliseconds = took.as_millis();
        span().in_scope(|| {
            warn!(status = status.as_u16(), milliseconds, "a request failed or was slow")
        });
    }
    metrics::count(route, status, took);
    response
}

/// The caller's own id where it is harmless in a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    match headers.get(&X_REQUEST_ID).filter(harmless) {
        Some(id) => id.clone(),
        None => new_id(),
    }
}

/// 128 bits in hexadecimal digits.
fn new_id() -> HeaderValue {
    let id = fastrand::u128(..).to_ne_bytes();
    let digits: [u8; 32] = std::array::from_fn(|at| {
        b"0123456789abcdef"[usize::from(id[at / 2] >> (at % 2 * 4) & 0xf)]
    });
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("none"))
}

/// A handler that wrote JSON, as `/ready` does, has said all there is to say.
fn is_json(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json")
}

/// RFC 9457. Whatever the framework wrote is replaced; headers such as Allow and Retry-After stay.
fn problem(response: Response, path: &str, id: &HeaderValue) -> Response {
    let (mut parts, _) = response.into_parts();
    let title = parts.status.canonical_reason().unwrap_or("Error");
    let detail = match parts.extensions.remove::<Detail>() {
        Some(Detail(detail)) => detail,
        None => match parts.status {
            StatusCode::NOT_FOUND => "there is nothing here; GET / lists what there is".to_owned(),
            StatusCode::METHOD_NOT_ALLOWED => {
                "this method is not answered here; the header Allow lists those that are".to_owned()
            }
            StatusCode::BAD_REQUEST => "the path or the query cannot be read".to_owned(),
            _ => title.to_owned(),
        },
    };
    let body = Json(json!({
        "type": "about:blank",
        "title": title,
        "status": parts.status.as_u16(),
        "detail": detail,
        "instance": path,
        "request_id": id.to_str().unwrap_or_default(),
    }));
    let mut response = (parts.status, body).into_response();
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
