//! `/ready`: whether the service can serve lists, and the state of each part.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Serialize, Serializer};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;
use utoipa::ToSchema;

use super::topics::age_seconds;
use crate::app::App;
use crate::http::description::{Answer, Operation, Routes};
use crate::model::topic::Topic;
use crate::store::{FailingWrites, Fault, StoreError};
use crate::task::{input, join};
use crate::telemetry::left_out;

/// A slower database counts as down.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Readiness {
    pub(in crate::http) ready: bool,
    version: &'static str,
    /// `up`, or the database's fault.
    #[serde(serialize_with = "fault_or_up")]
    #[schema(value_type = String)]
    pub(in crate::http) database: Option<Fault>,
    /// Why the database is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(in crate::http) reason: Option<String>,
    /// The standby of DATABASE_READ_URL, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(in crate::http) standby: Option<StandbyReadiness>,
    pub(in crate::http) cache: Vec<CacheState>,
    pub(in crate::http) topics: Vec<TopicReadiness>,
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct StandbyReadiness {
    /// It is read: it answers and is at most a minute behind.
    pub(in crate::http) can_answer: bool,
    pub(in crate::http) lag_seconds: u64,
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CacheState {
    pub(in crate::http) tier: &'static str,
    pub(in crate::http) can_answer: bool,
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TopicReadiness {
    pub(in crate::http) topic: Topic,
    pub(in crate::http) age_seconds: Option<i64>,
    pub(in crate::http) complete: bool,
    /// Why the last refresh was not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(in crate::http) reason: Option<String>,
}

pub(super) fn routes() -> Routes {
    Routes::default().routes(
        Operation::get("ready", "Whether the database and the caches can answer")
            .answers(200, Answer::json::<Readiness>())
            .answers(503, Answer::json::<Readiness>())
            .at("/ready", get(ready)),
    )
}

fn fault_or_up<S: Serializer>(fault: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    match fault {
        Some(fault) => fault.serialize(serializer),
        None => serializer.serialize_str("up"),
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let readiness = readiness(&app).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// The state of each part of this replica.
pub(in crate::http) async fn readiness(app: &Arc<App>) -> Readiness {
    let own = Arc::clone(app);
    let asking =
        async move { (timeout(DATABASE_TIMEOUT, topics(&own)).await, own.tiers.status().await) };
    // Not among the requests: each answer that it waits for would wait behind all of them.
    let (topics, tiers) = join(AbortOnDropHandle::new(input().spawn(asking))).await;
    let topics = match topics {
        Ok(Ok(topics)) => topics.ok_or(Fault::OldSchema),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(Fault::Down),
    };
    let tiers = tiers.into_iter();
    let cache: Vec<_> = tiers.map(|(tier, can_answer)| CacheState { tier, can_answer }).collect();
    let ready = match &topics {
        Ok(_) => true,
        Err(Fault::NoSchema) => false,
        Err(_) => cache.iter().any(|tier| tier.can_answer),
    };
    let (database, reason) = match (&topics, app.store.failing_writes()) {
        (Err(fault), _) => (Some(*fault), Some(fault.to_string())),
        (Ok(_), Some(failing)) => (Some(Fault::ReadOnly), Some(writes_fail(&failing))),
        (Ok(_), None) => (None, None),
    };
    let topics = topics.unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let standby = app.store.standby().map(|standby| StandbyReadiness {
        can_answer: standby.is_read,
        lag_seconds: standby.lag.as_secs(),
    });
    Readiness { ready, version, database, reason, standby, cache, topics }
}

/// The reason of a database that answers reads, but whose last write failed.
fn writes_fail(failing: &FailingWrites) -> String {
    let FailingWrites { since, failures } = failing;
    let seconds = since.as_secs();
    format!("the last {failures} writes failed, for {seconds} s; the log says why")
}

/// The fault of the database, which is logged.
fn failed(error: &StoreError) -> Fault {
    if let Some(left_out) = left_out(&format!("not ready: {error}")) {
        warn!(%error, left_out, "not ready: the database failed");
    }
    error.fault()
}

/// The topics' states; `None` if the schema is of an earlier release.
async fn topics(app: &App) -> Result<Option<Vec<TopicReadiness>>, StoreError> {
    if app.store.has_schema().await? {
        return topics_of(app).await.map(Some);
    }
    // A replica of a new release may start before the schema is brought up to date.
    app.store.topics().await.map(|_| None)
}

async fn topics_of(app: &App) -> Result<Vec<TopicReadiness>, StoreError> {
    let now = app.clock.now();
    let mut topics = Vec::new();
    for state in app.store.topics().await? {
        let (age_seconds, complete) = (age_seconds(&state, now), state.complete);
        let latest = if complete { None } else { app.store.latest(&state.topic).await? };
        let reason = latest.and_then(|refresh| refresh.report.reason);
        topics.push(TopicReadiness { topic: state.topic, age_seconds, complete, reason });
    }
    Ok(topics)
}
