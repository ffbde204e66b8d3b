//! The faults that GitHub's answers have shown, for tests to inject.

use serde::{Deserialize, Serialize};

use crate::query::Sort;

/// A fault, the requests that it applies to, and how often.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Fault {
    #[serde(flatten)]
    pub kind: FaultKind,
    /// The beginning of the paths that the fault applies to; if empty, all paths.
    #[serde(default)]
    pub path: String,
    /// If set, the fault applies to searches with this `sort` alone; `best-match` stands for a
    /// search without one.
    #[serde(default)]
    pub sort: Option<String>,
    /// If set, the fault applies to searches of this page alone.
    #[serde(default)]
    pub page: Option<usize>,
    /// Matching requests that pass before the first one that gets the fault.
    #[serde(default)]
    pub skip: u32,
    /// Matching requests that get the fault after those.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// Times are in seconds unless the name says otherwise.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The window has no requests left: 403 or 429 with `x-ratelimit-remaining: 0`.
    PrimaryLimit {
        status: u16,
        /// The time until `x-ratelimit-reset`, which may be past or longer than any window.
        reset_in: i64,
    },
    /// The secondary limit: 403 or 429 with quota left.
    SecondaryLimit {
        status: u16,
        /// The header of that name, which GitHub may leave out.
        retry_after: Option<u32>,
    },
    /// A 403 that concerns the request and no limit.
    Forbidden,
    /// A 403 for requests with a token alone: an organisation's list of addresses, or its policy
    /// for tokens.
    TokenPolicy,
    /// 401.
    Unauthorized,
    /// 451: the repository is blocked for legal reasons.
    Unavailable,
    /// 404.
    NotFound,
    /// 422: GitHub does not offer this for the repository.
    Unprocessable,
    /// A 5xx with GitHub's HTML error page and without rate-limit headers.
    HtmlError { status: u16 },
    /// A 5xx with a JSON message.
    JsonError { status: u16 },
    /// 200 with an HTML body.
    NotJson,
    /// Half of the body, a pause, then the rest.
    Slow { millis: u64 },
    /// Half of the body, then the connection breaks.
    Cut,
    /// The connection breaks before any answer.
    Reset,
    /// A redirect (301) to another address.
    Redirect {
        /// The `Location` header.
        to: String,
    },
    /// `incomplete_results: true` and only the first `keep` items.
    Incomplete { keep: usize },
    /// The page lacks its last items though `incomplete_results` is false.
    Short { missing: usize },
    /// 200 with `total_count: 0` and no items.
    Empty,
    /// `total_count` differs from the true one by `by`, which may be negative.
    Drift { by: i64 },
    /// Repositories moved down while the pages were read: the page repeats the last `count` items
    /// of the page before.
    Repeat { count: usize },
    /// Repositories moved up while the pages were read: `count` repositories between the page
    /// before and this one are on neither.
    Hole { count: usize },
    /// The first `count` items have a field of a wrong type.
    BadItems { count: usize },
    /// A `Link` to the next page that points to another origin.
    ForeignLink {
        /// `http://host:port`.
        origin: String,
    },
    /// Several `Link` lines: other relations first, the next page with `REL="Next"` and at another
    /// origin.
    LinkLines {
        /// `http://host:port`.
        origin: String,
    },
    /// A `Link` whose next page is the page itself.
    LoopLink,
    /// `x-ratelimit-reset` has this value.
    OddReset { reset: i64 },
    /// The first `count` items have bytes that are no UTF-8, or half a surrogate pair.
    BadText { count: usize },
    /// The first `count` items have optional fields of wrong types.
    OddFields { count: usize },
    /// The first `count` items have a description, a homepage and topics beyond any bound.
    LongTexts { count: usize },
    /// The first `count` items have a name beyond any bound.
    LongNames { count: usize },
}

impl FaultKind {
    /// The serde tag, which is also the key in [`crate::Counters::faults`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PrimaryLimit { .. } => "primary_limit",
            Self::SecondaryLimit { .. } => "secondary_limit",
            Self::Forbidden => "forbidden",
            Self::TokenPolicy => "token_policy",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
            Self::Unprocessable => "unprocessable",
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
            Self::LinkLines { .. } => "link_lines",
            Self::LoopLink => "loop_link",
            Self::OddReset { .. } => "odd_reset",
            Self::BadText { .. } => "bad_text",
            Self::OddFields { .. } => "odd_fields",
            Self::LongTexts { .. } => "long_texts",
            Self::LongNames { .. } => "long_names",
        }
    }
}

impl FaultKind {
    /// Whether the body arrives whole and at once.
    pub(crate) fn sends_the_whole_body(&self) -> bool {
        !matches!(self, Self::Slow { .. } | Self::Cut)
    }
}

impl From<FaultKind> for Fault {
    /// A fault of the next request, of any kind.
    fn from(kind: FaultKind) -> Self {
        Self { kind, path: String::new(), sort: None, page: None, skip: 0, times: 1 }
    }
}

impl Fault {
    /// Limits the fault to searches with this `sort` (`best-match`, `stars`, `updated`) and page.
    #[must_use]
    pub fn on(mut self, sort: &str, page: usize) -> Self {
        (self.sort, self.page) = (Some(sort.to_owned()), Some(page));
        self
    }

    /// Limits the fault to requests whose path begins with `path`.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// Takes the first fault that applies to this request, and removes the faults that are used up.
pub(crate) fn next_fault(
    faults: &mut Vec<Fault>,
    path: &str,
    search: Option<(Sort, usize)>,
    has_token: bool,
) -> Option<FaultKind> {
    let matching = |fault: &Fault| {
        let sort = fault.sort.as_deref().map(|sort| Sort::parse(Some(sort)));
        path.starts_with(&fault.path)
            && (has_token || fault.kind != FaultKind::TokenPolicy)
            && sort.is_none_or(|sort| search.is_some_and(|search| search.0 == sort))
            && fault.page.is_none_or(|page| search.is_some_and(|search| search.1 == page))
    };
    let mut next = None;
    for fault in faults.iter_mut().filter(|fault| matching(fault)) {
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if fault.times > 0 {
            fault.times -= 1;
            next = Some(fault.kind.clone());
            break;
        }
    }
    faults.retain(|fault| fault.times > 0);
    next
}
