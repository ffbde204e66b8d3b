//! `/metrics`: the state of the parts, as of the time when Prometheus asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use settings::REVISION;
use tokio::sync::Mutex;

use crate::app::App;
use crate::model::quota::{Quota, Resource};
use crate::model::topic::TopicState;
use crate::store::{ConnectionCounts, StoreError};
use crate::telemetry::{
    BUILD_INFO, CACHE_UP, DATABASE_CONNECTIONS, DATABASE_READ_LAG, DATABASE_WRITES_FAILING,
    GITHUB_LIMIT, GITHUB_PAUSED, GITHUB_REMAINING, MEMORY_LISTS, REFRESH_PERIOD, TOPIC_AGE,
    TOPIC_COMPLETE, TOPIC_REPOSITORIES, process,
};

/// Topics beyond these have one name, because each series costs Prometheus memory.
const NAMED_TOPICS: usize = 200;
const OTHER: &str = "other";

/// If the database is slower, the metrics are those that it told last. Prometheus must have an
/// answer within its own time-out, or it takes the replica for one that is down.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(250);

/// The last state of the database's rows. Ages and waits go on by the clock.
#[derive(Default)]
struct Rows {
    topics: Vec<TopicState>,
    quotas: Vec<(Resource, Quota)>,
}

/// The route of the listener for Prometheus.
pub(crate) fn router(app: Arc<App>, handle: PrometheusHandle) -> Router {
    let last = Arc::<Mutex<Rows>>::default();
    let scrape = async move || {
        // One scrape at a time: the recorder shows the gauges that were set since the last one.
        let mut rows = last.lock().await;
        set_gauges(&app, &mut rows).await;
        process::measure();
        ([("content-type", "text/plain; version=0.0.4")], handle.render())
    };
    Router::new().route("/metrics", get(scrape))
}

async fn set_gauges(app: &App, rows: &mut Rows) {
    if let Ok(Ok(read)) = tokio::time::timeout(DATABASE_TIMEOUT, read(app)).await {
        *rows = read;
    }
    let now = app.clock.now();
    set_topics(&rows.topics, now);
    set_quotas(&rows.quotas, now);
    metrics::gauge!(REFRESH_PERIOD).set(seconds(app.config.schedule.period(now)));
    let ConnectionCounts { used, idle } = app.store.connection_counts();
    for (state, count) in [("used", used), ("idle", idle)] {
        metrics::gauge!(DATABASE_CONNECTIONS, "state" => state).set(float(count as u64));
    }
    metrics::gauge!(DATABASE_WRITES_FAILING).set(flag(app.store.failing_writes().is_some()));
    let lag = app.store.standby().map_or(Duration::ZERO, |standby| standby.lag);
    metrics::gauge!(DATABASE_READ_LAG).set(lag.as_secs_f64());
    for (tier, is_up) in app.tiers.takers().await {
        metrics::gauge!(CACHE_UP, "tier" => tier).set(flag(is_up));
    }
    metrics::gauge!(MEMORY_LISTS).set(float(app.tiers.memory_bytes().await));
    let (version, revision) = (env!("CARGO_PKG_VERSION"), REVISION.unwrap_or("unknown"));
    metrics::gauge!(BUILD_INFO, "version" => version, "revision" => revision).set(1.0);
}

async fn read(app: &App) -> Result<Rows, StoreError> {
    let mut rows = Rows { topics: app.store.topics().await?, quotas: Vec::new() };
    // These are not refreshed.
    rows.topics.retain(|topic| !topic.is_unknown_to_github());
    for resource in Resource::ALL {
        rows.quotas.push((resource, app.store.quota(resource).await?));
    }
    Ok(rows)
}

/// The samples of a topic, or of those without a name of their own.
#[derive(Debug, PartialEq)]
struct TopicSample {
    /// That of the oldest topic; `None` if none had a complete refresh.
    age: Option<TimeDelta>,
    /// Whether all topics are.
    complete: bool,
    /// Of all topics together.
    stored: i64,
}

/// The samples by the topic's label.
fn by_label(topics: &[TopicState], now: DateTime<Utc>) -> BTreeMap<&str, TopicSample> {
    let mut samples = BTreeMap::new();
    for (place, state) in topics.iter().enumerate() {
        let label = if place < NAMED_TOPICS { state.topic.as_str() } else { OTHER };
        let none = TopicSample { age: None, complete: true, stored: 0 };
        let sample = samples.entry(label).or_insert(none);
        sample.age = sample.age.max(state.refreshed_at.map(|at| now - at));
        sample.complete &= state.complete;
        sample.stored += state.stored;
    }
    samples
}

fn set_topics(topics: &[TopicState], now: DateTime<Utc>) {
    for (topic, TopicSample { age, complete, stored }) in by_label(topics, now) {
        let labels = [("topic", topic.to_owned())];
        if let Some(age) = age {
            metrics::gauge!(TOPIC_AGE, &labels).set(seconds(age));
        }
        metrics::gauge!(TOPIC_COMPLETE, &labels).set(flag(complete));
        metrics::gauge!(TOPIC_REPOSITORIES, &labels).set(float(stored.unsigned_abs()));
    }
}

fn set_quotas(quotas: &[(Resource, Quota)], now: DateTime<Utc>) {
    for (resource, quota) in quotas {
        if let Some((remaining, limit)) = quota.requests_left(now) {
            let resource = <&str>::from(*resource);
            let left = float(remaining.unsigned_abs());
            metrics::gauge!(GITHUB_REMAINING, "resource" => resource).set(left);
            metrics::gauge!(GITHUB_LIMIT, "resource" => resource).set(float(limit.unsigned_abs()));
        }
    }
    let longest = quotas.iter().map(|(_, quota)| quota.pause_left(now)).max();
    metrics::gauge!(GITHUB_PAUSED).set(longest.map_or(0.0, seconds));
}

fn seconds(time: TimeDelta) -> f64 {
    time.as_seconds_f64().max(0.0)
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which no figure here reaches")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::topic::{Origin, SyncCursor};

    fn state(topic: &str, refreshed_at: Option<DateTime<Utc>>, complete: bool) -> TopicState {
        TopicState {
            topic: topic.parse().expect("a topic"),
            origin: Origin::Configured,
            tracked_at: DateTime::UNIX_EPOCH,
            last_read_at: DateTime::UNIX_EPOCH,
            unread_at: None,
            revision: 1,
            modified_at: refreshed_at,
            refreshed_at,
            complete,
            total_count: Some(10),
            found: Some(10),
            shrunk: None,
            stored: 10,
            cursor: SyncCursor::default(),
        }
    }

    #[test]
    fn topics_beyond_the_named_ones_have_one_sample_together() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(9);
        let hours = |hours| Some(now - TimeDelta::hours(hours));
        let mut topics: Vec<_> =
            (0..NAMED_TOPICS).map(|number| state(&format!("t{number}"), hours(1), true)).collect();
        assert_eq!(by_label(&topics, now).len(), NAMED_TOPICS);
        topics.extend([state("x", hours(2), true), state("y", hours(3), true)]);
        topics.extend([state("z", None, false)]);
        let samples = by_label(&topics, now);
        assert_eq!(samples.len(), NAMED_TOPICS + 1);
        let others = TopicSample { age: Some(TimeDelta::hours(3)), complete: false, stored: 30 };
        assert_eq!(samples[OTHER], others);
        let named = TopicSample { age: Some(TimeDelta::hours(1)), complete: true, stored: 10 };
        assert_eq!(samples["t0"], named);
    }
}
