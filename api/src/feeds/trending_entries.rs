//! Entries of the repositories that grew most within a period.

use serde::{Deserialize, Serialize};

use super::text::{address, escaped};
use super::{Digest, DigestPeriod, Entry, FeedQuery};
use crate::model::growth::Window;

/// The repositories that an entry names.
pub const MOST_TRENDING: usize = 10;

/// A repository that grew, under the name that it had then.
#[derive(Debug, Deserialize, Serialize)]
pub struct TrendingRow {
    pub full_name: String,
    pub html_url: String,
    pub gained: i64,
    /// The stars at the period's end.
    pub stars: i64,
}

impl Digest {
    /// The window that is as long as a period.
    #[must_use]
    pub fn window(self) -> Window {
        match self {
            Self::Daily => Window::Day,
            Self::Weekly => Window::Week,
        }
    }
}

/// The entry of a period in which these repositories grew most.
#[must_use]
pub fn trending_entry(
    query: &FeedQuery,
    digest: Digest,
    period: DigestPeriod,
    rows: &[TrendingRow],
    base: &str,
) -> Entry {
    let line = |row: &TrendingRow| {
        let name = escaped(&row.full_name);
        let name = match address(&row.html_url) {
            Some(url) => format!("<a href=\"{}\">{name}</a>", escaped(&url)),
            None => name,
        };
        let (gained, stars) = (super::count(row.gained, "star"), row.stars);
        format!("<li>{name} gained {gained} and had {stars}</li>")
    };
    let html = format!("<ol>{}</ol>", rows.iter().map(line).collect::<String>());
    let window: &str = digest.window().into();
    let topic = &query.topic;
    let url = format!("{base}/api/trending/{topic}?window={window}&day={}", period.last);
    query.digest_entry(digest, period, &format!("Trending in {topic}"), url, html)
}
