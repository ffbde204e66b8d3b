//! Charts and badges, as SVG and as the numbers that they show.

mod badges;
mod charts;
mod file;
mod options;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

/// A file in a path is a name and an extension: the router has no parameters within a segment. An
/// owner named `topics` can have no chart of his own, since charts of topics have that path.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/charts/{file}", get(charts::compare))
        .route("/charts/topics/{file}", get(charts::topic))
        .route("/charts/{owner}/{file}", get(charts::repository))
        .route("/badges/{topic}/{owner}/{file}", get(badges::badge))
}
