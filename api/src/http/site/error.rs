//! Pages of errors, and of topics that are being fetched.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Response};

use super::layout::{Layout, Section, passing, put_headers};
use crate::error::Error;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout,
    problem: Problem<'a>,
}

#[derive(Template)]
#[template(path = "fetching.html")]
struct FetchingPage<'a> {
    layout: Layout,
    topic: &'a str,
    detail: &'a str,
    seconds: u64,
}

/// The page of an error. `root` is the path of the service.
pub(in crate::http) fn error_page(root: String, problem: Problem<'_>) -> Response {
    let layout = Layout::without_address(root, Section::None, problem.title.to_owned());
    passing(&ErrorPage { layout, problem })
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
