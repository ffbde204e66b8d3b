//! Feeds, and the list of them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use strum::VariantArray as _;

use crate::app::App;
use crate::error::Error;
use crate::feeds::{Digest, FeedFormat, FeedKind, FeedQuery, JsonFeed, opml, since};
use crate::http::address::base_url;
use crate::http::cdn;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document;
use crate::http::list_parameters::{DATED_FILTERS, filter, filter_text};
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::lists::document::Document;
use crate::model::list::ListMeta;
use crate::model::topic::Topic;
use crate::purge::Key;
use crate::read::Served;

const CACHE_CONTROL: HeaderValue =
    HeaderValue::from_static("public, max-age=300, stale-if-error=86400");

parameters! {
    DIGEST = "digest", Shape::OneOf(&["daily", "weekly"]), such as "weekly":
        "One entry for each finished UTC day or ISO week; the trending feed is daily without it.";
}

/// The longest wait for a feed. The digests of a large topic's past days take a second each when
/// they are made for the first time, and nginx waits no longer than five.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How soon to ask for a feed that takes longer.
const RETRY_AFTER: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default().routes(
        Operation::get("list_feeds", "The feeds of every tracked topic (OPML)")
            .takes(&[])
            .kept(Answer::text("text/x-opml"))
            .fails(&[])
            .at("/feeds.opml", get(list)),
    );
    for (kind, format) in FeedKind::VARIANTS
        .iter()
        .flat_map(|kind| FeedFormat::VARIANTS.iter().map(|format| (*kind, *format)))
    {
        let (name, extension): (&str, &str) = (kind.into(), format.into());
        let answer = match format {
            FeedFormat::Atom => Answer::text("application/atom+xml"),
            FeedFormat::Json => Answer::default().or_json::<JsonFeed<'_>>("application/feed+json"),
        };
        routes = routes.routes(
            Operation::get(format!("get_{name}_feed_{extension}"), summary(kind))
                .takes(&[&[&DIGEST], &DATED_FILTERS[..]].concat())
                .kept(answer)
                .fails(&[404])
                .at(&format!("/feeds/{{topic}}/{name}.{extension}"), feed(kind, format)),
        );
    }
    routes
}

fn summary(kind: FeedKind) -> &'static str {
    match kind {
        FeedKind::New => "A feed of the repositories that joined a topic",
        FeedKind::Events => "A feed of what happened to a topic's repositories",
        FeedKind::Trending => "A feed of the repositories that gained most stars each day or week",
    }
}

fn feed(kind: FeedKind, format: FeedFormat) -> MethodRouter<Arc<App>> {
    let answer =
        async move |State(app): State<Arc<App>>, topic: Topic, uri: Uri, headers: HeaderMap| {
            let mut parameters = Parameters::of(&uri);
            let digest = parameters.read(&DIGEST);
            // An entry stays as it is, and ages would change it with the day.
            let (filter, _) = filter(&mut parameters, None);
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
            Ok::<Response, Error>(document::answer(&app, &served.of(&hit), &headers).await)
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
    let gather = || async move {
        let state = app.public.topic(&query.topic).await?;
        let tracked_at = state.ok_or_else(|| Error::NotTracked(query.topic.clone()))?.tracked_at;
        let entries = app.feeds.entries(&query, &meta, tracked_at, &base, now).await?;
        Ok(move || {
            let feed = query.feed(entries, tracked_at, &base, format);
            let bytes = format.write(&feed).map_err(|_| Error::Internal)?;
            let mut document = Document::new(format.content_type(), CACHE_CONTROL, bytes);
            cdn::tag(&app, &mut document.head, [Key::Topic(&query.topic)]);
            Ok(document)
        })
    };
    documents.get(key, Some(version), gather).await
}

/// The feeds of every tracked topic.
async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let base = base_url(app.config.public_url.as_ref(), &headers)?;
    let (own, key) = (Arc::clone(&app), format!("{base}/feeds.opml"));
    let gather = || async move {
        let topics = tracked_topics(&own).await?;
        Ok(move || {
            let opml = opml(&topics, &base).into_bytes();
            Ok(Document::new("text/x-opml; charset=utf-8", CACHE_CONTROL, opml))
        })
    };
    let served = app.documents.get(key, None, gather).await?;
    Ok(document::answer(&app, &served, &headers).await)
}

/// The tracked topics as of the last minute. The list of each Host is made of them. The database
/// counts the repositories of every topic for it, and is not asked for each Host.
async fn tracked_topics(app: &App) -> Result<Vec<Topic>, Error> {
    let store = Arc::clone(&app.public);
    let gather = || async move {
        let topics: Vec<Topic> =
            store.topics().await?.into_iter().map(|state| state.topic).collect();
        Ok(move || {
            let json = serde_json::to_vec(&topics).map_err(|_| Error::Internal)?;
            Ok(Document::new("application/json", HeaderValue::from_static("no-store"), json))
        })
    };
    let kept = app.documents.get("topics of feeds".to_owned(), None, gather).await?.document;
    let names = serde_json::from_slice::<Vec<String>>(&kept.bytes);
    let names = names.map_err(|_| Error::Internal)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}
