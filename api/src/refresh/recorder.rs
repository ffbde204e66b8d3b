//! The record of a run: the requests that it made, the rows that it stored, and its report.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tracing::warn;
use url::Url;

use super::plan::Query;
use super::publish::ChangedTopics;
use crate::clock::Clock;
use crate::github::{Deadline, GitHub, GitHubError, Observer, SearchPage, Usage};
use crate::model::quota::Priority;
use crate::model::repository::{Repository, RepositoryId};
use crate::model::run::{Plan, Report, Trigger};
use crate::model::topic::{Coverage, Topic};
use crate::store::{Lease, Page, Store, StoreError};

/// The facts of a run that do not change while it runs.
pub(super) struct RunContext<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) github: &'a GitHub,
    pub(super) clock: &'a dyn Clock,
    pub(super) lease: &'a Lease,
    pub(super) topic: &'a Topic,
    pub(super) trigger: Trigger,
    pub(super) coverage: Coverage,
    pub(super) began: DateTime<Utc>,
    /// No request is waited for beyond this.
    pub(super) deadline: DateTime<Utc>,
}

/// Shows the failures of a request in the ledger while the request is tried again.
struct Progress<'a> {
    run: &'a RunContext<'a>,
    /// As it was before the request.
    report: Report,
}

#[async_trait]
impl Observer for Progress<'_> {
    async fn failed(&self, usage: Usage, failure: &str) {
        let mut report = self.report.clone();
        report.set_usage(usage.requests, usage.retries, usage.waited_ms);
        report.last_failure = Some(failure.to_owned());
        let Self { run, .. } = self;
        if let Err(error) = run.store.note_progress(run.lease, &report, run.clock.now()).await {
            warn!(%error, "the refresh's progress could not be stored");
        }
    }
}

/// Makes a run's requests, stores the repositories that GitHub shows, and counts both in the
/// report.
pub(super) struct Recorder<'a> {
    pub(super) run: &'a RunContext<'a>,
    pub(super) report: Report,
    /// Topics whose lists may differ now. There may be several, because a repository has several.
    pub(super) changed: ChangedTopics,
    /// GitHub failed in a way that passes.
    pub(super) has_passing_failure: bool,
    usage: Usage,
    /// Every repository that GitHub has shown, unreadable ones included.
    shown: HashSet<RepositoryId>,
    unreadable: HashSet<RepositoryId>,
    /// Shown, but left out.
    private: HashSet<RepositoryId>,
    newest: Option<DateTime<Utc>>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(run: &'a RunContext<'a>, plan: Plan, changed: ChangedTopics) -> Self {
        Self {
            run,
            report: Report { plan: Some(plan), ..Report::default() },
            changed,
            has_passing_failure: false,
            usage: Usage::default(),
            shown: HashSet::new(),
            unreadable: HashSet::new(),
            private: HashSet::new(),
            newest: None,
        }
    }

    /// Notes whether a failure of GitHub's passes.
    pub(super) fn note_failure(&mut self, error: &GitHubError) {
        self.has_passing_failure |= error.is_passing();
    }

    /// The number of repositories that were left out because they are private.
    pub(super) fn private(&self) -> i64 {
        count(self.private.len())
    }

    /// The newest `updated_at` on the pages that were stored.
    pub(super) fn newest(&self) -> Option<DateTime<Utc>> {
        self.newest
    }

    /// Shows in the ledger that about this many requests are needed.
    pub(super) async fn announce(&mut self, requests: usize) -> Result<(), StoreError> {
        self.expect(requests);
        let run = self.run;
        run.store.note_progress(run.lease, &self.report, run.clock.now()).await
    }

    /// Notes that about this many requests are still needed.
    pub(super) fn expect(&mut self, requests: usize) {
        self.report.requests_expected = self.report.requests + count(requests);
    }

    pub(super) async fn search(
        &mut self,
        query: &Query,
        page: &Url,
    ) -> Result<SearchPage, GitHubError> {
        let run = self.run;
        let deadline = Deadline { priority: query.priority(run.trigger), until: run.deadline };
        let progress = Progress { run, report: self.report.clone() };
        let page = run.github.search(page, deadline, &mut self.usage, Some(&progress)).await;
        self.copy_usage();
        page
    }

    /// Asks GitHub for a repository by its id, unless that request would have to wait. `None` if it
    /// was deleted, made private or taken down.
    pub(super) async fn look_up(
        &mut self,
        id: RepositoryId,
    ) -> Result<Option<Repository>, GitHubError> {
        let now = self.run.clock.now();
        let deadline = Deadline { priority: Priority::Scheduled, until: now };
        let lookup = self.run.github.repository(id, deadline, &mut self.usage).await;
        self.copy_usage();
        Ok(lookup?.map(|item| {
            self.report.mended += count(item.mended);
            item.repository
        }))
    }

    fn copy_usage(&mut self) {
        let Usage { requests, retries, waited_ms } = self.usage;
        self.report.set_usage(requests, retries, waited_ms);
    }

    pub(super) async fn store_page(&mut self, page: &SearchPage) -> Result<(), StoreError> {
        let mut unreadable = Vec::new();
        for skipped in &page.skipped {
            warn!(id = skipped.id, reason = skipped.reason, "an item was skipped");
            // mutant in refreshes: unreadable items keep their places
            //     unreadable.extend(skipped.id) => ()
            unreadable.extend(skipped.id);
            // An item on the pages of several searches counts once.
            if skipped.id.is_none_or(|id| self.unreadable.insert(id)) {
                self.report.skip(skipped.clone());
            }
        }
        self.report.mended += count(page.mended);
        let updates = page.repositories.iter().map(|repository| repository.updated_at);
        self.newest = self.newest.max(updates.max());
        self.add_shown(&unreadable);
        self.store(&page.repositories, &unreadable).await
    }

    /// Stores repositories, and the run's report with them.
    pub(super) async fn store(
        &mut self,
        repositories: &[Repository],
        unreadable: &[RepositoryId],
    ) -> Result<(), StoreError> {
        let ids: Vec<RepositoryId> = repositories.iter().map(|repository| repository.id).collect();
        self.add_shown(&ids);
        let private = repositories.iter().filter(|repository| repository.private);
        self.private.extend(private.map(|repository| repository.id));
        // A private repository is for the token's owner alone, so it is not stored. An id must not
        // be twice in a statement; the later copy counts.
        let mut stored = HashSet::new();
        // mutant in refreshes: private repositories are not stored
        //     !repository.private && stored => stored
        let public = |repository: &&Repository| !repository.private && stored.insert(repository.id);
        let mut public: Vec<Repository> =
            repositories.iter().rev().filter(public).cloned().collect();
        public.reverse();
        let Self { run, report, .. } = self;
        let page = Page { repositories: &public, unreadable, coverage: run.coverage };
        let now = run.clock.now();
        let (counts, changed) =
            run.store.store_page(run.lease, run.topic, &page, report, now).await?;
        self.report.add_rows(counts);
        self.changed.extend(changed);
        Ok(())
    }

    /// Counts repositories as shown by this run.
    pub(super) fn add_shown(&mut self, ids: &[RepositoryId]) {
        self.shown.extend(ids);
        self.report.found = count(self.shown.len());
    }
}

/// A length as reports count it.
pub(super) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
