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
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document;
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
                .takes(&[&DIGEST])
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
            parameters.finish()?;
            let digest = digest.or((kind == FeedKind::Trending).then_some(Digest::Daily));
            let base = base_url(app.config.public_url.as_ref(), &headers)?;
            let hit = app.reader.tracked(&topic).await?;
            let query = FeedQuery { topic, kind, digest };
            let meta = hit.bundle.meta.clone();
            let served = serve(app, query, format, meta, base);
            let served = tokio::time::timeout(LONGEST_WAIT, served).await;
            let served = served.map_err(|_| Error::NotYet {
                detail: "the digests of past days are being made".to_owned(),
                retry_after: RETRY_AFTER,
            })??;
            Ok::<Response, Error>(document::answer(&served, &headers))
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
async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let base = base_url(app.config.public_url.as_ref(), &headers)?;
    let (store, own) = (Arc::clone(&app.public), base.clone());
    let make = || async move {
        let topics = store.topics().await?.into_iter().map(|state| state.topic);
        let opml = opml(&topics.collect::<Vec<_>>(), &own);
        Ok(Document::new("text/x-opml; charset=utf-8", CACHE_CONTROL, opml.into_bytes()))
    };
    let served = app.documents.get(format!("{base}/feeds.opml"), None, make).await?;
    Ok(document::answer(&served, &headers))
}
