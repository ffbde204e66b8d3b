//! `/repositories/{id}` and `/repos/{owner}/{name}`: a single repository, with ETag,
//! `Last-Modified` and 304.

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::AppState;
use super::answers::{DOCS, conditional, message};
use super::inject::InjectedFault;
use crate::faults::FaultKind;
use crate::repository::Repository;

pub(super) async fn by_id(
    State(state): State<AppState>,
    Path(id): Path<u64>,
    Extension(InjectedFault(fault)): Extension<InjectedFault>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let mut world = state.world();
    if fault.as_ref().is_none_or(FaultKind::sends_the_whole_body) {
        let count = usize::from(world.repository(id).is_some());
        world.record_shown(&uri, count, &[id], || (state.now)());
    }
    answer(world.repository(id), &headers)
}

pub(super) async fn by_name(
    State(state): State<AppState>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(state.world().repository_at(&format!("{owner}/{name}")), &headers)
}

fn answer(repository: Option<&Repository>, headers: &HeaderMap) -> Response {
    let Some(repository) = repository else {
        return message(StatusCode::NOT_FOUND, "Not Found", DOCS);
    };
    let mut item = repository.item.clone();
    // These routes have two counts that searches lack, and no score.
    item.remove("score");
    item.insert("subscribers_count".to_owned(), json!(repository.forks / 2));
    item.insert("network_count".to_owned(), json!(repository.forks));
    let text = Value::Object(item).to_string();
    let mut response = conditional(text.into(), headers);
    let own = response.headers_mut();
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60, s-maxage=60"));
    let modified = repository.updated.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    own.insert(header::LAST_MODIFIED, HeaderValue::from_str(&modified).expect("a date is ASCII"));
    response
}
