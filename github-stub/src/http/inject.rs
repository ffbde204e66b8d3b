//! The faults that replace an answer or alter its body. The search handler injects the faults of
//! its items itself.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;

use super::answers::{DOCS, message, primary_limit, secondary_limit};
use crate::faults::FaultKind;
use crate::limits::{Quota, Resource};

/// The fault of a request, for the handlers that inject it into their own answer.
#[derive(Clone)]
pub(super) struct InjectedFault(pub(super) Option<FaultKind>);

/// The answer that `fault` gives in place of the handler's; `None` if the handler runs.
pub(super) fn replacement(
    fault: &FaultKind,
    with_token: bool,
    resource: Resource,
    quota: Option<Quota>,
    now: DateTime<Utc>,
) -> Option<Response> {
    let status =
        |code: u16| StatusCode::from_u16(code).expect("a fault's status is an HTTP status");
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    Some(match fault {
        FaultKind::PrimaryLimit { status: code, reset_in } => {
            let limit = quota.map_or(30, |quota| quota.limit);
            let quota = Quota { limit, used: limit, reset: now + TimeDelta::seconds(*reset_in) };
            primary_limit(status(*code), with_token, resource, quota)
        }
        FaultKind::SecondaryLimit { status: code, retry_after } => {
            let default = Quota { limit: 30, used: 16, reset: now + TimeDelta::seconds(30) };
            secondary_limit(status(*code), *retry_after, resource, quota.unwrap_or(default))
        }
        FaultKind::TokenPolicy => {
            let text = "`an-organization` has an IP allow list enabled, and your IP address is not \
                        permitted to access this resource.";
            message(StatusCode::FORBIDDEN, text, DOCS)
        }
        FaultKind::Forbidden => {
            message(StatusCode::FORBIDDEN, "Resource not accessible by personal access token", DOCS)
        }
        FaultKind::Unauthorized => message(StatusCode::UNAUTHORIZED, "Bad credentials", DOCS),
        FaultKind::Unavailable => {
            message(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, "Repository access blocked", DOCS)
        }
        FaultKind::NotFound => message(StatusCode::NOT_FOUND, "Not Found", DOCS),
        FaultKind::Unprocessable => {
            message(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed", DOCS)
        }
        FaultKind::HtmlError { status: code } => {
            let page = "<!DOCTYPE html><html><head><title>Unicorn! &middot; GitHub</title></head>\
                        <body>…</body></html>";
            (status(*code), html, page).into_response()
        }
        FaultKind::JsonError { status: code } => message(status(*code), "Server Error", DOCS),
        FaultKind::NotJson => (html, "<html>a proxy's page</html>").into_response(),
        FaultKind::Redirect { to } => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to.clone())]).into_response()
        }
        FaultKind::Reset => break_connection(),
        _ => return None,
    })
}

/// Ends the connection's task without an answer. Unwinding without a panic prints no message.
pub(super) fn break_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection is broken on purpose"))
}

/// Sends the body in two halves if the fault is `Slow` or `Cut`.
pub(super) async fn alter_body(response: Response, fault: Option<&FaultKind>) -> Response {
    let pause = match fault {
        Some(FaultKind::Slow { millis }) => Some(Duration::from_millis(*millis)),
        Some(FaultKind::Cut) => None,
        _ => return response,
    };
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.expect("bodies are made in memory");
    let half = whole.len() / 2;
    let (first, rest) = (whole.slice(..half), whole.slice(half..));
    let body = stream::unfold(Some((first, rest, false)), move |state| async move {
        let (first, rest, sent) = state?;
        if !sent {
            return Some((Ok(first.clone()), Some((first, rest, true))));
        }
        match pause {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Some((Ok(rest), None))
            }
            None => {
                // The server sends the first half while the body is pending. If the error came at
                // once, the server would drop the half unsent.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("cut on purpose")), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(body))
}
