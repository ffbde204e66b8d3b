//! `/ready`: whether the service can serve lists, and the state of each part.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::warn;

use super::topics::age_seconds;
use crate::app::App;
use crate::model::topic::Topic;
use crate::store::StoreError;

/// A slower database counts as down.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    version: &'static str,
    database: DatabaseState,
    cache: Vec<CacheState>,
    topics: Vec<TopicReadiness>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum DatabaseState {
    Up,
    /// `/bootstrap_db` makes the schema.
    NoSchema,
    Down,
}

#[derive(Serialize)]
struct CacheState {
    tier: &'static str,
    can_answer: bool,
}

#[derive(Serialize)]
struct TopicReadiness {
    topic: Topic,
    age_seconds: Option<i64>,
    complete: bool,
    /// Why the last refresh was not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let (database, topics) = match tokio::time::timeout(DATABASE_TIMEOUT, database(&app)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            warn!(%error, "not ready: the database failed");
            (DatabaseState::Down, Vec::new())
        }
        Err(_) => (DatabaseState::Down, Vec::new()),
    };
    let tiers = app.tiers.status().await.into_iter();
    let cache: Vec<_> = tiers.map(|(tier, can_answer)| CacheState { tier, can_answer }).collect();
    let ready = match database {
        DatabaseState::Up => true,
        DatabaseState::NoSchema => false,
        DatabaseState::Down => cache.iter().any(|tier| tier.can_answer),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let version = env!("CARGO_PKG_VERSION");
    (status, Json(Readiness { ready, version, database, cache, topics })).into_response()
}

async fn database(app: &App) -> Result<(DatabaseState, Vec<TopicReadiness>), StoreError> {
    if !app.store.has_schema().await? {
        return Ok((DatabaseState::NoSchema, Vec::new()));
    }
    let now = app.clock.now();
    let mut topics = Vec::new();
    for state in app.store.topics().await? {
        let (age_seconds, complete) = (age_seconds(&state, now), state.complete);
        let latest = if complete { None } else { app.store.latest(&state.topic).await? };
        let reason = latest.and_then(|refresh| refresh.report.reason);
        topics.push(TopicReadiness { topic: state.topic, age_seconds, complete, reason });
    }
    Ok((DatabaseState::Up, topics))
}
