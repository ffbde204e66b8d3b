//! Refreshes: one at a time for each topic, whoever rings, and never worse than before.

mod pages;
pub mod plan;
mod reading;
mod run;
mod slices;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use crate::cache::Tiers;
use crate::clock::Clock;
use crate::github::GitHub;
use crate::lists::Lists;
use crate::model::quota::Resource;
use crate::model::ranking::Ranking;
use crate::model::run::{Outcome, RefreshRun, Report, RunState, Trigger};
use crate::model::topic::{Coverages, Topic, TopicState, UNKNOWN_TOPIC_TIME};
use crate::schedule::Schedule;
use crate::store::{BeginOutcome, Lease, NewRefresh, SharedStore, StoreError, first_revision};
use crate::task::end_of;
use run::Run;

/// On-demand topics are forgotten when nobody has read them for so long.
const UNREAD_TIME: TimeDelta = TimeDelta::days(7);

/// Topics whose refreshes run side by side and share GitHub's limit in fair turns: a large one does
/// not hold up the rest.
const TOPICS_AT_ONCE: usize = 4;

/// A holder renews its lease well before [`crate::store::LEASE_TIME`] is over.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How soon lists that a cache did not take are offered again.
const PUBLISH_AGAIN: Duration = Duration::from_secs(1);

/// How soon a database that failed a refresh is told again that it is over.
const GIVE_UP_AGAIN: Duration = Duration::from_secs(1);

/// How often to look whether another process has finished the refresh we wait for.
const POLL: Duration = Duration::from_millis(250);

/// A database that did not answer so many times in a row is not waited for.
const MAX_FAILED_LOOKS: usize = 5;

/// How often to look whether that process is dead and the refresh ours.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// Starts refreshes and waits for them. Cheap to clone.
#[derive(Clone)]
pub struct Refresher(Arc<Parts>);

/// What refreshes work with.
pub struct Parts {
    /// Where everything is kept.
    pub store: SharedStore,
    /// Where new lists go.
    pub tiers: Tiers,
    /// Who is asked.
    pub github: GitHub,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// TOPICS.
    pub topics: Vec<Topic>,
    /// What is kept of each.
    pub coverages: Coverages,
    /// REFRESH_SCHEDULE; its period bounds waits.
    pub schedule: Schedule,
    /// This process, as the lease names it.
    pub owner: String,
    /// Refreshes that run.
    pub tasks: TaskTracker,
    /// Cancelled when the service stops: runs end at the next page.
    pub stopping: CancellationToken,
    /// Topics whose lists have not reached every tier.
    pub unpublished: Mutex<BTreeSet<Topic>>,
    /// Tells those who wait in this process that a list or a report is ready.
    pub news: watch::Sender<()>,
}

/// A refresh that was started, or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHandle {
    /// The ledger's entry.
    pub id: i64,
    /// Somebody else had started it.
    pub coalesced: bool,
}

/// The answer to whoever waited for a refresh.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// The report.
    #[serde(flatten)]
    pub refresh: RefreshRun,
    /// Somebody else had started it.
    pub coalesced: bool,
}

impl Refresher {
    /// A refresher of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Starts a refresh of one topic, or of every tracked one, or joins the one that runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn start(
        &self,
        topic: Option<&Topic>,
        cause: Trigger,
    ) -> Result<RunHandle, StoreError> {
        self.start_below(None, topic, cause).await
    }

    /// The same, and waits for its end. The refresh goes on when the caller does not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(
        &self,
        topic: Option<&Topic>,
        cause: Trigger,
    ) -> Result<RunResult, StoreError> {
        self.refresh_below(None, topic, cause).await
    }

    /// Refreshes every tracked topic unless all of them are whole and younger than the schedule's
    /// period: what a start does. A refresh that a dead process left behind is finished.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let oldest = now - self.0.schedule.period(now);
        let due =
            |state: &TopicState| !state.complete || state.refreshed_at.is_none_or(|at| at < oldest);
        let states = self.0.store.topics().await?;
        let mut due = states.iter().any(|state| !state.is_unknown_to_github() && due(state));
        due |=
            self.0.store.refreshes(1).await?.iter().any(|newest| newest.state == RunState::Running);
        if due {
            self.refresh(None, Trigger::Schedule).await?;
        }
        Ok(())
    }

    /// Forgets a topic, what only it kept, and its lists everywhere; false when it was not tracked.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget(&self, topic: &Topic) -> Result<bool, StoreError> {
        let (parts, topic) = (Arc::clone(&self.0), topic.clone());
        let forget = async move {
            let known = parts.store.forget(&topic, parts.clock.now()).await;
            // Should it have failed half-way, too.
            parts.publish_or_later(&topic).await;
            known
        };
        end_of(self.0.tasks.spawn(forget)).await
    }

    /// Publishes again what has not reached every tier, until the service stops. Always as the
    /// database has it then: what could not be published once may since be old.
    pub async fn keep_published(&self) {
        loop {
            tokio::time::sleep(PUBLISH_AGAIN).await;
            let unpublished =
                self.0.unpublished.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if unpublished.is_empty() || !self.0.tiers.take_lists().await {
                continue;
            }
            for topic in unpublished {
                if let Err(error) = self.0.publish(&topic).await {
                    warn!(%topic, %error, "the lists could not be published again");
                }
            }
        }
    }

    /// Adds to a refresh that runs how long it still takes by GitHub's limits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn estimate(&self, refresh: &mut RefreshRun) -> Result<(), StoreError> {
        if refresh.state == RunState::Running {
            let quota = self.0.store.quota(Resource::Search).await?;
            let left = refresh.report.requests_expected - refresh.report.requests;
            refresh.seconds_left =
                Some(quota.time_for(Resource::Search, left, self.0.clock.now()).num_seconds());
        }
        Ok(())
    }

    /// Returns when a list or a report has become ready in this process, or a moment later: it may
    /// be another's.
    pub async fn news(&self) {
        let mut news = self.0.news.subscribe();
        let _ = tokio::time::timeout(POLL, news.changed()).await;
    }

    async fn start_below(
        &self,
        parent: Option<i64>,
        topic: Option<&Topic>,
        cause: Trigger,
    ) -> Result<RunHandle, StoreError> {
        let (refresher, topic) = (self.clone(), topic.cloned());
        // A lease whose taker has left before its run began would keep everybody waiting.
        let begin = async move {
            let refresh =
                NewRefresh { topic: topic.as_ref(), parent, cause, owner: &refresher.0.owner };
            match refresher.0.store.begin(&refresh, refresher.0.clock.now()).await? {
                BeginOutcome::Running(id) => Ok(RunHandle { id, coalesced: true }),
                BeginOutcome::Started(lease) => {
                    let id = lease.refresh;
                    // Not below the request that rang: a refresh outlives it.
                    let span = info_span!(parent: None, "refresh", id, topic = topic.as_ref().map_or("all", Topic::as_str));
                    refresher
                        .0
                        .tasks
                        .spawn(refresher.clone().run(lease, topic, cause).instrument(span));
                    Ok(RunHandle { id, coalesced: false })
                }
            }
        };
        end_of(self.0.tasks.spawn(begin)).await
    }

    async fn refresh_below(
        &self,
        parent: Option<i64>,
        topic: Option<&Topic>,
        cause: Trigger,
    ) -> Result<RunResult, StoreError> {
        let first = self.start_below(parent, topic, cause).await?;
        let (mut joined, mut failures) = (first, 0);
        loop {
            let ended = match tokio::time::timeout(TAKE_OVER, self.ended(joined.id)).await {
                Ok(ended) => ended,
                // It may have ended since the last look.
                Err(_) => {
                    let last = self.0.store.refresh(joined.id).await.ok().flatten();
                    last.filter(|refresh| refresh.state == RunState::Finished)
                }
            };
            // An entry goes only when it is old: the next round starts anew.
            if let Some(refresh) = ended {
                return Ok(RunResult { refresh, coalesced: first.coalesced });
            }
            // Whoever died leaves its entry running: it is taken over here when its lease has
            // ended.
            match self.start_below(parent, topic, cause).await {
                Ok(again) => (joined, failures) = (again, 0),
                Err(error) if failures == MAX_FAILED_LOOKS => return Err(error),
                Err(error) => {
                    warn!(%error, "a refresh is waited for, and the database does not answer");
                    failures += 1;
                }
            }
        }
    }

    /// Waits until the ledger says that the refresh has ended; `None` when its entry is gone. A
    /// database that does not answer is asked again.
    async fn ended(&self, id: i64) -> Option<RefreshRun> {
        loop {
            let mut news = self.0.news.subscribe();
            match self.0.store.refresh(id).await {
                Ok(Some(refresh)) if refresh.state == RunState::Running => {}
                Ok(ended) => return ended,
                Err(error) => warn!(%error, "the ledger could not be read"),
            }
            let _ = tokio::time::timeout(POLL, news.changed()).await;
        }
    }

    /// Boxed, since a run over all topics starts runs of its own.
    fn run(self, lease: Lease, topic: Option<Topic>, cause: Trigger) -> BoxFuture<'static, ()> {
        async move {
            let ended = match &topic {
                Some(topic) => self.run_topic(&lease, topic, cause).await,
                None => self.run_all(&lease, cause).await,
            };
            if let Err(error) = ended {
                match error {
                    StoreError::LeaseLost => warn!(%error, "the refresh ends here"),
                    StoreError::Database(_) | StoreError::Migration(_) => {
                        error!(%error, "the refresh could not be finished")
                    }
                }
                self.give_up(&lease, &error).await;
                // Its lists say from now on that the last refresh was not complete.
                if let Some(topic) = &topic {
                    self.0.publish_or_later(topic).await;
                }
            }
            self.0.news.send_replace(());
        }
        .boxed()
    }

    /// Closes the entry of a run that the database failed, as soon as it answers again: whoever
    /// waits for the refresh would wait for ever.
    async fn give_up(&self, lease: &Lease, error: &StoreError) {
        let Parts { store, clock, stopping, .. } = &*self.0;
        let reason = match error {
            StoreError::LeaseLost => "its topic was forgotten, or another process has taken over",
            StoreError::Database(_) | StoreError::Migration(_) => "the database failed",
        };
        loop {
            let entry = store.refresh(lease.refresh).await.ok().flatten();
            let mut report = entry.map(|entry| entry.report).unwrap_or_default();
            report.because(reason);
            match store.end(lease, Outcome::Failed, &report, clock.now()).await {
                Ok(()) | Err(StoreError::LeaseLost) => return,
                Err(error) => warn!(%error, "the refresh could not be given up"),
            }
            let again = tokio::time::sleep(GIVE_UP_AGAIN);
            if stopping.run_until_cancelled(again).await.is_none() {
                return;
            }
        }
    }

    /// Every tracked topic, the longest unrefreshed first, each with an entry of its own below this
    /// one.
    async fn run_all(&self, lease: &Lease, cause: Trigger) -> Result<(), StoreError> {
        let Parts { store, clock, .. } = &*self.0;
        let now = clock.now();
        store.configure(&self.0.topics, now).await?;
        for topic in store.stale(now - UNREAD_TIME, now - UNKNOWN_TOPIC_TIME).await? {
            match self.forget(&topic).await {
                Ok(_) => info!(%topic, "forgotten: nobody asks for it"),
                Err(error) => {
                    error!(%topic, %error, "a topic that nobody asks for could not be forgotten")
                }
            }
        }
        let mut topics = store.topics().await?;
        topics.retain(|state| !state.is_unknown_to_github());
        topics.sort_by_key(|state| state.refreshed_at);
        let children =
            stream::iter(topics).map(|state| self.run_child(lease.refresh, state.topic, cause));
        let children = children.buffer_unordered(TOPICS_AT_ONCE).try_collect::<Vec<_>>();
        let mut children = self.while_renewing(lease, children).await??;
        children.sort_by_key(|(id, ..)| *id);
        let mut sum = Report::default();
        children.iter().for_each(|(_, _, report)| sum.add(report));
        let all = |wanted| children.iter().all(|(_, ended, _)| *ended == wanted);
        let outcome = match (all(Outcome::Complete), all(Outcome::Failed)) {
            (true, _) => Outcome::Complete,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Partial,
        };
        store.end(lease, outcome, &sum, clock.now()).await
    }

    /// One topic of a run over all: its entry, its outcome, and its report with the reason under
    /// the topic's name.
    async fn run_child(
        &self,
        parent: i64,
        topic: Topic,
        cause: Trigger,
    ) -> Result<(i64, Outcome, Report), StoreError> {
        if self.0.stopping.is_cancelled() {
            let reason = Some("the service is stopping".to_owned());
            return Ok((i64::MAX, Outcome::Partial, Report { reason, ..Report::default() }));
        }
        let RefreshRun { id, outcome, mut report, .. } =
            self.refresh_below(Some(parent), Some(&topic), cause).await?.refresh;
        report.reason = report.reason.map(|reason| format!("{topic}: {reason}"));
        Ok((id, outcome.unwrap_or(Outcome::Failed), report))
    }

    async fn run_topic(
        &self,
        lease: &Lease,
        topic: &Topic,
        cause: Trigger,
    ) -> Result<(), StoreError> {
        // Forgotten meanwhile, and its lease with it.
        let state = self.0.store.topic(topic).await?.ok_or(StoreError::LeaseLost)?;
        let run = Run::new(&self.0, lease, &state, cause);
        let (outcome, report) = self.while_renewing(lease, run.run(&state)).await??;
        match outcome {
            Outcome::Complete => info!(report = %report, "refreshed"),
            Outcome::Partial | Outcome::Failed => {
                warn!(report = %report, reason = report.reason, "refreshed in part")
            }
        }
        metrics::counter!("refreshes_total", "outcome" => <&str>::from(outcome)).increment(1);
        Ok(())
    }

    /// Does `work` and keeps the lease meanwhile; gives up when the lease is lost.
    async fn while_renewing<T>(
        &self,
        lease: &Lease,
        work: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let renewing = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                match self.0.store.renew(lease, self.0.clock.now()).await {
                    Err(StoreError::LeaseLost) => return StoreError::LeaseLost,
                    Err(error) => warn!(%error, "the lease could not be renewed"),
                    Ok(()) => {}
                }
            }
        };
        tokio::select! {
            done = work => Ok(done),
            lost = renewing => Err(lost),
        }
    }
}

impl Parts {
    /// Builds a topic's lists of what is stored and hands them to every tier; one that has no list
    /// now has none anywhere.
    async fn publish(&self, topic: &Topic) -> Result<(), StoreError> {
        let now = self.clock.now();
        let rows = self.store.rows(topic, &Ranking::ALL, now).await?;
        let everywhere = match rows {
            Some(rows) => self.tiers.publish(&Lists::build(rows).await).await,
            None => {
                let tracked_anew = self.store.topic(topic).await?.map(|state| state.revision);
                self.tiers.forget(topic, tracked_anew.unwrap_or_else(|| first_revision(now))).await
            }
        };
        let mut unpublished = self.unpublished.lock().unwrap_or_else(PoisonError::into_inner);
        if everywhere {
            unpublished.remove(topic);
        } else {
            unpublished.insert(topic.clone());
        }
        drop(unpublished);
        self.news.send_replace(());
        Ok(())
    }

    /// The same; what fails is tried again soon.
    async fn publish_or_later(&self, topic: &Topic) {
        if let Err(error) = self.publish(topic).await {
            warn!(%topic, %error, "the lists could not be published yet");
            self.unpublished.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone());
        }
    }
}
