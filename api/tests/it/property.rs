//! A property test: no refresh makes the data worse, under random faults and kills.
//!
//! Each seed gives a world, changes of it, faults and kills, on a clock that jumps.
//! `PROPERTY_SEEDS=2000` runs more seeds, and `PROPERTY_SEED=123` runs one of them again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use api::app::App;
use api::clock::Clock;
use api::model::run::Trigger;
use api::model::topic::{Topic, TopicState};
use api::refresh::RunResult;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use github_stub::limits::Limit;
use github_stub::{Counters, FaultKind, Stub, World};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::databases::{self, Database};
use crate::support::{TestClock, config, install_tls_provider, items, stored_lists};

mod checks;
mod world;

const TOPIC: &str = "kubernetes";

/// If 500 seeds or more run, each kind of fault must occur this often, or the test proves nothing
/// about it.
const MIN_OCCURRENCES: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_never_worsens_the_data_under_random_faults_and_kills() {
    install_tls_provider();
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("PROPERTY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PROPERTY_SEEDS").unwrap_or(500),
    };
    let many = seeds.end - seeds.start >= 500;
    let runs = stream::iter(seeds).map(async |seed| {
        let run = tokio::spawn(async move { Simulation::start(seed).await.run().await });
        run.await.unwrap_or_else(|_| panic!("seed {seed}: PROPERTY_SEED={seed} repeats it"))
    });
    let occurrences =
        runs.buffer_unordered(2).fold(BTreeMap::<String, u64>::new(), async |mut all, one| {
            one.into_iter().for_each(|(kind, times)| *all.entry(kind).or_default() += times);
            all
        });
    let occurrences = occurrences.await;
    // The test runner does not hide this of a test that passes, as it hides `eprintln!`.
    let _ = writeln!(std::io::stderr(), "occurrences of each fault: {occurrences:?}");
    if many {
        let kinds = world::fault_kinds(&mut fastrand::Rng::with_seed(0))
            .iter()
            .map(FaultKind::name)
            .collect::<BTreeSet<_>>();
        for kind in kinds.into_iter().chain(["kill"]) {
            assert!(
                occurrences.get(kind) >= Some(&MIN_OCCURRENCES),
                "{kind} occurred too seldom: {occurrences:?}"
            );
        }
    }
}

/// The stored numbers of a repository. `updated` is in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct StoredNumbers {
    stars: i64,
    updated: i64,
}

/// The state of the service and the stub's counters at one time.
struct Observed {
    state: Option<TopicState>,
    stored: BTreeMap<u64, StoredNumbers>,
    /// The ids of the three lists, if the topic has lists.
    lists: Option<[Vec<u64>; 3]>,
    counters: Counters,
}

/// A runtime for one service. A drop stops all of its tasks at once, like SIGKILL.
pub(crate) struct KillableRuntime(pub(crate) Option<Runtime>);

impl KillableRuntime {
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.as_ref().expect("a running process").spawn(work)
    }
}

impl Drop for KillableRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Simulation {
    random: fastrand::Rng,
    topic: Topic,
    complete: bool,
    token: bool,
    clock: Arc<TestClock>,
    stub: Stub,
    database: Database,
    runtime: KillableRuntime,
    service: Arc<App>,
    kills: u64,
}

impl Simulation {
    async fn start(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let size = if random.u8(..8) == 0 { random.usize(480..720) } else { random.usize(1..260) };
        let mut world = World::generate(size, seed, TOPIC);
        world.settings.updated_by_push = random.u8(..4) == 0;
        if random.bool() {
            world.settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
            world.settings.core_limit = Some(Limit { with_token: 5_000, without_token: 60 });
        }
        let (complete, token) = (random.bool(), random.bool());
        let clock = TestClock::new();
        let stub_clock = Arc::clone(&clock);
        let stub = Stub::start_with_clock(world, Arc::new(move || stub_clock.now()))
            .await
            .expect("a free port");
        let database = databases::sqlite();
        let settings = settings(complete, token);
        let (runtime, service) = start_service(&stub, &database, &clock, &settings).await;
        let topic = TOPIC.parse().expect("a topic");
        Self { random, topic, complete, token, clock, stub, database, runtime, service, kills: 0 }
    }

    /// Runs some rounds and a recovery. Returns the occurrences of each kind of fault.
    async fn run(mut self) -> BTreeMap<String, u64> {
        for _ in 0..self.random.usize(2..5) {
            self.change_the_world();
            self.prepare_faults();
            let before = self.observe().await;
            if self.random.u8(..6) == 0 {
                self.kill_during_a_refresh(&before).await;
                let after = self.observe().await;
                self.check_lists(&after).await;
                self.check_losses(&before, &after);
            } else {
                let began = self.clock.now();
                let ended = self.refresh().await;
                let after = self.observe().await;
                self.check_lists(&after).await;
                self.check_refresh(&before, &after, &ended, began).await;
            }
            self.clock.advance(TimeDelta::minutes(self.random.i64(0..120)));
        }
        self.recover().await;
        let mut occurrences = std::mem::take(&mut self.stub.world().counters.faults);
        occurrences.insert("kill".to_owned(), self.kills);
        occurrences
    }

    async fn refresh(&mut self) -> RunResult {
        let (service, topic) = (Arc::clone(&self.service), self.topic.clone());
        let refresh = self
            .runtime
            .spawn(async move { service.refresher.refresh(Some(&topic), Trigger::Request).await });
        refresh.await.expect("no panic").expect("a database")
    }

    /// Starts a refresh, kills the service after some of the requests, and starts another one.
    async fn kill_during_a_refresh(&mut self, before: &Observed) {
        let after = self.random.u64(1..9);
        let (service, topic) = (Arc::clone(&self.service), self.topic.clone());
        let refresh = self.runtime.spawn(async move {
            service.refresher.refresh(Some(&topic), Trigger::Request).await.map(drop)
        });
        while !refresh.is_finished()
            && self.stub.world().counters.searches < before.counters.searches + after
        {
            tokio::task::yield_now().await;
        }
        self.kills += u64::from(!refresh.is_finished());
        self.runtime = KillableRuntime(None);
        let _ = refresh.await;
        let Self { stub, database, clock, complete, token, .. } = self;
        let settings = settings(*complete, *token);
        let (runtime, service) = start_service(stub, database, clock, &settings).await;
        (self.runtime, self.service) = (runtime, service);
        // The kill can come between a response with a limit and the write that stores the limit.
        let after = self.observe().await;
        let limited = occurrences(before, &after, "primary_limit")
            + occurrences(before, &after, "secondary_limit")
            > 0;
        self.clock.advance(if limited { TimeDelta::hours(3) } else { TimeDelta::seconds(70) });
    }

    async fn observe(&self) -> Observed {
        let state = self.service.store.topic(&self.topic).await.expect("a database");
        let lists = stored_lists(&*self.service.store, &self.topic).await;
        let lists = lists.map(|lists| {
            let ids = lists.iter().map(|list| {
                items(list).iter().map(|item| item["id"].as_u64().expect("an id")).collect()
            });
            ids.collect::<Vec<_>>().try_into().expect("three lists")
        });
        let counters = self.stub.world().counters.clone();
        Observed { state, stored: self.stored().await, lists, counters }
    }

    /// The topic's stored repositories by id.
    async fn stored(&self) -> BTreeMap<u64, StoredNumbers> {
        let rows = self.database.query(
            "SELECT id || ' ' || stargazers_count || ' ' || updated_at FROM topic_repositories
             JOIN repositories ON id = repository_id",
        );
        let rows = rows.await;
        let stored = rows.iter().map(|row| {
            let [id, stars, updated] =
                row.splitn(3, ' ').collect::<Vec<_>>().try_into().expect("three columns");
            let updated: DateTime<Utc> = updated.parse().expect("a date");
            let stars = stars.parse().expect("stars");
            let numbers = StoredNumbers { stars, updated: updated.timestamp() };
            (id.parse().expect("an id"), numbers)
        });
        stored.collect()
    }

    /// Without faults, a bounded number of refreshes makes the lists equal the world's again.
    async fn recover(&mut self) {
        {
            let mut world = self.stub.world();
            world.faults.clear();
            world.settings.drop.clear();
            world.settings.shuffle = None;
        }
        self.clock.advance(TimeDelta::days(1));
        let mut last = String::new();
        for _ in 0..15 {
            let (before, began) = (self.observe().await, self.clock.now());
            let ended = self.refresh().await;
            let after = self.observe().await;
            self.check_refresh(&before, &after, &ended, began).await;
            let Some(difference) = self.difference(&after) else { return };
            last = format!("{difference}: {:?}", ended.refresh.report);
            self.clock.advance(TimeDelta::minutes(61));
        }
        panic!("the lists differ from the world after 15 refreshes: {last}");
    }
}

/// The occurrences of a kind of fault between two observations.
fn occurrences(before: &Observed, after: &Observed, name: &str) -> u64 {
    let of = |observed: &Observed| observed.counters.faults.get(name).copied().unwrap_or_default();
    of(after) - of(before)
}

fn settings(complete: bool, token: bool) -> [(&'static str, &'static str); 2] {
    let coverage = if complete { "complete" } else { "top" };
    [("COVERAGE", coverage), ("GITHUB_TOKEN", if token { "some-token" } else { "" })]
}

/// Starts a service in its own runtime, which can be killed.
pub(crate) async fn start_service(
    stub: &Stub,
    database: &Database,
    clock: &Arc<TestClock>,
    settings: &[(&str, &str)],
) -> (KillableRuntime, Arc<App>) {
    let config = config(stub, database, settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let clock = Arc::<TestClock>::clone(clock);
    let service = runtime.spawn(async move {
        let service = App::new(config, clock).await.expect("a service");
        service.bootstrap().await.expect("a schema");
        service
    });
    let service = service.await.expect("no panic");
    (KillableRuntime(Some(runtime)), service)
}
