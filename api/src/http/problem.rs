//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Detail, ParameterFault};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    status: u16,
    /// The fault in one sentence.
    detail: String,
    /// The path of the request.
    instance: &'a str,
    /// The id of the request in the server's log.
    request_id: &'a str,
    /// One entry for each parameter that is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ParameterFault>,
}

/// Whether a handler has written JSON of its own, as `/ready` does.
pub(super) fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value == "application/json")
}

/// Replaces the body of an error, which may be the framework's, and keeps headers such as Allow and
/// Retry-After.
pub(super) fn describe(response: Response, path: &str, request_id: &str) -> Response {
    let (mut parts, _) = response.into_parts();
    let title = parts.status.canonical_reason().unwrap_or("Error");
    let (detail, errors) = match parts.extensions.remove::<Detail>() {
        Some(detail) => (detail.text, detail.faults),
        None => (default_detail(parts.status).unwrap_or(title).to_owned(), Vec::new()),
    };
    let problem = Problem {
        kind: "about:blank",
        title,
        status: parts.status.as_u16(),
        detail,
        instance: path,
        request_id,
        errors,
    };
    let mut response = (parts.status, Json(problem)).into_response();
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
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
