//! Which searches a refresh makes.

use crate::github::Sort;
use crate::lists::LIST_LENGTH;
use crate::topic::Topic;

/// A search to be read page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// GitHub's `q`.
    pub q: String,
    /// In this order.
    pub sort: Sort,
    /// Repositories to read, counted from the first.
    pub depth: usize,
}

/// The searches, in the order in which they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Best match is the first, so that a new topic has a list as soon as possible.
    pub queries: Vec<Query>,
}

impl Plan {
    /// The top of each ranking: three queries, each as deep as a list is long.
    #[must_use]
    pub fn top(topic: &Topic) -> Self {
        let query = |sort| Query { q: format!("topic:{topic}"), sort, depth: LIST_LENGTH };
        Self { queries: [Sort::BestMatch, Sort::Stars, Sort::Updated].map(query).to_vec() }
    }

    /// Best match shows a topic that is no larger than a list whole, and the other queries would show the same again.
    pub fn best_match_suffices(&mut self) {
        self.queries.truncate(1);
    }
}
