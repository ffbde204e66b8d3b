//! The page of a topic: a list with its form, facets and chart.

mod facets;
mod form;
mod rows;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use chrono::{DateTime, Utc};

use self::facets::{FacetView, facet_views};
use self::form::{Chip, Form};
use self::rows::{Columns, Moved, RowView, row_views};
use super::error::{fetching_page, in_place_of};
use super::layout::{Alternate, Layout, Section, Site, document, root};
use super::links::{Link, without_empty};
use super::words::{Grouped, Moment, counted, day};
use crate::app::App;
use crate::error::{Error, ParameterFault};
use crate::http::api::lists::{Day, head, nginx_may_keep};
use crate::http::api::pictures::charts::topic_chart;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{self as documents, FOR_A_MINUTE};
use crate::http::list_parameters::{FILTERS, ListParameters, page_parameters};
use crate::http::pages::{PAGE, PER_PAGE, Page};
use crate::http::parameters::{Parameter, Parameters, Shape};
use crate::lists::catalogue::Catalogue;
use crate::lists::document::Document;
use crate::lists::query::find;
use crate::lists::table::Format;
use crate::model::ranking::{Listing, Ranking, Trend};
use crate::model::topic::Topic;
use crate::model::topic_day::TopicDay;
use crate::pictures::options::{Kind, Options, Range};
use crate::task::join;

/// The lists as tabs, the first of which is the page of the topic itself.
const TABS: [(Listing, &str); 6] = [
    (Listing::Trend(Trend::Trending), "Trending"),
    (Listing::Ranked(Ranking::Popularity), "Popular"),
    (Listing::Ranked(Ranking::Activity), "Active"),
    (Listing::Newest, "Newest"),
    (Listing::Trend(Trend::Falling), "Falling"),
    (Listing::Ranked(Ranking::BestMatch), "Best match"),
];

const TOPIC: Parameter = Parameter {
    name: "topic",
    accepted: "1 to 50 letters, digits and hyphens that do not start with a hyphen",
    doc: "The topic whose page to open.",
    example: "kubernetes",
    shape: Shape::Pattern("[A-Za-z0-9][A-Za-z0-9-]{0,49}"),
};

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

/// A link of a row of them, of which one is the present page.
pub(super) struct Tab {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) is_current: bool,
    /// Whether it begins another group.
    pub(super) is_apart: bool,
}

/// The rows and all that is told of them.
struct ListView<'a> {
    state: StateView,
    columns: Columns,
    rows: Vec<RowView<'a>>,
    matched: String,
    /// Whether GitHub knows nothing of the topic.
    is_unknown: bool,
    /// Whether all counts are of one day.
    is_new: bool,
    /// The page of the list by stars.
    popular: String,
    /// How the list is made, in a sentence.
    rule: String,
    facets: Vec<FacetView>,
    forms: [(&'static str, String); 3],
    feeds: [(&'static str, String); 3],
    pages: Pages,
    charts: [String; 2],
    csv: String,
}

/// How whole and how old the data are.
struct StateView {
    /// `whole`, or how much of the topic is kept.
    coverage: String,
    repositories: String,
    confirmed: Option<Moment>,
    is_complete: bool,
    since: Option<String>,
}

struct Pages {
    number: u32,
    last: usize,
    previous: Option<String>,
    next: Option<String>,
}

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default().routes(
        Operation::get("open_topic", "Leads to the page of a topic")
            .requires(&TOPIC)
            .answers(303, Answer::default().with(&["Location"]))
            .fails(&[400])
            .at("/t", get(open)),
    );
    for (listing, name) in TABS {
        let summary = format!("The page of a topic: {}", name.to_lowercase());
        let route = |id: String, path: &str| {
            Operation::get(id, summary.clone())
                .takes(&page_parameters(listing))
                .kept(Answer::text("text/html"))
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

/// The path of a list's page, without a slash before it.
pub(super) fn path(topic: &str, listing: Listing) -> String {
    match listing {
        Listing::Trend(Trend::Trending) => format!("t/{topic}"),
        _ => format!("t/{topic}/{}", listing.name()),
    }
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
    let answer = async move |State(app): State<Arc<App>>,
                             topic: Topic,
                             uri: Uri,
                             headers: HeaderMap| {
        let site = Site::of(&app, &headers)?;
        let asked = Asked { listing, topic, site, uri };
        if let Some(clean) = without_empty(asked.path(listing), &asked.uri) {
            return Ok(Redirect::to(&clean.to_string()).into_response());
        }
        match answer(&app, &asked, &headers).await {
            Err(Error::Parameters(faults)) => Ok(asked.refused(faults)),
            Err(Error::NotYet { detail, retry_after }) => {
                let layout = asked.layout(&asked.link());
                Ok(fetching_page(layout, asked.topic.as_str(), &detail, retry_after))
            }
            answer => answer,
        }
    };
    get(answer)
}

/// A page that is asked for.
#[derive(Clone)]
struct Asked {
    listing: Listing,
    topic: Topic,
    site: Site,
    uri: Uri,
}

async fn answer(app: &Arc<App>, asked: &Asked, headers: &HeaderMap) -> Result<Response, Error> {
    let now = app.clock.now();
    let parameters = ListParameters::read_page(asked.listing, &asked.uri, now)?;
    let hit = app.reader.lists(&asked.topic).await?;
    let meta = &hit.bundle.meta;
    let (version, day) = (meta.version(), Day::of(parameters.day, meta.history)?);
    let query = asked.uri.query().unwrap_or_default();
    let path = path(asked.topic.as_str(), asked.listing);
    let key = format!("{}/{path}?{query} {day:?} {:?}", asked.site.base, parameters.today);
    let (own, asked, uri) = (Arc::clone(app), asked.clone(), &asked.uri);
    let make = || async move {
        let catalogue = day.catalogue(&own, &asked.topic, version).await?;
        let days = own.public.topic_days(&asked.topic).await?;
        let days = days.ok_or_else(|| Error::NotTracked(asked.topic.clone()))?;
        let write = move || asked.page(&catalogue, &parameters, &days, now);
        join(tokio::task::spawn_blocking(write)).await
    };
    let served = app.documents.get(key, Some(version), make).await?;
    let mut response = documents::answer(app, &served, headers).await;
    nginx_may_keep(&mut response, uri, now);
    Ok(response)
}

impl Asked {
    fn path(&self, listing: Listing) -> String {
        format!("{}{}", self.site.root, path(self.topic.as_str(), listing))
    }

    fn link(&self) -> Link {
        Link::like(self.path(self.listing), &self.uri)
    }

    fn layout(&self, link: &Link) -> Layout {
        let name = TABS.into_iter().find(|(listing, _)| *listing == self.listing);
        let list = name.map_or("", |(_, name)| name).to_lowercase();
        let title = format!("{}: {list} repositories", self.topic);
        let at = link.at(path(self.topic.as_str(), self.listing)).to_string();
        let mut layout = Layout::new(&self.site, Section::Topics, title, &at);
        layout.topic = self.topic.to_string();
        layout
    }

    /// The links to the other lists, with the parameters that they take as well.
    fn tabs(&self, link: &Link) -> Vec<Tab> {
        let tab = |(listing, name)| {
            let taken = page_parameters(listing);
            let link = link.at(self.path(listing)).first_page();
            let link = link.keeping(|name, _| taken.iter().any(|taken| taken.name == name));
            let is_current = listing == self.listing;
            Tab { name, href: link.to_string(), is_current, is_apart: false }
        };
        TABS.into_iter().map(tab).collect()
    }

    /// The page with the form alone, each fault beside its field.
    fn refused(&self, faults: Vec<ParameterFault>) -> Response {
        let link = self.link();
        let mut layout = self.layout(&link);
        layout.address = None;
        let page = TopicPage {
            layout,
            topic: &self.topic,
            list: None,
            tabs: self.tabs(&Link::new(String::new())),
            form: Form::new(self.listing, &self.path(self.listing), &link, faults.clone(), None),
            chips: Vec::new(),
        };
        in_place_of(Error::Parameters(faults), &page)
    }

    fn page(
        &self,
        catalogue: &Catalogue,
        parameters: &ListParameters,
        days: &[TopicDay],
        now: DateTime<Utc>,
    ) -> Result<Document, Error> {
        let link = self.link();
        let found = find(catalogue, &parameters.query);
        let facets = facet_views(catalogue, &parameters.query.filter, &link);
        let list = format!("{}api{}", self.site.root, self.listing.path());
        let list = list.replace("{topic}", self.topic.as_str());
        let forms = [("JSON", Format::Json), ("NDJSON", Format::Ndjson), ("CSV", Format::Csv)];
        let forms = forms.map(|(name, format)| {
            let link = link.at(list.clone()).without_pages().with("fields", "all");
            let link = link.with(PAGE.name, parameters.page.number());
            let link = link.with(PER_PAGE.name, parameters.page.limit());
            let format: &str = format.into();
            let link = if name == "JSON" { link } else { link.with("format", format) };
            (name, link.to_string())
        });
        let mut layout = self.layout(&link).with_json(forms[0].1.clone());
        let feeds = self.feeds(&link, parameters);
        layout.alternates.extend(feeds.iter().map(|(title, href)| Alternate {
            content_type: "application/atom+xml",
            title,
            href: href.clone(),
        }));
        let matched = i64::try_from(found.matched).unwrap_or(i64::MAX);
        let state = state(catalogue, now);
        layout.description = format!(
            "{} of the GitHub topic {}, {}, with the stars that they gained.",
            state.repositories, self.topic, self.listing.summary()
        );
        layout.picture = Some(format!("{}/charts/topics/{}.svg", self.site.base, self.topic));
        let form = Form::new(
            self.listing,
            &self.path(self.listing),
            &link,
            Vec::new(),
            Some(&facets),
        );
        let page = TopicPage {
            layout,
            topic: &self.topic,
            tabs: self.tabs(&link),
            form,
            chips: form::chips(&link),
            list: Some(ListView {
                state,
                columns: Columns::of(self.listing, parameters.query.order),
                rows: row_views(catalogue, &parameters.query, &found.rows, now),
                is_unknown: catalogue.rows().is_empty(),
                is_new: catalogue.meta().history.is_some_and(|days| days.first == days.last),
                popular: self.path(Listing::Ranked(Ranking::Popularity)),
                matched: counted(matched, "repository matches", "repositories match"),
                rule: self.rule(catalogue, parameters),
                facets,
                forms,
                feeds,
                pages: pages(parameters.page, found.matched, &link),
                charts: charts(&self.topic, days),
                csv: format!("{}charts/topics/{}.csv?type=daily", self.site.root, self.topic),
            }),
        };
        let meta = catalogue.meta();
        let mut page = document(&page, FOR_A_MINUTE, true)?;
        page.head.extend(head(meta));
        page.head.remove(header::LAST_MODIFIED);
        Ok(page)
    }

    /// The feeds of the topic, under the same filter if they take it: they refuse ages.
    fn feeds(&self, link: &Link, parameters: &ListParameters) -> [(&'static str, String); 3] {
        let is_filter = |name: &str| FILTERS.iter().any(|filter| filter.name == name);
        let has_age = parameters.today.is_some();
        let filter = link.keeping(|name, _| !has_age && is_filter(name));
        let feed = |name: &str| {
            let path = format!("{}feeds/{}/{name}.atom", self.site.root, self.topic);
            filter.at(path).to_string()
        };
        [("new", feed("new")), ("events", feed("events")), ("trending", feed("trending"))]
    }

    /// How the list is made.
    fn rule(&self, catalogue: &Catalogue, parameters: &ListParameters) -> String {
        let last = parameters.day.or(catalogue.last_day());
        match (parameters.query.order.window(), last) {
            (Some(window), Some(last)) => {
                let first = last - window.days();
                let change = match self.listing {
                    Listing::Trend(Trend::Falling) => "lost",
                    _ => "gained",
                };
                let (first, last) = (day(first), day(last));
                format!("Stars {change} from {first} to {last}, by this mirror's own counts.")
            }
            _ => format!("Repositories {}.", self.listing.summary()),
        }
    }
}

fn state(catalogue: &Catalogue, now: DateTime<Utc>) -> StateView {
    let meta = catalogue.meta();
    let stored = i64::try_from(catalogue.rows().len()).unwrap_or(i64::MAX);
    let total = meta.total_count.unwrap_or(stored);
    let coverage = if stored >= total { "whole" } else { "in part" };
    let repositories = if stored >= total {
        counted(stored, "repository", "repositories")
    } else {
        format!("{} of {} repositories", Grouped(stored), Grouped(total))
    };
    StateView {
        coverage: coverage.to_owned(),
        repositories,
        confirmed: meta.refreshed_at.map(|at| Moment::new(at, now)),
        is_complete: meta.complete,
        since: meta.history.map(|history| day(history.first)),
    }
}

fn pages(page: Page, matched: usize, link: &Link) -> Pages {
    let (number, last) = (page.number(), page.last(matched));
    let to = |number: usize| link.with(PAGE.name, number).to_string();
    let present = number as usize;
    Pages {
        number,
        last,
        previous: (present > 1).then(|| to((present - 1).min(last))),
        next: (present < last).then(|| to(present + 1)),
    }
}

/// The chart of the stars that the topic's repositories gained, for wide and for narrow windows.
fn charts(topic: &Topic, days: &[TopicDay]) -> [String; 2] {
    let options = Options { kind: Kind::Daily, range: Range::Quarter, ..Options::default() };
    topic_chart(topic, days, options.kind).embedded(options)
}
