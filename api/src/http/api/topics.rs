//! The tracked topics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::app::App;
use crate::error::Error;
use crate::model::time::{optional_seconds, seconds};
use crate::model::topic::{Coverage, Origin, Topic, TopicState};

/// An entry of `/topics`.
#[derive(Serialize)]
pub(super) struct TopicStatus {
    topic: Topic,
    origin: Origin,
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
    fn of(state: TopicState, app: &App) -> Self {
        let now = app.clock.now();
        Self {
            age_seconds: age_seconds(&state, now),
            coverage: app.config.coverages.of(&state.topic, state.origin),
            topic: state.topic,
            origin: state.origin,
            refreshed_at: state.refreshed_at,
            complete: state.complete,
            total_count: state.total_count,
            stored: state.stored,
            next_refresh_at: app.config.schedule.next(now),
        }
    }
}

/// Seconds since the last complete refresh; 0 if the clock was set back since.
pub(super) fn age_seconds(state: &TopicState, now: DateTime<Utc>) -> Option<i64> {
    state.refreshed_at.map(|at| (now - at).num_seconds().max(0))
}

pub(super) async fn topics(State(app): State<Arc<App>>) -> Result<Json<Vec<TopicStatus>>, Error> {
    let states = app.public.topics().await?;
    Ok(Json(states.into_iter().map(|state| TopicStatus::of(state, &app)).collect()))
}

pub(super) async fn topic(
    State(app): State<Arc<App>>,
    topic: Topic,
) -> Result<Json<TopicStatus>, Error> {
    let state = app.public.topic(&topic).await?.ok_or(Error::NotTracked(topic))?;
    Ok(Json(TopicStatus::of(state, &app)))
}
