//! Exports: all of a topic in one answer, which is sent while it is made.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;

use super::list_routes::FACTS;
use super::lists;
use crate::app::App;
use crate::cache::Hit;
use crate::error::Error;
use crate::http::conditional::{is_current, streamed_encoding};
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{CACHE_STATUS, FOR_A_MINUTE, send};
use crate::http::parameters::Parameters;
use crate::http::{cdn, cors};
use crate::lists::bundle::Encoding;
use crate::lists::table::Format;
use crate::model::list::ListMeta;
use crate::model::topic::Topic;
use crate::read::{Chunks, FROM_DATABASE, is_of};

/// The formats of exports.
const FORMATS: [Format; 2] = [Format::Ndjson, Format::Csv];

const REPOSITORIES: &str = "repositories";
const HISTORY: &str = "history";

pub(super) fn routes() -> Routes {
    let answer = || Answer::default().with(FACTS).with(&["Content-Disposition"]);
    let mut routes = Routes::default().routes(
        Operation::get("export_repositories", "All repositories of a topic, with all fields")
            .takes(&[])
            .kept(answer().or_text("application/x-ndjson").or_text("text/csv"))
            .fails(&[404])
            .at("/exports/{file}", get(repositories)),
    );
    for format in FORMATS {
        let extension: &str = format.into();
        let content_type = if format == Format::Csv { "text/csv" } else { format.content_type() };
        routes = routes.routes(
            Operation::get(
                format!("export_history_{extension}"),
                "Every day's counts of a topic's repositories",
            )
            .takes(&[])
            .kept(answer().or_text(content_type))
            .fails(&[404])
            .at(&format!("/exports/{{topic}}/{HISTORY}.{extension}"), history(format)),
        );
    }
    routes
}

/// All repositories of a topic. The file is the topic's name and the format.
async fn repositories(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let no_export = || Error::NoExport(file.clone());
    let (topic, extension) = file.rsplit_once('.').ok_or_else(no_export)?;
    let format = extension.parse().ok().filter(|format| FORMATS.contains(format));
    let format = format.ok_or_else(no_export)?;
    let topic: Topic = topic.parse()?;
    Parameters::of(&uri).finish()?;
    let Hit { bundle, is_stale, .. } = app.reader.tracked(&topic).await?;
    let encoding = streamed_encoding(&headers);
    let mut export = Export { app: &app, topic, kind: REPOSITORIES, format, encoding, is_stale };
    if let Some(unchanged) = export.unchanged(&bundle.meta, &headers) {
        return Ok(unchanged);
    }
    let version = bundle.meta.version();
    let catalogue = app.reader.catalogue(&export.topic, None, version).await?;
    export.is_stale |= !is_of(&catalogue, version);
    let chunks = app.exports.repositories(Arc::clone(&catalogue), format, encoding)?;
    Ok(export.answer(catalogue.meta(), chunks))
}

fn history(format: Format) -> MethodRouter<Arc<App>> {
    let answer =
        async move |State(app): State<Arc<App>>, topic: Topic, uri: Uri, headers: HeaderMap| {
            Parameters::of(&uri).finish()?;
            let Hit { bundle, is_stale, .. } = app.reader.tracked(&topic).await?;
            let encoding = streamed_encoding(&headers);
            let export = Export { app: &app, topic, kind: HISTORY, format, encoding, is_stale };
            if let Some(unchanged) = export.unchanged(&bundle.meta, &headers) {
                return Ok(unchanged);
            }
            let (meta, chunks) = app.exports.history(&export.topic, format, encoding).await?;
            Ok::<_, Error>(export.answer(&meta, chunks))
        };
    get(answer)
}

/// An export as a client asks for it.
struct Export<'a> {
    app: &'a App,
    topic: Topic,
    kind: &'static str,
    format: Format,
    /// Gzip or identity.
    encoding: Encoding,
    /// Whether the topic may have a newer version by now.
    is_stale: bool,
}

impl Export<'_> {
    /// 304 if the client has the export of the published data.
    fn unchanged(&self, published: &ListMeta, request: &HeaderMap) -> Option<Response> {
        let etags = [Encoding::Identity, Encoding::Gzip].map(|own| self.etag(published, own));
        let is_current = published.modified_at.is_some()
            && is_current(request, etags.iter(), published.modified_at);
        is_current.then(|| send(self.head(published), Bytes::new(), true))
    }

    /// The chunks, of data with these facts.
    fn answer(&self, meta: &ListMeta, chunks: Chunks) -> Response {
        let mut response = Response::new(Body::from_stream(chunks));
        *response.headers_mut() = self.head(meta);
        response
    }

    /// The headers. Data that a refresh is changing has neither an ETag nor a Last-Modified, and is
    /// not kept.
    fn head(&self, meta: &ListMeta) -> HeaderMap {
        let Self { app, topic, kind, format, encoding, is_stale } = self;
        let mut head = lists::head(meta);
        if meta.modified_at.is_some() {
            head.insert(header::ETAG, self.etag(meta, *encoding));
            head.insert(header::CACHE_CONTROL, FOR_A_MINUTE);
            cdn::tag_topic(app, &mut head, topic, !is_stale);
        }
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        if let Some(name) = encoding.name() {
            head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        let extension: &str = format.into();
        let kind = if *kind == REPOSITORIES { String::new() } else { format!("-{kind}") };
        let file = format!("attachment; filename=\"{topic}{kind}.{extension}\"");
        head.extend(
            HeaderValue::try_from(file).ok().map(|file| (header::CONTENT_DISPOSITION, file)),
        );
        head.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        head.insert(CACHE_STATUS, HeaderValue::from_static(FROM_DATABASE));
        cors::open(&mut head);
        head
    }

    /// The bytes are not known before they are sent, but they depend on nothing else than this. The
    /// parts are joined by dots, since suffixes that proxies add begin with a hyphen.
    fn etag(&self, meta: &ListMeta, encoding: Encoding) -> HeaderValue {
        let (kind, extension) = (self.kind, <&str>::from(self.format));
        let suffix = encoding.name().map(|name| format!(".{name}")).unwrap_or_default();
        let (epoch, revision) = (meta.epoch, meta.revision);
        let etag = format!("\"{epoch:x}.{revision:x}.{kind}.{extension}{suffix}\"");
        HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""))
    }
}
