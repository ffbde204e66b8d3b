//! Charts and badges, as SVG and as the numbers that they show.

mod badges;
pub(in crate::http) mod charts;
mod file;
pub(in crate::http) mod options;

use axum::routing::get;

use self::badges::BY;
use self::charts::REPOS;
use self::options::OPTIONS;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::list_parameters::WINDOW;
use crate::pictures::badge::Badge;
use crate::pictures::numbers::Numbers;

/// A file in a path is a name and an extension: the router has no parameters within a segment. An
/// owner named `topics` can have no chart of his own, since charts of topics have that path.
pub(super) fn routes() -> Routes {
    let chart = |id, summary| {
        let answer = Answer::text("image/svg+xml").or_json::<Numbers<'_>>("application/json");
        Operation::get(id, summary).kept(answer.or_text("text/csv")).fails(&[404])
    };
    let moved = || Answer::default().with(&["Location"]);
    Routes::default()
        .routes(
            chart("compare_repositories", "A chart of the stars of several repositories")
                .requires(&REPOS)
                .takes(&OPTIONS)
                .answers(301, moved())
                .at("/charts/{file}", get(charts::compare)),
        )
        .routes(
            chart("chart_topic", "A chart of a topic's repositories, or of the stars they gained")
                .takes(&OPTIONS)
                .at("/charts/topics/{file}", get(charts::topic)),
        )
        .routes(
            chart("chart_repository", "A chart of a repository's stars")
                .takes(&OPTIONS)
                .answers(301, moved())
                .at("/charts/{owner}/{file}", get(charts::repository)),
        )
        .routes(
            Operation::get("get_badge", "A badge of a repository's place in a topic")
                .takes(&[&BY, &WINDOW])
                .kept(Answer::text("image/svg+xml").or_json::<Badge>("application/json"))
                .answers(301, moved())
                .fails(&[404])
                .at("/badges/{topic}/{owner}/{file}", get(badges::badge)),
        )
}
