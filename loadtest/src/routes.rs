//! The routes besides lists by rank that the load test requests: their paths, weights and checks.

use crate::content::{self, Asked};

/// A new route is a row of [`ROUTES`], and a function of [`content`] if none fits.
#[derive(Debug)]
pub(crate) struct Route {
    /// The path, with `{topic}` and `{owner}/{repo}`, which is its row in the report as well.
    pub(crate) path: &'static str,
    /// The beginning of the answer's Content-Type.
    pub(crate) content_type: &'static str,
    /// The weight among the reads of a visitor.
    pub(crate) weight: usize,
    pub(crate) check: Check,
    /// Whether the service may answer 503 with Retry-After, as while it makes the first answer.
    pub(crate) may_be_late: bool,
}

impl Route {
    /// The path of the request.
    pub(crate) fn path_of(&self, asked: &Asked<'_>) -> String {
        self.path.replace("{topic}", asked.topic).replace("{owner}/{repo}", asked.repository)
    }
}

const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";
const ATOM: &str = "application/atom+xml";
const CSV: &str = "text/csv";
const JSON_FEED: &str = "application/feed+json";
pub(crate) const HTML: &str = "text/html";

type Check = fn(&Asked<'_>, &[u8]) -> Result<(), String>;

const fn route(
    path: &'static str,
    content_type: &'static str,
    weight: usize,
    check: Check,
) -> Route {
    Route { path, content_type, weight, check, may_be_late: false }
}

pub(crate) static ROUTES: &[Route] = &[
    route("/api/newest/{topic}", JSON, 2, content::newest),
    route("/api/trending/{topic}", JSON, 4, content::trending),
    route("/api/trending/{topic}?window=30d&by=velocity", JSON, 1, content::by_velocity),
    route("/api/falling/{topic}", JSON, 2, content::falling),
    route("/api/repos/{owner}/{repo}", JSON, 2, content::repository),
    route("/api/repos/{owner}/{repo}/history", JSON, 1, content::history),
    route("/api/repos/{owner}/{repo}/history?to=2007-10-01", JSON, 1, content::no_history),
    route(content::FILTERED, JSON, 3, content::filtered),
    route("/topics/{topic}/facets", JSON, 1, content::facets),
    route("/topics/{topic}/history", JSON, 1, content::topic_days),
    route("/topics/{topic}/events", JSON, 1, content::events),
    route("/charts/{owner}/{repo}.svg", SVG, 2, content::repository_picture),
    route("/charts/topics/{topic}.svg", SVG, 1, content::topic_picture),
    route("/badges/{topic}/{owner}/{repo}.svg", SVG, 2, content::topic_picture),
    route("/", HTML, 2, content::topic_page),
    route("/t/{topic}", HTML, 3, content::topic_page),
    route("/t/{topic}/popularity?language=go", HTML, 1, content::topic_page),
    route("/r/{owner}/{repo}", HTML, 2, content::repository_page),
    route("/feeds/{topic}/new.atom", ATOM, 1, content::atom),
    // The service makes few exports at a time, and refuses others for a while.
    Route {
        may_be_late: true,
        ..route("/exports/{topic}/history.csv", CSV, 1, content::every_day)
    },
    Route {
        may_be_late: true,
        ..route("/feeds/{topic}/trending.json", JSON_FEED, 1, content::json_feed)
    },
];
