//! The rankings that the load test requests: their path segments, orders and weights.

use std::cmp::Ordering;

use crate::check::Item;

/// Compares two items of a list by the ranking's key. The check breaks ties.
type Order = for<'a> fn(&Item<'a>, &Item<'a>) -> Ordering;

#[derive(Debug)]
pub(crate) struct Ranking {
    /// The path segment between `/api` or `/db` and the topic; empty for best match.
    pub(crate) segment: &'static str,
    /// `None` for best match, whose order and length are GitHub's: a list does not contain its
    /// key, and has only repositories that GitHub has shown in it.
    pub(crate) order: Option<Order>,
    /// The weight of the list below `/api` among the reads of a user; `/test` has 1.
    pub(crate) api_weight: usize,
    /// The weight of the list below `/db`.
    pub(crate) db_weight: usize,
}

impl Ranking {
    /// The path of this ranking's list of `topic`, below the root `/api` or `/db`.
    pub(crate) fn path(&self, root: &str, topic: &str) -> String {
        match self.segment {
            "" => format!("{root}/{topic}"),
            segment => format!("{root}/{segment}/{topic}"),
        }
    }
}

/// A new ranking is a row at the end, and a field of [`Item`] if its key has none yet. The clients'
/// scenario uses the first three rows by their places.
pub(crate) static RANKINGS: [Ranking; 3] = [
    Ranking {
        segment: "popularity",
        order: Some(|before, after| after.stargazers_count.cmp(&before.stargazers_count)),
        api_weight: 2,
        db_weight: 5,
    },
    Ranking { segment: "", order: None, api_weight: 3, db_weight: 6 },
    Ranking {
        segment: "activity",
        // Times in UTC and of equal length sort as text.
        order: Some(|before, after| after.updated_at.cmp(before.updated_at)),
        api_weight: 4,
        db_weight: 7,
    },
];
