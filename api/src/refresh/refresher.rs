//! Starts refreshes, joins running ones, and keeps their leases.

mod wait;

use std::future::pending;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{Instrument, info, info_span, warn};

use super::deletion::Deleter;
use super::publish::{ChangedTopics, Publisher};
use super::recorder::RunContext;
use super::retry::{Retries, Target};
use super::{Dependencies, RunHandle, RunResult, all_topics, lease, topic};
use crate::model::quota::Resource;
use crate::model::run::{Outcome, RefreshRun, RunState, Trigger};
use crate::model::time::is_recent;
use crate::model::topic::{Topic, TopicState};
use crate::store::{BeginOutcome, Lease, NewRefresh, StoreError};
use crate::task::join;
use crate::telemetry::{REFRESH_DURATION, REFRESHES};

/// The least time that a run has for its requests, however short the schedule's period: GitHub's
/// lowest limit lets four topics kept as `top` end side by side in seven minutes.
const SHORTEST_TIME: TimeDelta = TimeDelta::minutes(10);

/// Starts refreshes and waits for them. Cheap to clone.
#[derive(Clone)]
pub struct Refresher {
    dependencies: Arc<Dependencies>,
    publisher: Publisher,
    deleter: Deleter,
    retries: Retries,
}

impl Refresher {
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies { store, tiers, clock, purger, tasks, .. } = &dependencies;
        let publisher = Publisher::new(Arc::clone(store), tiers.clone(), Arc::clone(clock));
        let deleter = Deleter {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            publisher: publisher.clone(),
            purger: purger.clone(),
            tasks: tasks.clone(),
        };
        let (dependencies, retries) = (Arc::new(dependencies), Retries::default());
        Self { dependencies, publisher, deleter, retries }
    }

    /// Spawns the task that retries lists that a cache did not take, until the service stops.
    pub fn spawn_publisher(&self) {
        let (refresher, stopping) = (self.clone(), self.dependencies.stopping.clone());
        self.dependencies.tasks.spawn(async move {
            let retry = refresher.publisher.retry(|| refresher.wake_purger());
            stopping.run_until_cancelled(retry).await;
        });
    }

    /// Spawns the task that retries refreshes that failed for a reason that passes, until the
    /// service stops. Without it, they wait for the next trigger.
    pub fn spawn_retries(&self) {
        let (refresher, retries) = (self.clone(), self.retries.clone());
        let stopping = self.dependencies.stopping.clone();
        self.dependencies.tasks.spawn(async move {
            let retry = |target| refresher.clone().retry(target);
            stopping.run_until_cancelled(retries.run(retry)).await;
        });
    }

    /// Spawns [`run_purger`](Self::run_purger), until the service stops.
    pub fn spawn_purger(&self) {
        let (refresher, stopping) = (self.clone(), self.dependencies.stopping.clone());
        self.dependencies.tasks.spawn(async move {
            stopping.run_until_cancelled(refresher.run_purger::<()>()).await;
        });
    }

    /// Purges the CDN's answers that each run changes. Never returns.
    pub async fn run_purger<T>(&self) -> T {
        match &self.dependencies.purger {
            Some(purger) => purger.run().await,
            None => pending().await,
        }
    }

    /// Purges the CDN's answers that were changed, for a process that ends then.
    pub async fn purge(&self) {
        if let Some(purger) = &self.dependencies.purger {
            purger.purge().await;
        }
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

    /// Deletes a topic and its lists in every cache; false if it was not tracked. The deletion goes
    /// on if the caller is dropped.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_topic(
        &self,
        topic: &Topic,
        keep_history: bool,
    ) -> Result<bool, StoreError> {
        let deleted = self.deleter.delete(topic, keep_history).await;
        self.wake_purger();
        deleted
    }

    /// Hands the present lists of these topics to every cache.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn publish(&self, topics: &[Topic]) -> Result<(), StoreError> {
        for topic in topics {
            self.publisher.publish(topic).await?;
        }
        Ok(())
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
            let run = refresher.clone().run(lease, topic, trigger).instrument(span);
            let refresher = refresher.clone();
            tasks.spawn(async move {
                run.await;
                // A run over all topics may last for hours, so each topic's own run wakes it.
                refresher.wake_purger();
            });
            Ok(RunHandle { id, coalesced: false })
        };
        // Beginning has a task of its own. If a dropped caller could stop it between taking the
        // lease and starting the run, later callers would wait for the lease to expire.
        let began = join(self.dependencies.tasks.spawn(begin)).await;
        if began.is_err() && awaited.is_none() {
            count_run(Outcome::Failed);
        }
        began
    }

    fn wake_purger(&self) {
        if let Some(purger) = &self.dependencies.purger {
            purger.wake();
        }
    }

    /// Runs a refresh again. A topic that was deleted, or that GitHub knows nothing of, needs none.
    async fn retry(self, target: Target) {
        if let Some(topic) = &target
            && let Ok(state) = self.dependencies.store.topic(topic).await
            && state.is_none_or(|state| state.is_unknown_to_github())
        {
            return;
        }
        if let Err(error) = self.run_to_end(None, target.as_ref(), Trigger::Schedule).await {
            warn!(%error, "the refresh could not be started again");
        }
    }

    /// Notes that a refresh failed for a reason that passes.
    fn retry_later(&self, topic: Option<&Topic>) {
        let Dependencies { clock, schedule, .. } = &*self.dependencies;
        let now = clock.now();
        let until_next = (schedule.next(now) - now).to_std().unwrap_or_default();
        self.retries.add(topic.cloned(), until_next);
    }

    /// Boxed, because a run over all topics begins runs of topics, which are of the same type.
    fn run(self, lease: Lease, topic: Option<Topic>, trigger: Trigger) -> BoxFuture<'static, ()> {
        async move {
            let is_passing = match &topic {
                Some(topic) => self.run_topic(&lease, topic, trigger).await,
                None => self.run_all(&lease, trigger).await.map(|()| false),
            };
            let is_passing = match is_passing {
                Ok(is_passing) => is_passing,
                Err(error) => self.give_up(&lease, topic.as_ref(), error).await,
            };
            if is_passing {
                self.retry_later(topic.as_ref());
            } else {
                self.retries.remove(&topic);
            }
            self.publisher.notify();
        }
        .boxed()
    }

    /// Ends a run that the database failed. Returns whether that passes: a lost lease does not.
    async fn give_up(&self, lease: &Lease, topic: Option<&Topic>, error: StoreError) -> bool {
        count_run(Outcome::Failed);
        lease::give_up(&self.dependencies, lease, &error).await;
        // The lists' headers now say that the last refresh was not complete.
        if let Some(topic) = topic {
            self.publisher.publish_or_retry(topic).await;
        }
        !matches!(error, StoreError::LeaseLost)
    }

    /// Returns whether the run is not complete for a reason that passes.
    async fn run_topic(
        &self,
        lease: &Lease,
        topic: &Topic,
        trigger: Trigger,
    ) -> Result<bool, StoreError> {
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
            deadline: began + schedule.period(began).max(SHORTEST_TIME),
        };
        let changed = ChangedTopics::new(topic.clone(), self.publisher.clone());
        let refresh = topic::refresh(&run, &state, &self.publisher, changed);
        let ended = lease::while_renewing(&self.dependencies, lease, refresh).await?;
        let topic::Ended { outcome, report, is_passing } = ended;
        match outcome {
            Outcome::Complete => info!(report = %report, "the topic was refreshed"),
            Outcome::Partial | Outcome::Failed => {
                let reason = report.reason.as_deref();
                warn!(report = %report, reason, "the topic's refresh is not complete");
            }
        }
        count_run(outcome);
        let took = (clock.now() - began).as_seconds_f64();
        metrics::histogram!(REFRESH_DURATION).record(took);
        Ok(is_passing)
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

/// Counts a run of a topic, or a run over all of them that could not begin or end.
fn count_run(outcome: Outcome) {
    metrics::counter!(REFRESHES, "outcome" => <&str>::from(outcome)).increment(1);
}
