//! Maintenance: the schema, refreshes, and the deletion of topics, for maintainers only.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use secrecy::ExposeSecret;
use serde::Serialize;
use subtle::ConstantTimeEq;
use tracing::info;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::Error;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::model::run::{RunState, Trigger};
use crate::model::topic::{Origin, Topic, TopicState};
use crate::refresh::RunResult;
use crate::task::join;

pub(super) const BOOTSTRAP_DB: &str = "/bootstrap_db";
pub(super) const UPDATE_CACHE: &str = "/update_cache";

parameters! {
    TOPIC = "topic", Shape::TOPIC, such as "kubernetes":
        "The topic to refresh, every tracked one if it is absent.";

    HISTORY = "history", Shape::Boolean, such as "true":
        "Whether the topic's history is deleted with it, false if it is absent.";
}

pub(super) fn routes() -> Routes {
    let bootstrap = "Makes the database's schema, or finds it there";
    let refreshes = "Refreshes every tracked topic, or the given one";
    let at_once = "with the header `Prefer: respond-async` the answer comes at once";
    let schema = || Answer::json::<Bootstrapped>();
    let run = || Answer::json::<RunResult>();
    let started = || Answer::json::<StartedRun>().with(&["Location", "Preference-Applied"]);
    Routes::default()
        .routes(
            Operation::post("bootstrap_database", bootstrap)
                .answers(200, schema())
                .guarded()
                .at(BOOTSTRAP_DB, post(bootstrap_db)),
        )
        .routes(
            Operation::get("bootstrap_database_by_get", bootstrap)
                .answers(200, schema())
                .guarded()
                .at(BOOTSTRAP_DB, without_head(get(bootstrap_db))),
        )
        .routes(
            Operation::post("track_and_refresh", &format!("{refreshes}, and tracks it; {at_once}"))
                .takes(&[&TOPIC])
                .answers(200, run())
                .answers(202, started())
                .guarded()
                .at(UPDATE_CACHE, post(track_and_update)),
        )
        .routes(
            Operation::get("refresh_tracked", format!("{refreshes}; {at_once}"))
                .takes(&[&TOPIC])
                .answers(200, run())
                .answers(202, started())
                .guarded()
                .fails(&[404])
                .at(UPDATE_CACHE, without_head(get(update_cache))),
        )
        .routes(
            Operation::delete("delete_topic", "Forgets a topic")
                .takes(&[&HISTORY])
                .answers(204, Answer::default())
                .guarded()
                .fails(&[404])
                .at("/topics/{topic}", delete(delete_topic)),
        )
}

/// HEAD promises to change nothing, which maintenance cannot.
fn without_head(route: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    async fn refuse() -> Error {
        Error::MethodNotAllowed("GET, POST")
    }
    route.head(refuse).fallback(refuse)
}

/// A caller who may do maintenance. A handler that takes one is guarded, under every spelling of
/// its path.
struct Maintainer;

impl FromRequestParts<Arc<App>> for Maintainer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        // Browsers set this header themselves, and pages cannot forge it (Fetch Metadata).
        if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(Error::CrossSite);
        }
        let Some(token) = &app.config.maintenance_token else {
            let host = parts.headers.get(header::HOST).map(HeaderValue::to_str);
            let is_own = host.is_none_or(|host| host.is_ok_and(is_own_host));
            return if is_own { Ok(Self) } else { Err(Error::ForeignHost) };
        };
        let given = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|given| given.split_at_checked("Bearer ".len()));
        let (scheme, given) = given.unwrap_or_default();
        let is_equal = bool::from(given.ct_eq(token.expose_secret().as_bytes()));
        if scheme.eq_ignore_ascii_case(b"Bearer ") && is_equal {
            Ok(Self)
        } else {
            Err(Error::Unauthorized)
        }
    }
}

/// Whether a Host names this machine or a part of the stack. Without a token the service is
/// published on loopback alone, where other machines do not reach it, but the browser of this one
/// does. A page can give its own name the address 127.0.0.1 and then counts as of the same site as
/// the service. It cannot do that with localhost, with an address, or with a name without a dot,
/// such as the stack's `proxy`.
fn is_own_host(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.') || name.ends_with(".localhost")
}

#[derive(Serialize, ToSchema)]
struct Bootstrapped {
    /// Whether this call made the schema.
    created: bool,
}

/// Makes the schema. The work goes on if the caller leaves.
async fn bootstrap_db(_: Maintainer, State(app): State<Arc<App>>) -> Result<Response, Error> {
    let created = join(tokio::spawn(async move { app.bootstrap().await })).await?;
    Ok(Json(Bootstrapped { created }).into_response())
}

/// The topic of a request's query.
fn topic_of(uri: &Uri) -> Result<Option<Topic>, Error> {
    let mut parameters = Parameters::of(uri);
    let topic = parameters.read(&TOPIC);
    parameters.finish()?;
    Ok(topic)
}

/// GET: refreshes every tracked topic, or the given one, which must be tracked.
async fn update_cache(
    _: Maintainer,
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let topic = topic_of(&uri)?;
    if let Some(topic) = &topic
        && app.store.topic(topic).await?.is_none()
    {
        return Err(Error::NotTracked(topic.clone()));
    }
    update(&app, topic.as_ref(), &headers).await
}

/// POST: the same, but the given topic is tracked from now on.
async fn track_and_update(
    _: Maintainer,
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let topic = topic_of(&uri)?;
    if let Some(topic) = &topic {
        app.store.track(topic, Origin::Requested, None, app.clock.now()).await?;
    }
    update(&app, topic.as_ref(), &headers).await
}

async fn update(app: &App, topic: Option<&Topic>, headers: &HeaderMap) -> Result<Response, Error> {
    if prefers_async(headers) {
        return start(app, topic).await;
    }
    let result = app.refresher.refresh(topic, Trigger::Request).await?;
    // An on-demand topic without a list does not fail a run over all topics.
    let counts = |state: &TopicState| match topic {
        Some(topic) => *topic == state.topic,
        None => state.origin != Origin::OnDemand,
    };
    let mut states = app.store.topics().await?.into_iter();
    if let Some(state) = states.find(|state| counts(state) && state.modified_at.is_none()) {
        let reason = result.refresh.report.reason.as_deref();
        let reason = reason.unwrap_or("the next refresh tries again");
        let (topic, id) = (state.topic, result.refresh.id);
        return Err(Error::NotYet {
            detail: format!("{topic} has no list: {reason}; see /refreshes/{id}"),
            retry_after: app.until_next_refresh(),
        });
    }
    Ok(Json(with_topics(result)).into_response())
}

/// A refresh that goes on after the answer.
#[derive(Serialize, ToSchema)]
struct StartedRun {
    id: i64,
    state: RunState,
    /// Whether another caller had started it.
    coalesced: bool,
    /// The address of its entry.
    location: String,
}

/// Starts a refresh and answers with its address.
async fn start(app: &App, topic: Option<&Topic>) -> Result<Response, Error> {
    let run = app.refresher.start(topic, Trigger::Request).await?;
    let location = format!("/refreshes/{}", run.id);
    let body = StartedRun {
        id: run.id,
        state: RunState::Running,
        coalesced: run.coalesced,
        location: location.clone(),
    };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::try_from(location).map_err(|_| Error::Internal)?;
    headers.insert(header::LOCATION, location);
    headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
    Ok(response)
}

/// Shows a run of one topic as its own only child, so that callers read both kinds alike.
fn with_topics(mut result: RunResult) -> RunResult {
    if result.refresh.topic.is_some() {
        result.refresh.topics = vec![result.refresh.clone()];
    }
    result
}

/// Whether the caller wants an answer before the refresh ends. RFC 7240: preferences are separated
/// by commas, over any number of headers.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| {
        let name = preference.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("respond-async")
    })
}

async fn delete_topic(
    _: Maintainer,
    State(app): State<Arc<App>>,
    topic: Topic,
    uri: Uri,
) -> Result<StatusCode, Error> {
    let mut parameters = Parameters::of(&uri);
    let with_history = parameters.read(&HISTORY).unwrap_or(false);
    parameters.finish()?;
    if !app.refresher.delete_topic(&topic, !with_history).await? {
        return Err(Error::NotTracked(topic));
    }
    info!(%topic, with_history, "deleted on request");
    Ok(StatusCode::NO_CONTENT)
}
