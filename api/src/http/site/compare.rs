//! The page that compares repositories: a form, and the chart and the numbers of up to eight.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::time::timeout;

use super::chart_links::with_options;
use super::error::in_place_of;
use super::fields::{Field, choice};
use super::layout::{Layout, Section, Site, document};
use super::links::{Link, without_empty};
use super::ready::first_rows;
use super::words::{Gain, Gained, Grouped, Moment, Name};
use crate::app::App;
use crate::error::{Error, ParameterFault};
use crate::http::api::pictures::charts::{REPOS, compared, present_owners, star_chart};
use crate::http::api::pictures::options::{ALIGN, RANGE, SCALE, TYPE, read_days};
use crate::http::api::repositories::{GrowthByWindow, whole};
use crate::http::cdn;
use crate::http::conditional::takes_html;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{self as documents, FOR_A_MINUTE};
use crate::http::parameters::{Parameter, Parameters, Shape};
use crate::lists::document::Document;
use crate::model::counts::RepositoryDays;
use crate::model::ranking::Ranking;
use crate::model::repository::{FullName, RepositoryDetails};
use crate::pictures::options::Options;

/// How long the lists for an example are waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The parameters with their default values.
const FIELDS: [(&Parameter, &str); 5] =
    [(&REPOS, ""), (&RANGE, "all"), (&TYPE, "total"), (&SCALE, "linear"), (&ALIGN, "date")];

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage<'a> {
    layout: Layout,
    action: String,
    fields: Vec<Field>,
    /// Faults of parameters that have no field.
    faults: Vec<ParameterFault>,
    /// A comparison of repositories that the mirror has: its name and its address.
    example: Option<(String, String)>,
    comparison: Option<Comparison<'a>>,
}

struct Comparison<'a> {
    charts: [String; 2],
    rows: Vec<RowView<'a>>,
    has_backfilled: bool,
    csv: String,
    json: String,
}

struct RowView<'a> {
    name: Name<'a>,
    stars: Grouped,
    /// The stars beyond those of the first row; `None` in the first row.
    difference: Option<Gain>,
    week: Option<Gained>,
    month: Option<Gained>,
    quarter: Option<Gained>,
    /// The gain of 30 days in percent.
    percent: Option<String>,
    forks: Grouped,
    open_issues: Grouped,
    created: Option<Moment>,
    pushed: Option<Moment>,
    language: Option<&'a str>,
    license: Option<&'a str>,
}

pub(super) fn routes() -> Routes {
    Routes::default().routes(
        Operation::get("compare_page", "The page that compares repositories, or its form alone")
            .takes(&FIELDS.map(|(parameter, _)| parameter))
            .kept(Answer::text("text/html"))
            .answers(301, Answer::default().with(&["Location"]))
            .answers(303, Answer::default().with(&["Location"]))
            .fails(&[404])
            .at("/compare", get(page)),
    )
}

async fn page(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let asked = Asked { site: Site::of(&app), uri };
    // Others get the answers of an API.
    if !headers.get(header::ACCEPT).is_some_and(takes_html) {
        return answer(&app, &asked, &headers).await;
    }
    if let Some(clean) = asked.clean() {
        return Ok(Redirect::to(&clean.to_string()).into_response());
    }
    match answer(&app, &asked, &headers).await {
        Err(Error::Parameters(faults)) => {
            Ok(asked.refused(faults.clone(), Error::Parameters(faults)))
        }
        Err(Error::NoRepository(name)) => {
            let rule = format!("names {name}, which the mirror does not have");
            let fault = ParameterFault { parameter: REPOS.name.to_owned(), rule };
            Ok(asked.refused(vec![fault], Error::NoRepository(name)))
        }
        answer => answer,
    }
}

/// A page that is asked for.
#[derive(Clone)]
struct Asked {
    site: Site,
    uri: Uri,
}

async fn answer(app: &Arc<App>, asked: &Asked, headers: &HeaderMap) -> Result<Response, Error> {
    let mut parameters = Parameters::of(&asked.uri);
    let names = parameters.read_by(&REPOS, compared).unwrap_or_default();
    let options = read_days(&mut parameters);
    let align = parameters.read(&ALIGN).unwrap_or_default();
    parameters.finish()?;
    let options = Options { align, ..options };
    let now = app.clock.now();
    let folded: Vec<String> = names.iter().map(FullName::folded).collect();
    let key = format!("page of compare {} {options:?}", folded.join(","));
    let (own, asked) = (Arc::clone(app), asked.clone());
    let gather = || async move {
        let example = if names.is_empty() {
            timeout(LONGEST_WAIT, asked.example(&own)).await.ok().flatten()
        } else {
            None
        };
        let path = asked.path();
        let ids = present_owners(&own.public, &names, &path, &asked.uri).await?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(whole(&own, id).await?);
        }
        Ok(move || {
            if found.is_empty() {
                return asked.form(example);
            }
            let mut document = asked.page(&found, &options, now)?;
            let keys = found.iter().flat_map(|(details, _)| cdn::keys(details));
            cdn::tag(&own, &mut document.head, keys);
            Ok(document)
        })
    };
    let served = app.documents.get(key, None, gather).await?;
    Ok(documents::answer(app, &served, headers).await)
}

impl Asked {
    fn path(&self) -> String {
        format!("{}compare", self.site.root)
    }

    /// The address without empty parameters, and with commas alone between the repositories, if
    /// it is another one.
    fn clean(&self) -> Option<Link> {
        let without_empty = without_empty(self.path(), &self.uri);
        let asked = Link::like(self.path(), &self.uri);
        if asked.parameters().iter().filter(|(name, _)| name == REPOS.name).count() > 1 {
            return None;
        }
        let link = without_empty.clone().unwrap_or(asked);
        let Some(repos) = link.get(REPOS.name) else { return without_empty };
        let names = repos.split(|character: char| character == ',' || character.is_whitespace());
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let names = names.join(",");
        match (names == repos, names.is_empty()) {
            (true, _) => without_empty,
            (false, true) => Some(link.without(REPOS.name)),
            (false, false) => Some(link.with(REPOS.name, names)),
        }
    }

    /// The first repositories of a topic, compared.
    async fn example(&self, app: &App) -> Option<(String, String)> {
        for state in app.public.topics().await.ok()? {
            let Some(hit) = app.reader.published(&state.topic).await else { continue };
            let rows: Vec<Named> =
                first_rows(&app.documents, hit, Ranking::Popularity.into(), 2).await;
            if let [one, two] = rows.as_slice() {
                let [one, two] = [&one.full_name, &two.full_name];
                let link = Link::new(self.path()).with(REPOS.name, format!("{one},{two}"));
                return Some((format!("{one} and {two}"), link.to_string()));
            }
        }
        None
    }

    /// The form alone.
    fn form(&self, example: Option<(String, String)>) -> Result<Document, Error> {
        let title = "Compare repositories".to_owned();
        let layout = Layout::new(&self.site, Section::Compare, title, "compare");
        document(&self.with_form(layout, Vec::new(), example, None), FOR_A_MINUTE, true)
    }

    /// The form alone, each fault beside its field.
    fn refused(&self, faults: Vec<ParameterFault>, error: Error) -> Response {
        let title = "Compare repositories".to_owned();
        let layout = Layout::without_address(self.site.root.clone(), Section::Compare, title);
        in_place_of(error, &self.with_form(layout, faults, None, None))
    }

    fn page(
        &self,
        found: &[(RepositoryDetails, RepositoryDays)],
        options: &Options,
        now: DateTime<Utc>,
    ) -> Result<Document, Error> {
        let names: Vec<&str> =
            found.iter().map(|(details, _)| details.repository.full_name.as_str()).collect();
        let repos = names.join(",");
        let link = |path: String| Link::new(path).with(REPOS.name, &repos);
        let file = |extension: &str| {
            let path = format!("{}charts/compare.{extension}", self.site.root);
            with_options(link(path), options).to_string()
        };
        let first = found.first().map_or(0, |(details, _)| details.repository.stargazers_count);
        let rows = found.iter().enumerate();
        let rows = rows.map(|(place, (details, days))| row_view(place, details, days, first, now));
        let comparison = Comparison {
            charts: star_chart(found.iter().map(|(_, days)| days), options.kind).embedded(*options),
            rows: rows.collect(),
            has_backfilled: found.iter().any(|(_, days)| !days.backfilled.is_empty()),
            csv: file("csv"),
            json: file("json"),
        };
        let title = format!("Compare {}", names.join(", "));
        let at = link("compare".to_owned()).to_string();
        let mut layout = Layout::new(&self.site, Section::Compare, title, &at);
        layout.description = format!("The stars of {} over days.", names.join(", "));
        let picture = link(format!("{}/charts/compare.svg", self.site.base));
        layout.picture = Some(picture.to_string());
        layout = layout.with_json(comparison.json.clone());
        let page = self.with_form(layout, Vec::new(), None, Some(comparison));
        document(&page, FOR_A_MINUTE, true)
    }

    fn with_form<'a>(
        &self,
        layout: Layout,
        mut faults: Vec<ParameterFault>,
        example: Option<(String, String)>,
        comparison: Option<Comparison<'a>>,
    ) -> ComparePage<'a> {
        let link = Link::like(self.path(), &self.uri);
        let fields = FIELDS.into_iter().map(|(parameter, default)| {
            let fault = faults.iter().position(|fault| fault.parameter == parameter.name);
            let fault = fault.map(|place| faults.swap_remove(place).rule);
            field(parameter, default, link.get(parameter.name).unwrap_or_default(), fault)
        });
        let fields = fields.collect();
        ComparePage { layout, action: self.path(), fields, faults, example, comparison }
    }
}

/// A row of a list.
#[derive(Deserialize)]
struct Named {
    full_name: String,
}

fn field(parameter: &Parameter, default: &str, value: &str, fault: Option<String>) -> Field {
    let Parameter { name, example, shape, .. } = parameter;
    Field {
        name,
        label: (*name).to_owned(),
        value: value.to_owned(),
        placeholder: example,
        help: parameter.help(),
        fault,
        options: match shape {
            Shape::OneOf(choices) => choice(choices, default, value),
            _ => Vec::new(),
        },
        proposals: Vec::new(),
        is_long: parameter.name == REPOS.name,
    }
}

fn row_view<'a>(
    place: usize,
    details: &'a RepositoryDetails,
    days: &RepositoryDays,
    first: i64,
    now: DateTime<Utc>,
) -> RowView<'a> {
    let repository = &details.repository;
    let growth = GrowthByWindow::of(days);
    let moment = |time: Option<DateTime<Utc>>| time.map(|time| Moment::new(time, now));
    RowView {
        name: Name::new(&repository.full_name),
        stars: Grouped(repository.stargazers_count),
        difference: (place > 0).then(|| Gain(repository.stargazers_count - first)),
        week: Gained::of(growth.week.as_ref(), 7),
        month: Gained::of(growth.month.as_ref(), 30),
        quarter: Gained::of(growth.quarter.as_ref(), 90),
        percent: growth.month.as_ref().and_then(|growth| growth.percent).map(percent),
        forks: Grouped(repository.forks_count),
        open_issues: Grouped(repository.open_issues_count),
        created: moment(repository.created_at),
        pushed: moment(repository.pushed_at),
        language: repository.language.as_deref(),
        license: repository.license.as_deref(),
    }
}

/// `+3.2 %`.
fn percent(percent: f64) -> String {
    format!("{percent:+.1}\u{202f}%").replace('-', "−")
}
