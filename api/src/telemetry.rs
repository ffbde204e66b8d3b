//! The recorder of the service's metrics, and a limit for lines of the log.

mod families;
pub(crate) mod process;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

pub(crate) use families::{
    BUILD_INFO, CACHE_ERRORS, CACHE_UP, DATABASE_CONNECTIONS, DATABASE_ERRORS, DATABASE_READ_LAG,
    DATABASE_WRITES_FAILING, GITHUB_LIMIT, GITHUB_PAUSED, GITHUB_REMAINING, GITHUB_REQUESTS,
    HTTP_DURATION, HTTP_REQUESTS, LIST_READS, MEMORY_LISTS, PURGES, REFRESH_DURATION,
    REFRESH_PERIOD, REFRESHES, TOPIC_AGE, TOPIC_COMPLETE, TOPIC_REPOSITORIES,
};
pub use families::{FAMILIES, Family, Kind};

/// Upper bounds of the buckets of answers, in seconds: from a list in memory to the first read of a
/// new topic.
const ANSWER_BUCKETS: [f64; 8] = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Those of refreshes: from a private server without limits to a topic of thousands of requests.
const REFRESH_BUCKETS: [f64; 8] = [1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 1_200.0, 3_600.0];

/// Installs the recorder that `/metrics` renders.
///
/// # Errors
/// If another recorder is installed.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    // Each scrape sets all gauges that hold. Another one is dropped: its topic was deleted.
    let at_once = Some(Duration::ZERO);
    let refreshes = Matcher::Full(REFRESH_DURATION.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets(&ANSWER_BUCKETS)?
        .set_buckets_for_metric(refreshes, &REFRESH_BUCKETS)?
        .idle_timeout(MetricKindMask::GAUGE, at_once)
        .install_recorder()?;
    for Family { name, kind, help, .. } in FAMILIES {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
    Ok(handle)
}

/// A failure that goes on is logged once in this time.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The most failures that are told apart. More of them within a minute are not logged.
const FAILURES: usize = 200;

/// When a failure was last logged, and how often it was left out since.
static LOGGED: LazyLock<Mutex<HashMap<String, (Instant, u64)>>> = LazyLock::new(Mutex::default);

/// How often a failure was left out of the log since its last line, if a line is due; `None` if it
/// is to be left out. Failures that clients can repeat at will go through here, or a few clients
/// would fill the disk.
pub fn left_out(failure: &str) -> Option<u64> {
    due(&mut LOGGED.lock().unwrap_or_else(PoisonError::into_inner), failure, Instant::now())
}

fn due(logged: &mut HashMap<String, (Instant, u64)>, failure: &str, now: Instant) -> Option<u64> {
    let is_recent = |at: Instant| now.saturating_duration_since(at) < LOG_EVERY;
    if let Some((at, count)) = logged.get_mut(failure) {
        if is_recent(*at) {
            *count += 1;
            return None;
        }
        *at = now;
        return Some(std::mem::take(count));
    }
    if logged.len() >= FAILURES {
        logged.retain(|_, (at, _)| is_recent(*at));
    }
    if logged.len() >= FAILURES {
        return None;
    }
    logged.insert(failure.to_owned(), (now, 0));
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_due_once_a_minute_with_its_count() {
        let (mut logged, start) = (HashMap::new(), Instant::now());
        let mut due_at = |failure: &str, seconds| {
            due(&mut logged, failure, start + Duration::from_secs(seconds))
        };
        assert_eq!(due_at("a", 0), Some(0));
        assert_eq!(due_at("b", 1), Some(0), "another one");
        for seconds in 1..60 {
            assert_eq!(due_at("a", seconds), None);
        }
        assert_eq!(due_at("a", 60), Some(59));
        assert_eq!(due_at("a", 200), Some(0), "none was left out since");
        for number in 0..FAILURES {
            due_at(&number.to_string(), 300);
        }
        assert_eq!(due_at("one more", 300), None);
        assert_eq!(due_at("one more", 360), Some(0));
    }
}
