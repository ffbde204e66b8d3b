//! The parts of every answer: a request id, headers for the safety of browsers, problem details for
//! an error, a log line if it was slow or failed, metrics.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Level, debug, enabled, info_span, warn};

use super::conditional::takes_html;
use super::problem::Problem;
use super::{api, cors, metrics, problem, security, site};
use crate::app::App;
use crate::error::Error;
use crate::telemetry::left_out;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// nginx sends this header if it can ask another replica. An answer of 503 that another one may not
/// have to give is a 403 then, after which nginx asks on and takes neither replica for failed.
/// No list has a 403 of its own.
const X_ASK_OTHERS: HeaderName = HeaderName::from_static("x-ask-others");

/// A list from memory takes microseconds; the first read of a new topic may wait three seconds for
/// GitHub.
const SLOW: Duration = Duration::from_secs(1);

pub(super) async fn surround(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let is_open = !api::is_maintenance(route, &method);
    let (shown_id, path) = (id.to_str().unwrap_or_default(), uri.path());
    let span = || info_span!("request", id = shown_id, %method, path);

    let accept = request.headers().get(header::ACCEPT).cloned();
    let asks_others = request.headers().contains_key(X_ASK_OTHERS);
    let is_preflight = is_open && cors::is_preflight(&method, request.headers());
    let answer = async { if is_preflight { cors::preflight() } else { next.run(request).await } };
    let mut answer = pin!(answer);
    // A list from memory is ready at the first poll. Only an answer that waits can log, so only
    // that one pays for a span.
    let mut response = match futures_util::poll!(answer.as_mut()) {
        Poll::Ready(response) => response,
        Poll::Pending => answer.instrument(span()).await,
    };
    let (status, took) = (response.status(), started.elapsed());
    let error = response.extensions().get::<Error>();
    let is_refusal = matches!(error, Some(Error::NotYet { .. }));
    // Another replica may have in its memory what this one lacks.
    let is_elsewhere = asks_others && matches!(error, Some(Error::Database(_)));
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error && !problem::is_described(&response) {
        let takes_html = accept.is_some_and(|accept| takes_html(&accept));
        let write = |problem: Problem<'_>| match takes_html {
            true => site::error_page(site::root(app.config.public_url.as_ref()), problem),
            false => problem.json(),
        };
        response = problem::describe(response, path, shown_id, write);
    }
    if is_elsewhere {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_REQUEST_ID, id.clone());
    if is_open {
        cors::open(headers);
    }
    security::harden(headers, is_open);
    if app.stopping.is_cancelled() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let is_failure = !is_refusal && (status.is_server_error() || is_slow(route, took));
    if is_failure || enabled!(Level::DEBUG) {
        span().in_scope(|| log(route, status, took, is_failure));
    }
    metrics::count(route, &method, status, took);
    response
}

/// A refresh takes as long as GitHub's limits demand.
fn is_slow(route: &str, took: Duration) -> bool {
    took >= SLOW && route != "/update_cache"
}

fn log(route: &str, status: StatusCode, took: Duration, is_failure: bool) {
    let (failure, milliseconds) = (format!("{status} {route}"), took.as_millis());
    let status = status.as_u16();
    if !is_failure {
        debug!(status, milliseconds, "a request was answered");
    } else if let Some(left_out) = left_out(&failure) {
        warn!(status, milliseconds, left_out, "a request failed or was slow");
    }
}

/// The caller's own id if it is harmless in a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_harmless = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let own = headers.get(X_REQUEST_ID).filter(is_harmless);
    own.cloned().unwrap_or_else(new_id)
}

/// 128 random bits in hexadecimal digits.
fn new_id() -> HeaderValue {
    let id = fastrand::u128(..).to_ne_bytes();
    let digits: [u8; 32] = std::array::from_fn(|at| {
        b"0123456789abcdef"[usize::from(id[at / 2] >> (at % 2 * 4) & 0xf)]
    });
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("none"))
}
