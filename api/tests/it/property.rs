//! Never worse than before, whatever happens: seeded worlds, faults and kills on a clock that
//! jumps.
//!
//! `PROPERTY_SEEDS=2000` tries more; `PROPERTY_SEED=123` tries one again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::clock::Clock;
use api::model::ranking::Ranking;
use api::model::run::{Outcome, Trigger};
use api::model::topic::{Topic, TopicState};
use api::refresh::RunResult;
use api::service::Service;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use github_stub::limits::Limit;
use github_stub::{Counters, Fault, FaultKind, Stub, World};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::databases::{self, Database};
use crate::support::{TestClock, config, items, set_up_tls, timestamp};

const TOPIC: &str = "kubernetes";

/// How often each kind of fault has to strike for the test to say something.
const STRIKES: u64 = 50;

/// Nobody listens there.
const ELSEWHERE: &str = "http://127.0.0.1:9";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refresh_makes_the_data_worse() {
    set_up_tls();
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
    let struck =
        runs.buffer_unordered(2).fold(BTreeMap::<String, u64>::new(), async |mut all, one| {
            one.into_iter().for_each(|(kind, times)| *all.entry(kind).or_default() += times);
            all
        });
    let struck = struck.await;
    // Past the test runner, which keeps what a test that passes prints.
    let _ = writeln!(std::io::stderr(), "faults that struck: {struck:?}");
    if many {
        let kinds = fault_kinds(&mut fastrand::Rng::with_seed(0))
            .iter()
            .map(FaultKind::name)
            .collect::<BTreeSet<_>>();
        for kind in kinds.into_iter().chain(["kill"]) {
            assert!(struck.get(kind) >= Some(&STRIKES), "{kind} struck too seldom: {struck:?}");
        }
    }
}

/// Every kind, with numbers of its own.
fn fault_kinds(random: &mut fastrand::Rng) -> Vec<FaultKind> {
    let limited = [403, 429][random.usize(..2)];
    let retry_after = random.bool().then(|| random.u32(1..120));
    vec![
        FaultKind::PrimaryLimit {
            status: limited,
            reset_in: [20, 60, 600, 7_200][random.usize(..4)],
        },
        FaultKind::SecondaryLimit { status: limited, retry_after },
        FaultKind::Forbidden,
        FaultKind::Unauthorized,
        FaultKind::Unavailable,
        FaultKind::NotFound,
        FaultKind::HtmlError { status: 500 + random.u16(..5) },
        FaultKind::JsonError { status: 500 + random.u16(..5) },
        FaultKind::NotJson,
        FaultKind::Slow { millis: 1 },
        FaultKind::Cut,
        FaultKind::Reset,
        FaultKind::Redirect { to: format!("{ELSEWHERE}/search/repositories") },
        FaultKind::Incomplete { keep: random.usize(..100) },
        FaultKind::Short { missing: random.usize(1..60) },
        FaultKind::Empty,
        FaultKind::Drift { by: random.i64(-300..300) },
        FaultKind::Repeat { count: random.usize(1..20) },
        FaultKind::Hole { count: random.usize(1..20) },
        FaultKind::BadItems { count: random.usize(1..10) },
        FaultKind::ForeignLink { origin: ELSEWHERE.to_owned() },
    ]
}

/// A repository that is kept, by its stored numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    stars: i64,
    updated: i64,
}

/// What the service knows and serves at an instant.
struct Observed {
    state: Option<TopicState>,
    kept: BTreeMap<u64, Kept>,
    /// The three lists, where there are any.
    lists: Option<[Vec<u64>; 3]>,
    counters: Counters,
}

/// A runtime of its own for a service: dropped, everything in it stops where it is, as if killed.
struct Process(Option<Runtime>);

impl Process {
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.as_ref().expect("a running process").spawn(work)
    }
}

impl Drop for Process {
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
    process: Process,
    service: Arc<Service>,
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
        let (process, service) = process(&stub, &database, &clock, complete, token).await;
        let topic = TOPIC.parse().expect("a topic");
        Self { random, topic, complete, token, clock, stub, database, process, service, kills: 0 }
    }

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
        let mut struck = std::mem::take(&mut self.stub.world().counters.faults);
        struck.insert("kill".to_owned(), self.kills);
        struck
    }

    fn pick(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.stub.world().ranked(TOPIC, "stars");
        (!ids.is_empty()).then(|| ids[self.random.usize(..ids.len())])
    }

    /// People star, create, delete, rename and re-label repositories.
    fn change_the_world(&mut self) {
        let now = self.clock.now();
        for _ in 0..self.random.usize(..12) {
            let Some(id) = self.pick() else { return };
            let stamp = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let kind = self.random.u8(..12);
            let (stars, suffix) = (self.random.i64(0..100_000), self.random.u32(..));
            let mut world = self.stub.world();
            let mut edit = |id: u64, fields: serde_json::Value| {
                world
                    .edit(id, fields.as_object().expect("an object").clone())
                    .expect("a valid repository");
            };
            match kind {
                0..6 => world.star(id, stars, now),
                6 => edit(
                    id,
                    json!({ "full_name": format!("renamed/r{suffix}"), "name": format!("r{suffix}"), "updated_at": stamp }),
                ),
                7 => edit(id, json!({ "pushed_at": stamp, "updated_at": stamp })),
                8 => edit(id, json!({ "topics": ["other"] })),
                9 => drop(world.remove(id)),
                _ => {
                    world.add_generated(1, u64::from(suffix), TOPIC);
                    let new = world.repositories().last().expect("just added").id;
                    let fields =
                        json!({ "created_at": stamp, "pushed_at": stamp, "updated_at": stamp });
                    world
                        .edit(new, fields.as_object().expect("an object").clone())
                        .expect("a valid repository");
                }
            }
        }
        // A whole organisation leaves, now and then.
        if self.random.u8(..25) == 0 {
            let ids = self.stub.world().ranked(TOPIC, "stars");
            for id in &ids[..ids.len() * 2 / 3] {
                self.stub.world().remove(*id);
            }
        }
    }

    fn prepare_faults(&mut self) {
        let dropped: BTreeSet<u64> = match self.random.u8(..4) {
            0 => (0..self.random.usize(..20)).filter_map(|_| self.pick()).collect(),
            _ => BTreeSet::new(),
        };
        let shuffle = (self.random.u8(..4) == 0).then(|| self.random.u64(..));
        let mut faults = Vec::new();
        for _ in 0..self.random.usize(..6) {
            let kinds = fault_kinds(&mut self.random);
            let kind = kinds[self.random.usize(..kinds.len())].clone();
            let single = matches!(kind, FaultKind::NotFound | FaultKind::Unavailable);
            let mut fault = Fault::from(kind).skip(self.random.u32(..4));
            if single {
                fault = fault.at("/repositories/").skip(0);
            } else if self.random.bool() {
                fault.page = Some(self.random.usize(1..4));
            }
            let times = if single || self.random.u8(..8) == 0 { 30 } else { self.random.u32(1..4) };
            faults.push(fault.times(times));
        }
        let mut world = self.stub.world();
        world.faults = faults;
        (world.settings.drop, world.settings.shuffle) = (dropped, shuffle);
    }

    async fn refresh(&mut self) -> RunResult {
        let (service, topic) = (Arc::clone(&self.service), self.topic.clone());
        let refresh = self
            .process
            .spawn(async move { service.refresher.refresh(Some(&topic), Trigger::Request).await });
        refresh.await.expect("no panic").expect("a database")
    }

    /// Starts a refresh and kills the process after some of its requests; then there is a new
    /// process.
    async fn kill_during_a_refresh(&mut self, before: &Observed) {
        let after = self.random.u64(1..9);
        let (service, topic) = (Arc::clone(&self.service), self.topic.clone());
        let refresh = self.process.spawn(async move {
            service.refresher.refresh(Some(&topic), Trigger::Request).await.map(drop)
        });
        while !refresh.is_finished()
            && self.stub.world().counters.searches < before.counters.searches + after
        {
            tokio::task::yield_now().await;
        }
        self.kills += u64::from(!refresh.is_finished());
        self.process = Process(None);
        let _ = refresh.await;
        let Self { stub, database, clock, complete, token, .. } = self;
        let (process, service) = process(stub, database, clock, *complete, *token).await;
        (self.process, self.service) = (process, service);
        // A limit may have been its last answer, not taken down yet.
        let after = self.observe().await;
        let limited =
            struck(before, &after, "primary_limit") + struck(before, &after, "secondary_limit") > 0;
        self.clock.advance(if limited { TimeDelta::hours(3) } else { TimeDelta::seconds(40) });
    }

    async fn observe(&self) -> Observed {
        let state = self.service.store.topic(&self.topic).await.expect("a database");
        let rows = self
            .service
            .store
            .rows(&self.topic, &Ranking::ALL, self.clock.now())
            .await
            .expect("a database");
        let lists = rows.map(|rows| {
            let ids = rows.lists.iter().map(|list| {
                items(list).iter().map(|item| item["id"].as_u64().expect("an id")).collect()
            });
            ids.collect::<Vec<_>>().try_into().expect("three lists")
        });
        let kept = self.database.query(
            "SELECT id || ' ' || stargazers_count || ' ' || updated_at FROM topic_repositories
             JOIN repositories ON id = repository_id",
        );
        let rows = kept.await;
        let kept = rows.iter().map(|row| {
            let [id, stars, updated] =
                row.splitn(3, ' ').collect::<Vec<_>>().try_into().expect("three columns");
            let updated: DateTime<Utc> = updated.parse().expect("a date");
            let kept = Kept { stars: stars.parse().expect("stars"), updated: updated.timestamp() };
            (id.parse().expect("an id"), kept)
        });
        Observed {
            state,
            kept: kept.collect(),
            lists,
            counters: self.stub.world().counters.clone(),
        }
    }

    /// What is served is whole, in order, and what the database has.
    async fn check_lists(&self, now: &Observed) {
        let rows = self
            .service
            .store
            .rows(&self.topic, &Ranking::ALL, self.clock.now())
            .await
            .expect("a database");
        let Some(rows) = rows else { return };
        for (ranking, list) in Ranking::ALL.iter().zip(&rows.lists) {
            let items = items(list);
            let number = |item: &Value, key: &str| item[key].as_i64().expect("a number");
            let ids: BTreeSet<i64> = items.iter().map(|item| number(item, "id")).collect();
            assert!(
                ids.len() == items.len() && items.len() <= 500,
                "{ranking:?}: an id counts once, and 500 at most"
            );
            let sorted = items.is_sorted_by_key(|item| match ranking {
                Ranking::BestMatch => (0, 0),
                Ranking::Popularity => (-number(item, "stargazers_count"), number(item, "id")),
                Ranking::Activity => (-timestamp(&item["updated_at"]), number(item, "id")),
            });
            assert!(sorted, "{ranking:?}: in order");
        }
        // On a busy machine the database may take longer than readers wait.
        let asked_at = Instant::now();
        let served = loop {
            match self.service.reader.lists(&self.topic).await {
                Ok(served) => break served,
                Err(_) => assert!(asked_at.elapsed() < Duration::from_secs(60), "there are lists"),
            }
        };
        for (ranking, list) in Ranking::ALL.iter().zip(&rows.lists) {
            assert_eq!(
                served.lists.list(*ranking).identity.bytes,
                *list,
                "{ranking:?}: cache and database agree"
            );
        }
        let state = now.state.as_ref().expect("tracked");
        assert_eq!(
            (served.lists.standing.refreshed_at, served.lists.standing.complete),
            (state.refreshed_at, state.complete)
        );
    }

    async fn check_refresh(
        &self,
        before: &Observed,
        after: &Observed,
        ended: &RunResult,
        began: DateTime<Utc>,
    ) {
        let (counters, report) = (&after.counters, &ended.refresh.report);
        assert_eq!(
            (counters.over_limit, counters.impatient),
            (0, 0),
            "no request beyond a limit or within a pause"
        );
        assert_eq!(counters.unexpected, Vec::<String>::new());
        let requests = i64::try_from(asked(before, after).count()).expect("few");
        assert_eq!(report.requests, requests, "every request is in the report: {report:?}");
        let entry = self
            .service
            .store
            .refresh(ended.refresh.id)
            .await
            .expect("a database")
            .expect("an entry");
        assert_eq!(
            (entry.outcome, &entry.report),
            (ended.refresh.outcome, report),
            "the ledger has the report"
        );

        let (refreshed_before, state) =
            (before.state.as_ref().and_then(|state| state.refreshed_at), after.state.as_ref());
        let refreshed_at = state.and_then(|state| state.refreshed_at);
        if ended.refresh.outcome != Some(Outcome::Complete) {
            assert!(report.reason.is_some(), "it says why: {report:?}");
            check_nothing_lost(before, after);
            assert_eq!(refreshed_at, refreshed_before, "the last complete one's time");
            assert!(!state.is_some_and(|state| state.complete));
            if refreshed_before.is_some() {
                let best_match =
                    |observed: &Observed| observed.lists.as_ref().map(|lists| lists[0].clone());
                assert_eq!(best_match(after), best_match(before), "best match stays: {report:?}");
            }
            return;
        }
        assert!(
            refreshed_at.is_some_and(|at| began <= at && at <= self.clock.now()),
            "{refreshed_at:?}"
        );
        self.check_losses(before, after);
        let existing: BTreeSet<u64> =
            self.stub.world().ranked(TOPIC, "stars").into_iter().collect();
        // Where nothing went wrong and nothing is in doubt, the lists are the world's.
        let undisturbed = {
            let world = self.stub.world();
            let whole = world.settings.drop.is_empty() && world.settings.shuffle.is_none();
            whole && after.counters.faults == before.counters.faults
        };
        if undisturbed && after.kept.keys().all(|id| existing.contains(id)) {
            self.check_agreement(after, &format!("{report:?}"));
        }
    }

    /// Whatever is out is gone, or was overtaken, or GitHub said so when it was asked.
    fn check_losses(&self, before: &Observed, after: &Observed) {
        let existing: BTreeSet<u64> =
            self.stub.world().ranked(TOPIC, "stars").into_iter().collect();
        let lost: Vec<u64> =
            before.kept.keys().filter(|id| !after.kept.contains_key(id)).copied().collect();
        let mut all = after.kept.clone();
        all.extend(lost.iter().map(|id| (*id, before.kept[id])));
        let places = |rank: fn(&Kept) -> i64| {
            let mut ids: Vec<u64> = all.keys().copied().collect();
            ids.sort_by_key(|id| (-rank(&all[id]), *id));
            ids.into_iter().take(500).collect::<BTreeSet<_>>()
        };
        let (by_stars, by_update) = (places(|kept| kept.stars), places(|kept| kept.updated));
        let mut lies = struck(before, after, "not_found") + struck(before, after, "unavailable");
        for id in lost.iter().filter(|id| existing.contains(id)) {
            let earns = self.complete || by_stars.contains(id) || by_update.contains(id);
            if earns
                && lies > 0
                && asked(before, after)
                    .any(|request| request.ends_with(&format!("/repositories/{id}")))
            {
                lies -= 1;
            } else {
                assert!(!earns, "{id} exists and earns its place, but is out");
            }
        }
    }

    fn check_agreement(&self, now: &Observed, context: &str) {
        if let Some(difference) = self.difference(now) {
            panic!("{difference}: {context}");
        }
    }

    /// Where the lists are not the world's, if anywhere.
    fn difference(&self, now: &Observed) -> Option<String> {
        let mut world = self.stub.world();
        let by_push = std::mem::take(&mut world.settings.updated_by_push);
        let expected = ["best-match", "stars", "updated"].map(|sort| {
            let mut ids = world.ranked(TOPIC, sort);
            ids.truncate(500);
            ids
        });
        let total = world.ranked(TOPIC, "stars").len();
        world.settings.updated_by_push = by_push;
        let Some(lists) = &now.lists else { return Some("there are no lists".to_owned()) };
        for (place, name) in ["best match", "popularity", "activity"].iter().enumerate() {
            // GitHub shows the top of another order then, which is not enough for this one.
            let unknowable = *name == "activity" && by_push && !self.complete && total > 500;
            if !unknowable && lists[place] != expected[place] {
                return Some(format!("{name} differs"));
            }
        }
        (self.complete && now.kept.len() != total)
            .then(|| format!("{} are kept of {total}", now.kept.len()))
    }

    /// With GitHub well again everything is right again, soon.
    async fn recover(&mut self) {
        {
            let mut world = self.stub.world();
            world.faults.clear();
            world.settings.drop.clear();
            world.settings.shuffle = None;
        }
        self.clock.advance(TimeDelta::days(1));
        let mut left = String::new();
        for _ in 0..15 {
            let (before, began) = (self.observe().await, self.clock.now());
            let ended = self.refresh().await;
            let after = self.observe().await;
            self.check_refresh(&before, &after, &ended, began).await;
            let Some(difference) = self.difference(&after) else { return };
            left = format!("{difference}: {:?}", ended.refresh.report);
            self.clock.advance(TimeDelta::minutes(61));
        }
        panic!("still not right: {left}");
    }
}

/// How often a fault struck between two instants.
fn struck(before: &Observed, after: &Observed, name: &str) -> u64 {
    let of = |observed: &Observed| observed.counters.faults.get(name).copied().unwrap_or_default();
    of(after) - of(before)
}

/// What GitHub was asked between two instants.
fn asked<'a>(before: &Observed, after: &'a Observed) -> impl Iterator<Item = &'a str> {
    after.counters.requests[before.counters.requests.len()..]
        .iter()
        .map(|(_, request)| request.as_str())
}

fn check_nothing_lost(before: &Observed, after: &Observed) {
    let lost: Vec<&u64> = before.kept.keys().filter(|id| !after.kept.contains_key(id)).collect();
    assert!(lost.is_empty(), "{lost:?} are out");
}

/// A service in a runtime of its own, which can be killed.
async fn process(
    stub: &Stub,
    database: &Database,
    clock: &Arc<TestClock>,
    complete: bool,
    token: bool,
) -> (Process, Arc<Service>) {
    let coverage = if complete { "complete" } else { "top" };
    let config = config(
        stub,
        database,
        &[("COVERAGE", coverage), ("GITHUB_TOKEN", if token { "some-token" } else { "" })],
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let clock = Arc::<TestClock>::clone(clock);
    let service = runtime.spawn(async move {
        let service = Service::new(config, clock).await.expect("a service");
        service.bootstrap().await.expect("a schema");
        service
    });
    let service = service.await.expect("no panic");
    (Process(Some(runtime)), service)
}
