//! Starts refreshes, joins running ones, and keeps their leases.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{Instrument, error, info, info_span, warn};

use super::deletion::Deleter;
use super::publish::{ChangedTopics, Publisher};
use super::recorder::RunContext;
use super::{Dependencies, RunHandle, RunResult, all_topics, lease, topic};
use crate::model::quota::Resource;
use crate::model::run::{Outcome, RefreshRun, RunState, Trigger};
use crate::model::time::is_recent;
use crate::model::topic::{Topic, TopicState};
use crate::store::{BeginOutcome, Lease, NewRefresh, StoreError};
use crate::task::join;

/// How often a caller looks in the ledger for the end of a run, which may be another process's.
const POLL: Duration = Duration::from_millis(250);

/// How often a caller that waits for a run tries to begin it, in case the run's process has ended.
const TAKE_OVER_EVERY: Duration = Duration::from_secs(5);

/// Failures of the database in a row after which a caller no longer waits for a run.
const MAX_FAILURES: usize = 5;

/// Starts refreshes and waits for them. Cheap to clone.
#[derive(Clone)]
pub struct Refresher {
    dependencies: Arc<Dependencies>,
    publisher: Publisher,
    deleter: Deleter,
}

impl Refresher {
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies { store, tiers, clock, tasks, .. } = &dependencies;
        let publisher = Publisher::new(Arc::clone(store), tiers.clone(), Arc::clone(clock));
        let deleter = Deleter {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            publisher: publisher.clone(),
            tasks: tasks.clone(),
        };
        Self { dependencies: Arc::new(dependencies), publisher, deleter }
    }

    /// Spawns the task that retries lists that a cache did not take, until the service stops.
    pub fn spawn_publisher(&self) {
        let (publisher, stopping) = (self.publisher.clone(), self.dependencies.stopping.clone());
        let retry = async move { stopping.run_until_cancelled(publisher.retry()).await };
        self.dependencies.tasks.spawn(retry);
    }

    /// Starts a refresh of one topic, or of every tracked one, or joins the one that is running.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn start(
        &self,
        topic: Option<&Topic>,
        trigger: Trigger,
    ) -> Result<RunHandle, StoreError> {
        self.begin(None, None, topic, trigger).await
    }

    /// Starts or joins a refresh and waits for its end. The run goes on if the caller is dropped.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(
        &self,
        topic: Option<&Topic>,
        trigger: Trigger,
    ) -> Result<RunResult, StoreError> {
        self.run_to_end(None, topic, trigger).await
    }

    /// Refreshes every tracked topic if one of them is not complete or older than the schedule's
    /// period, or if the ledger's newest run has not ended, because its process may have died.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let Dependencies { store, clock, schedule, .. } = &*self.dependencies;
        let now = clock.now();
        let is_old = |time| !is_recent(time, schedule.period(now), now);
        let is_due = |state: &TopicState| {
            !state.is_unknown_to_github()
                && (!state.complete || state.refreshed_at.is_none_or(is_old))
        };
        let is_running = |run: &RefreshRun| run.state == RunState::Running;
        let is_due = store.topics().await?.iter().any(is_due);
        if is_due || store.refreshes(1).await?.iter().any(is_running) {
            self.refresh(None, Trigger::Schedule).await?;
        }
        Ok(())
    }

    /// Deletes a topic, the repositories that no other topic has, and its lists in every cache;
    /// false if it was not tracked. The deletion goes on if the caller is dropped.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_topic(&self, topic: &Topic) -> Result<bool, StoreError> {
        self.deleter.delete(topic).await
    }

    /// Adds to a running refresh the time that it still takes by GitHub's limits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn estimate(&self, refresh: &mut RefreshRun) -> Result<(), StoreError> {
        let Dependencies { store, clock, .. } = &*self.dependencies;
        if refresh.state == RunState::Running {
            let quota = store.quota(Resource::Search).await?;
            let left = refresh.report.requests_expected - refresh.report.requests;
            let time = quota.time_for(Resource::Search, left, clock.now());
            refresh.seconds_left = Some(time.num_seconds());
        }
        Ok(())
    }

    /// Returns when this process has published a list or ended a run, or after `POLL`: another
    /// process may have.
    pub async fn changed(&self) {
        let mut changed = self.publisher.subscribe();
        let _ = tokio::time::timeout(POLL, changed.changed()).await;
    }

    async fn begin(
        &self,
        parent: Option<i64>,
        awaited: Option<i64>,
        topic: Option<&Topic>,
        trigger: Trigger,
    ) -> Result<RunHandle, StoreError> {
        let (refresher, topic) = (self.clone(), topic.cloned());
        let begin = async move {
            let Dependencies { store, clock, owner, tasks, .. } = &*refresher.dependencies;
            let refresh = NewRefresh { topic: topic.as_ref(), parent, awaited, trigger, owner };
            let lease = match store.begin(&refresh, clock.now()).await? {
                BeginOutcome::Running(id) => return Ok(RunHandle { id, coalesced: true }),
                BeginOutcome::Started(lease) => lease,
            };
            let id = lease.refresh;
            let name = topic.as_ref().map_or("all", Topic::as_str);
            // The span has no parent, because a run outlives the request that started it.
            let span = info_span!(parent: None, "refresh", id, topic = name);
            tasks.spawn(refresher.clone().run(lease, topic, trigger).instrument(span));
            Ok(RunHandle { id, coalesced: false })
        };
        // Beginning has a task of its own. If a dropped caller could stop it between taking the
        // lease and starting the run, later callers would wait for the lease to expire.
        join(self.dependencies.tasks.spawn(begin)).await
    }

    async fn run_to_end(
        &self,
        parent: Option<i64>,
        topic: Option<&Topic>,
        trigger: Trigger,
    ) -> Result<RunResult, StoreError> {
        let first = self.begin(parent, None, topic, trigger).await?;
        let (mut current, mut failures) = (first, 0);
        loop {
            let ended = match tokio::time::timeout(TAKE_OVER_EVERY, self.end_of(current.id)).await {
                Ok(ended) => ended,
                // The run may have ended since the last look.
                Err(_) => {
                    let entry = self.dependencies.store.refresh(current.id).await.ok().flatten();
                    entry.filter(|run| run.state == RunState::Finished)
                }
            };
            if let Some(refresh) = ended {
                return Ok(RunResult { refresh, coalesced: first.coalesced });
            }
            // If the run's process has died and its lease has expired, the run begins anew here.
            // The same happens if its entry is so old that it was deleted.
            match self.begin(parent, Some(current.id), topic, trigger).await {
                Ok(handle) => (current, failures) = (handle, 0),
                Err(error) if failures == MAX_FAILURES => return Err(error),
                Err(error) => {
                    warn!(%error, "the database does not answer while a refresh is waited for");
                    failures += 1;
                }
            }
        }
    }

    /// Waits until the ledger has the end of a run; `None` if its entry was deleted. If the
    /// database does not answer, it is asked again.
    async fn end_of(&self, id: i64) -> Option<RefreshRun> {
        loop {
            let mut changed = self.publisher.subscribe();
            match self.dependencies.store.refresh(id).await {
                Ok(Some(run)) if run.state == RunState::Running => {}
                Ok(ended) => return ended,
                Err(error) => warn!(%error, "the ledger could not be read"),
            }
            let _ = tokio::time::timeout(POLL, changed.changed()).await;
        }
    }

    /// Boxed, because a run over all topics begins runs of topics, which are of the same type.
    fn run(self, lease: Lease, topic: Option<Topic>, trigger: Trigger) -> BoxFuture<'static, ()> {
        async move {
            let ended = match &topic {
                Some(topic) => self.run_topic(&lease, topic, trigger).await,
                None => self.run_all(&lease, trigger).await,
            };
            if let Err(error) = ended {
                if matches!(error, StoreError::LeaseLost) {
                    warn!(%error, "the refresh ends here");
                } else {
                    error!(%error, "the refresh could not be finished");
                }
                lease::give_up(&self.dependencies, &lease, &error).await;
                // The lists' headers now say that the last refresh was not complete.
                if let Some(topic) = &topic {
                    self.publisher.publish_or_retry(topic).await;
                }
            }
            self.publisher.notify();
        }
        .boxed()
    }

    async fn run_topic(
        &self,
        lease: &Lease,
        topic: &Topic,
        trigger: Trigger,
    ) -> Result<(), StoreError> {
        let Dependencies { store, github, clock, coverages, schedule, .. } = &*self.dependencies;
        // Without a state, the topic and its lease were deleted after the run began.
        let state = store.topic(topic).await?.ok_or(StoreError::LeaseLost)?;
        let began = clock.now();
        let run = RunContext {
            store: &**store,
            github,
            clock: &**clock,
            lease,
            topic,
            trigger,
            coverage: coverages.of(topic, state.origin),
            began,
            deadline: began + schedule.period(began),
        };
        let changed = ChangedTopics::new(topic.clone(), self.publisher.clone());
        let refresh = topic::refresh(&run, &state, &self.publisher, changed);
        let (outcome, report) = lease::while_renewing(&self.dependencies, lease, refresh).await?;
        match outcome {
            Outcome::Complete => info!(report = %report, "the topic was refreshed"),
            Outcome::Partial | Outcome::Failed => {
                let reason = report.reason.as_deref();
                warn!(report = %report, reason, "the topic's refresh is not complete");
            }
        }
        metrics::counter!("refreshes_total", "outcome" => <&str>::from(outcome)).increment(1);
        Ok(())
    }

    async fn run_all(&self, lease: &Lease, trigger: Trigger) -> Result<(), StoreError> {
        let parent = lease.refresh;
        let refresh = |topic: Topic| {
            let refresher = self.clone();
            async move {
                let result = refresher.run_to_end(Some(parent), Some(&topic), trigger).await?;
                Ok(result.refresh)
            }
        };
        let runs = all_topics::run(&self.dependencies, &self.deleter, refresh);
        let (outcome, report) = lease::while_renewing(&self.dependencies, lease, runs).await?;
        let Dependencies { store, clock, .. } = &*self.dependencies;
        store.end(lease, outcome, &report, clock.now()).await
    }
}
