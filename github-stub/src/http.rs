//! The world over HTTP: GitHub's routes, and the control routes below `/_stub`.

mod answers;
mod control;
mod inject;
mod middleware;
mod pages;
mod rate_limit;
mod repositories;
mod search;
mod stargazers;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;

use crate::Now;
use crate::world::World;
use answers::{DOCS, message};

#[derive(Clone)]
struct AppState {
    world: Arc<Mutex<World>>,
    now: Now,
}

impl AppState {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no handler panicked while it held the lock")
    }
}

pub(crate) fn router(world: Arc<Mutex<World>>, now: Now) -> Router {
    let state = AppState { world, now };
    let github = Router::new()
        .route("/search/repositories", get(search::repositories))
        .route("/repositories/{id}", get(repositories::by_id))
        .route("/repos/{owner}/{name}", get(repositories::by_name))
        .route("/repos/{owner}/{name}/stargazers/history", get(stargazers::history))
        .route("/repos/{owner}/{name}/stargazers/count", get(stargazers::count))
        .route("/rate_limit", get(rate_limit::rate_limit))
        .fallback(unknown_path)
        .layer(from_fn_with_state(state.clone(), middleware::check_limits))
        .layer(from_fn_with_state(state.clone(), middleware::set_times));
    Router::new().nest("/_stub", control::router()).merge(github).with_state(state)
}

async fn unknown_path(State(state): State<AppState>, request: Request) -> Response {
    state.world().counters.unexpected.push(format!("{} {}", request.method(), request.uri()));
    message(StatusCode::NOT_FOUND, "Not Found", DOCS)
}
