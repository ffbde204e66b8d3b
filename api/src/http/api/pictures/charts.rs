//! Charts of repositories and topics over days.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use url::form_urlencoded;

use super::file::{Format, encoded, full_name, query_of, split};
use super::options;
use crate::app::App;
use crate::error::Error;
use crate::http::api::repositories::present_owner;
use crate::http::cdn;
use crate::http::document::answer;
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::lists::document::Document;
use crate::model::counts::{RepositoryDays, Span};
use crate::model::repository::{FullName, NameOwner, RepositoryId};
use crate::model::topic::Topic;
use crate::model::topic_day::TopicDay;
use crate::pictures::chart::{draw, embed};
use crate::pictures::numbers::{Numbers, csv};
use crate::pictures::options::{Kind, Options};
use crate::pictures::series::{Series, cut};
use crate::purge::Key;
use crate::store::SharedStore;

const NAMES: Shape = Shape::Pattern(
    "[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+){1,7}",
    "from 2 to 8 different repositories with commas, such as a/b,c/d",
);

parameters! {
    pub(in crate::http) REPOS = "repos", NAMES, such as "kubernetes/kubernetes,istio/istio":
        "The repositories, by owner and name.";
}

/// The number of repositories that a chart compares.
const COMPARED: std::ops::RangeInclusive<usize> = 2..=8;

const STARS: &str = "Stars";
const STARS_GAINED: &str = "Stars gained each day";
const REPOSITORIES: &str = "Repositories with this topic on GitHub";

/// The days of one measure.
pub(in crate::http) struct Chart {
    measure: &'static str,
    series: Vec<Series>,
}

impl Chart {
    /// The chart as a part of a page: for wide windows, and for narrow ones.
    pub(in crate::http) fn embedded(mut self, options: Options) -> [String; 2] {
        cut(&mut self.series, options.range, options.align);
        [("broad", 1_080, 300), ("narrow", 340, 260)].map(|(class, width, height)| {
            embed(self.measure, &self.series, &Options { width, height, ..options }, class)
        })
    }
}

/// The chart of a repository's stars.
pub(super) async fn repository(
    State(app): State<Arc<App>>,
    Path((owner, file)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (name, format) = split(&file)?;
    let name = full_name(&owner, name)?;
    let mut parameters = Parameters::of(&uri);
    let options = options::read(&mut parameters);
    parameters.finish()?;
    let key = format!("chart {} {format:?} {options:?}", name.folded());
    let own = Arc::clone(&app);
    let gather = || async move {
        let extension: &str = format.into();
        let address = |name: &str| format!("/charts/{name}.{extension}{}", query_of(&uri));
        let id = present_owner(&own.public, &name, address).await?;
        let days = days(&own, &[id]).await?;
        Ok(move || star_document(&own, &[id], &days, format, options))
    };
    let served = app.documents.get(key, None, gather).await?;
    Ok(answer(&app, &served, &headers).await)
}

/// A chart of the stars of several repositories.
pub(super) async fn compare(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ("compare", format) = split(&file)? else { return Err(Error::NoPicture(file)) };
    let mut parameters = Parameters::of(&uri);
    let names = parameters.require_by(&REPOS, compared);
    let options = options::read(&mut parameters);
    parameters.finish()?;
    let names = names.unwrap_or_default();
    let folded: Vec<_> = names.iter().map(FullName::folded).collect();
    let key = format!("charts of {} {format:?} {options:?}", folded.join(","));
    let own = Arc::clone(&app);
    let gather = || async move {
        let ids = present_owners(&own.public, &names, uri.path(), &uri).await?;
        let days = days(&own, &ids).await?;
        Ok(move || star_document(&own, &ids, &days, format, options))
    };
    let served = app.documents.get(key, None, gather).await?;
    Ok(answer(&app, &served, &headers).await)
}

/// The chart of GitHub's count of a topic's repositories, or of the stars that they gained.
pub(super) async fn topic(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (name, format) = split(&file)?;
    let topic: Topic = name.parse()?;
    let mut parameters = Parameters::of(&uri);
    let options = options::read(&mut parameters);
    parameters.finish()?;
    let hit = app.reader.tracked(&topic).await?;
    let version = hit.bundle.meta.version();
    let key = format!("chart of {topic} {format:?} {options:?}");
    let own = Arc::clone(&app);
    let gather = || async move {
        let days = own.public.topic_days(&topic).await?;
        let days = days.ok_or_else(|| Error::NotTracked(topic.clone()))?;
        Ok(move || {
            let chart = topic_chart(&topic, &days, options.kind);
            let mut document = document(chart, format, options)?;
            cdn::tag(&own, &mut document.head, [Key::Topic(&topic)]);
            Ok(document)
        })
    };
    let served = app.documents.get(key, Some(version), gather).await?.of(&hit);
    Ok(answer(&app, &served, &headers).await)
}

/// The repositories of [`REPOS`].
pub(in crate::http) fn compared(text: &str) -> Option<Vec<FullName>> {
    let names = text.split(',').map(|name| name.parse().ok());
    let names: Vec<FullName> = names.collect::<Option<_>>()?;
    let different: HashSet<_> = names.iter().map(FullName::folded).collect();
    (different.len() == names.len() && COMPARED.contains(&names.len())).then_some(names)
}

/// The repositories that have the names now.
///
/// # Errors
/// When no repository has or had one of the names; when some are former ones, with the address of
/// the present ones: the path, and the query of the request.
pub(in crate::http) async fn present_owners(
    store: &SharedStore,
    names: &[FullName],
    path: &str,
    uri: &Uri,
) -> Result<Vec<RepositoryId>, Error> {
    let (mut ids, mut present, mut moved) = (Vec::new(), Vec::new(), false);
    for name in names {
        match store.name_owner(name).await? {
            Some(NameOwner::Present(id)) => {
                ids.push(id);
                present.push(name.to_string());
            }
            Some(NameOwner::Former(now)) => {
                moved = true;
                present.push(now);
            }
            None => return Err(Error::NoRepository(name.to_string())),
        }
    }
    if !moved {
        return Ok(ids);
    }
    let query = uri.query().unwrap_or_default();
    let mut address = path.to_owned();
    for (index, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        let value = if name == "repos" { present.join(",") } else { value.into_owned() };
        address.push(if index == 0 { '?' } else { '&' });
        // Slashes and commas need no code within a query.
        let value = encoded(&value).replace("%2F", "/").replace("%2C", ",");
        address.push_str(&format!("{}={value}", encoded(&name)));
    }
    Err(Error::Moved(address))
}

/// The days of each repository.
async fn days(app: &App, ids: &[RepositoryId]) -> Result<Vec<RepositoryDays>, Error> {
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let days = app.public.repository_days(*id, None, None).await?;
        all.push(days.ok_or_else(|| Error::NoRepository(id.to_string()))?);
    }
    Ok(all)
}

fn star_document(
    app: &App,
    ids: &[RepositoryId],
    days: &[RepositoryDays],
    format: Format,
    options: Options,
) -> Result<Document, Error> {
    let mut document = document(star_chart(days, options.kind), format, options)?;
    cdn::tag(app, &mut document.head, ids.iter().copied().map(Key::Repository));
    Ok(document)
}

/// A line for each repository.
pub(in crate::http) fn star_chart<'a>(
    repositories: impl IntoIterator<Item = &'a RepositoryDays>,
    kind: Kind,
) -> Chart {
    let totals = repositories.into_iter().map(series_of);
    let (measure, series) = match kind {
        Kind::Total => (STARS, totals.collect()),
        Kind::Daily => (STARS_GAINED, totals.map(|totals| totals.gains()).collect()),
    };
    Chart { measure, series }
}

fn series_of(days: &RepositoryDays) -> Series {
    let values = |spans: &[Span]| {
        let days = |span: &Span| {
            let stars = span.counts.stars;
            span.days().map(move |day| (day, stars))
        };
        spans.iter().flat_map(days).collect::<Vec<_>>()
    };
    Series::new(days.full_name.clone(), values(&days.seen), values(&days.backfilled))
}

pub(in crate::http) fn topic_chart(topic: &Topic, days: &[TopicDay], kind: Kind) -> Chart {
    let value = |day: &TopicDay| match kind {
        Kind::Total => day.total_count,
        Kind::Daily => day.stars_gained,
    };
    let values = days.iter().filter_map(|day| Some((day.day, value(day)?)));
    let measure = match kind {
        Kind::Total => REPOSITORIES,
        Kind::Daily => STARS_GAINED,
    };
    Chart { measure, series: vec![Series::new(topic.to_string(), values, [])] }
}

fn document(chart: Chart, format: Format, options: Options) -> Result<Document, Error> {
    let Chart { measure, mut series } = chart;
    cut(&mut series, options.range, options.align);
    let text = match format {
        Format::Svg => draw(measure, &series, &options),
        Format::Json => serde_json::to_string(&Numbers::new(measure, &series, &options))
            .map_err(|_| Error::Internal)?,
        Format::Csv => csv(&series),
    };
    Ok(format.document(text))
}
