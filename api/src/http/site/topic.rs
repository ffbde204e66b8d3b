//! The page of a topic: a list with its form, facets and chart.

mod asked;
mod facets;
mod form;
mod list;
mod rows;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};

use self::asked::{Asked, TABS, path};
use self::form::{Chip, Form};
use self::list::{Facts, ListView};
use self::rows::Moved;
use super::error::{fetching_page, in_place_of};
use super::layout::{Alternate, Layout, Site, Tab, document, root};
use super::links::{Link, without_empty};
use crate::app::App;
use crate::cache::Hit;
use crate::error::{Error, ParameterFault};
use crate::http::api::lists::{Day, head, nginx_may_keep};
use crate::http::api::topics::days;
use crate::http::cdn;
use crate::http::conditional::takes_html;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{self as documents, FOR_A_MINUTE};
use crate::http::list_parameters::{ListParameters, page_parameters};
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::lists::document::Document;
use crate::model::ranking::Listing;
use crate::model::topic::Topic;
use crate::purge::Key;

/// The headers of a page that tell how fresh and how complete its list is.
const FACTS: &[&str] = &["X-Complete", "X-Refreshed-At", "X-Total-Count"];

parameters! {
    TOPIC = "topic", Shape::TOPIC, such as "kubernetes":
        "The topic whose page to open.";
}

#[derive(Template)]
#[template(path = "topic.html")]
struct TopicPage<'a> {
    layout: Layout,
    topic: &'a Topic,
    /// `None` if the parameters are refused.
    list: Option<ListView<'a>>,
    tabs: Vec<Tab>,
    form: Form,
    chips: Vec<Chip>,
}

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default().routes(
        Operation::get("open_topic", "Leads to the page of a topic")
            .requires(&TOPIC)
            .takes(&[])
            .answers(303, Answer::default().with(&["Location"]))
            .at("/t", get(open)),
    );
    for (listing, name) in TABS {
        let summary = format!("The page of a topic: {}", name.to_lowercase());
        let route = |id: String, path: &str| {
            Operation::get(id, summary.clone())
                .takes(&page_parameters(listing))
                .kept(Answer::text("text/html").with(FACTS))
                .answers(303, Answer::default().with(&["Location"]))
                .fails(&[404])
                .at(path, page(listing))
        };
        let id = format!("page_of_{}", listing.name());
        routes = routes.routes(route(id, &format!("/t/{{topic}}/{}", listing.name())));
        if listing == TABS[0].0 {
            routes = routes.routes(route("page_of_topic".to_owned(), "/t/{topic}"));
        }
    }
    routes
}

/// Leads from the form that opens a topic to the topic's page.
async fn open(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Error> {
    let mut parameters = Parameters::of(&uri);
    let topic: Option<Topic> = parameters.require_by(&TOPIC, |text| text.trim().parse().ok());
    parameters.finish()?;
    let topic = topic.map(|topic| topic.to_string()).unwrap_or_default();
    Ok(Redirect::to(&format!("{}t/{topic}", root(app.config.public_url.as_ref()))).into_response())
}

fn page(listing: Listing) -> MethodRouter<Arc<App>> {
    let answer =
        async move |State(app): State<Arc<App>>, topic: Topic, uri: Uri, headers: HeaderMap| {
            let asked = Asked { listing, topic, site: Site::of(&app), uri };
            // Others get the answers of an API.
            let takes_html = headers.get(header::ACCEPT).is_some_and(takes_html);
            if takes_html && let Some(clean) = without_empty(asked.path(listing), &asked.uri) {
                return Ok(Redirect::to(&clean.to_string()).into_response());
            }
            let refuse = |error| match error {
                Error::Parameters(faults) if takes_html => Ok(refused(&asked, faults)),
                error => Err(error),
            };
            let now = app.clock.now();
            let parameters = match ListParameters::read_page(listing, &asked.uri, now) {
                Ok(parameters) => parameters,
                Err(error) => return refuse(error),
            };
            let hit = match app.reader.lists(&asked.topic).await {
                Err(Error::NotYet { detail, retry_after }) if takes_html => {
                    let layout = asked.layout(&asked.link());
                    return Ok(fetching_page(layout, asked.topic.as_str(), &detail, retry_after));
                }
                lists => lists?,
            };
            answer(&app, &asked, parameters, &hit, &headers).await.or_else(refuse)
        };
    get(answer)
}

async fn answer(
    app: &Arc<App>,
    asked: &Asked,
    parameters: ListParameters,
    hit: &Hit,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let meta = &hit.bundle.meta;
    let (version, history) = (meta.version(), meta.history);
    let day = Day::of(parameters.day, history)?;
    let query = asked.uri.query().unwrap_or_default();
    let path = path(asked.topic.as_str(), asked.listing);
    let key = format!("page of {path}?{query} {day:?} {:?}", parameters.today);
    let (own, asked, uri) = (Arc::clone(app), asked.clone(), &asked.uri);
    let gather = || async move {
        let catalogue = day.catalogue(&own, &asked.topic, version).await?;
        let days = days(&own, &asked.topic, version).await?.document;
        Ok(move || {
            let days = serde_json::from_slice(&days.bytes).map_err(|_| Error::Internal)?;
            let facts = Facts { catalogue: &catalogue, parameters, history, days, now };
            let mut document = made(&asked, &facts)?;
            cdn::tag(&own, &mut document.head, [Key::Topic(&asked.topic)]);
            Ok(document)
        })
    };
    let served = app.documents.get(key, Some(version), gather).await?;
    let mut response = documents::answer(app, &served, headers).await;
    nginx_may_keep(&mut response, uri, now);
    Ok(response)
}

/// The page with the form alone, each fault beside its field.
fn refused(asked: &Asked, faults: Vec<ParameterFault>) -> Response {
    let link = asked.link();
    let mut layout = asked.layout(&link);
    layout.address = None;
    let page = TopicPage {
        layout,
        topic: &asked.topic,
        list: None,
        tabs: asked.tabs(&Link::new(String::new())),
        form: Form::new(asked.listing, &asked.path(asked.listing), &link, faults.clone(), &[]),
        chips: Vec::new(),
    };
    in_place_of(Error::Parameters(faults), &page)
}

fn made(asked: &Asked, facts: &Facts<'_>) -> Result<Document, Error> {
    let link = asked.link();
    let list = ListView::new(asked, facts);
    let [(_, json), ..] = &list.forms;
    let mut layout = asked.layout(&link).with_json(json.clone());
    layout.alternates.extend(list.feeds.iter().map(|(title, href)| Alternate {
        content_type: "application/atom+xml",
        title,
        href: href.clone(),
    }));
    let (repositories, summary) = (&list.state.repositories, asked.listing.summary());
    layout.description = format!("{repositories} of the GitHub topic {}, {summary}.", asked.topic);
    layout.picture = Some(format!("{}/charts/topics/{}.svg", asked.site.base, asked.topic));
    let action = asked.path(asked.listing);
    let page = TopicPage {
        layout,
        topic: &asked.topic,
        tabs: asked.tabs(&link),
        form: Form::new(asked.listing, &action, &link, Vec::new(), &list.facets),
        chips: form::chips(&link),
        list: Some(list),
    };
    let mut document = document(&page, FOR_A_MINUTE, true)?;
    document.head.extend(head(facts.catalogue.meta()));
    // Ages change the page without a refresh.
    document.head.remove(header::LAST_MODIFIED);
    Ok(document)
}
