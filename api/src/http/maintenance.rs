//! Maintenance: not for strangers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::model::run::Trigger;
use crate::model::topic::{Origin, Topic, TopicState};
use crate::refresh::RunResult;
use crate::service::Service;
use crate::task::end_of;

/// Someone who may do maintenance: a handler that takes this is guarded, under every spelling of
/// its path.
pub(super) struct Maintainer;

impl FromRequestParts<Arc<Service>> for Maintainer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Error> {
        // Browsers say so themselves and pages cannot forge it (Fetch Metadata).
        if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(Error::CrossSite);
        }
        let Some(token) = &service.config.maintenance_token else { return Ok(Self) };
        let given =
            parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let (scheme, given) = given.split_at_checked("Bearer ".len()).unwrap_or_default();
        let equal = bool::from(given.ct_eq(token.expose_secret().as_bytes()));
        if scheme.eq_ignore_ascii_case(b"Bearer ") && equal {
            Ok(Self)
        } else {
            Err(Error::Unauthorized)
        }
    }
}

pub(super) async fn bootstrap_db(
    _: Maintainer,
    State(service): State<Arc<Service>>,
) -> Result<Response, Error> {
    let made = tokio::spawn(async move { service.bootstrap().await });
    let created = end_of(made).await?;
    Ok(Json(json!({ "created": created })).into_response())
}

#[derive(Deserialize)]
pub(super) struct Which {
    topic: Option<String>,
}

impl Which {
    fn topic(&self) -> Result<Option<Topic>, Error> {
        Ok(self.topic.as_deref().map(str::parse).transpose()?)
    }
}

/// GET: every tracked topic, or the one named, which must be tracked.
pub(super) async fn update_cache(
    _: Maintainer,
    State(service): State<Arc<Service>>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let topic = which.topic()?;
    if let Some(topic) = &topic
        && service.store.topic(topic).await?.is_none()
    {
        return Err(Error::NotTracked(topic.clone()));
    }
    update(&service, topic.as_ref(), &headers).await
}

/// POST: the same, and the topic named is tracked from now on.
pub(super) async fn track_and_update(
    _: Maintainer,
    State(service): State<Arc<Service>>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let topic = which.topic()?;
    if let Some(topic) = &topic {
        service.store.track(topic, Origin::Requested, None, service.clock.now()).await?;
    }
    update(&service, topic.as_ref(), &headers).await
}

async fn update(
    service: &Service,
    topic: Option<&Topic>,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    if prefers_async(headers) {
        let joined = service.refresher.start(topic, Trigger::Request).await?;
        let location = format!("/refreshes/{}", joined.id);
        let body = Json(
            json!({ "id": joined.id, "state": "running", "coalesced": joined.coalesced, "location": location }),
        );
        let headers = [
            (header::LOCATION, location),
            (
                "preference-applied".parse().map_err(|_| Error::Internal)?,
                "respond-async".to_owned(),
            ),
        ];
        return Ok((StatusCode::ACCEPTED, headers, body).into_response());
    }
    let ended = service.refresher.refresh(topic, Trigger::Request).await?;
    // What strangers asked for is no fault of a run over all.
    let refreshed = |state: &TopicState| {
        topic.map_or(state.origin != Origin::OnDemand, |topic| *topic == state.topic)
    };
    let states = service.store.topics().await?;
    if let Some(without) =
        states.iter().filter(|state| refreshed(state)).find(|state| state.modified_at.is_none())
    {
        let reason =
            ended.refresh.report.reason.as_deref().unwrap_or("the next refresh tries again");
        return Err(Error::NotYet {
            detail: format!(
                "{} has no list: {reason}; see /refreshes/{}",
                without.topic, ended.refresh.id
            ),
            retry_after: service.until_next_refresh(),
        });
    }
    Ok(Json(with_topics(ended)).into_response())
}

/// A run of one topic has itself as its only topic, so that a caller reads both kinds alike.
fn with_topics(mut ended: RunResult) -> RunResult {
    if ended.refresh.topic.is_some() {
        ended.refresh.topics = vec![ended.refresh.clone()];
    }
    ended
}

/// RFC 7240: preferences are separated by commas, over any number of headers.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| {
        preference
            .split(';')
            .next()
            .is_some_and(|name| name.trim().eq_ignore_ascii_case("respond-async"))
    })
}

pub(super) async fn forget(
    _: Maintainer,
    State(service): State<Arc<Service>>,
    topic: Topic,
) -> Result<StatusCode, Error> {
    if !service.refresher.forget(&topic).await? {
        return Err(Error::NotTracked(topic));
    }
    tracing::info!(%topic, "forgotten on request");
    Ok(StatusCode::NO_CONTENT)
}
