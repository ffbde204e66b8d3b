//! The ledger of refreshes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

use crate::app::App;
use crate::error::Error;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document;
use crate::http::parameters::Parameters;
use crate::model::run::{RefreshRun, RunState};

/// The number of entries that `/refreshes` shows.
const REFRESHES_SHOWN: i64 = 100;

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(
            Operation::get("list_refreshes", "The latest refreshes, newest first")
                .takes(&[])
                .kept(Answer::rows::<RefreshRun>())
                .fails(&[])
                .at("/refreshes", get(refreshes)),
        )
        .routes(
            Operation::get("get_refresh", "A refresh, with the requests done and expected")
                .takes(&[])
                .kept(Answer::json::<RefreshRun>())
                .fails(&[404])
                .at("/refreshes/{id}", get(refresh)),
        )
}

async fn refreshes(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let refreshes = latest(&app, REFRESHES_SHOWN).await?;
    document::json(&app, &refreshes, &headers).await
}

/// The latest refreshes, newest first, with the present numbers of those that run.
pub(in crate::http) async fn latest(app: &App, most: i64) -> Result<Vec<RefreshRun>, Error> {
    let mut refreshes = app.public.refreshes(most).await?;
    for running in refreshes.iter_mut().filter(|refresh| refresh.state == RunState::Running) {
        // A run over several topics writes its own numbers only at its end, so its topics' numbers
        // stand for them.
        if let Some(mut entry) = app.public.refresh(running.id).await? {
            app.refresher.estimate(&mut entry).await?;
            *running = RefreshRun { topics: Vec::new(), ..entry };
        }
    }
    Ok(refreshes)
}

async fn refresh(
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let mut refresh = app.public.refresh(id).await?.ok_or(Error::NoRefresh(id))?;
    app.refresher.estimate(&mut refresh).await?;
    document::json(&app, &refresh, &headers).await
}
