//! One refresh of one topic: plan, pages, doubts, and the transaction that ends it.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::Parts;
use super::plan::{Plan, Query};
use super::report::{Cause, Outcome, Report};
use crate::github::{GitHubError, PER_PAGE, Patience, SearchPage, Single, Sort};
use crate::lists::LIST_LENGTH;
use crate::quota::{Bucket, Pace};
use crate::repository::{Repository, RepositoryId};
use crate::store::{Confirmed, Finish, Floors, Lease, Page, StoreError, TopicState};
use crate::topic::Topic;

/// How often a page is asked for again because something is missing from it.
const MAX_REFETCHES: usize = 2;

/// Searches show no more than this, however many there are.
const SEARCH_CAP: i64 = 1_000;

/// Questions about single repositories in one run.
const MAX_DOUBTS: i64 = 50;

/// A result that shrank by more than half counts once a later one, at least so much later, agrees within a tenth.
const SHRINK_CONFIRMED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// One skipped item in so many is no fault of the refresh.
const SKIPPED_PER_FOUND: i64 = 100;

/// A refresh at work.
pub(super) struct Run<'a> {
    parts: &'a Parts,
    lease: &'a Lease,
    topic: &'a Topic,
    cause: Cause,
    /// No waiting beyond this.
    deadline: DateTime<Utc>,
    report: Report,
    seen: HashSet<RepositoryId>,
    best_match: Vec<RepositoryId>,
    floors: Floors,
    /// Topics whose lists may differ now: repositories have several topics.
    touched: BTreeSet<Topic>,
}

impl<'a> Run<'a> {
    pub(super) fn new(parts: &'a Parts, lease: &'a Lease, topic: &'a Topic, cause: Cause) -> Self {
        let now = parts.clock.now();
        Self {
            parts,
            lease,
            topic,
            cause,
            deadline: now + parts.schedule.period(now),
            report: Report::default(),
            seen: HashSet::new(),
            best_match: Vec::new(),
            floors: Floors::default(),
            touched: BTreeSet::from([topic.clone()]),
        }
    }

    /// Refreshes. What goes wrong with GitHub is in the report; an error is the database's, and leaves the old lists.
    pub(super) async fn run(mut self) -> Result<(Outcome, Report), StoreError> {
        // Forgotten meanwhile, and its lease with it.
        let state = self.parts.store.topic(self.topic).await?.ok_or(StoreError::LeaseLost)?;
        if let Err(error) = self.search(&state).await {
            self.stop(error)?;
        }
        let shrunk = self.judge(&state);
        if self.report.reason.is_none() {
            self.settle_doubts().await?;
        }
        let outcome = self.finish(shrunk).await?;
        for topic in &self.touched {
            self.parts.publish(topic).await?;
        }
        // Last, so that whoever waits for the refresh finds its lists.
        self.parts.store.end(self.lease, outcome, &self.report, self.parts.clock.now()).await?;
        Ok((outcome, self.report))
    }

    /// Makes the plan's searches and stores what they show.
    async fn search(&mut self, state: &TopicState) -> Result<(), GitHubError> {
        let mut plan = Plan::top(self.topic);
        self.report.requests_expected = pages(&plan.queries);
        let mut index = 0;
        while let Some(query) = plan.queries.get(index).cloned() {
            match self.read(&query).await {
                Ok(()) => {}
                // One query's pages may be beyond GitHub while another's are not.
                Err(error @ GitHubError::Failed { .. }) => self.report.because(error.to_string()),
                Err(error) => return Err(error),
            }
            if index == 0 {
                // A count that fell far below the last one is not believed without the other queries.
                let believed = |total: i64| total <= LIST_LENGTH as i64 && total * 2 >= state.found.unwrap_or(0);
                if self.report.total_count.is_some_and(believed) {
                    plan.best_match_suffices();
                    self.report.requests_expected = self.report.requests;
                } else if state.modified_at.is_none() && self.report.total_count.is_some() {
                    self.first_list().await?;
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// Serves a new topic from its best match while the rest is still being read.
    async fn first_list(&mut self) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        let (lease, total_count) = (self.lease, self.report.total_count);
        self.parts.store.first_list(lease, self.topic, &self.best_match, total_count, now).await?;
        self.parts.publish(self.topic).await
    }

    /// Reads a query's pages in turn.
    async fn read(&mut self, query: &Query) -> Result<(), GitHubError> {
        let mut next = Some(self.parts.github.first_page(&query.q, query.sort));
        let (mut offset, mut first_total, mut last) = (0, None, None);
        while let Some(url) = next.take().filter(|_| offset < query.depth) {
            let page = self.whole_page(&url, offset, query).await?;
            first_total.get_or_insert(page.total_count);
            let before = self.report.total_count.unwrap_or(page.total_count);
            if page.total_count.min(before) * 2 < page.total_count.max(before) {
                self.report.because(format!("GitHub counted {before} repositories and then {}", page.total_count));
            }
            if query.sort == Sort::BestMatch {
                self.report.total_count = Some(page.total_count);
                self.rank(&page);
            }
            self.store(&page).await?;
            offset += PER_PAGE;
            last = page.repositories.last().map(|repository| (repository.stargazers_count, oldest(&page.repositories)));
            let reachable = usize::try_from(page.total_count.min(SEARCH_CAP)).unwrap_or(0).min(query.depth);
            next = page.next;
            if next.is_none() && offset < reachable {
                self.report.because(format!("GitHub named no page after the first {offset} of {reachable}"));
            }
        }
        // What lies below the last one shown was overtaken; where a query shows all there are, nothing was.
        let shown_in_part = first_total.is_some_and(|total| total > query.depth as i64);
        if let Some((stars, updated_at)) = last.filter(|_| shown_in_part) {
            match query.sort {
                Sort::BestMatch => {}
                Sort::Stars => self.floors.stars = Some(stars),
                Sort::Updated => self.floors.updated_at = updated_at,
            }
        }
        Ok(())
    }

    /// A page with nothing missing, asked for again where something is; in the end the best we have, and the run is partial.
    async fn whole_page(&mut self, url: &url::Url, offset: usize, query: &Query) -> Result<SearchPage, GitHubError> {
        let mut refetches = 0;
        loop {
            let patience = Patience { pace: self.pace(query), until: self.deadline };
            let page = self.parts.github.search(url, patience, &mut self.report).await?;
            let Some(fault) = fault(&page, offset) else { return Ok(page) };
            if refetches == MAX_REFETCHES {
                self.report.because(fault);
                return Ok(page);
            }
            refetches += 1;
            self.report.pages_refetched += 1;
        }
    }

    fn pace(&self, query: &Query) -> Pace {
        match self.cause {
            Cause::OnDemand if query.sort == Sort::BestMatch => Pace::Waiting,
            Cause::OnDemand => Pace::OnDemand,
            Cause::Schedule | Cause::Request | Cause::CommandLine => Pace::Scheduled,
        }
    }

    /// Notes the order of a page of best match; of an id on two pages the later place counts.
    fn rank(&mut self, page: &SearchPage) {
        for repository in &page.repositories {
            if self.seen.contains(&repository.id) {
                self.best_match.retain(|id| *id != repository.id);
            }
            self.best_match.push(repository.id);
        }
    }

    async fn store(&mut self, page: &SearchPage) -> Result<(), StoreError> {
        let mut unreadable = Vec::new();
        for skipped in &page.skipped {
            warn!(id = skipped.id, reason = skipped.reason, "an item was skipped");
            unreadable.extend(skipped.id);
            self.report.skip(skipped.clone());
        }
        self.seen.extend(&unreadable);
        self.keep(&page.repositories, &unreadable).await
    }

    /// Stores repositories and the run's progress.
    async fn keep(&mut self, repositories: &[Repository], unreadable: &[RepositoryId]) -> Result<(), StoreError> {
        // One statement must not meet an id twice; the later copy counts.
        let mut ids = HashSet::new();
        let mut once: Vec<Repository> =
            repositories.iter().rev().filter(|repository| ids.insert(repository.id)).cloned().collect();
        once.reverse();
        self.seen.extend(&ids);
        self.report.found = length(self.seen.len());
        let page = Page { repositories: &once, unreadable };
        let now = self.parts.clock.now();
        let (stored, touched) = self.parts.store.store_page(self.lease, self.topic, &page, &self.report, now).await?;
        self.report.stored(stored);
        self.touched.extend(touched);
        Ok(())
    }

    /// Asks for repositories that should have been shown: GitHub drops some now and then. Those that cannot be asked for
    /// now keep their places until they can.
    async fn settle_doubts(&mut self) -> Result<(), StoreError> {
        let store = &self.parts.store;
        let doubts = store.doubts(self.lease, self.topic, self.floors, MAX_DOUBTS).await?;
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for id in doubts {
            let patience = Patience { pace: Pace::Scheduled, until: self.parts.clock.now() };
            match self.parts.github.repository(id, patience, &mut self.report).await {
                Ok(Single::Found(repository)) if repository.has_topic(self.topic.as_str()) => found.push(*repository),
                Ok(Single::Found(_) | Single::Gone) => gone.push(id),
                Err(GitHubError::Store(error)) => return Err(error),
                Err(error @ (GitHubError::Failed { .. } | GitHubError::Refused(_))) => {
                    warn!(id, %error, "a repository in doubt could not be asked for");
                }
                Err(GitHubError::Limited { .. } | GitHubError::Stopping) => break,
            }
        }
        self.report.doubts_settled = length(found.len() + gone.len());
        if !found.is_empty() {
            self.keep(&found, &[]).await?;
        }
        if !gone.is_empty() {
            info!(?gone, "repositories left the topic");
            self.parts.store.remove(self.lease, self.topic, &gone, self.parts.clock.now()).await?;
            self.report.removed += length(gone.len());
        }
        Ok(())
    }

    /// Notes why a run cannot go on.
    fn stop(&mut self, error: GitHubError) -> Result<(), StoreError> {
        match error {
            GitHubError::Store(error) => return Err(error),
            GitHubError::Limited { until } => self.report.retry_at = Some(until),
            GitHubError::Failed { .. } | GitHubError::Refused(_) | GitHubError::Stopping => {}
        }
        self.report.because(error.to_string());
        Ok(())
    }

    async fn finish(&mut self, shrunk: Option<(i64, DateTime<Utc>)>) -> Result<Outcome, StoreError> {
        self.report.quota_remaining = self.parts.store.quota(Bucket::Search).await?.remaining;
        let complete = self.report.reason.is_none();
        let outcome = match complete {
            true => Outcome::Complete,
            false if self.seen.is_empty() => Outcome::Failed,
            false => Outcome::Partial,
        };
        let confirmed = Confirmed {
            best_match: &self.best_match,
            total_count: self.report.total_count.unwrap_or_default(),
            found: self.report.found,
            floors: self.floors,
        };
        let finish = Finish { topic: self.topic, complete: complete.then_some(confirmed), shrunk };
        let overtaken = self.parts.store.finish(self.lease, &finish, self.parts.clock.now()).await?;
        self.report.removed += overtaken;
        Ok(outcome)
    }

    /// Whether what was found can be whole, compared with the last complete run. A result less than half as large makes
    /// the run partial and is remembered, until a later one agrees with it.
    fn judge(&mut self, state: &TopicState) -> Option<(i64, DateTime<Utc>)> {
        let now = self.parts.clock.now();
        let (found, before) = (self.report.found, state.found.unwrap_or(0));
        if self.report.skipped * SKIPPED_PER_FOUND > found {
            self.report.because(format!("{} of {found} items could not be read", self.report.skipped));
        }
        if self.report.reason.is_some() {
            return state.shrunk;
        }
        if found * 2 >= before {
            return None;
        }
        let agreeing = state.shrunk.filter(|(to, _)| (found - to).abs() * 10 <= *to);
        if agreeing.is_some_and(|(_, at)| now - at >= SHRINK_CONFIRMED_AFTER) {
            return None;
        }
        self.report
            .because(format!("GitHub showed {found} repositories where it showed {before} before; a later run must agree"));
        Some(agreeing.unwrap_or((found, now)))
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

fn oldest(repositories: &[Repository]) -> Option<DateTime<Utc>> {
    repositories.iter().map(|repository| repository.updated_at).min()
}

fn pages(queries: &[Query]) -> i64 {
    length(queries.iter().map(|query| query.depth.div_ceil(PER_PAGE)).sum())
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
