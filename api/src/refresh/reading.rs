//! A reading: the facts that the pages of one query have shown.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::github::SearchPage;
use crate::model::repository::RepositoryId;

/// A query, read page by page.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The highest of GitHub's counts.
    pub(super) total_count: i64,
    /// Why something is missing: one line.
    pub(super) fault: Option<String>,
    /// GitHub failed, or refused, before the query was read.
    pub(super) is_cut_off: bool,
    /// The oldest `updated_at` of the last page.
    pub(super) oldest: Option<DateTime<Utc>>,
    /// The ids in GitHub's order, each once.
    pub(super) order: Vec<RepositoryId>,
    /// Neighbours on a page, the second of which was updated later than the first.
    pub(super) against_update: usize,
    /// Neighbours on a page, the second of which was pushed to later than the first.
    pub(super) against_push: usize,
    ids: HashSet<RepositoryId>,
    /// Items without a readable id.
    unnamed: usize,
}

impl Reading {
    pub(super) fn add(&mut self, page: &SearchPage) {
        self.total_count = self.total_count.max(page.total_count);
        for id in &page.order {
            // A repository that is shown twice moved while the pages were read. Its later place
            // counts.
            if !self.ids.insert(*id) {
                self.order.retain(|earlier| earlier != id);
            }
            self.order.push(*id);
        }
        self.unnamed += page.skipped.iter().filter(|skipped| skipped.id.is_none()).count();
        let updates = page.repositories.iter().map(|repository| repository.updated_at);
        self.oldest = updates.min().or(self.oldest);
        for pair in page.repositories.windows(2) {
            self.against_update += usize::from(pair[1].updated_at > pair[0].updated_at);
            self.against_push += usize::from(pair[1].pushed_at > pair[0].pushed_at);
        }
    }

    /// Notes why something is missing. The first fault stays.
    pub(super) fn add_fault(&mut self, fault: Option<String>) {
        self.fault = self.fault.take().or(fault);
    }

    /// The number of distinct repositories that GitHub showed.
    pub(super) fn shown(&self) -> usize {
        self.ids.len() + self.unnamed
    }
}
