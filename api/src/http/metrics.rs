//! The metrics of answers.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use crate::telemetry::{HTTP_DURATION, HTTP_REQUESTS};

/// The metrics' handles by status, method and route. The recorder's own look-up makes strings of
/// the labels, which costs more than an answer.
static ANSWERS: LazyLock<RwLock<HashMap<(StatusCode, &str), Routes>>> =
    LazyLock::new(RwLock::default);

type Routes = HashMap<String, Answers>;

#[derive(Clone)]
struct Answers {
    count: Counter,
    duration: Histogram,
}

impl Answers {
    fn new(route: &str, method: &'static str, status: StatusCode) -> Self {
        let labels = [
            ("route", route.to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_u16().to_string()),
        ];
        let route = route.to_owned();
        Self {
            count: metrics::counter!(HTTP_REQUESTS, &labels),
            duration: metrics::histogram!(HTTP_DURATION, "route" => route),
        }
    }

    fn add(&self, took: Duration) {
        self.count.increment(1);
        self.duration.record(took.as_secs_f64());
    }
}

/// Counts an answer.
pub(super) fn count(route: &str, method: &Method, status: StatusCode, took: Duration) {
    let method = label(method);
    let known = ANSWERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(answers) = known.get(&(status, method)).and_then(|routes| routes.get(route)) {
        return answers.add(took);
    }
    drop(known);
    let answers = Answers::new(route, method, status);
    answers.add(took);
    let mut known = ANSWERS.write().unwrap_or_else(PoisonError::into_inner);
    known.entry((status, method)).or_default().insert(route.to_owned(), answers);
}

/// The method's name. Clients can make up others, which are one label together.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
