//! One refresh of one topic: searches, doubts, and the transaction that ends it.

use std::collections::{BTreeSet, HashSet};
use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::Parts;
use super::plan::{Query, SEARCH_CAP};
use super::reading::Reading;
use crate::github::{Deadline, GitHubError, Lookup, PER_PAGE, Sort};
use crate::model::list::LIST_LENGTH;
use crate::model::quota::{Priority, Resource};
use crate::model::repository::RepositoryId;
use crate::model::run::{Outcome, Plan, Report, Trigger};
use crate::model::time::rfc3339;
use crate::model::topic::{Coverage, SyncCursor, Topic, TopicState};
use crate::store::{CompleteRun, FinishRun, Lease, Scope, StoreError};

/// Questions about single repositories in one run.
const MAX_DOUBTS: i64 = 50;

/// After so many that failed the others wait for the next run: lists are not published before.
const MAX_FAILED_QUESTIONS: usize = 3;

/// A result that shrank by more than half counts once a later one, at least so much later, agrees
/// within a tenth.
const SHRINK_CONFIRMED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// One skipped item in so many is no fault of the refresh. Nor is one missing, and one more in so
/// many that GitHub counts, since it counts at another time than it shows.
const TOLERATED_OF: i64 = 100;

/// A refresh at work.
pub(super) struct Run<'a> {
    pub(super) parts: &'a Parts,
    pub(super) lease: &'a Lease,
    pub(super) topic: &'a Topic,
    pub(super) cause: Trigger,
    coverage: Coverage,
    plan: Plan,
    pub(super) began: DateTime<Utc>,
    /// No waiting beyond this.
    pub(super) deadline: DateTime<Utc>,
    pub(super) report: Report,
    /// Every repository that the run has shown, unreadable ones included.
    pub(super) seen: HashSet<RepositoryId>,
    /// Those that could not be read.
    pub(super) unreadable: HashSet<RepositoryId>,
    pub(super) best_match: Vec<RepositoryId>,
    /// What the searches should show.
    scope: Scope,
    /// What the next run may build on, should this one not end complete.
    covered: SyncCursor,
    pub(super) newest: Option<DateTime<Utc>>,
    /// Topics whose lists may differ now: repositories have several topics.
    pub(super) touched: BTreeSet<Topic>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        parts: &'a Parts,
        lease: &'a Lease,
        state: &'a TopicState,
        cause: Trigger,
    ) -> Self {
        let began = parts.clock.now();
        let coverage = parts.coverages.of(&state.topic, state.origin);
        let plan = Plan::of(coverage, state, began);
        Self {
            parts,
            lease,
            topic: &state.topic,
            cause,
            coverage,
            plan,
            began,
            deadline: began + parts.schedule.period(began),
            report: Report { plan: Some(plan), ..Report::default() },
            seen: HashSet::new(),
            unreadable: HashSet::new(),
            best_match: Vec::new(),
            scope: if coverage == Coverage::Top {
                Scope::First(LIST_LENGTH as i64)
            } else {
                Scope::All
            },
            covered: state.covered,
            newest: None,
            touched: BTreeSet::from([state.topic.clone()]),
        }
    }

    /// Refreshes. What goes wrong with GitHub is in the report; an error is the database's, and
    /// leaves the old lists.
    pub(super) async fn run(mut self, state: &TopicState) -> Result<(Outcome, Report), StoreError> {
        if let Err(error) = self.search(state).await {
            self.stop(error)?;
        }
        let size = self.size();
        let shrunk = self.judge(state, size);
        if self.report.reason.is_none() {
            self.settle_doubts().await?;
        }
        let outcome = self.finish(size, shrunk).await?;
        for topic in std::mem::take(&mut self.touched) {
            self.parts.publish_or_later(&topic).await;
        }
        // Last, so that whoever waits for the refresh finds its lists.
        self.parts.store.end(self.lease, outcome, &self.report, self.parts.clock.now()).await?;
        Ok((outcome, std::mem::take(&mut self.report)))
    }

    /// Makes the plan's searches and stores what they show.
    async fn search(&mut self, state: &TopicState) -> Result<(), GitHubError> {
        self.expect(match self.plan {
            Plan::Top => 3 * LIST_LENGTH.div_ceil(PER_PAGE),
            Plan::Complete | Plan::Changed => LIST_LENGTH.div_ceil(PER_PAGE) + 1,
        });
        let best_match = self.attempt(&Query::first(self.topic, Sort::BestMatch)).await?;
        if let Some(reading) = best_match {
            let shows_all = self.shows_all(&reading, state);
            // Where best match is all there is, the list comes with the end of the run, unless that
            // cannot be complete.
            if state.modified_at.is_none()
                && (!shows_all || self.report.reason.is_some())
                && !self.best_match.is_empty()
            {
                self.first_list().await?;
            }
            if shows_all {
                self.expect(0);
                return Ok(());
            }
        }
        match (self.plan, state.covered.changes_until) {
            (Plan::Top, _) => self.read_top().await,
            (Plan::Changed, Some(since)) => self.read_only_changes(since).await,
            (Plan::Complete | Plan::Changed, _) => self.read_slices().await,
        }
    }

    /// Best match shows a topic that is no larger than a list whole, and other queries would show
    /// the same again. A count that fell far below the last one is not believed without them.
    fn shows_all(&self, best_match: &Reading, state: &TopicState) -> bool {
        let total = best_match.total_count;
        let believed = total <= LIST_LENGTH as i64 && total * 2 >= state.found.unwrap_or(0);
        believed
            && (self.coverage == Coverage::Top
                || (!best_match.lacks_some() && best_match.fault.is_none()))
    }

    /// The first of the two rankings that are not GitHub's own.
    async fn read_top(&mut self) -> Result<(), GitHubError> {
        for sort in [Sort::Stars, Sort::Updated] {
            self.attempt(&Query::first(self.topic, sort)).await?;
        }
        Ok(())
    }

    /// Only what changed since then. Where stars are not among what such a search shows first, only
    /// all slices have them.
    async fn read_only_changes(&mut self, since: DateTime<Utc>) -> Result<(), GitHubError> {
        if self.read_changes(since).await? {
            self.scope = Scope::Since {
                updated_at: since,
                confirmed_at: self.covered.covered_at.unwrap_or(since),
            };
            return Ok(());
        }
        self.plan = Plan::Complete;
        self.report.plan = Some(self.plan);
        self.read_slices().await
    }

    /// What changed since then; a star changes `updated_at` too. False where the search went by the
    /// last push instead: then it may have shown anything.
    pub(super) async fn read_changes(&mut self, since: DateTime<Utc>) -> Result<bool, GitHubError> {
        let Some(reading) = self.attempt(&Query::since(self.topic, since)).await? else {
            return Ok(true);
        };
        if reading.is_by_push() {
            return Ok(false);
        }
        if reading.oldest.is_some_and(|oldest| oldest >= since) && reading.total_count > SEARCH_CAP
        {
            self.covered.covered_at = None;
            self.report.because(format!(
                "more than {SEARCH_CAP} repositories changed since {}: the next run reads every one",
                rfc3339(since)
            ));
        }
        Ok(true)
    }

    /// Serves a new topic from its best match while the rest is still being read.
    async fn first_list(&mut self) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        let (lease, total_count) = (self.lease, self.report.total_count);
        self.parts.store.first_list(lease, self.topic, &self.best_match, total_count, now).await?;
        self.parts.publish(self.topic).await
    }

    /// So many requests are still needed, as far as known.
    pub(super) fn expect(&mut self, requests: usize) {
        self.report.requests_expected = self.report.requests + length(requests);
    }

    /// Asks for repositories that should have been shown: GitHub drops some now and then. Those
    /// that cannot be asked for now keep their places until they can.
    async fn settle_doubts(&mut self) -> Result<(), StoreError> {
        let store = &self.parts.store;
        let doubts = store.doubts(self.lease, self.topic, self.scope, MAX_DOUBTS).await?;
        let (mut found, mut gone, mut failures) = (Vec::new(), Vec::new(), 0);
        for id in doubts {
            if failures == MAX_FAILED_QUESTIONS || self.parts.clock.now() >= self.deadline {
                break;
            }
            let patience = Deadline { pace: Priority::Scheduled, until: self.parts.clock.now() };
            match self.parts.github.repository(id, patience, &mut self.report).await {
                Ok(Lookup::Found(repository))
                    if !repository.private && repository.has_topic(self.topic.as_str()) =>
                {
                    found.push(*repository);
                }
                Ok(Lookup::Found(_) | Lookup::Gone) => gone.push(id),
                Err(GitHubError::Store(error)) => return Err(error),
                Err(error @ (GitHubError::Failed { .. } | GitHubError::Refused(_))) => {
                    warn!(id, %error, "a repository in doubt could not be asked for");
                    failures += 1;
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

    async fn finish(
        &mut self,
        size: i64,
        shrunk: Option<(i64, DateTime<Utc>)>,
    ) -> Result<Outcome, StoreError> {
        self.report.quota_remaining = self.parts.store.quota(Resource::Search).await?.remaining;
        let complete = self.report.reason.is_none();
        let outcome = match complete {
            true => Outcome::Complete,
            false if self.seen.is_empty() => Outcome::Failed,
            false => Outcome::Partial,
        };
        let confirmed = CompleteRun {
            best_match: &self.best_match,
            total_count: self.report.total_count.unwrap_or_default(),
            found: size,
            scope: self.scope,
        };
        if complete {
            self.covered = match (self.coverage, self.plan, self.covered.covered_at) {
                (Coverage::Top, ..) => SyncCursor::default(),
                (Coverage::Complete, Plan::Changed, Some(covered_at)) => {
                    SyncCursor::after(covered_at, self.began, self.newest)
                }
                (Coverage::Complete, ..) => SyncCursor::after(self.began, self.began, self.newest),
            };
        }
        let finish = FinishRun {
            topic: self.topic,
            complete: complete.then_some(confirmed),
            shrunk,
            covered: self.covered,
        };
        let overtaken =
            self.parts.store.finish(self.lease, &finish, self.parts.clock.now()).await?;
        self.report.removed += overtaken;
        Ok(outcome)
    }

    /// How large the topic is by this run: what was found, or, where that is only what changed,
    /// what GitHub counts.
    fn size(&self) -> i64 {
        match self.plan {
            Plan::Changed => self.report.total_count.unwrap_or(0),
            Plan::Top | Plan::Complete => self.report.found,
        }
    }

    /// Whether the result can be whole, compared with the last complete run's. One less than half
    /// as large makes the run partial and is remembered, until a later one agrees with it.
    fn judge(&mut self, state: &TopicState, size: i64) -> Option<(i64, DateTime<Utc>)> {
        let now = self.parts.clock.now();
        // The top of a topic is smaller than all of it.
        let comparable = self.coverage == Coverage::Complete || state.covered.covered_at.is_none();
        let before = state.found.filter(|_| comparable).unwrap_or(0);
        if self.report.skipped * TOLERATED_OF > self.report.found {
            let (skipped, found) = (self.report.skipped, self.report.found);
            self.report.because(format!("{skipped} of {found} items could not be read"));
        }
        let counted = self.report.total_count.unwrap_or(0);
        if self.plan == Plan::Complete && (counted - size - 1) * TOLERATED_OF > counted {
            self.report.because(format!("GitHub counts {counted} repositories and showed {size}"));
        }
        if self.report.reason.is_some() {
            return state.shrunk;
        }
        if size * 2 >= before {
            return None;
        }
        let agreeing = state.shrunk.filter(|(to, _)| (size - to).abs() * 10 <= *to);
        if agreeing.is_some_and(|(_, at)| now - at >= SHRINK_CONFIRMED_AFTER) {
            return None;
        }
        self.report.because(format!("GitHub showed {size} repositories where it showed {before} before; a later run must agree"));
        Some(agreeing.unwrap_or((size, now)))
    }
}

impl Drop for Run<'_> {
    /// What a run has stored is published however the run ends.
    fn drop(&mut self) {
        self.parts
            .unpublished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut self.touched);
    }
}

/// A length as the reports count.
pub(super) fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
