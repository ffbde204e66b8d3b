//! `GET /rate_limit`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::AppState;
use super::answers::json_answer;
use super::middleware::bearer_token;
use crate::limits::{Limit, Resource};

pub(super) async fn rate_limit(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let (now, token) = ((state.now)(), bearer_token(&headers));
    let mut world = state.world();
    // The answer needs numbers even if no limit is set: it has GitHub's own then.
    let search = world.settings.search_limit.unwrap_or(Limit { with_token: 30, without_token: 10 });
    let core = world.settings.core_limit.unwrap_or(Limit { with_token: 5_000, without_token: 60 });
    let mut show = |resource, limit| {
        let quota = *world.windows.peek(resource, token.as_deref(), limit, now);
        json!({
            "limit": quota.limit,
            "used": quota.used,
            "remaining": quota.remaining(),
            "reset": quota.reset.timestamp(),
        })
    };
    let (search, core) = (show(Resource::Search, search), show(Resource::Core, core));
    json_answer(
        StatusCode::OK,
        &json!({"resources": {"core": core, "search": search}, "rate": core}),
    )
}
