//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ParameterFault};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    pub(super) title: &'a str,
    pub(super) status: u16,
    /// The fault in one sentence.
    pub(super) detail: String,
    /// The path of the request.
    instance: &'a str,
    /// The id of the request in the server's log.
    pub(super) request_id: &'a str,
    /// One entry for each parameter that is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<ParameterFault>,
}

/// Whether a handler has written a body of its own, as `/ready` and pages do.
pub(super) fn is_described(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|own| own == b"application/json" || own.starts_with(b"text/html"))
}

impl Problem<'_> {
    pub(super) fn json(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, PROBLEM_JSON)];
        (content_type, Json(self)).into_response()
    }
}

/// Replaces the body of an error, which may be the framework's, and keeps headers such as Allow and
/// Retry-After. `write` makes an answer of the problem.
pub(super) fn describe(
    response: Response,
    path: &str,
    request_id: &str,
    write: impl FnOnce(Problem<'_>) -> Response,
) -> Response {
    let (mut parts, _) = response.into_parts();
    let title = parts.status.canonical_reason().unwrap_or("Error");
    let error = parts.extensions.remove::<Error>();
    let detail = error.as_ref().map(ToString::to_string);
    let detail = detail.unwrap_or_else(|| default_detail(parts.status).unwrap_or(title).to_owned());
    let errors = match error {
        Some(Error::Parameters(faults)) => faults,
        _ => Vec::new(),
    };
    let (kind, status) = ("about:blank", parts.status.as_u16());
    let mut response =
        write(Problem { kind, title, status, detail, instance: path, request_id, errors });
    *response.status_mut() = parts.status;
    let own = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CACHE_CONTROL];
    for (name, value) in parts.headers.iter().filter(|(name, _)| !own.contains(name)) {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// The detail of an error that the framework answers with.
fn default_detail(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::NOT_FOUND => Some("no route has this path; GET / lists the routes"),
        StatusCode::METHOD_NOT_ALLOWED => {
            Some("the route does not answer this method; the header Allow lists those that it does")
        }
        StatusCode::BAD_REQUEST => Some("the path or the query cannot be read"),
        _ => None,
    }
}
