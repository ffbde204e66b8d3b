//! `/repos/{owner}/{name}/stargazers/history` and `/count`: GitHub's own history of stars.
//!
//! Assumptions, since GitHub's documentation leaves them open: a week begins on Sunday at midnight
//! (UTC), the first week is that of the repository's creation, and `total` is the sum of the week's
//! seven `days`, so that the weeks together sum to the present count.

use std::collections::HashMap;

use axum::extract::{Extension, Path, Query as Parameters, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use serde::Serialize;
use serde_json::json;

use super::AppState;
use super::answers::{DOCS, conditional, message};
use super::inject::InjectedFault;
use super::pages::{Window, add_links};

/// GitHub's limit for the weeks of a page.
const MAX_WEEKS: usize = 30;
/// GitHub's limit for `page`.
const MAX_PAGE: usize = 100;

#[derive(Serialize)]
struct Week {
    /// The unix second at which the week begins.
    week: i64,
    total: i64,
    /// The stars given on each day that are still held.
    days: Vec<i64>,
}

pub(super) async fn history(
    State(state): State<AppState>,
    Path((owner, name)): Path<(String, String)>,
    Parameters(parameters): Parameters<HashMap<String, String>>,
    Extension(InjectedFault(fault)): Extension<InjectedFault>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let window = Window::new(&parameters, MAX_WEEKS);
    let today = (state.now)().date_naive();
    let mut world = state.world();
    if window.page > MAX_PAGE {
        world.counters.unexpected.push(format!("a page above {MAX_PAGE}: {uri}"));
        return message(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed", DOCS);
    }
    let Some(repository) = world.repository_at(&format!("{owner}/{name}")) else {
        return message(StatusCode::NOT_FOUND, "Not Found", DOCS);
    };
    let (first, stars) = crate::history::stars_by_day(repository, world.history.as_ref(), today);
    let weeks = weeks(first, &stars);
    let shown: Vec<&Week> = weeks.iter().rev().skip(window.start()).take(window.per_page).collect();
    let text = serde_json::to_string(&shown).expect("numbers are valid JSON");
    let mut response = conditional(text.into(), &headers);
    let last = window.last(weeks.len()).min(MAX_PAGE);
    add_links(&mut response, &headers, &uri, (window.page, last), fault.as_ref());
    response
}

/// Divides the days from `first` on into weeks; the days before and after them have no stars.
fn weeks(first: NaiveDate, stars: &[i64]) -> Vec<Week> {
    let before = first.weekday().num_days_from_sunday();
    let sunday = first - Days::new(before.into());
    let mut days = vec![0; before as usize];
    days.extend(stars);
    days.resize(days.len().next_multiple_of(7), 0);
    let weeks = sunday.iter_weeks().zip(days.chunks(7));
    weeks
        .map(|(sunday, days)| Week {
            week: sunday.and_time(NaiveTime::MIN).and_utc().timestamp(),
            total: days.iter().sum(),
            days: days.to_vec(),
        })
        .collect()
}

pub(super) async fn count(
    State(state): State<AppState>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match state.world().repository_at(&format!("{owner}/{name}")) {
        Some(found) => conditional(json!({"count": found.stars}).to_string().into(), &headers),
        None => message(StatusCode::NOT_FOUND, "Not Found", DOCS),
    }
}
