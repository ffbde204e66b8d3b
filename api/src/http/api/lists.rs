//! The lists: `/api` from the caches, `/db` from the database.
//!
//! nginx (`nginx/nginx.conf`) answers lists itself and relies on these agreements:
//! - the ETag of a compressed list ends in `.gzip` or `.br`, that of a plain one in neither;
//! - `X-Accel-Expires` names the end of the present second;
//! - br goes before gzip if the client likes both equally.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use chrono::{DateTime, Utc};

use crate::app::App;
use crate::cache::Hit;
use crate::error::{Error, ParameterFault};
use crate::http::conditional::{encoding, http_date, is_current};
use crate::http::cors;
use crate::http::document::{self, CACHE_STATUS, FOR_A_MINUTE, send};
use crate::http::parameters::{Parameter, Parameters, Shape};
use crate::lists::bundle::{self, Encoding, trend_json};
use crate::lists::document::Document;
use crate::model::growth::{Measure, Period};
use crate::model::list::{HistoryDays, ListMeta};
use crate::model::ranking::{Listing, Ranking, Trend};
use crate::model::time::{parse_day, rfc3339};
use crate::model::topic::Topic;
use crate::read::{FROM_DATABASE, Served, is_of};
use crate::task::join;

const X_WINDOW: HeaderName = HeaderName::from_static("x-window");
const X_HISTORY_SINCE: HeaderName = HeaderName::from_static("x-history-since");
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

pub(super) const WINDOW: Parameter = Parameter {
    name: "window",
    accepted: "1d, 7d, 30d or 90d",
    doc: "The days within which growth is counted, 7d if it is absent.",
    example: "30d",
    shape: Shape::OneOf(&["1d", "7d", "30d", "90d"]),
};

pub(super) const BY: Parameter = Parameter {
    name: "by",
    accepted: "gained, percent, velocity or acceleration",
    doc: "The number by which repositories are ranked, gained if it is absent.",
    example: "velocity",
    shape: Shape::OneOf(&["gained", "percent", "velocity", "acceleration"]),
};

pub(super) const DAY: Parameter = Parameter {
    name: "day",
    accepted: "a day such as 2026-01-31",
    doc: "The last day of the window, the topic's last day with counts if it is absent.",
    example: "2026-09-21",
    shape: Shape::Date,
};

/// Room for all headers of a list's answer.
const HEADERS: usize = 24;

/// A list from the caches, as a body that is ready to send.
pub(super) fn cached(listing: Listing) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, topic: Topic, request: Request| {
        if listing == Listing::Newest {
            Parameters::of(request.uri()).finish()?;
        }
        let hit = app.reader.lists(&topic).await?;
        Ok::<_, Error>(ready(&app, &hit, listing, request.headers()))
    };
    get(answer)
}

/// The repositories that grew or fell within a period: a list from the caches if the request has
/// no parameters.
pub(super) fn trend(trend: Trend) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, topic: Topic, request: Request| {
        let mut wanted = TrendQuery::of(trend, request.uri())?;
        let hit = app.reader.lists(&topic).await?;
        wanted.check_day(hit.bundle.meta.history)?;
        if (wanted.period, wanted.measure) == Default::default() {
            return Ok(ready(&app, &hit, Listing::Trend(trend), request.headers()));
        }
        let served = trend_document(&app, &topic, trend, wanted, &hit.bundle.meta).await?;
        Ok::<_, Error>(document::answer(&served, request.headers()))
    };
    get(answer)
}

fn ready(app: &App, hit: &Hit, listing: Listing, request: &HeaderMap) -> Response {
    let (list, meta) = (hit.bundle.list(listing), &hit.bundle.meta);
    let encoding = encoding(request);
    let body = list.body(encoding);
    let head = body.head.get_or_init(|| {
        let mut head = head(meta);
        body_head(&mut head, &body.etag, encoding);
        head.insert(header::CACHE_CONTROL, FOR_A_MINUTE);
        head.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if matches!(listing, Listing::Trend(_)) {
            history_head(&mut head, Period::default(), meta.history);
        }
        head
    });
    let etags = list.bodies().iter().map(|body| &body.etag);
    let current = is_current(request, etags, meta.modified_at);
    let mut response = send(head.clone(), body.bytes.clone(), current);
    let headers = response.headers_mut();
    headers.insert(CACHE_STATUS, HeaderValue::from_static(hit.cache_status));
    headers.insert(X_ACCEL_EXPIRES, end_of_this_second(app.clock.now()));
    response
}

/// The parameters of a list by growth.
#[derive(Clone, Copy)]
struct TrendQuery {
    period: Period,
    measure: Measure,
    /// The day asked for is the last one.
    is_of_last_day: bool,
}

impl TrendQuery {
    fn of(trend: Trend, uri: &Uri) -> Result<Self, Error> {
        let mut parameters = Parameters::of(uri);
        let window = parameters.read(&WINDOW);
        let measure = match trend {
            Trend::Trending => parameters.read(&BY),
            Trend::Falling => None,
        };
        let day = parameters.read_by(&DAY, parse_day);
        parameters.finish()?;
        let period = Period { window: window.unwrap_or_default(), day };
        Ok(Self { period, measure: measure.unwrap_or_default(), is_of_last_day: false })
    }

    /// Refuses a day without counts. The last day is no past one.
    fn check_day(&mut self, history: Option<HistoryDays>) -> Result<(), Error> {
        let Some(day) = self.period.day else { return Ok(()) };
        let rule = match history {
            Some(HistoryDays { last, .. }) if day == last => {
                self.period.day = None;
                self.is_of_last_day = true;
                return Ok(());
            }
            Some(HistoryDays { first, last }) if first <= day && day < last => return Ok(()),
            Some(HistoryDays { first, last }) => {
                format!("is not one of the days with counts, which are {first} to {last}")
            }
            None => "has no counts: the topic's first ones come with its first refresh".to_owned(),
        };
        Err(Error::Parameters(vec![ParameterFault { parameter: "day".to_owned(), rule }]))
    }
}

/// A list by growth that is not kept ready.
async fn trend_document(
    app: &Arc<App>,
    topic: &Topic,
    trend: Trend,
    wanted: TrendQuery,
    meta: &ListMeta,
) -> Result<Served, Error> {
    let TrendQuery { period: Period { window, day }, measure, is_of_last_day } = wanted;
    let (window, measure): (&str, &str) = (window.into(), measure.into());
    let last = meta.history.map(|history| history.last).filter(|_| is_of_last_day);
    let day = day.or(last).map(|day| day.to_string()).unwrap_or_default();
    let name = Listing::Trend(trend).name();
    let key = format!("{name}/{topic}?window={window}&by={measure}&day={day}");
    let (version, history) = (meta.version(), meta.history);
    let (app, topic) = (Arc::clone(app), topic.clone());
    let documents = app.documents.clone();
    let make = || async move {
        let mut period = wanted.period;
        let mut catalogue = app.reader.catalogue(&topic, period, version).await?;
        if let Some(last) = last
            && catalogue.meta().history.is_some_and(|own| own.last != last)
        {
            // A refresh has counted the first repositories of a new day since.
            period.day = Some(last);
            catalogue = app.reader.catalogue(&topic, period, version).await?;
        }
        let write = move || {
            let json = trend_json(&catalogue, trend, wanted.measure);
            let meta = catalogue.meta();
            let mut document = Document::new("application/json", FOR_A_MINUTE, json);
            document.modified_at = meta.modified_at;
            document.head.extend(head(meta));
            document.is_provisional = !is_of(&catalogue, version);
            history_head(&mut document.head, period, meta.history.or(history));
            document
        };
        Ok(join(tokio::task::spawn_blocking(write)).await)
    };
    documents.get(key, Some(version), make).await
}

/// A list as the database has it now.
pub(super) fn stored(ranking: Ranking) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, topic: Topic, request: Request| {
        let (meta, json) = app.reader.stored_list(&topic, ranking).await?;
        let body = bundle::Body::new(json.into(), Encoding::Identity);
        let etags = std::iter::once(&body.etag);
        let current = is_current(request.headers(), etags, meta.modified_at);
        let mut head = head(&meta);
        body_head(&mut head, &body.etag, Encoding::Identity);
        let mut response = send(head, body.bytes, current);
        let headers = response.headers_mut();
        headers.insert(CACHE_STATUS, HeaderValue::from_static(FROM_DATABASE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok::<_, Error>(response)
    };
    get(answer)
}

/// The headers of a list that tell how fresh and how complete it is.
fn head(meta: &ListMeta) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    if let Some(modified_at) = meta.modified_at {
        headers.insert(header::LAST_MODIFIED, http_date(modified_at));
    }
    let complete = if meta.complete { "true" } else { "false" };
    headers.insert("x-complete", HeaderValue::from_static(complete));
    let refreshed_at = meta.refreshed_at.map(|at| HeaderValue::try_from(rfc3339(at)));
    if let Some(Ok(refreshed_at)) = refreshed_at {
        headers.insert("x-refreshed-at", refreshed_at);
    }
    if let Some(total_count) = meta.total_count {
        headers.insert("x-total-count", HeaderValue::from(total_count));
    }
    headers
}

/// The headers of a list's body in an encoding.
fn body_head(headers: &mut HeaderMap, etag: &HeaderValue, encoding: Encoding) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(name) = encoding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers.insert(header::ETAG, etag.clone());
    cors::open(headers);
}

/// The headers of a list by growth: the window's ends, and the first day with counts.
fn history_head(headers: &mut HeaderMap, period: Period, history: Option<HistoryDays>) {
    let Some(HistoryDays { first, last }) = history else { return };
    let last = period.day.unwrap_or(last);
    let window = format!("{}/{last}", last - period.window.days());
    let facts = [(X_WINDOW, window), (X_HISTORY_SINCE, first.to_string())];
    for (name, text) in facts {
        headers.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
    }
}

/// The time until which nginx may answer in the service's place. nginx counts in whole seconds:
/// one second from now would be up to two.
fn end_of_this_second(now: DateTime<Utc>) -> HeaderValue {
    let time = format!("@{}", now.timestamp());
    HeaderValue::try_from(time).unwrap_or(HeaderValue::from_static("0"))
}
