//! The metrics of answers.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Histogram};

/// The metrics' handles by status and route. The recorder's own look-up makes strings of the
/// labels, which costs more than an answer.
static ANSWERS: LazyLock<RwLock<HashMap<StatusCode, HashMap<String, Answers>>>> =
    LazyLock::new(RwLock::default);

#[derive(Clone)]
struct Answers {
    count: Counter,
    duration: Histogram,
}

impl Answers {
    fn new(route: &str, status: StatusCode) -> Self {
        let labels = [("route", route.to_owned()), ("status", status.as_u16().to_string())];
        let route = route.to_owned();
        Self {
            count: metrics::counter!("http_requests_total", &labels),
            duration: metrics::histogram!("http_request_duration_seconds", "route" => route),
        }
    }

    fn add(&self, took: Duration) {
        self.count.increment(1);
        self.duration.record(took.as_secs_f64());
    }
}

/// Counts an answer.
pub(super) fn count(route: &str, status: StatusCode, took: Duration) {
    let known = ANSWERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(answers) = known.get(&status).and_then(|routes| routes.get(route)) {
        return answers.add(took);
    }
    drop(known);
    let answers = Answers::new(route, status);
    answers.add(took);
    let mut known = ANSWERS.write().unwrap_or_else(PoisonError::into_inner);
    known.entry(status).or_default().insert(route.to_owned(), answers);
}
