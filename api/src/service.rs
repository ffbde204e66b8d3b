//! The service's parts, put together once and shared by the routes, the scheduler and the command
//! line.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::cache::{Cache, MemoryCache, RedisCache, Tiers};
use crate::clock::Clock;
use crate::config::{Config, DatabaseUrl};
use crate::github::GitHub;
use crate::read::Reader;
use crate::refresh::{Parts, Refresher};
use crate::store::{self, SharedStore, StoreError};

/// How long a stop may take; then whatever still runs is left behind, and the next start finishes
/// it.
pub(crate) const STOP_TIME: Duration = Duration::from_secs(20);

/// Everything that answers and works.
pub struct Service {
    /// The settings.
    pub config: Config,
    /// The database.
    pub store: SharedStore,
    /// The caches above it.
    pub tiers: Tiers,
    /// Serves lists.
    pub reader: Reader,
    /// Starts refreshes.
    pub refresher: Refresher,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the service is to stop.
    pub stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Service {
    /// Opens the database and puts the parts together. A database server that is down is no error
    /// here.
    ///
    /// # Errors
    /// When the SQLite file cannot be opened, in one line that names it.
    pub async fn new(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        let store = match &config.database {
            DatabaseUrl::Sqlite(path) => {
                let store = store::open(&config.database).await;
                let advice = || {
                    format!(
                        "cannot open {}; DATA_DIR or DATABASE_URL must name a place that can be written",
                        path.display()
                    )
                };
                let store = store.with_context(advice)?;
                let made = async {
                    store.bootstrap().await?;
                    store.configure(&config.topics, clock.now()).await
                };
                made.await
                    .with_context(|| format!("cannot make the schema in {}", path.display()))?;
                store
            }
            // Its schema is made by /bootstrap_db.
            DatabaseUrl::Postgres(_) => store::open(&config.database).await?,
        };
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let memory = Arc::new(MemoryCache::new(Arc::clone(&clock)));
        let mut tiers: Vec<Arc<dyn Cache>> = vec![Arc::<MemoryCache>::clone(&memory)];
        if let Some(address) = &config.redis {
            let (redis, pushes) =
                RedisCache::new(address.clone()).context("cannot use REDIS_URL")?;
            let redis = Arc::new(redis);
            tiers.push(Arc::<RedisCache>::clone(&redis));
            let stopping = stopping.clone();
            tokio::spawn(async move {
                stopping.run_until_cancelled(redis.watch(pushes, &memory)).await
            });
        }
        let tiers = Tiers::new(tiers);
        let github =
            GitHub::new(&config.github, Arc::clone(&store), Arc::clone(&clock), stopping.clone())
                .context("cannot prepare requests to GitHub")?;
        let refresher = Refresher::new(Parts {
            store: Arc::clone(&store),
            tiers: tiers.clone(),
            github,
            clock: Arc::clone(&clock),
            topics: config.topics.clone(),
            coverages: config.coverages.clone(),
            schedule: config.schedule.clone(),
            owner: format!("{}-{:08x}", std::process::id(), fastrand::u32(..)),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
            unpublished: Mutex::default(),
            news: watch::Sender::new(()),
        });
        let (publisher, stopping_publisher) = (refresher.clone(), stopping.clone());
        tokio::spawn(async move {
            stopping_publisher.run_until_cancelled(publisher.keep_published()).await
        });
        let reader = Reader::new(
            Arc::clone(&store),
            tiers.clone(),
            refresher.clone(),
            Arc::clone(&clock),
            &config.topics,
            config.on_demand_topics,
            tasks.clone(),
        );
        Ok(Arc::new(Self { config, store, tiers, reader, refresher, clock, stopping, tasks }))
    }

    /// Makes the schema or finds it there, and tracks TOPICS; true when the schema had to be made
    /// or changed.
    ///
    /// # Errors
    /// When the database does not answer or refuses.
    pub async fn bootstrap(&self) -> Result<bool, StoreError> {
        let made = self.store.bootstrap().await?;
        self.store.configure(&self.config.topics, self.clock.now()).await?;
        Ok(made)
    }

    /// The time until REFRESH_SCHEDULE rings next.
    #[must_use]
    pub fn until_next_refresh(&self) -> Duration {
        let now = self.clock.now();
        (self.config.schedule.next(now) - now).to_std().unwrap_or_default()
    }

    /// Waits for what runs to come to its end and closes the database.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIME, self.tasks.wait()).await.is_err() {
            warn!(
                seconds = STOP_TIME.as_secs(),
                "a refresh did not stop in time; the next start finishes it"
            );
        }
        self.store.close().await;
    }
}
