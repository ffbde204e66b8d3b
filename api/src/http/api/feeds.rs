//! Feeds, and the list of them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use crate::app::App;
use crate::error::Error;
use crate::feeds::{Digest, FeedFormat, FeedKind, FeedQuery, opml, since};
use crate::http::address::base_url;
use crate::http::document;
use crate::http::list_parameters::{filter, filter_text};
use crate::http::parameters::{Parameter, Parameters, Shape};
use crate::lists::document::Document;
use crate::model::list::ListMeta;
use crate::model::topic::Topic;
use crate::read::{FeedReader, Served};

const CACHE_CONTROL: HeaderValue =
    HeaderValue::from_static("public, max-age=300, stale-if-error=86400");

const DIGEST: Parameter = Parameter {
    name: "digest",
    accepted: "daily or weekly",
    doc: "One entry for each finished UTC day or ISO week; the trending feed is daily without it.",
    example: "weekly",
    shape: Shape::OneOf(&["daily", "weekly"]),
};

/// The longest wait for a feed. The digests of a large topic's past days take a second each when
/// they are made for the first time, and nginx waits no longer than five.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How soon to ask for a feed that takes longer.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The path of a feed, for axum's router.
pub(super) fn path(kind: FeedKind, format: FeedFormat) -> String {
    let (kind, format): (&str, &str) = (kind.into(), format.into());
    format!("/feeds/{{topic}}/{kind}.{format}")
}

pub(super) fn feed(kind: FeedKind, format: FeedFormat) -> MethodRouter<Arc<App>> {
    let answer =
        async move |State(app): State<Arc<App>>, topic: Topic, uri: Uri, headers: HeaderMap| {
            let mut parameters = Parameters::of(&uri);
            let digest = parameters.read(&DIGEST);
            let now = app.clock.now();
            let (filter, ages) = filter(&mut parameters, now);
            for name in ages {
                let rule = "accepts only dates here: an entry of a feed stays as it is";
                parameters.refuse(name, rule.to_owned());
            }
            parameters.finish()?;
            let digest = digest.or((kind == FeedKind::Trending).then_some(Digest::Daily));
            let base = base_url(app.config.public_url.as_ref(), &headers)?;
            let hit = app.reader.tracked(&topic).await?;
            let filter_text = filter_text(&uri);
            let query = FeedQuery { topic, kind, digest, filter, filter_text };
            let meta = hit.bundle.meta.clone();
            let served = serve(Arc::clone(&app), query, format, meta, base);
            let served = tokio::time::timeout(LONGEST_WAIT, served).await;
            let served = served.map_err(|_| Error::NotYet {
                detail: "the digests of past days are being made".to_owned(),
                retry_after: RETRY_AFTER,
            })??;
            Ok::<Response, Error>(document::answer(&app, &served, &headers).await)
        };
    get(answer)
}

async fn serve(
    app: Arc<App>,
    query: FeedQuery,
    format: FeedFormat,
    meta: ListMeta,
    base: String,
) -> Result<Served, Error> {
    let now = app.clock.now();
    let newest = query.digest.and_then(|digest| digest.finished(now).next());
    let newest = newest.map(|period| period.last.to_string()).unwrap_or_default();
    let key = format!("{base} {} {} {newest}", query.path(format), since(now).date_naive());
    let (version, documents) = (meta.version(), app.documents.clone());
    let make = || async move {
        let reader =
            FeedReader { store: Arc::clone(&app.public), documents: app.documents.clone() };
        let entries = reader.entries(&query, &meta, &base, now).await?;
        let state = app.public.topic(&query.topic).await?;
        let state = state.ok_or_else(|| Error::NotTracked(query.topic.clone()))?;
        let feed = query.feed(entries, state.tracked_at, &base, format);
        let bytes = format.write(&feed).map_err(|_| Error::Internal)?;
        Ok(Document::new(format.content_type(), CACHE_CONTROL, bytes))
    };
    documents.get(key, Some(version), make).await
}

/// The feeds of every tracked topic.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let base = base_url(app.config.public_url.as_ref(), &headers)?;
    let (own, key) = (Arc::clone(&app), format!("{base}/feeds.opml"));
    let make = || async move {
        let opml = opml(&tracked_topics(&own).await?, &base);
        Ok(Document::new("text/x-opml; charset=utf-8", CACHE_CONTROL, opml.into_bytes()))
    };
    let served = app.documents.get(key, None, make).await?;
    Ok(document::answer(&app, &served, &headers).await)
}

/// The tracked topics as of the last minute. The list of each Host is made of them. The database
/// counts the repositories of every topic for it, and is not asked for each Host.
async fn tracked_topics(app: &App) -> Result<Vec<Topic>, Error> {
    let store = Arc::clone(&app.public);
    let make = || async move {
        let topics: Vec<Topic> =
            store.topics().await?.into_iter().map(|state| state.topic).collect();
        let json = serde_json::to_vec(&topics).map_err(|_| Error::Internal)?;
        Ok(Document::new("application/json", HeaderValue::from_static("no-store"), json))
    };
    let kept = app.documents.get("topics of feeds".to_owned(), None, make).await?.document;
    let names = serde_json::from_slice::<Vec<String>>(&kept.bytes);
    let names = names.map_err(|_| Error::Internal)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}
