//! GitHub's checks before a handler runs, which are User-Agent, token and rate limit; and the
//! injection of faults.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};

use super::AppState;
use super::answers::{DOCS, message, missing_user_agent, primary_limit, set_rate_headers};
use super::inject::{InjectedFault, alter_body, break_connection, replacement};
use super::search::sort_and_page;
use crate::faults::FaultKind;
use crate::limits::{Quota, Resource};
use crate::query::Sort;
use crate::world::World;

/// Dates every answer by GitHub's clock.
pub(super) async fn set_times(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let ahead = state.world().settings.clock_ahead;
    let now = (state.now)() + TimeDelta::seconds(ahead);
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = response.headers_mut();
    headers.insert(header::DATE, HeaderValue::from_str(&date).expect("a date is ASCII"));
    let reset =
        headers.get("x-ratelimit-reset").and_then(|reset| reset.to_str().ok()?.parse().ok());
    if let Some(reset) = reset {
        let reset = i64::saturating_add(reset, ahead);
        headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
    }
    response
}

pub(super) async fn check_limits(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    if state.world().stopped {
        break_connection();
    }
    let info = RequestInfo::new(&request, (state.now)());
    let admission = admit(&mut state.world(), &info);
    let Admission { fault, quota, latency } = match admission {
        Ok(admission) => admission,
        Err(refusal) => return *refusal,
    };
    let _open_search = (info.resource == Resource::Search).then(|| OpenSearch::start(&state));
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if let Some(answer) = fault.as_ref().and_then(|fault| {
        replacement(fault, info.token.is_some(), info.resource, quota, info.received)
    }) {
        return answer;
    }
    request.extensions_mut().insert(InjectedFault(fault.clone()));
    let mut response = next.run(request).await;
    if let Some(mut quota) = quota {
        if response.status() == StatusCode::NOT_MODIFIED && info.token.is_some() {
            quota = state.world().windows.give_back(info.resource, info.token, quota);
        }
        set_rate_headers(response.headers_mut(), info.resource, quota);
    }
    if let Some(FaultKind::OddReset { reset }) = &fault {
        response.headers_mut().insert("x-ratelimit-reset", HeaderValue::from(*reset));
    }
    response.headers_mut().insert(
        "x-github-request-id",
        HeaderValue::from_static("0000:0001:000002:000003:00000004"),
    );
    alter_body(response, fault.as_ref()).await
}

struct RequestInfo {
    received: DateTime<Utc>,
    path: String,
    /// The method, path and query.
    line: String,
    resource: Resource,
    search: Option<(Sort, usize)>,
    has_user_agent: bool,
    token: Option<String>,
}

impl RequestInfo {
    fn new(request: &Request, received: DateTime<Utc>) -> Self {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            received,
            line: format!("{} {path}{query}", request.method()),
            resource: if path.starts_with("/search/") { Resource::Search } else { Resource::Core },
            search: sort_and_page(request),
            has_user_agent: request.headers().contains_key(header::USER_AGENT),
            token: bearer_token(request.headers()),
            path,
        }
    }
}

pub(super) fn bearer_token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token =
        value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token ")).unwrap_or(value);
    Some(token.to_owned())
}

struct Admission {
    fault: Option<FaultKind>,
    /// `None` without a limit.
    quota: Option<Quota>,
    latency: Duration,
}

/// Counts a request. Returns the answer that refuses it, if a check fails.
fn admit(world: &mut World, info: &RequestInfo) -> Result<Admission, Box<Response>> {
    world.counters.requests.push((info.received, info.line.clone()));
    match info.resource {
        Resource::Search => world.counters.searches += 1,
        Resource::Core => world.counters.core += 1,
    }
    let caller = (info.resource, info.token.clone());
    world.count_if_impatient(caller.clone(), info.received);
    if !info.has_user_agent {
        world.counters.unexpected.push(format!("no User-Agent: {}", info.path));
        return Err(Box::new(missing_user_agent()));
    }
    if let (Some(tokens), Some(token)) = (&world.settings.tokens, &info.token)
        && !tokens.contains(token)
    {
        return Err(Box::new(message(StatusCode::UNAUTHORIZED, "Bad credentials", DOCS)));
    }
    let quota = take_quota(world, info).map_err(|quota| {
        let with_token = info.token.is_some();
        Box::new(primary_limit(StatusCode::FORBIDDEN, with_token, info.resource, quota))
    })?;
    let fault = world.next_fault(&info.path, info.search, caller, info.received);
    let latency = Duration::from_millis(world.settings.latency_millis);
    Ok(Admission { fault, quota, latency })
}

/// Counts a request in its window. `/rate_limit` counts in none.
fn take_quota(world: &mut World, info: &RequestInfo) -> Result<Option<Quota>, Quota> {
    let limit = match info.resource {
        Resource::Search => world.settings.search_limit,
        Resource::Core => world.settings.core_limit,
    };
    let Some(limit) = limit.filter(|_| info.path != "/rate_limit") else { return Ok(None) };
    let taken = world.windows.take(info.resource, info.token.as_deref(), limit, info.received);
    world.counters.over_limit += u64::from(taken.is_err());
    taken.map(Some)
}

/// Counts a search as open until it is dropped.
struct OpenSearch(AppState);

impl OpenSearch {
    fn start(state: &AppState) -> Self {
        let mut world = state.world();
        world.counters.overlapping += u64::from(world.open_searches > 0);
        world.open_searches += 1;
        Self(state.clone())
    }
}

impl Drop for OpenSearch {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.world.lock() {
            world.open_searches -= 1;
        }
    }
}
