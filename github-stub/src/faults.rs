//! Everything that has been seen to go wrong with GitHub's answers, to be asked for by tests.

use serde::{Deserialize, Serialize};

use crate::query::Sort;

/// A fault, which requests it strikes and how often.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Only requests whose path begins so; all paths when empty.
    #[serde(default)]
    pub path: String,
    /// Only searches with this `sort` (`best-match` where there is none).
    #[serde(default)]
    pub sort: Option<String>,
    /// Only searches of this page.
    #[serde(default)]
    pub page: Option<usize>,
    /// Matching requests to let pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many requests to strike after that.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// What goes wrong. Times are in seconds unless the name says otherwise.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The bucket is empty: 403 or 429 with `x-ratelimit-remaining: 0`.
    PrimaryLimit {
        /// 403 or 429.
        status: u16,
        /// Until `x-ratelimit-reset`.
        reset_in: i64,
    },
    /// The secondary limit: 403 or 429 with quota left.
    SecondaryLimit {
        /// 403 or 429.
        status: u16,
        /// The header, which GitHub may leave out.
        retry_after: Option<u32>,
    },
    /// A 403 that is about the request, not about limits.
    Forbidden,
    /// 401 Bad credentials.
    Unauthorized,
    /// 451, a repository blocked for legal reasons.
    Unavailable,
    /// 404.
    NotFound,
    /// A 5xx with HTML and no rate headers: the unicorn page.
    HtmlError {
        /// 500 to 599.
        status: u16,
    },
    /// A 5xx with a JSON message.
    JsonError {
        /// 500 to 599.
        status: u16,
    },
    /// 200 with an HTML body.
    NotJson,
    /// Half of the body, a pause, then the rest.
    Slow {
        /// The pause.
        millis: u64,
    },
    /// Half of the body, then the connection breaks.
    Cut,
    /// The connection breaks before any answer.
    Reset,
    /// A redirect (301) to another address.
    Redirect {
        /// The `Location`.
        to: String,
    },
    /// `incomplete_results: true` and only the first items.
    Incomplete {
        /// Items kept.
        keep: usize,
    },
    /// Fewer items than `total_count` gives the page, `incomplete_results: false`.
    Short {
        /// Items missing at the end.
        missing: usize,
    },
    /// 200, `total_count: 0`, no items.
    Empty,
    /// `total_count` off by this much.
    Drift {
        /// May be negative.
        by: i64,
    },
    /// Repositories moved down while the pages were read: the page repeats the last ones of the
    /// page before.
    Repeat {
        /// How many.
        count: usize,
    },
    /// Repositories moved up while the pages were read: the page begins later than the page before
    /// ended.
    Hole {
        /// How many are never shown.
        count: usize,
    },
    /// Items with a field of a wrong type.
    BadItems {
        /// How many, from the page's start.
        count: usize,
    },
    /// A `Link` to the next page that points to another origin.
    ForeignLink {
        /// `http://host:port`.
        origin: String,
    },
}

impl FaultKind {
    /// The tag, as counted in [`crate::Counters::faults`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PrimaryLimit { .. } => "primary_limit",
            Self::SecondaryLimit { .. } => "secondary_limit",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
            Self::HtmlError { .. } => "html_error",
            Self::JsonError { .. } => "json_error",
            Self::NotJson => "not_json",
            Self::Slow { .. } => "slow",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Redirect { .. } => "redirect",
            Self::Incomplete { .. } => "incomplete",
            Self::Short { .. } => "short",
            Self::Empty => "empty",
            Self::Drift { .. } => "drift",
            Self::Repeat { .. } => "repeat",
            Self::Hole { .. } => "hole",
            Self::BadItems { .. } => "bad_items",
            Self::ForeignLink { .. } => "foreign_link",
        }
    }
}

impl From<FaultKind> for Fault {
    /// Strikes the next request, whatever it is.
    fn from(kind: FaultKind) -> Self {
        Self { kind, path: String::new(), sort: None, page: None, skip: 0, times: 1 }
    }
}

impl Fault {
    /// Only searches with this `sort` (`best-match`, `stars`, `updated`) and page.
    #[must_use]
    pub fn on(mut self, sort: &str, page: usize) -> Self {
        (self.sort, self.page) = (Some(sort.to_owned()), Some(page));
        self
    }

    /// Only requests whose path begins so.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Strikes that many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lets that many matching requests pass first.
    #[must_use]
    pub fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// The first fault that strikes this request; spent faults go.
pub(crate) fn strike(
    faults: &mut Vec<Fault>,
    path: &str,
    search: Option<(Sort, usize)>,
) -> Option<FaultKind> {
    let matching = |fault: &Fault| {
        let sort = fault.sort.as_deref().map(|sort| Sort::parse(Some(sort)));
        path.starts_with(&fault.path)
            && sort.is_none_or(|sort| search.is_some_and(|search| search.0 == sort))
            && fault.page.is_none_or(|page| search.is_some_and(|search| search.1 == page))
    };
    let mut struck = None;
    for fault in faults.iter_mut().filter(|fault| matching(fault)) {
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if fault.times > 0 {
            fault.times -= 1;
            struck = Some(fault.kind.clone());
            break;
        }
    }
    faults.retain(|fault| fault.times > 0);
    struck
}
