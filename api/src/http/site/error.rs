//! Pages of errors, and of topics that are being fetched.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::layout::{Layout, Section, passing, put_headers};
use crate::error::{Error, ParameterFault};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout,
    status: u16,
    title: &'a str,
    detail: &'a str,
    faults: &'a [ParameterFault],
    request_id: &'a str,
}

#[derive(Template)]
#[template(path = "fetching.html")]
struct FetchingPage<'a> {
    layout: Layout,
    topic: &'a str,
    detail: &'a str,
    seconds: u64,
}

/// An error in words.
pub(in crate::http) struct Words<'a> {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) title: &'a str,
    pub(in crate::http) detail: &'a str,
    pub(in crate::http) faults: &'a [ParameterFault],
    pub(in crate::http) request_id: &'a str,
}

/// The page of an error. `root` is the path of the service.
pub(in crate::http) fn error_page(root: String, words: &Words<'_>) -> Response {
    let Words { status, title, detail, faults, request_id } = *words;
    let layout = Layout::without_address(root, Section::None, title.to_owned());
    let page = ErrorPage { layout, status: status.as_u16(), title, detail, faults, request_id };
    passing(status, &page)
}

/// The page of a topic that has no list yet. The browser loads it again until it is the topic's
/// own.
pub(super) fn fetching_page(
    mut layout: Layout,
    topic: &str,
    detail: &str,
    retry_after: Duration,
) -> Response {
    let error = Error::NotYet { detail: detail.to_owned(), retry_after };
    let seconds = retry_after.as_secs().max(1);
    layout.address = None;
    layout.reload_after = Some(seconds);
    in_place_of(error, &FetchingPage { layout, topic, detail, seconds })
}

/// A page with the status and the headers of an error.
pub(super) fn in_place_of(error: Error, page: &impl Template) -> Response {
    let mut response = error.into_response();
    if let Ok(html) = page.render() {
        put_headers(response.headers_mut());
        *response.body_mut() = Body::from(html);
    }
    response
}
