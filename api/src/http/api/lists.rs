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
use chrono::{DateTime, NaiveDate, Utc};

use crate::app::App;
use crate::cache::Hit;
use crate::error::{Error, ParameterFault};
use crate::http::conditional::{accepted_format, encoding, http_date, is_current};
use crate::http::document::{self, CACHE_STATUS, FOR_A_MINUTE, send};
use crate::http::list_parameters::{ListParameters, filter};
use crate::http::parameters::Parameters;
use crate::http::{cdn, cors};
use crate::lists::bundle::{self, Encoding};
use crate::lists::catalogue::Catalogue;
use crate::lists::document::Document;
use crate::lists::table::Format;
use crate::lists::{facets, query};
use crate::model::growth::Window;
use crate::model::list::{HistoryDays, ListMeta, Version};
use crate::model::ranking::{Listing, Ranking};
use crate::model::time::rfc3339;
use crate::model::topic::Topic;
use crate::read::{FROM_DATABASE, Served, is_of};

const X_MATCHED: HeaderName = HeaderName::from_static("x-matched");
const X_WINDOW: HeaderName = HeaderName::from_static("x-window");
const X_HISTORY_SINCE: HeaderName = HeaderName::from_static("x-history-since");
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

/// Accept chooses the format if no parameter does.
const VARY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

/// Room for all headers of a list's answer.
const HEADERS: usize = 24;

/// A list: from the caches, as a body that is ready to send, if the request has no parameters.
pub(super) fn cached(listing: Listing) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, topic: Topic, request: Request| {
        let (uri, headers) = (request.uri(), request.headers());
        if has_no_query(uri) && accepted_format(headers) == Format::Json {
            let hit = app.reader.lists(&topic).await?;
            return Ok(ready(&app, &hit, listing, headers));
        }
        let parameters = ListParameters::read(listing, uri, headers, app.clock.now())?;
        let hit = app.reader.lists(&topic).await?;
        let (meta, page) = (&hit.bundle.meta, parameters.page);
        let served = queried(&app, &topic, listing, parameters, uri, meta).await?.of(&hit);
        let mut response = document::answer(&app, &served, headers).await;
        let matched = served.document.head.get(X_MATCHED).and_then(number);
        let link = matched.and_then(|matched| page.link(uri, matched));
        response.headers_mut().extend(link.map(|link| (header::LINK, link)));
        Ok::<_, Error>(response)
    };
    get(answer)
}

fn has_no_query(uri: &Uri) -> bool {
    uri.query().is_none_or(str::is_empty)
}

fn number(value: &HeaderValue) -> Option<usize> {
    value.to_str().ok()?.parse().ok()
}

fn ready(app: &App, hit: &Hit, listing: Listing, request: &HeaderMap) -> Response {
    let (list, meta) = (hit.bundle.list(listing), &hit.bundle.meta);
    let encoding = encoding(request);
    let body = list.body(encoding);
    let head = body.head.get_or_init(|| {
        let mut head = head(meta);
        body_head(&mut head, &body.etag, encoding);
        head.insert(header::CACHE_CONTROL, FOR_A_MINUTE);
        cdn::tag_topic(app, &mut head, &hit.bundle.topic, meta.modified_at.is_some());
        head.insert(header::VARY, VARY);
        if matches!(listing, Listing::Trend(_)) {
            history_head(&mut head, Window::default(), None, meta.history);
        }
        head
    });
    let etags = list.bodies().iter().map(|body| &body.etag);
    let current = is_current(request, etags, meta.modified_at);
    let mut response = send(head.clone(), body.bytes.clone(), current);
    let headers = response.headers_mut();
    headers.insert(CACHE_STATUS, HeaderValue::from_static(hit.cache_status));
    if hit.is_stale {
        headers.insert(header::CACHE_CONTROL, FOR_A_MINUTE);
    }
    headers.insert(X_ACCEL_EXPIRES, end_of_this_second(app.clock.now()));
    response
}

/// The rows of a list that match its parameters, of a topic with these facts.
async fn queried(
    app: &Arc<App>,
    topic: &Topic,
    listing: Listing,
    parameters: ListParameters,
    uri: &Uri,
    meta: &ListMeta,
) -> Result<Served, Error> {
    let ListParameters { query, day, today, .. } = parameters;
    let day = Day::of(day, meta.history)?;
    let format: &str = query.format.into();
    let words = uri.query().unwrap_or_default();
    let key = format!("{}/{topic}?{words} {format} {day:?} {today:?}", listing.name());
    let (version, history) = (meta.version(), meta.history);
    let (own, topic) = (Arc::clone(app), topic.clone());
    let gather = || async move {
        let catalogue = day.catalogue(&own, &topic, version).await?;
        Ok(move || {
            let answer = query::answer(&catalogue, &query);
            let meta = catalogue.meta();
            let mut document =
                Document::new(query.format.content_type(), FOR_A_MINUTE, answer.bytes);
            state_facts(&mut document, &catalogue, version, today.is_some());
            document.head.insert(X_MATCHED, HeaderValue::from(answer.matched));
            document.head.insert(header::VARY, VARY);
            if let Some(window) = query.order.window() {
                let history = meta.history.or(history);
                history_head(&mut document.head, window, day.past(), history);
            }
            let is_final = !document.is_provisional && today.is_none();
            cdn::tag_topic(&own, &mut document.head, &topic, is_final);
            Ok(document)
        })
    };
    app.documents.get(key, Some(version), gather).await
}

/// Adds the facts about the topic to a document that was made from a catalogue.
fn state_facts(document: &mut Document, catalogue: &Catalogue, version: Version, has_age: bool) {
    let meta = catalogue.meta();
    document.is_provisional = !is_of(catalogue, version);
    document.head.extend(head(meta));
    // Days that pass change what a filter by age finds, without a refresh.
    if has_age {
        document.head.remove(header::LAST_MODIFIED);
    } else {
        document.modified_at = meta.modified_at;
    }
}

/// The last day of a window.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Day {
    /// The last one with counts, whatever day that is.
    Last,
    /// The last one with counts when the request came.
    AskedFor(NaiveDate),
    Past(NaiveDate),
}

impl Day {
    /// Refuses a day without counts.
    pub(in crate::http) fn of(
        day: Option<NaiveDate>,
        history: Option<HistoryDays>,
    ) -> Result<Self, Error> {
        let Some(day) = day else { return Ok(Self::Last) };
        let rule = match history {
            Some(HistoryDays { last, .. }) if day == last => return Ok(Self::AskedFor(day)),
            Some(HistoryDays { first, last }) if first <= day && day < last => {
                return Ok(Self::Past(day));
            }
            Some(HistoryDays { first, last }) => {
                format!("is not one of the days with counts, which are {first} to {last}")
            }
            None => "has no counts: the topic's first ones come with its first refresh".to_owned(),
        };
        Err(Error::Parameters(vec![ParameterFault { parameter: "day".to_owned(), rule }]))
    }

    fn past(self) -> Option<NaiveDate> {
        match self {
            Self::Past(day) | Self::AskedFor(day) => Some(day),
            Self::Last => None,
        }
    }

    pub(in crate::http) async fn catalogue(
        self,
        app: &App,
        topic: &Topic,
        version: Version,
    ) -> Result<Arc<Catalogue>, Error> {
        let load = |day| app.reader.catalogue(topic, day, version);
        match self {
            Self::Past(day) => load(Some(day)).await,
            Self::Last => load(None).await,
            Self::AskedFor(day) => {
                let catalogue = load(None).await?;
                match catalogue.meta().history {
                    // A refresh has counted the first repositories of a new day since.
                    Some(history) if history.last != day => load(Some(day)).await,
                    _ => Ok(catalogue),
                }
            }
        }
    }
}

/// The counts of the topic's repositories by the values of their fields.
pub(super) async fn facets(
    State(app): State<Arc<App>>,
    topic: Topic,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let mut parameters = Parameters::of(&uri);
    let today = app.clock.now().date_naive();
    let (filter, has_age) = filter(&mut parameters, Some(today));
    parameters.finish()?;
    let today = has_age.then_some(today);
    let hit = app.reader.tracked(&topic).await?;
    let version = hit.bundle.meta.version();
    let key = format!("facets/{topic}?{} {today:?}", uri.query().unwrap_or_default());
    let own = Arc::clone(&app);
    let gather = || async move {
        let catalogue = own.reader.catalogue(&topic, None, version).await?;
        Ok(move || {
            let json = serde_json::to_vec(&facets::facets(&catalogue, &filter));
            let json = json.map_err(|_| Error::Internal)?;
            let mut document = Document::new("application/json", FOR_A_MINUTE, json);
            state_facts(&mut document, &catalogue, version, today.is_some());
            let is_final = !document.is_provisional && today.is_none();
            cdn::tag_topic(&own, &mut document.head, &topic, is_final);
            Ok(document)
        })
    };
    let served = app.documents.get(key, Some(version), gather).await?.of(&hit);
    Ok(document::answer(&app, &served, &headers).await)
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
pub(in crate::http) fn head(meta: &ListMeta) -> HeaderMap {
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
fn history_head(
    headers: &mut HeaderMap,
    window: Window,
    day: Option<NaiveDate>,
    history: Option<HistoryDays>,
) {
    let Some(HistoryDays { first, last }) = history else { return };
    let last = day.unwrap_or(last);
    let window = format!("{}/{last}", last - window.days());
    let facts = [(X_WINDOW, window), (X_HISTORY_SINCE, first.to_string())];
    for (name, text) in facts {
        headers.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
    }
}

/// Lets nginx answer in the service's place for the present second if the answer has no parameters.
pub(in crate::http) fn nginx_may_keep(response: &mut Response, uri: &Uri, now: DateTime<Utc>) {
    if has_no_query(uri) {
        response.headers_mut().insert(X_ACCEL_EXPIRES, end_of_this_second(now));
    }
}

/// The time until which nginx may answer in the service's place. nginx counts in whole seconds:
/// one second from now would be up to two.
fn end_of_this_second(now: DateTime<Utc>) -> HeaderValue {
    let time = format!("@{}", now.timestamp());
    HeaderValue::try_from(time).unwrap_or(HeaderValue::from_static("0"))
}
