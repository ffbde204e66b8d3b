//! Single repositories, by name or by id, and their days.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::Error;
use crate::http::address::path_of;
use crate::http::cdn;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{FOR_A_MINUTE, answer};
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::lists::document::Document;
use crate::model::counts::{RepositoryDays, Span};
use crate::model::growth::{Growth, Window};
use crate::model::repository::{FullName, NameOwner, RepositoryDetails, RepositoryId};
use crate::model::time::parse_day;
use crate::purge::Key;
use crate::store::SharedStore;

parameters! {
    FROM = "from", Shape::Date, such as "2026-01-31":
        "The first day.";

    TO = "to", Shape::Date, such as "2026-12-31":
        "The last day.";
}

pub(super) fn routes() -> Routes {
    let moved = || Answer::default().with(&["Location"]);
    let whole = |id, summary| {
        Operation::get(id, summary).takes(&[]).kept(Answer::json::<Whole>()).fails(&[404])
    };
    let history_of = |id, summary| {
        let answer = Answer::json::<History>();
        Operation::get(id, summary).takes(&[&FROM, &TO]).kept(answer).fails(&[404])
    };
    Routes::default()
        .routes(
            whole("get_repository", "A repository: every field, its places and its growth")
                .answers(301, moved())
                .at("/api/repos/{owner}/{repo}", get(repository)),
        )
        .routes(
            history_of("get_repository_history", "The days of a repository, first to last")
                .answers(301, moved())
                .at("/api/repos/{owner}/{repo}/history", get(history)),
        )
        .routes(
            whole("get_repository_by_id", "A repository by GitHub's id")
                .at("/api/repositories/{id}", get(repository)),
        )
        .routes(
            history_of("get_repository_history_by_id", "The days of a repository by GitHub's id")
                .at("/api/repositories/{id}/history", get(history)),
        )
}

/// The repository of a path with an owner and a name, or with an id.
enum Asked {
    Name(FullName),
    Id(RepositoryId),
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        if let Ok(Path(id)) = Path::<String>::from_request_parts(parts, state).await {
            return id.parse().map(Self::Id).map_err(|_| Error::NoRepository(id));
        }
        FullName::from_request_parts(parts, state).await.map(Self::Name)
    }
}

impl Asked {
    /// The key among documents: names have a slash, and ids have none.
    fn key(&self) -> String {
        match self {
            Self::Name(name) => name.folded(),
            Self::Id(id) => id.to_string(),
        }
    }

    /// The repository's id. If the name is a former one, `suffix` and the request's query complete
    /// the address of the present one.
    async fn id(self, store: &SharedStore, suffix: &str, uri: &Uri) -> Result<RepositoryId, Error> {
        match self {
            Self::Name(name) => {
                let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                let address = |name: &str| format!("/api/repos/{name}{suffix}{query}");
                present_owner(store, &name, address).await
            }
            Self::Id(id) => Ok(id),
        }
    }
}

async fn repository(
    State(app): State<Arc<App>>,
    asked: Asked,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let (key, own) = (format!("repository {}", asked.key()), Arc::clone(&app));
    let gather = || async move {
        let id = asked.id(&own.public, "", &uri).await?;
        let (details, days) = whole(&own, id).await?;
        Ok(move || {
            let whole = Whole { details, growth: GrowthByWindow::of(&days) };
            let mut document = json(&whole)?;
            cdn::tag(&own, &mut document.head, cdn::keys(&whole.details));
            Ok(document)
        })
    };
    let served = app.documents.get(key, None, gather).await?;
    Ok(answer(&app, &served, &headers).await)
}

async fn history(
    State(app): State<Arc<App>>,
    asked: Asked,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (from, to) = range(&uri)?;
    let key = format!("history {} {from:?} {to:?}", asked.key());
    let own = Arc::clone(&app);
    let gather = || async move {
        let id = asked.id(&own.public, "/history", &uri).await?;
        let days = own.public.repository_days(id, from, to).await?.ok_or_else(|| unknown(id))?;
        Ok(move || {
            let mut document = json(&History::of(days))?;
            cdn::tag(&own, &mut document.head, [Key::Repository(id)]);
            Ok(document)
        })
    };
    let served = app.documents.get(key, None, gather).await?;
    Ok(answer(&app, &served, &headers).await)
}

/// The repository that has the name now.
///
/// # Errors
/// When no repository has or had the name; when one had it, with `address` of its present name.
pub(in crate::http) async fn present_owner(
    store: &SharedStore,
    name: &FullName,
    address: impl FnOnce(&str) -> String,
) -> Result<RepositoryId, Error> {
    match store.name_owner(name).await? {
        Some(NameOwner::Present(id)) => Ok(id),
        Some(NameOwner::Former(present)) => Err(Error::Moved(address(&path_of(&present)))),
        None => Err(Error::NoRepository(name.to_string())),
    }
}

/// A repository and all of its days.
pub(in crate::http) async fn whole(
    app: &App,
    id: RepositoryId,
) -> Result<(RepositoryDetails, RepositoryDays), Error> {
    let details = app.reader.repository(id).await?.ok_or_else(|| unknown(id))?;
    let days = app.public.repository_days(id, None, None).await?.ok_or_else(|| unknown(id))?;
    Ok((details, days))
}

fn unknown(id: RepositoryId) -> Error {
    Error::NoRepository(id.to_string())
}

fn json(value: &impl Serialize) -> Result<Document, Error> {
    let bytes = serde_json::to_vec(value).map_err(|_| Error::Internal)?;
    Ok(Document::new("application/json", FOR_A_MINUTE, bytes))
}

/// The first day and the last one that are asked for.
fn range(uri: &Uri) -> Result<(Option<NaiveDate>, Option<NaiveDate>), Error> {
    let mut parameters = Parameters::of(uri);
    let from = parameters.read_by(&FROM, parse_day);
    let to = parameters.read_by(&TO, parse_day);
    if let Some((from, to)) = from.zip(to).filter(|(from, to)| from > to) {
        parameters.refuse("from", format!("accepts days up to `to`: {from} is after {to}"));
    }
    parameters.finish()?;
    Ok((from, to))
}

/// A repository and its growth within each window that ends on the last day on which it was seen.
#[derive(Serialize, ToSchema)]
#[schema(as = RepositoryWithGrowth)]
struct Whole {
    #[serde(flatten)]
    details: RepositoryDetails,
    growth: GrowthByWindow,
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct GrowthByWindow {
    #[serde(rename = "1d")]
    day: Option<Growth>,
    #[serde(rename = "7d")]
    pub(in crate::http) week: Option<Growth>,
    #[serde(rename = "30d")]
    pub(in crate::http) month: Option<Growth>,
    #[serde(rename = "90d")]
    pub(in crate::http) quarter: Option<Growth>,
}

impl GrowthByWindow {
    pub(in crate::http) fn of(days: &RepositoryDays) -> Self {
        let created = days.created_at.map(|at| at.date_naive());
        let last = days.seen.last().map(|span| span.last);
        let growth = |window| Growth::of(&days.seen, created, last?, window);
        Self {
            day: growth(Window::Day),
            week: growth(Window::Week),
            month: growth(Window::Month),
            quarter: growth(Window::Quarter),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = RepositoryHistory)]
struct History {
    #[schema(value_type = i64)]
    id: RepositoryId,
    full_name: String,
    days: Vec<SeenDay>,
    backfilled: Vec<BackfilledDay>,
}

#[derive(Serialize, ToSchema)]
struct SeenDay {
    day: NaiveDate,
    stargazers_count: i64,
    /// Null on days before the mirror counted forks and issues.
    forks_count: Option<i64>,
    open_issues_count: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct BackfilledDay {
    day: NaiveDate,
    stargazers_count: i64,
}

impl History {
    fn of(days: RepositoryDays) -> Self {
        let seen = |span: &Span| {
            let counts = span.counts;
            span.days().map(move |day| SeenDay {
                day,
                stargazers_count: counts.stars,
                forks_count: counts.forks,
                open_issues_count: counts.open_issues,
            })
        };
        let backfilled = |span: &Span| {
            let stargazers_count = span.counts.stars;
            span.days().map(move |day| BackfilledDay { day, stargazers_count })
        };
        Self {
            id: days.id,
            full_name: days.full_name,
            days: days.seen.iter().flat_map(seen).collect(),
            backfilled: days.backfilled.iter().flat_map(backfilled).collect(),
        }
    }
}
