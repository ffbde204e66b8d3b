//! The parts of the service, put together once and shared by routes, scheduler and command line.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::cache::{Cache, MemoryCache, RedisCache, Tiers};
use crate::clock::Clock;
use crate::config::Config;
use crate::github::GitHub;
use crate::purge::Purger;
use crate::read::{Documents, Exports, FeedReader, Loader, OnDemand, Reader};
use crate::refresh::{Dependencies, Refresher};
use crate::store::{self, DatabaseUrl, Share, SharedStore, StoreError};

/// The longest time that a stop may take. The next start finishes the refreshes that still run
/// then.
pub(crate) const STOP_TIME: Duration = Duration::from_secs(20);

/// The pause between two trial writes, and the longest time of one.
const TRIAL_PAUSE: Duration = Duration::from_secs(1);
const TRIAL_TIME: Duration = Duration::from_secs(2);

/// The pause between two measures of the standby's lag.
const MEASURE_PAUSE: Duration = Duration::from_secs(1);

pub struct App {
    pub config: Config,
    /// The store by the connections of lists.
    pub store: SharedStore,
    /// The store by the connections of other reads.
    pub public: SharedStore,
    pub tiers: Tiers,
    pub reader: Reader,
    pub documents: Documents,
    pub exports: Exports,
    pub feeds: FeedReader,
    pub refresher: Refresher,
    pub github: GitHub,
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the service is to stop.
    pub stopping: CancellationToken,
    /// Work that a stop waits for.
    tasks: TaskTracker,
}

impl App {
    /// Opens the database and puts the parts together. A database server that is down is no error
    /// here.
    ///
    /// # Errors
    /// When the SQLite file cannot be opened, in one line that names it.
    pub async fn new(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        let store = open_store(&config, &*clock).await?;
        Self::with_store(config, store, clock)
    }

    /// Puts the parts together over an open database, whose connections are those of refreshes.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn with_store(
        config: Config,
        refreshing: SharedStore,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<Self>> {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (store, public) = (refreshing.share(Share::Lists), refreshing.share(Share::Public));
        let tiers = open_tiers(&config, &clock, &tasks, &stopping)?;
        let (github, purger) = open_clients(&config, &refreshing, &clock, &stopping)?;
        let refresher = Refresher::new(Dependencies {
            store: refreshing,
            tiers: tiers.clone(),
            github: github.clone(),
            purger,
            clock: Arc::clone(&clock),
            topics: config.topics.clone(),
            coverages: config.coverages.clone(),
            schedule: config.schedule.clone(),
            owner: format!("{}-{:08x}", std::process::id(), fastrand::u32(..)),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        });
        refresher.spawn_publisher();
        let loader = Loader::new(
            Arc::clone(&store),
            Arc::clone(&public),
            tiers.clone(),
            Arc::clone(&clock),
            tasks.clone(),
        );
        let on_demand = OnDemand::new(
            Arc::clone(&store),
            loader.clone(),
            refresher.clone(),
            Arc::clone(&clock),
            &config.topics,
            config.on_demand_topics,
            tasks.clone(),
        );
        let reader =
            Reader::new(tiers.clone(), loader, on_demand, Arc::clone(&public), tasks.clone());
        let documents = Documents::new(Arc::clone(&clock), tasks.clone());
        Ok(Arc::new(Self {
            exports: Exports::new(Arc::clone(&public), tasks.clone()),
            feeds: FeedReader::new(Arc::clone(&public), documents.clone()),
            config,
            store,
            public,
            tiers,
            reader,
            documents,
            refresher,
            github,
            clock,
            stopping,
            tasks,
        }))
    }

    /// Makes the schema, or finds it there, and tracks TOPICS; true if the schema was made or
    /// changed.
    ///
    /// # Errors
    /// When the database does not answer or refuses.
    pub async fn bootstrap(&self) -> Result<bool, StoreError> {
        let made = self.store.bootstrap().await?;
        self.store.configure(&self.config.topics, self.clock.now()).await?;
        Ok(made)
    }

    /// Spawns the task that tries a write while writes fail, until the service stops: the next real
    /// one may be hours away, or another replica's.
    pub(crate) fn spawn_trial_writes(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let stopping = self.stopping.clone();
        let trials = async move {
            loop {
                tokio::time::sleep(TRIAL_PAUSE).await;
                if store.failing_writes().is_some() {
                    // The store keeps the result.
                    let trial = store.try_write(clock.now());
                    let _ = tokio::time::timeout(TRIAL_TIME, trial).await;
                }
            }
        };
        self.tasks.spawn(async move { stopping.run_until_cancelled(trials).await });
    }

    /// Spawns the task that measures how far the standby is behind, until the service stops.
    pub(crate) fn spawn_measures_of_standby(&self) {
        let (store, stopping) = (Arc::clone(&self.store), self.stopping.clone());
        let measures = async move {
            while store.standby().is_some() {
                store.measure_standby().await;
                tokio::time::sleep(MEASURE_PAUSE).await;
            }
        };
        self.tasks.spawn(async move { stopping.run_until_cancelled(measures).await });
    }

    /// The time until the next refresh of REFRESH_SCHEDULE.
    #[must_use]
    pub fn until_next_refresh(&self) -> Duration {
        let now = self.clock.now();
        (self.config.schedule.next(now) - now).to_std().unwrap_or_default()
    }

    /// Waits until running work has ended, and closes the database.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIME, self.tasks.wait()).await.is_err() {
            let seconds = STOP_TIME.as_secs();
            warn!(seconds, "a refresh did not stop in time; the next start finishes it");
        }
        self.store.close().await;
    }
}

/// Opens the database. SQLite's schema is made here, PostgreSQL's by `/bootstrap_db`.
async fn open_store(config: &Config, clock: &dyn Clock) -> anyhow::Result<SharedStore> {
    let DatabaseUrl::Sqlite(path) = &config.database else {
        return Ok(store::open(&config.database).await?);
    };
    let path = path.display();
    let store = store::open(&config.database).await.with_context(|| {
        format!("cannot open {path}; DATA_DIR or DATABASE_URL must name a place that is writable")
    })?;
    let cannot_make = || format!("cannot make the schema in {path}");
    store.bootstrap().await.with_context(cannot_make)?;
    store.configure(&config.topics, clock.now()).await.with_context(cannot_make)?;
    Ok(store)
}

/// The client of GitHub, and that of the CDN if PURGE_URL is set.
fn open_clients(
    config: &Config,
    store: &SharedStore,
    clock: &Arc<dyn Clock>,
    stopping: &CancellationToken,
) -> anyhow::Result<(GitHub, Option<Purger>)> {
    let github =
        GitHub::new(&config.github, Arc::clone(store), Arc::clone(clock), stopping.clone());
    let purger = config.purge.as_ref();
    let purger = purger.map(|purge| Purger::new(purge, Arc::clone(store), Arc::clone(clock)));
    Ok((
        github.context("cannot prepare requests to GitHub")?,
        purger.transpose().context("cannot prepare requests to PURGE_URL")?,
    ))
}

/// Memory, and Redis below it if REDIS_URL is set.
fn open_tiers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) -> anyhow::Result<Tiers> {
    let memory = Arc::new(MemoryCache::new(Arc::clone(clock)));
    let mut tiers: Vec<Arc<dyn Cache>> = vec![Arc::<MemoryCache>::clone(&memory)];
    if let Some(address) = &config.redis {
        let (redis, pushes) = RedisCache::new(address.clone()).context("cannot use REDIS_URL")?;
        let redis = Arc::new(redis);
        tiers.push(Arc::<RedisCache>::clone(&redis));
        let stopping = stopping.clone();
        tasks.spawn(async move {
            stopping.run_until_cancelled(redis.watch(pushes, &memory)).await;
        });
    }
    Ok(Tiers::new(tiers))
}
