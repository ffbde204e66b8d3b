//! The control routes, for tests and demos that are another process.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Map, Value};

use super::Stand;
use crate::faults::Fault;
use crate::world::{Counters, Settings};

pub(super) fn router() -> Router<Stand> {
    Router::new()
        .route("/settings", get(settings).post(set_settings))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/counters", get(counters).delete(clear_counters))
        .route("/ranked/{topic}/{sort}", get(ranked))
        .route("/repositories/{id}", patch(edit).delete(remove))
}

async fn settings(State(stand): State<Stand>) -> Json<Settings> {
    Json(stand.world().settings.clone())
}

async fn set_settings(State(stand): State<Stand>, Json(settings): Json<Settings>) {
    stand.world().settings = settings;
}

async fn faults(State(stand): State<Stand>) -> Json<Vec<Fault>> {
    Json(stand.world().faults.clone())
}

async fn add_faults(State(stand): State<Stand>, Json(faults): Json<Vec<Fault>>) {
    stand.world().faults.extend(faults);
}

async fn clear_faults(State(stand): State<Stand>) {
    stand.world().faults.clear();
}

async fn counters(State(stand): State<Stand>) -> Json<Counters> {
    Json(stand.world().counters.clone())
}

async fn clear_counters(State(stand): State<Stand>) {
    stand.world().counters = Counters::default();
}

async fn ranked(
    State(stand): State<Stand>,
    Path((topic, sort)): Path<(String, String)>,
) -> Json<Vec<u64>> {
    Json(stand.world().ranked(&topic, &sort))
}

async fn edit(
    State(stand): State<Stand>,
    Path(id): Path<u64>,
    Json(fields): Json<Map<String, Value>>,
) -> Result<(), (StatusCode, String)> {
    match stand.world().edit(id, fields) {
        Ok(true) => Ok(()),
        Ok(false) => Err((StatusCode::NOT_FOUND, format!("no repository {id}"))),
        Err(reason) => Err((StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}

async fn remove(State(stand): State<Stand>, Path(id): Path<u64>) -> StatusCode {
    if stand.world().remove(id).is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND }
}
