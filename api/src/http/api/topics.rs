//! The tracked topics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::Error;
use crate::http::cdn;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{self, FOR_A_MINUTE};
use crate::http::parameters::Parameters;
use crate::lists::document::Document;
use crate::model::list::Version;
use crate::model::time::{optional_seconds, seconds};
use crate::model::topic::{Coverage, Origin, Topic, TopicState};
use crate::model::topic_day::TopicDay;
use crate::read::Served;

/// A tracked topic.
#[derive(Serialize, ToSchema)]
struct TopicStatus {
    topic: Topic,
    origin: Origin,
    coverage: Coverage,
    /// The end of the last complete refresh.
    #[serde(serialize_with = "optional_seconds")]
    refreshed_at: Option<DateTime<Utc>>,
    /// Seconds since then.
    age_seconds: Option<i64>,
    /// Whether the last refresh was complete.
    complete: bool,
    /// GitHub's count of the topic's repositories.
    total_count: Option<i64>,
    /// The number of repositories kept.
    stored: i64,
    #[serde(serialize_with = "seconds")]
    next_refresh_at: DateTime<Utc>,
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(
            Operation::get("list_topics", "The tracked topics: how fresh and complete each is")
                .takes(&[])
                .kept(Answer::rows::<TopicStatus>())
                .fails(&[])
                .at("/topics", get(topics)),
        )
        .routes(
            Operation::get("get_topic", "A tracked topic: how fresh and complete it is")
                .takes(&[])
                .kept(Answer::json::<TopicStatus>())
                .fails(&[404])
                .at("/topics/{topic}", get(topic)),
        )
        .routes(
            Operation::get("get_topic_history", "The days of a topic, first to last")
                .takes(&[])
                .kept(Answer::rows::<TopicDay>())
                .fails(&[404])
                .at("/topics/{topic}/history", get(history)),
        )
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

async fn topics(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let states = app.public.topics().await?.into_iter();
    let topics: Vec<TopicStatus> = states.map(|state| TopicStatus::of(state, &app)).collect();
    document::json(&app, &topics, &headers).await
}

async fn topic(
    State(app): State<Arc<App>>,
    topic: Topic,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let state = app.public.topic(&topic).await?.ok_or(Error::NotTracked(topic))?;
    document::json(&app, &TopicStatus::of(state, &app), &headers).await
}

async fn history(
    State(app): State<Arc<App>>,
    topic: Topic,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let hit = app.reader.tracked(&topic).await?;
    let served = days(&app, &topic, hit.bundle.meta.version()).await?.of(&hit);
    Ok(document::answer(&app, &served, &headers).await)
}

/// The topic's days as JSON, which change only when its lists do: the database sums up the gains of
/// all repositories for them.
pub(in crate::http) async fn days(
    app: &Arc<App>,
    topic: &Topic,
    version: Version,
) -> Result<Served, Error> {
    let (own, subject) = (Arc::clone(app), topic.clone());
    let gather = || async move {
        let days = own.public.topic_days(&subject).await?;
        let days = days.ok_or_else(|| Error::NotTracked(subject.clone()))?;
        Ok(move || {
            let json = serde_json::to_vec(&days).map_err(|_| Error::Internal)?;
            let mut document = Document::new("application/json", FOR_A_MINUTE, json);
            cdn::tag_topic(&own, &mut document.head, &subject, true);
            Ok(document)
        })
    };
    app.documents.get(format!("/topics/{topic}/history"), Some(version), gather).await
}
