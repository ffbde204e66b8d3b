//! What the service says of itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::error::Error;
use crate::model::run::{RefreshRun, RunState};
use crate::model::time::{optional_seconds, seconds};
use crate::model::topic::{Coverage, Origin, Topic, TopicState};
use crate::service::Service;
use crate::store::StoreError;

/// How many entries of the ledger are shown.
const REFRESHES_SHOWN: i64 = 100;

pub(super) async fn guide() -> &'static str {
    include_str!("guide.txt")
}

/// The seed's smoke test.
pub(super) async fn test() -> &'static str {
    "Oh, Hello World"
}

/// The process lives.
pub(super) async fn health() -> &'static str {
    "ok"
}

/// `/ready`.
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
    /// `/bootstrap_db` makes it.
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

pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let (database, topics) =
        match tokio::time::timeout(std::time::Duration::from_secs(1), database(&service)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(%error, "not ready: the database failed");
                (DatabaseState::Down, Vec::new())
            }
            Err(_) => (DatabaseState::Down, Vec::new()),
        };
    let cache: Vec<_> = service
        .tiers
        .status()
        .await
        .into_iter()
        .map(|(tier, can_answer)| CacheState { tier, can_answer })
        .collect();
    let ready = match database {
        DatabaseState::Up => true,
        DatabaseState::NoSchema => false,
        DatabaseState::Down => cache.iter().any(|tier| tier.can_answer),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness =
        Readiness { ready, version: env!("CARGO_PKG_VERSION"), database, cache, topics };
    (status, Json(readiness)).into_response()
}

async fn database(service: &Service) -> Result<(DatabaseState, Vec<TopicReadiness>), StoreError> {
    if !service.store.has_schema().await? {
        return Ok((DatabaseState::NoSchema, Vec::new()));
    }
    let now = service.clock.now();
    let mut topics = Vec::new();
    for state in service.store.topics().await? {
        let reason = match state.complete {
            true => None,
            false => {
                service.store.latest(&state.topic).await?.and_then(|refresh| refresh.report.reason)
            }
        };
        let (age_seconds, complete) = (age(&state, now), state.complete);
        topics.push(TopicReadiness { topic: state.topic, age_seconds, complete, reason });
    }
    Ok((DatabaseState::Up, topics))
}

/// An entry of `/topics`.
#[derive(Serialize)]
pub(super) struct TopicStatus {
    topic: Topic,
    origin: Origin,
    /// How much of it is kept.
    coverage: Coverage,
    #[serde(serialize_with = "optional_seconds")]
    refreshed_at: Option<DateTime<Utc>>,
    age_seconds: Option<i64>,
    complete: bool,
    total_count: Option<i64>,
    stored: i64,
    #[serde(serialize_with = "seconds")]
    next_refresh_at: DateTime<Utc>,
}

impl TopicStatus {
    fn of(state: TopicState, service: &Service) -> Self {
        let now = service.clock.now();
        Self {
            age_seconds: age(&state, now),
            coverage: service.config.coverages.of(&state.topic, state.origin),
            topic: state.topic,
            origin: state.origin,
            refreshed_at: state.refreshed_at,
            complete: state.complete,
            total_count: state.total_count,
            stored: state.stored,
            next_refresh_at: service.config.schedule.next(now),
        }
    }
}

fn age(state: &TopicState, now: DateTime<Utc>) -> Option<i64> {
    state.refreshed_at.map(|at| (now - at).num_seconds())
}

pub(super) async fn topics(
    State(service): State<Arc<Service>>,
) -> Result<Json<Vec<TopicStatus>>, Error> {
    let states = service.store.topics().await?;
    Ok(Json(states.into_iter().map(|state| TopicStatus::of(state, &service)).collect()))
}

pub(super) async fn topic(
    State(service): State<Arc<Service>>,
    topic: Topic,
) -> Result<Json<TopicStatus>, Error> {
    let state = service.store.topic(&topic).await?.ok_or(Error::NotTracked(topic))?;
    Ok(Json(TopicStatus::of(state, &service)))
}

pub(super) async fn refreshes(
    State(service): State<Arc<Service>>,
) -> Result<Json<Vec<RefreshRun>>, Error> {
    let mut refreshes = service.store.refreshes(REFRESHES_SHOWN).await?;
    for running in refreshes.iter_mut().filter(|refresh| refresh.state == RunState::Running) {
        // With its topics' numbers, which are its own only at the end.
        if let Some(mut entry) = service.store.refresh(running.id).await? {
            service.refresher.estimate(&mut entry).await?;
            *running = RefreshRun { topics: Vec::new(), ..entry };
        }
    }
    Ok(Json(refreshes))
}

pub(super) async fn refresh(
    State(service): State<Arc<Service>>,
    Path(id): Path<i64>,
) -> Result<Json<RefreshRun>, Error> {
    let mut refresh = service.store.refresh(id).await?.ok_or(Error::NoRefresh(id))?;
    service.refresher.estimate(&mut refresh).await?;
    Ok(Json(refresh))
}
