//! `GET /search/repositories`, with the cap on the offset.

use std::collections::HashMap;

use axum::extract::{Extension, Query as Parameters, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use url::form_urlencoded;

use super::AppState;
use super::answers::{conditional, json_answer, message, text_answer};
use super::inject::InjectedFault;
use super::pages::{Window, add_links};
use crate::faults::FaultKind;
use crate::query::{InvalidQuery, Query, Sort};
use crate::repository::Repository;
use crate::world::World;

/// The offset from which GitHub refuses pages. `Link` names no page beyond it.
const CAP: usize = 1_000;
/// Stands for text that is no Unicode.
const PLACEHOLDER: &str = "no-unicode";
const SEARCH_DOCS: &str = "https://docs.github.com/v3/search/";

/// The sort and page of a search, by which faults select requests.
pub(super) fn sort_and_page(request: &Request) -> Option<(Sort, usize)> {
    if request.uri().path() != "/search/repositories" {
        return None;
    }
    let query = request.uri().query().unwrap_or_default();
    let find = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let page = find("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    Some((Sort::parse(find("sort").as_deref()), page))
}

pub(super) async fn repositories(
    State(state): State<AppState>,
    Parameters(parameters): Parameters<HashMap<String, String>>,
    Extension(InjectedFault(fault)): Extension<InjectedFault>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let window = Window::new(&parameters, 100);
    let q = parameters.get("q").map(String::as_str).unwrap_or_default();
    let mut world = state.world();
    let query = match Query::parse(q) {
        Ok(query) => query,
        Err(invalid) => {
            world.counters.unexpected.push(format!("{invalid:?}: q={q}"));
            return refused(&invalid);
        }
    };
    if window.start() >= CAP {
        world.counters.unexpected.push(format!("beyond the cap: q={q} page={}", window.page));
        return message(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Only the first 1000 search results are available",
            SEARCH_DOCS,
        );
    }
    let ascending = parameters.get("order").is_some_and(|order| order == "asc");
    let found =
        world.search(q, &query, Sort::parse(parameters.get("sort").map(String::as_str)), ascending);
    let (text, total, ids) = page(&world, &found, &window, fault.as_ref());
    if fault.as_ref().is_none_or(FaultKind::sends_the_whole_body) {
        world.record_shown(&uri, total, ids, || (state.now)());
    }
    let etag = world.settings.search_etag;
    drop(world);

    let mut response =
        if etag { conditional(text, &headers) } else { text_answer(StatusCode::OK, text) };
    let last = window.last(total.min(CAP));
    add_links(&mut response, &headers, &uri, (window.page, last), fault.as_ref());
    response
}

/// The body of a page with `fault` injected, the total that `Link` is made from, and the ids.
fn page<'a>(
    world: &World,
    found: &'a [u64],
    window: &Window,
    fault: Option<&FaultKind>,
) -> (Bytes, usize, &'a [u64]) {
    let mut start = window.start().min(found.len());
    match fault {
        Some(FaultKind::Repeat { count }) => start = start.saturating_sub(*count),
        Some(FaultKind::Hole { count }) => start = (start + count).min(found.len()),
        _ => {}
    }
    let mut ids = &found[start..found.len().min(start + window.per_page)];
    let (mut total, mut incomplete) = (found.len(), false);
    match fault {
        Some(FaultKind::Incomplete { keep }) => {
            (ids, incomplete) = (&ids[..ids.len().min(*keep)], true)
        }
        Some(FaultKind::Short { missing }) => ids = &ids[..ids.len().saturating_sub(*missing)],
        Some(FaultKind::Empty) => (ids, total) = (&[], 0),
        Some(FaultKind::Drift { by }) => {
            total = total
                .checked_add_signed(isize::try_from(*by).expect("a small drift"))
                .unwrap_or_default();
        }
        _ => {}
    }
    let mut text =
        format!("{{\"total_count\":{total},\"incomplete_results\":{incomplete},\"items\":[")
            .into_bytes();
    for (index, id) in ids.iter().enumerate() {
        let repository = world.repository(*id).expect("found repositories exist");
        if index > 0 {
            text.push(b',');
        }
        match fault.and_then(|fault| odd_item(repository, index, fault)) {
            Some(odd) => text.extend(odd),
            None => text.extend(repository.text.as_bytes()),
        }
    }
    text.extend(b"]}");
    (text.into(), total, ids)
}

/// The item at this place of the page with the fault, if the fault applies to it.
fn odd_item(repository: &Repository, index: usize, fault: &FaultKind) -> Option<Vec<u8>> {
    let (count, fields) = match fault {
        FaultKind::BadItems { count } => (count, json!({"stargazers_count": "many"})),
        FaultKind::OddFields { count } => (
            count,
            json!({"homepage": false, "license": "MIT", "size": 1.5, "topics": 7, "owner": []}),
        ),
        FaultKind::LongTexts { count } => (
            count,
            json!({"description": "d".repeat(10_000), "homepage": "javascript:alert(1)",
                "topics": vec!["x"; 1_000], "language": "l".repeat(10_000)}),
        ),
        FaultKind::LongNames { count } => (count, json!({"name": "n".repeat(10_000)})),
        FaultKind::BadText { count } => (count, json!({"description": PLACEHOLDER})),
        _ => return None,
    };
    if index >= *count {
        return None;
    }
    let mut item = repository.item.clone();
    item.extend(fields.as_object().expect("an object").clone());
    let text = serde_json::Value::Object(item).to_string();
    let Some((before, after)) = text.split_once(PLACEHOLDER) else { return Some(text.into()) };
    let bad: &[u8] = if index.is_multiple_of(2) { b"caf\xe9" } else { br"rocket \ud83d" };
    Some([before.as_bytes(), bad, after.as_bytes()].concat())
}

fn refused(invalid: &InvalidQuery) -> Response {
    let error = match invalid {
        InvalidQuery::Missing => json!({"resource": "Search", "field": "q", "code": "missing"}),
        InvalidQuery::TooLong => json!({
            "message": "The search is longer than 256 characters.",
            "resource": "Search", "field": "q", "code": "invalid",
        }),
        InvalidQuery::Unknown(term) => json!({
            "message": format!("The stub does not model `{term}`."),
            "resource": "Search", "field": "q", "code": "invalid",
        }),
    };
    let body = json!({
        "message": "Validation Failed", "errors": [error],
        "documentation_url": SEARCH_DOCS, "status": "422",
    });
    json_answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
}
