//! What came of reading a query: how far it went, what was missing, in which order it came.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::github::SearchPage;
use crate::model::repository::RepositoryId;

/// A query, read page by page.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The most repositories that GitHub counted.
    pub(super) total_count: i64,
    /// Why something is missing: one line.
    pub(super) fault: Option<String>,
    /// The oldest `updated_at` of the last page.
    pub(super) oldest: Option<DateTime<Utc>>,
    /// The newest `updated_at` of all.
    pub(super) newest: Option<DateTime<Utc>>,
    /// Distinct repositories shown.
    ids: HashSet<RepositoryId>,
    /// Items whose id could not be read.
    unnamed: usize,
    /// Neighbours on a page of which the second was updated, or pushed to, later than the first.
    against_update: usize,
    against_push: usize,
}

impl Reading {
    /// Takes a page in.
    pub(super) fn add(&mut self, page: &SearchPage) {
        self.total_count = self.total_count.max(page.total_count);
        self.ids.extend(page.repositories.iter().map(|repository| repository.id));
        self.ids.extend(page.skipped.iter().filter_map(|skipped| skipped.id));
        self.unnamed += page.skipped.iter().filter(|skipped| skipped.id.is_none()).count();
        let updates = || page.repositories.iter().map(|repository| repository.updated_at);
        self.oldest = updates().min().or(self.oldest);
        self.newest = self.newest.max(updates().max());
        for pair in page.repositories.windows(2) {
            self.against_update += usize::from(pair[1].updated_at > pair[0].updated_at);
            self.against_push += usize::from(pair[1].pushed_at > pair[0].pushed_at);
        }
    }

    /// Notes what is missing; the first fault is told.
    pub(super) fn fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    /// Whether it is less than GitHub counted: pages move while they are read, and one that moved
    /// up was never shown.
    pub(super) fn lacks_some(&self) -> bool {
        i64::try_from(self.ids.len() + self.unnamed).is_ok_and(|shown| shown < self.total_count)
    }

    /// Whether sort=updated went by the last push. It is not documented that it goes by
    /// `updated_at`, which stars change too; the order in which the repositories came tells.
    pub(super) fn is_by_push(&self) -> bool {
        self.against_push < self.against_update
    }
}
