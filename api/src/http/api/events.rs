//! The events of a topic.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Datelike, NaiveTime, Utc};
use serde::Serialize;
use strum::VariantArray as _;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::Error;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document;
use crate::http::pages::{PAGE, PER_PAGE, Page};
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::model::event::{Event, EventKind, EventQuery, LeftReason};
use crate::model::repository::RepositoryId;
use crate::model::time::{parse_day, seconds};
use crate::model::topic::Topic;

const KINDS: Shape = Shape::Pattern(
    "(joined|left|renamed|archived|unarchived)(,(joined|left|renamed|archived|unarchived))*",
    "one or more of joined, left, renamed, archived, unarchived, with commas",
);

parameters! {
    KIND = "kind", KINDS, such as "joined,left":
        "The kinds of events, all if it is absent.";

    SINCE = "since", Shape::DayOrTime, such as "2026-11-26":
        "The earliest time of an event; a day stands for its beginning in UTC.";
}

/// An event of a topic.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct EventEntry {
    id: String,
    #[serde(serialize_with = "seconds")]
    at: DateTime<Utc>,
    kind: EventKind,
    #[schema(value_type = i64)]
    repository_id: RepositoryId,
    /// The name after the event.
    full_name: String,
    /// Why the repository left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<LeftReason>,
    /// The name before the repository was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<String>,
    /// The name after the repository was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to: Option<String>,
}

impl From<Event> for EventEntry {
    fn from(event: Event) -> Self {
        let (from, to) = event.renamed.clone().unzip();
        Self {
            id: event.id(),
            at: event.at,
            kind: event.kind,
            repository_id: event.repository,
            full_name: event.full_name,
            reason: event.reason,
            from,
            to,
        }
    }
}

pub(super) fn routes() -> Routes {
    Routes::default().routes(
        Operation::get("list_events", "What happened to a topic's repositories, newest first")
            .takes(&[&KIND, &SINCE, &PAGE, &PER_PAGE])
            .kept(Answer::rows::<EventEntry>().with(&["Link", "X-Matched"]))
            .fails(&[404])
            .at("/topics/{topic}/events", get(events)),
    )
}

async fn events(
    State(app): State<Arc<App>>,
    topic: Topic,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let mut parameters = Parameters::of(&uri);
    let kinds =
        parameters.read_by(&KIND, |text| text.split(',').map(|kind| kind.parse().ok()).collect());
    let since = parameters.read_by(&SINCE, day_or_time);
    let page = Page::read(&mut parameters).unwrap_or_default();
    parameters.finish()?;
    let query = EventQuery {
        kinds: kinds.unwrap_or_else(|| EventKind::VARIANTS.to_vec()),
        since,
        until: None,
        offset: i64::try_from(page.offset()).unwrap_or(i64::MAX),
        limit: i64::try_from(page.limit()).unwrap_or(i64::MAX),
    };
    let found = app.public.events(&topic, &query).await?.ok_or(Error::NotTracked(topic))?;
    let matched = usize::try_from(found.matched).unwrap_or_default();
    let events: Vec<EventEntry> = found.events.into_iter().map(EventEntry::from).collect();
    let mut response = document::json(&app, &events, &headers).await?;
    let facts = response.headers_mut();
    facts.insert("x-matched", HeaderValue::from(found.matched));
    facts.extend(page.link(&uri, matched).map(|link| (header::LINK, link)));
    Ok(response)
}

/// The beginning of a UTC day, or a time of RFC 3339.
fn day_or_time(text: &str) -> Option<DateTime<Utc>> {
    if let Some(day) = parse_day(text) {
        return Some(day.and_time(NaiveTime::MIN).and_utc());
    }
    // Not every database has years before 1 or after 9999, which an offset can lead to.
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (1..=9_999).contains(&time.year()).then_some(time)
}
