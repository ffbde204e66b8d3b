//! The routes besides lists by rank that the load test requests: their paths, weights and checks.

use crate::check::{self, Asked};

/// A new route is a row of [`ROUTES`], and a function of [`check`](crate::check) if none fits.
#[derive(Debug)]
pub(crate) struct Route {
    /// The path, with `{topic}` and `{owner}/{repo}`, which is its row in the report as well.
    pub(crate) path: &'static str,
    /// The beginning of the answer's Content-Type.
    pub(crate) content_type: &'static str,
    /// The weight among the reads of a visitor.
    pub(crate) weight: usize,
    pub(crate) check: fn(&Asked<'_>, &[u8]) -> Result<(), String>,
}

impl Route {
    /// The path of the request.
    pub(crate) fn path_of(&self, asked: &Asked<'_>) -> String {
        self.path.replace("{topic}", asked.topic).replace("{owner}/{repo}", asked.repository)
    }
}

const JSON: &str = "application/json";

pub(crate) static ROUTES: [Route; 7] = [
    Route { path: "/api/newest/{topic}", content_type: JSON, weight: 2, check: check::newest },
    Route { path: "/api/trending/{topic}", content_type: JSON, weight: 4, check: check::trending },
    Route {
        path: "/api/trending/{topic}?window=30d&by=velocity",
        content_type: JSON,
        weight: 1,
        check: check::by_velocity,
    },
    Route { path: "/api/falling/{topic}", content_type: JSON, weight: 2, check: check::falling },
    Route {
        path: "/api/repos/{owner}/{repo}",
        content_type: JSON,
        weight: 2,
        check: check::repository,
    },
    Route {
        path: "/api/repos/{owner}/{repo}/history",
        content_type: JSON,
        weight: 1,
        check: check::history,
    },
    Route {
        path: "/api/repos/{owner}/{repo}/history?to=2007-10-01",
        content_type: JSON,
        weight: 1,
        check: check::no_history,
    },
];
