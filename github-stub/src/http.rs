//! The world over HTTP: GitHub's routes, and the control routes below `/_stub`.

mod control;
mod search;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;
use serde_json::{Value, json};

use crate::Now;
use crate::faults::FaultKind;
use crate::limits::{Bucket, Limit, Quota};
use crate::repository::Repository;
use crate::world::World;

const DOCS: &str = "https://docs.github.com/rest";
const LIMITS_DOCS: &str =
    "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api";

/// What every handler shares.
#[derive(Clone)]
struct Stand {
    world: Arc<Mutex<World>>,
    now: Now,
}

impl Stand {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no handler panicked while it held the world")
    }
}

pub(crate) fn router(world: Arc<Mutex<World>>, now: Now) -> Router {
    let stand = Stand { world, now };
    let github = Router::new()
        .route("/search/repositories", get(search::repositories))
        .route("/repositories/{id}", get(by_id))
        .route("/repos/{owner}/{name}", get(by_name))
        .route("/rate_limit", get(rate_limit))
        .fallback(unknown)
        .layer(from_fn_with_state(stand.clone(), gate));
    Router::new().nest("/_stub", control::router()).merge(github).with_state(stand)
}

/// The fault that strikes this request, for the handlers that know how to spoil their own answer.
#[derive(Clone)]
struct Struck(Option<FaultKind>);

/// What GitHub does before it looks at a request: User-Agent, credentials, limits; and the faults
/// of the wire.
async fn gate(State(stand): State<Stand>, mut request: Request, next: Next) -> Response {
    if stand.world().stopped {
        break_connection();
    }
    let now = (stand.now)();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let search = search::asked(&request);
    let bucket = if path.starts_with("/search/") { Bucket::Search } else { Bucket::Core };
    let token = bearer(request.headers());
    let (struck, quota, latency) = {
        let mut world = stand.world();
        world.counters.requests.push((now, format!("{} {path}{query}", request.method())));
        match bucket {
            Bucket::Search => world.counters.searches += 1,
            Bucket::Core => world.counters.core += 1,
        }
        world.note_impatience(bucket, now);
        if !request.headers().contains_key(header::USER_AGENT) {
            world.counters.unexpected.push(format!("no User-Agent: {path}"));
            return forbidden_without_user_agent();
        }
        if let (Some(tokens), Some(token)) = (&world.settings.tokens, &token)
            && !tokens.contains(token)
        {
            return message(StatusCode::UNAUTHORIZED, "Bad credentials", DOCS);
        }
        let limit = match bucket {
            Bucket::Search => world.settings.search_limit,
            Bucket::Core => world.settings.core_limit,
        };
        let quota = match limit.filter(|_| path != "/rate_limit") {
            None => None,
            Some(limit) => match world.windows.take(bucket, token.as_deref(), limit, now) {
                Ok(quota) => Some(quota),
                Err(quota) => {
                    world.counters.over_limit += 1;
                    return limited(StatusCode::FORBIDDEN, token.is_some(), bucket, quota);
                }
            },
        };
        (world.strike(&path, search, bucket, now), quota, world.settings.latency_millis)
    };
    let _searching = (bucket == Bucket::Search).then(|| Searching::start(&stand));
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    if let Some(refusal) =
        struck.as_ref().and_then(|fault| refusal(fault, token.is_some(), bucket, quota, now))
    {
        return refusal;
    }
    request.extensions_mut().insert(Struck(struck.clone()));
    let mut response = next.run(request).await;
    if let Some(mut quota) = quota {
        if response.status() == StatusCode::NOT_MODIFIED && token.is_some() {
            quota = stand.world().windows.give_back(bucket, token, quota);
        }
        rate_headers(response.headers_mut(), bucket, quota);
    }
    response.headers_mut().insert(
        "x-github-request-id",
        HeaderValue::from_static("0000:0001:000002:000003:00000004"),
    );
    spoil_body(response, struck.as_ref()).await
}

/// A search that is not answered yet.
struct Searching(Stand);

impl Searching {
    fn start(stand: &Stand) -> Self {
        let mut world = stand.world();
        world.counters.overlapping += u64::from(world.searching > 0);
        world.searching += 1;
        Self(stand.clone())
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.world.lock() {
            world.searching -= 1;
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token =
        value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token ")).unwrap_or(value);
    Some(token.to_owned())
}

/// The answer of a fault that does not let the request through.
fn refusal(
    fault: &FaultKind,
    with_token: bool,
    bucket: Bucket,
    quota: Option<Quota>,
    now: DateTime<Utc>,
) -> Option<Response> {
    let status =
        |code: u16| StatusCode::from_u16(code).expect("a fault's status is an HTTP status");
    Some(match fault {
        FaultKind::PrimaryLimit { status: code, reset_in } => {
            let limit = quota.map_or(30, |quota| quota.limit);
            let quota = Quota { limit, used: limit, reset: now + TimeDelta::seconds(*reset_in) };
            limited(status(*code), with_token, bucket, quota)
        }
        FaultKind::SecondaryLimit { status: code, retry_after } => {
            let text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach \
                        out to GitHub Support for help, please include the request ID 0000:0001.";
            let mut response =
                message(status(*code), text, &format!("{LIMITS_DOCS}#about-secondary-rate-limits"));
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            let quota =
                quota.unwrap_or(Quota { limit: 30, used: 16, reset: now + TimeDelta::seconds(30) });
            rate_headers(response.headers_mut(), bucket, quota);
            response
        }
        FaultKind::Forbidden => {
            message(StatusCode::FORBIDDEN, "Resource not accessible by personal access token", DOCS)
        }
        FaultKind::Unauthorized => message(StatusCode::UNAUTHORIZED, "Bad credentials", DOCS),
        FaultKind::Unavailable => {
            message(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, "Repository access blocked", DOCS)
        }
        FaultKind::NotFound => message(StatusCode::NOT_FOUND, "Not Found", DOCS),
        FaultKind::HtmlError { status: code } => {
            let page = "<!DOCTYPE html><html><head><title>Unicorn! &middot; GitHub</title></head><body>…</body></html>";
            (status(*code), [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page)
                .into_response()
        }
        FaultKind::JsonError { status: code } => message(status(*code), "Server Error", DOCS),
        FaultKind::NotJson => {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], "<html>a proxy's page</html>")
                .into_response()
        }
        FaultKind::Redirect { to } => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to.clone())]).into_response()
        }
        FaultKind::Reset => break_connection(),
        _ => return None,
    })
}

/// The connection's task ends without an answer; unwinding without a panic keeps the output quiet.
fn break_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection is broken on purpose"))
}

/// Sends the body in two halves, late or broken.
async fn spoil_body(response: Response, struck: Option<&FaultKind>) -> Response {
    let pause = match struck {
        Some(FaultKind::Slow { millis }) => Some(Duration::from_millis(*millis)),
        Some(FaultKind::Cut) => None,
        _ => return response,
    };
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.expect("bodies are made in memory");
    let half = whole.len() / 2;
    let (first, rest) = (whole.slice(..half), whole.slice(half..));
    let body = stream::unfold(Some((first, rest, false)), move |state| async move {
        let (first, rest, sent) = state?;
        if !sent {
            return Some((Ok(first.clone()), Some((first, rest, true))));
        }
        match pause {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Some((Ok(rest), None))
            }
            None => {
                // The server sends the first half while the body is pending; with the error it
                // would drop it unsent.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("cut on purpose")), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(body))
}

fn forbidden_without_user_agent() -> Response {
    let text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header \
                (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                Check https://developer.github.com for other possible causes.\n";
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

/// An error as GitHub words it.
fn message(status: StatusCode, text: &str, documentation: &str) -> Response {
    json_answer(
        status,
        &json!({"message": text, "documentation_url": documentation, "status": status.as_str()}),
    )
}

fn limited(status: StatusCode, with_token: bool, bucket: Bucket, quota: Quota) -> Response {
    let text = if with_token {
        "API rate limit exceeded for user ID 12345. If you reach out to GitHub Support for help, please include the request ID \
         0000:0001 and timestamp."
    } else {
        "API rate limit exceeded for 192.0.2.1. (But here's the good news: Authenticated requests get a higher rate limit. Check \
         out the documentation for more details.)"
    };
    let mut response = message(status, text, LIMITS_DOCS);
    rate_headers(response.headers_mut(), bucket, quota);
    response
}

fn rate_headers(headers: &mut HeaderMap, bucket: Bucket, quota: Quota) {
    let mut set = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value)
    };
    set("x-ratelimit-limit", quota.limit.into());
    set("x-ratelimit-remaining", quota.remaining().into());
    set("x-ratelimit-used", quota.used.into());
    set("x-ratelimit-reset", quota.reset.timestamp().into());
    set("x-ratelimit-resource", HeaderValue::from_static(bucket.name()));
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    text_answer(status, value.to_string())
}

fn text_answer(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-github-media-type"), "github.v3; format=json"),
    ];
    (status, headers, Bytes::from(text)).into_response()
}

async fn unknown(State(stand): State<Stand>, request: Request) -> Response {
    stand.world().counters.unexpected.push(format!("{} {}", request.method(), request.uri()));
    message(StatusCode::NOT_FOUND, "Not Found", DOCS)
}

async fn by_id(State(stand): State<Stand>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    single(stand.world().repository(id), &headers)
}

async fn by_name(
    State(stand): State<Stand>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    single(stand.world().repository_at(&format!("{owner}/{name}")), &headers)
}

/// A core route's answer: with ETag and Last-Modified, and 304 for who has it.
fn single(repository: Option<&Repository>, headers: &HeaderMap) -> Response {
    let Some(repository) = repository else {
        return message(StatusCode::NOT_FOUND, "Not Found", DOCS);
    };
    let mut item = repository.item.clone();
    // The routes of a single repository show no score, and three counts that searches do not have.
    item.remove("score");
    item.insert("subscribers_count".to_owned(), json!(repository.forks / 2));
    item.insert("network_count".to_owned(), json!(repository.forks));
    let text = Value::Object(item).to_string();
    let mut response = conditional(text, headers);
    let own = response.headers_mut();
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60, s-maxage=60"));
    let modified = repository.updated.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    own.insert(header::LAST_MODIFIED, HeaderValue::from_str(&modified).expect("a date is ASCII"));
    response
}

/// 200, or 304 for who has it. The ETag is of the body and, as GitHub's, of the token.
fn conditional(text: String, headers: &HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let etag = format!("W/\"{:064x}\"", fnv1a(text.as_bytes().iter().chain(token)));
    let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits");
    let fresh = headers.get(header::IF_NONE_MATCH) == Some(&etag);
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        text_answer(StatusCode::OK, text)
    };
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// FNV-1a, 64 bits: enough to tell bodies apart in a test.
fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

async fn rate_limit(State(stand): State<Stand>, headers: HeaderMap) -> Response {
    let (now, token) = ((stand.now)(), bearer(&headers));
    let mut world = stand.world();
    // Where no limit is set the answer still needs numbers; these are GitHub's own.
    let search = world.settings.search_limit.unwrap_or(Limit { with_token: 30, without_token: 10 });
    let core = world.settings.core_limit.unwrap_or(Limit { with_token: 5_000, without_token: 60 });
    let mut show = |bucket, limit| {
        let quota = *world.windows.peek(bucket, token.as_deref(), limit, now);
        json!({"limit": quota.limit, "used": quota.used, "remaining": quota.remaining(), "reset": quota.reset.timestamp()})
    };
    let (search, core) = (show(Bucket::Search, search), show(Bucket::Core, core));
    json_answer(
        StatusCode::OK,
        &json!({"resources": {"core": core, "search": search}, "rate": core}),
    )
}
