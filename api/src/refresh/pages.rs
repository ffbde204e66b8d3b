//! Reading a query page by page: what is asked again, what is stored, what is missing.

use std::collections::HashSet;

use tracing::warn;
use url::Url;

use super::plan::{Extent, Query, SEARCH_CAP};
use super::reading::Reading;
use super::run::{Run, length};
use crate::github::{Deadline, GitHubError, PER_PAGE, SearchPage, Sort};
use crate::model::quota::Priority;
use crate::model::repository::{Repository, RepositoryId};
use crate::model::run::Trigger;
use crate::store::{Page, StoreError};

/// How often a page is asked for again because something is missing from it.
const MAX_REFETCHES: usize = 2;

impl Run<'_> {
    /// Reads a query. One query's pages may be beyond GitHub while another's are not: then there is
    /// none, and the run is partial.
    pub(super) async fn attempt(&mut self, query: &Query) -> Result<Option<Reading>, GitHubError> {
        match self.read(query).await {
            Ok(reading) => {
                if let Some(fault) = &reading.fault {
                    self.report.because(fault);
                }
                Ok(Some(reading))
            }
            Err(error @ GitHubError::Failed { .. }) => {
                self.report.because(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a query's pages in turn and stores them.
    async fn read(&mut self, query: &Query) -> Result<Reading, GitHubError> {
        let mut next = Some(self.parts.github.first_page(&query.q, query.sort));
        let mut reading = Reading::default();
        let mut offset = 0;
        while let Some(url) = next.take() {
            let page = self.whole_page(&url, offset, query, &mut reading).await?;
            let slice = query.extent == Extent::All;
            let before = if slice && offset > 0 {
                Some(reading.total_count)
            } else {
                self.report.total_count.filter(|_| !slice)
            };
            let before = before.unwrap_or(page.total_count);
            if page.total_count.min(before) * 2 < page.total_count.max(before) {
                reading.fault(format!(
                    "GitHub counted {before} repositories and then {}",
                    page.total_count
                ));
            }
            if query.sort == Sort::BestMatch {
                self.report.total_count = Some(page.total_count);
                self.rank(&page);
            }
            reading.add(&page);
            if slice && offset == 0 && page.total_count > SEARCH_CAP {
                break;
            }
            self.newest = self.newest.max(reading.newest);
            self.store_shown(&page).await?;
            offset += PER_PAGE;
            let read = match query.extent {
                Extent::First(depth) => offset >= depth,
                Extent::Since(time) => reading.oldest.is_some_and(|oldest| oldest < time),
                Extent::All => false,
            };
            if read {
                break;
            }
            next = page.next.filter(|_| length(offset) < SEARCH_CAP);
            let reach = query.reach(page.total_count);
            if next.is_none() && offset < reach {
                reading.fault(format!("GitHub named no page after the first {offset} of {reach}"));
            }
        }
        Ok(reading)
    }

    /// A page with nothing missing, asked for again where something is; in the end the best we
    /// have, and that it has a fault.
    async fn whole_page(
        &mut self,
        url: &Url,
        offset: usize,
        query: &Query,
        reading: &mut Reading,
    ) -> Result<SearchPage, GitHubError> {
        let mut refetches = 0;
        loop {
            let patience = Deadline { pace: self.pace(query), until: self.deadline };
            let page = self.parts.github.search(url, patience, &mut self.report).await?;
            let Some(fault) = fault(&page, offset) else { return Ok(page) };
            if refetches == MAX_REFETCHES {
                reading.fault(fault);
                return Ok(page);
            }
            refetches += 1;
            self.report.pages_refetched += 1;
        }
    }

    fn pace(&self, query: &Query) -> Priority {
        match self.cause {
            Trigger::OnDemand if query.sort == Sort::BestMatch => Priority::Waiting,
            Trigger::OnDemand => Priority::OnDemand,
            Trigger::Schedule | Trigger::Request | Trigger::CommandLine => Priority::Scheduled,
        }
    }

    /// Notes the order of a page of best match; of an id on two pages the later place counts.
    fn rank(&mut self, page: &SearchPage) {
        for id in &page.order {
            if self.seen.contains(id) {
                self.best_match.retain(|seen| seen != id);
            }
            self.best_match.push(*id);
        }
    }

    async fn store_shown(&mut self, page: &SearchPage) -> Result<(), StoreError> {
        let mut unreadable = Vec::new();
        for skipped in &page.skipped {
            warn!(id = skipped.id, reason = skipped.reason, "an item was skipped");
            unreadable.extend(skipped.id);
            // One that several searches show is one.
            if skipped.id.is_none_or(|id| self.unreadable.insert(id)) {
                self.report.skip(skipped.clone());
            }
        }
        self.seen.extend(&unreadable);
        self.keep(&page.repositories, &unreadable).await
    }

    /// Stores repositories and the run's progress.
    pub(super) async fn keep(
        &mut self,
        repositories: &[Repository],
        unreadable: &[RepositoryId],
    ) -> Result<(), StoreError> {
        self.seen.extend(repositories.iter().map(|repository| repository.id));
        // What only the token's owner may see is nobody else's. And one statement must not meet an
        // id twice; the later copy counts.
        let mut ids = HashSet::new();
        let public = repositories
            .iter()
            .rev()
            .filter(|repository| !repository.private && ids.insert(repository.id));
        let mut once: Vec<Repository> = public.cloned().collect();
        once.reverse();
        self.report.found = length(self.seen.len());
        let page = Page { repositories: &once, unreadable };
        let now = self.parts.clock.now();
        let (stored, touched) =
            self.parts.store.store_page(self.lease, self.topic, &page, &self.report, now).await?;
        self.report.stored(stored);
        self.touched.extend(touched);
        Ok(())
    }
}

/// What is missing from a page, if anything.
fn fault(page: &SearchPage, offset: usize) -> Option<String> {
    let reachable = usize::try_from(page.total_count.min(SEARCH_CAP)).unwrap_or(0);
    let expected = reachable.saturating_sub(offset).min(PER_PAGE);
    if page.incomplete_results {
        Some("GitHub ran out of time and sent incomplete results".to_owned())
    } else if page.items() < expected {
        Some(format!("GitHub sent {} repositories on a page of {expected}", page.items()))
    } else {
        None
    }
}
