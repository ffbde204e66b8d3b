//! What is counted of answers.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Histogram};

/// By status and route. The recorder's own look-up makes strings of the labels, which costs more
/// than an answer.
static ANSWERS: LazyLock<RwLock<HashMap<StatusCode, HashMap<String, Answers>>>> =
    LazyLock::new(RwLock::default);

#[derive(Clone)]
struct Answers {
    count: Counter,
    duration: Histogram,
}

/// Counts an answer.
pub(super) fn count(route: &str, status: StatusCode, took: Duration) {
    let known = ANSWERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(answers) = known.get(&status).and_then(|routes| routes.get(route)) {
        return answers.add(took);
    }
    drop(known);
    let labels = [("route", route.to_owned()), ("status", status.as_u16().to_string())];
    let answers = Answers {
        count: metrics::counter!("http_requests_total", &labels),
        duration: metrics::histogram!("http_request_duration_seconds", "route" => route.to_owned()),
    };
    answers.add(took);
    ANSWERS
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(status)
        .or_default()
        .insert(route.to_owned(), answers);
}

impl Answers {
    fn add(&self, took: Duration) {
        self.count.increment(1);
        self.duration.record(took.as_secs_f64());
    }
}
