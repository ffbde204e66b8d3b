//! The control routes, for tests and demos in another process.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Map, Value};

use super::AppState;
use crate::faults::Fault;
use crate::world::{Counters, Settings};

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/settings", get(settings).post(set_settings))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/counters", get(counters).delete(clear_counters))
        .route("/ranked/{topic}/{sort}", get(ranked))
        .route("/repositories/{id}", patch(edit).delete(remove))
}

async fn settings(State(state): State<AppState>) -> Json<Settings> {
    Json(state.world().settings.clone())
}

async fn set_settings(State(state): State<AppState>, Json(settings): Json<Settings>) {
    state.world().settings = settings;
}

async fn faults(State(state): State<AppState>) -> Json<Vec<Fault>> {
    Json(state.world().faults.clone())
}

async fn add_faults(State(state): State<AppState>, Json(faults): Json<Vec<Fault>>) {
    state.world().faults.extend(faults);
}

async fn clear_faults(State(state): State<AppState>) {
    state.world().faults.clear();
}

async fn counters(State(state): State<AppState>) -> Json<Counters> {
    Json(state.world().counters.clone())
}

async fn clear_counters(State(state): State<AppState>) {
    state.world().counters = Counters::default();
}

async fn ranked(
    State(state): State<AppState>,
    Path((topic, sort)): Path<(String, String)>,
) -> Json<Vec<u64>> {
    Json(state.world().ranked(&topic, &sort))
}

async fn edit(
    State(state): State<AppState>,
    Path(id): Path<u64>,
    Json(fields): Json<Map<String, Value>>,
) -> Result<(), (StatusCode, String)> {
    match state.world().edit(id, fields) {
        Ok(true) => Ok(()),
        Ok(false) => Err((StatusCode::NOT_FOUND, format!("no repository {id}"))),
        Err(reason) => Err((StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}

async fn remove(State(state): State<AppState>, Path(id): Path<u64>) -> StatusCode {
    if state.world().remove(id).is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND }
}
