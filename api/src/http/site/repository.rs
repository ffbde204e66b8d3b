//! The page of a repository: its facts, its chart, its places in topics, and what happened to it.

mod events;
mod ranks;
mod snippets;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Utc};

use self::events::EventView;
use self::ranks::{MOST_TOPICS, RankView, catalogues, rank_views};
use self::snippets::{Snippet, snippets};
use super::chart_links::{tabs, with_options};
use super::layout::{Layout, Section, Site, Tab, document};
use super::links::Link;
use super::words::{Gained, Grouped, Moment, Name, cut, day};
use crate::app::App;
use crate::error::Error;
use crate::http::api::lists::nginx_may_keep;
use crate::http::api::pictures::charts::star_chart;
use crate::http::api::pictures::options::{RANGE, SCALE, TYPE, read_days};
use crate::http::api::repositories::{GrowthByWindow, present_owner, whole};
use crate::http::cdn;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{self as documents, FOR_A_MINUTE};
use crate::http::parameters::Parameters;
use crate::lists::catalogue::Catalogue;
use crate::lists::document::Document;
use crate::model::counts::RepositoryDays;
use crate::model::event::RepositoryEvent;
use crate::model::growth::Growth;
use crate::model::repository::{FullName, Repository, RepositoryDetails, RepositoryId, is_http};
use crate::pictures::options::Options;

const MOST_EVENTS: i64 = 20;

#[derive(Template)]
#[template(path = "repository.html")]
struct RepositoryPage<'a> {
    layout: Layout,
    name: &'a Name<'a>,
    description: String,
    cautions: Vec<&'static str>,
    facts: Facts<'a>,
    topics: Vec<TopicView<'a>>,
    tabs: Vec<Tab>,
    charts: [String; 2],
    legend: Legend,
    /// Present if no topic has the repository: the last day with counts.
    left: Option<String>,
    ranks: Vec<RankView>,
    /// The number of topics whose places are left out.
    other_topics: usize,
    events: Vec<EventView>,
    former_names: Vec<FormerNameView<'a>>,
    snippets: Vec<Snippet>,
}

struct Facts<'a> {
    stars: Grouped,
    week: Option<Gained>,
    month: Option<Gained>,
    forks: Grouped,
    open_issues: Grouped,
    language: Option<&'a str>,
    license: Option<&'a str>,
    created: Option<Moment>,
    pushed: Option<Moment>,
    /// Text and address.
    homepage: Option<(String, &'a str)>,
    /// GitHub's page of the repository.
    github: Option<&'a str>,
}

/// A topic of the repository, which has a page if it is tracked.
struct TopicView<'a> {
    topic: &'a str,
    has_page: bool,
}

/// The meaning of the chart's lines, and their numbers as files.
struct Legend {
    /// The first day that the mirror counted.
    since: Option<String>,
    has_backfilled: bool,
    /// Set if one day made most of the week's gain.
    burst: Option<String>,
    csv: String,
    json: String,
}

struct FormerNameView<'a> {
    name: &'a str,
    until: Moment,
}

pub(super) fn routes() -> Routes {
    Routes::default().routes(
        Operation::get("repository_page", "The page of a repository")
            .takes(&[&RANGE, &TYPE, &SCALE])
            .kept(Answer::text("text/html"))
            .answers(301, Answer::default().with(&["Location"]))
            .fails(&[404])
            .at("/r/{owner}/{repo}", get(page)),
    )
}

async fn page(
    State(app): State<Arc<App>>,
    name: FullName,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let mut parameters = Parameters::of(&uri);
    let options = read_days(&mut parameters);
    parameters.finish()?;
    let site = Site::absolute(&app, &headers)?;
    let now = app.clock.now();
    let key = format!("{}/r/{} {options:?}", site.base, name.folded());
    let own = Arc::clone(&app);
    let asked = uri.clone();
    let gather = || async move {
        let address = |name: &str| Link::like(format!("{}r/{name}", site.root), &asked).to_string();
        let id = present_owner(&own.public, &name, address).await?;
        let found = Found::read(&own, id).await?;
        Ok(move || {
            let mut document = found.page(&site, &options, now)?;
            cdn::tag(&own, &mut document.head, cdn::keys(&found.details));
            Ok(document)
        })
    };
    let served = app.documents.get(key, None, gather).await?;
    let mut response = documents::answer(&app, &served, &headers).await;
    nginx_may_keep(&mut response, &uri, now);
    Ok(response)
}

/// The data of a page.
struct Found {
    details: RepositoryDetails,
    days: RepositoryDays,
    events: Vec<RepositoryEvent>,
    /// Of the first topics.
    catalogues: Vec<Option<Arc<Catalogue>>>,
}

impl Found {
    async fn read(app: &App, id: RepositoryId) -> Result<Self, Error> {
        let (details, days) = whole(app, id).await?;
        let events = app.public.repository_events(id, MOST_EVENTS).await?;
        let catalogues = catalogues(app, &details.topics_ranked).await;
        Ok(Self { details, days, events, catalogues })
    }

    fn page(&self, site: &Site, options: &Options, now: DateTime<Utc>) -> Result<Document, Error> {
        let RepositoryDetails { repository, topics_ranked, former_names } = &self.details;
        let name = Name::new(&repository.full_name);
        let growth = GrowthByWindow::of(&self.days);
        let last = self.days.seen.last().map(|span| day(span.last));
        let left = topics_ranked.is_empty().then(|| last.unwrap_or_default());
        let ranked = &topics_ranked[..topics_ranked.len().min(MOST_TOPICS)];
        let former_names = former_names.iter().map(|former| FormerNameView {
            name: &former.full_name,
            until: Moment::new(former.until, now),
        });
        let page = RepositoryPage {
            layout: layout(site, repository, &name),
            name: &name,
            description: repository.description.as_deref().map(cut).unwrap_or_default(),
            cautions: cautions(repository),
            facts: facts(repository, &growth, now),
            topics: self.topics(),
            tabs: tabs(&Link::new(format!("{}r/{}", site.root, name.path)), options),
            charts: star_chart([&self.days], options.kind).embedded(*options),
            legend: self.legend(site, &name, options, growth.week.as_ref()),
            left,
            ranks: rank_views(ranked, &self.catalogues, repository.id),
            other_topics: topics_ranked.len() - ranked.len(),
            events: self.events.iter().map(|event| EventView::new(event, now)).collect(),
            former_names: former_names.collect(),
            snippets: snippets(&site.base, &name, ranked),
        };
        document(&page, FOR_A_MINUTE, true)
    }

    /// The topics of the repository, the tracked ones first.
    fn topics(&self) -> Vec<TopicView<'_>> {
        let ranked = self.details.topics_ranked.iter().map(|places| places.topic.as_str());
        let ranked: Vec<&str> = ranked.collect();
        let own = self.details.repository.topics.iter().flatten().map(String::as_str);
        let others: Vec<&str> = own.filter(|topic| !ranked.contains(topic)).collect();
        let view = |has_page| move |topic| TopicView { topic, has_page };
        let ranked = ranked.into_iter().map(view(true));
        ranked.chain(others.into_iter().map(view(false))).collect()
    }

    fn legend(
        &self,
        site: &Site,
        name: &Name<'_>,
        options: &Options,
        week: Option<&Growth>,
    ) -> Legend {
        let file = |extension: &str| {
            let path = format!("{}charts/{}.{extension}", site.root, name.path);
            with_options(Link::new(path), options).to_string()
        };
        Legend {
            since: self.days.seen.first().map(|span| day(span.first)),
            has_backfilled: !self.days.backfilled.is_empty(),
            burst: week.and_then(burst),
            csv: file("csv"),
            json: file("json"),
        }
    }
}

fn layout(site: &Site, repository: &Repository, name: &Name<'_>) -> Layout {
    let path = format!("r/{}", name.path);
    let mut layout = Layout::new(site, Section::None, repository.full_name.clone(), &path);
    if let Some(description) = &repository.description {
        layout.description = cut(description);
    }
    layout.picture = Some(format!("{}/charts/{}.svg", site.base, name.path));
    layout.with_json(format!("{}api/repos/{}", site.root, name.path))
}

fn cautions(repository: &Repository) -> Vec<&'static str> {
    let flags = [
        (repository.archived, "archived"),
        (repository.disabled, "taken down by GitHub"),
        (repository.fork, "fork"),
        (repository.is_template, "template"),
    ];
    flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, caution)| caution).collect()
}

fn facts<'a>(repository: &'a Repository, growth: &GrowthByWindow, now: DateTime<Utc>) -> Facts<'a> {
    let homepage = repository.homepage.as_deref().filter(|address| is_http(address));
    let moment = |time: Option<DateTime<Utc>>| time.map(|time| Moment::new(time, now));
    Facts {
        stars: Grouped(repository.stargazers_count),
        week: Gained::of(growth.week.as_ref(), 7),
        month: Gained::of(growth.month.as_ref(), 30),
        forks: Grouped(repository.forks_count),
        open_issues: Grouped(repository.open_issues_count),
        language: repository.language.as_deref(),
        license: repository.license.as_deref(),
        created: moment(repository.created_at),
        pushed: moment(repository.pushed_at),
        homepage: homepage.map(|address| (cut(address), address)),
        github: Some(repository.html_url.as_str()).filter(|address| is_http(address)),
    }
}

/// The share of the week's gain that its best day made, if it is more than half.
fn burst(week: &Growth) -> Option<String> {
    let best = week.best_day_gained?;
    // Falls on other days can make the best day more than the whole gain.
    let percent = best.saturating_mul(100) / week.gained.max(1);
    (week.is_burst() && percent <= 100)
        .then(|| format!("One day made {percent}\u{202f}% of the gain of 7 days."))
}
