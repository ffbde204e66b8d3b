//! A property test: the history that 60 days of refreshes write equals a model's.
//!
//! Each seed gives two topics that share repositories, changes of the world, faults and kills, on a
//! clock that jumps. The model knows only the answers that the stub recorded, and how the runs
//! ended. `HISTORY_SEEDS=100` runs more seeds, and `HISTORY_SEED=7` runs one of them again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use api::app::App;
use api::clock::Clock;
use api::model::event::{EventKind, EventQuery};
use api::model::run::{Outcome, Trigger};
use api::model::topic::{Coverage, Topic};
use api::store::SharedStore;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Timelike};
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, Stub, World};
use reqwest::StatusCode;
use serde_json::Value;
use strum::VariantArray as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::model::{Model, Run};
use crate::databases::{self, Database};
use crate::growth::equal_rows;
use crate::property::{KillableRuntime, start_service};
use crate::store::history::Rows;
use crate::support::{TestClock, http_client, install_tls_provider};

mod model;
mod world;

const TOPICS: [&str; 2] = ["kubernetes", "mcp"];

const DAYS: u32 = 60;

/// The number of seeds that run by default: a topic of one page, of two pages, and one with more
/// repositories than a list, of which the first ones are kept, or all.
const SEEDS: u64 = 4;

/// The fault during which the service is killed: every answer before it has been stored.
const KILL: &str = "slow";

/// The kinds of events, of runs and of their ends that have to occur, or the test proves nothing
/// about them.
const KINDS: [&str; 18] = [
    "archived",
    "complete",
    "deleted",
    "displaced",
    "failed",
    "forgotten",
    "grown",
    "joined",
    "killed",
    "partial",
    "past days",
    "past midnight",
    "private",
    "renamed",
    "returned",
    "topic_removed",
    "unarchived",
    "unchanged",
];

/// The seeds to run.
fn seeds() -> std::ops::Range<u64> {
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HISTORY_SEEDS").unwrap_or(SEEDS),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_history_equals_the_model() {
    check(|| Some(databases::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_history_equals_the_model() {
    check(databases::postgres).await;
}

async fn check(database: fn() -> Option<Database>) {
    let (seeds, mut occurrences) = (seeds(), BTreeMap::<_, u32>::new());
    for seed in seeds.clone() {
        let Some(database) = database() else { return };
        let run = tokio::spawn(async move { Simulation::start(seed, database).await.run().await });
        let run = run.await;
        let run = run.unwrap_or_else(|_| panic!("seed {seed}: HISTORY_SEED={seed} repeats it"));
        run.into_iter().for_each(|(kind, times)| *occurrences.entry(kind).or_default() += times);
    }
    // The test runner does not hide this of a test that passes, as it hides `eprintln!`.
    let _ = writeln!(std::io::stderr(), "occurrences: {occurrences:?}");
    for kind in KINDS.iter().filter(|_| seeds.end - seeds.start >= SEEDS) {
        assert!(occurrences.contains_key(kind), "{kind} did not occur: {occurrences:?}");
    }
}

struct Simulation {
    random: fastrand::Rng,
    clock: Arc<TestClock>,
    stub: Stub,
    database: Database,
    /// A store that no kill closes.
    store: SharedStore,
    coverages: [Coverage; 2],
    runtime: KillableRuntime,
    service: Arc<App>,
    /// Repositories that were deleted and may come back.
    deleted: Vec<github_stub::Repository>,
    is_large: bool,
    model: Model,
}

impl Simulation {
    async fn start(seed: u64, database: Database) -> Self {
        install_tls_provider();
        let mut random = fastrand::Rng::with_seed(seed);
        let is_large = seed % SEEDS > 1;
        // One page, two, and more than the coverage `top` keeps.
        let size = [random.usize(8..40), random.usize(99..110), 540, 540][(seed % SEEDS) as usize];
        let mut world = World::generate(size, seed, TOPICS[0]);
        world.add_generated(random.usize(5..30), seed + 1, TOPICS[1]);
        world.shown = Some(Vec::new());
        // Requests are spaced then, so a run takes some seconds.
        world.settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
        let clock = TestClock::new();
        let stub_clock = Arc::clone(&clock);
        let stub = Stub::start_with_clock(world, Arc::new(move || stub_clock.now()));
        let stub = stub.await.expect("a free port");
        let coverages = match seed % SEEDS {
            0 => coverages(&mut random),
            2 => [Coverage::Top, Coverage::Complete],
            _ => [Coverage::Complete, Coverage::Top],
        };
        let model = Model::new(TOPICS, clock.now());
        let (runtime, service) = start(&stub, &database, &clock, coverages).await;
        let store = api::store::open(&database.url()).await.expect("a database");
        let deleted = Vec::new();
        Self {
            random,
            clock,
            stub,
            database,
            store,
            coverages,
            runtime,
            service,
            deleted,
            is_large,
            model,
        }
    }

    /// Returns how often each kind of event, of a run and of its end occurred.
    async fn run(mut self) -> BTreeMap<&'static str, u32> {
        let days = if self.is_large { DAYS / 8 } else { DAYS };
        let mut kept = BTreeMap::new();
        for day in 0..days {
            // On some days the service does not run at all.
            let rounds = if self.is_large { 1 } else { [0, 0, 0, 1, 3][self.random.usize(..5)] };
            for _ in 0..rounds {
                self.set_time(day);
                self.change_the_world();
                for topic in 0..TOPICS.len() {
                    match self.random.u8(..60) {
                        0 => self.forget(topic).await,
                        1..10 => {}
                        _ => self.refresh_late(topic).await,
                    }
                }
            }
            if day % 10 == 9 {
                self.compare(day).await;
            }
            if day + 10 == days {
                kept = self.past_lists(day).await;
            }
        }
        self.compare(DAYS).await;
        self.check_growth(kept).await;
        self.store.close().await;
        self.model.occurrences
    }

    /// Moves the clock to a time of the day, or to the last seconds of it.
    fn set_time(&mut self, day: u32) {
        let first = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
        let midnight = (first.date_naive() + Days::new(u64::from(day) + 1)).and_hms_opt(0, 0, 0);
        let midnight = midnight.expect("a time").and_utc();
        let second = match self.random.u8(..if self.is_large { 3 } else { 4 }) {
            0 => 86_400 - self.random.i64(1..if self.is_large { 20 } else { 4 }),
            1 => 86_400 - self.random.i64(20..59),
            _ => self.random.i64(0..86_000),
        };
        let time = midnight + TimeDelta::seconds(second) + TimeDelta::milliseconds(300);
        let now = self.clock.now();
        // The day's earlier runs may have gone past that time.
        let time = time.max(now + TimeDelta::minutes(1)).with_nanosecond(300_000_000);
        self.clock.advance(time.expect("a time") - now);
    }

    /// Forgets a topic and tracks it again.
    async fn forget(&mut self, topic: usize) {
        self.model.forget(TOPICS[topic], self.clock.now());
        let (service, topic) = (Arc::clone(&self.service), topics()[topic].clone());
        let forget = self.runtime.spawn(async move {
            let deleted = service.refresher.delete_topic(&topic, true).await;
            assert!(deleted.expect("a database"), "the topic was tracked");
            service.bootstrap().await.expect("a database");
        });
        forget.await.expect("no panic");
    }

    /// Refreshes a topic, and again after midnight, if that is near: a run takes over the slices
    /// that an incomplete one has read within an hour.
    async fn refresh_late(&mut self, topic: usize) {
        self.refresh(topic).await;
        if self.clock.now().hour() == 23 {
            self.clock.advance(TimeDelta::minutes(1));
            self.refresh(topic).await;
        }
    }

    /// Refreshes a topic, perhaps with a fault or a kill, and tells the model of it.
    async fn refresh(&mut self, topic: usize) {
        let now = self.clock.now();
        let is_late = now.hour() == 23;
        // Best match does not show all then, and there is time to read the slices.
        let cuts_best_match = is_late && now.second() <= 40;
        // The run after midnight has to be complete to have seen what the one before has read.
        let is_early = now.hour() == 0 && now.minute() < 2;
        let kind = if is_early { 9 } else { self.random.u8(..10) };
        let times = self.random.u32(2..8);
        let fault = match kind {
            _ if cuts_best_match => Some(Fault::from(FaultKind::Incomplete { keep: 9 }).times(3)),
            0..2 => Some(Fault::from(FaultKind::Slow { millis: 3_600_000 })),
            // Pauses between attempts are random, so the day of one before midnight is unknown.
            2 if !is_late => Some(Fault::from(FaultKind::JsonError { status: 503 }).times(8)),
            3 if !is_late => Some(Fault::from(FaultKind::Reset).times(times)),
            4 => Some(Fault::from(FaultKind::Short { missing: 7 }).times(times)),
            5 => Some(Fault::from(FaultKind::Incomplete { keep: 9 }).times(times)),
            _ => None,
        };
        let may_hang = kind < 2 && !cuts_best_match;
        let first = if self.is_large { 12 } else { 3 };
        let skipped = if cuts_best_match || kind == 2 { 0 } else { self.random.u32(..first) };
        let dropped = (0..self.random.usize(..6)).filter_map(|_| self.pick()).collect();
        let has_drops = self.random.u8(..8) == 0;
        {
            let mut world = self.stub.world();
            world.faults = fault.into_iter().map(|fault| fault.skip(skipped)).collect();
            world.settings.drop = if has_drops { dropped } else { Default::default() };
            world.shown = Some(Vec::new());
        }
        let began = self.clock.now();
        let ended = self.run_until_it_ends_or_hangs(topic, may_hang).await;
        let (shown, last) = {
            let mut world = self.stub.world();
            world.faults.clear();
            world.settings.drop.clear();
            let last = world.counters.requests.last().expect("a request").0;
            (world.shown.replace(Vec::new()).expect("recorded answers"), last)
        };
        let (topic, coverage) = (TOPICS[topic], self.coverages[topic]);
        let run = Run { topic, coverage, shown, began, last, ended };
        self.model.note(&run);
        if ended.is_none() {
            self.restart().await;
        }
    }

    /// Refreshes a topic. `None` if a request hangs, which is when the service is to be killed.
    async fn run_until_it_ends_or_hangs(
        &mut self,
        topic: usize,
        may_hang: bool,
    ) -> Option<Outcome> {
        let hangs = |stub: &Stub| stub.world().counters.faults.get(KILL).copied();
        let before = hangs(&self.stub);
        let service = Arc::clone(&self.service);
        let topic = topics()[topic].clone();
        let refresh = self
            .runtime
            .spawn(async move { service.refresher.refresh(Some(&topic), Trigger::Request).await });
        while may_hang && !refresh.is_finished() {
            if hangs(&self.stub) != before {
                return None;
            }
            tokio::task::yield_now().await;
        }
        let result = refresh.await.expect("no panic").expect("a database");
        Some(result.refresh.outcome.expect("an outcome"))
    }

    /// Kills the service, and starts one that may have other coverages.
    async fn restart(&mut self) {
        self.runtime = KillableRuntime(None);
        // The lease of the dead process ends.
        self.clock.advance(TimeDelta::seconds(40));
        if !self.is_large && self.random.bool() {
            self.coverages = coverages(&mut self.random);
        }
        let Self { stub, database, clock, coverages, .. } = self;
        (self.runtime, self.service) = start(stub, database, clock, *coverages).await;
    }

    /// Pages of a topic's events, joined, have each event once, the newest first.
    async fn compare_event_pages(&self, topic: &Topic) {
        let (kinds, limit) = (EventKind::VARIANTS.to_vec(), 7);
        let mut query = EventQuery { kinds, since: None, until: None, offset: 0, limit };
        let mut all = Vec::new();
        loop {
            let page = self.store.events(topic, &query).await.expect("a database");
            let page = page.expect("tracked").events;
            if page.is_empty() {
                break;
            }
            all.extend(page.iter().map(|event| (Reverse(event.at), event.id())));
            query.offset += limit;
        }
        assert!(all.is_sorted_by(|one, next| one < next), "{topic}: each once, in order");
        assert_eq!(all.len(), self.model.event_count(topic.as_str()), "{topic}");
    }

    /// Compares everything that is kept with the model.
    async fn compare(&self, day: u32) {
        let mut rows = Rows::default();
        self.store.export(&mut rows).await.expect("a database");
        for (table, mut expected) in self.model.rows() {
            let mut actual = rows.tables.remove(table).unwrap_or_default();
            if table == "members" {
                // The place in best match is no history.
                actual.iter_mut().for_each(|row| *row = without_third_word(row));
            }
            actual.sort_unstable();
            expected.sort_unstable();
            let rows = actual.iter().map(Some).chain([None]);
            let expected = expected.iter().map(Some).chain([None]);
            let difference = rows.zip(expected).find(|(actual, expected)| actual != expected);
            assert_eq!(difference, None, "{table} on day {day}: the first row that differs");
        }
        for topic in topics() {
            let days = self.store.topic_days(&topic).await.expect("a database").expect("tracked");
            let expected = self.model.topic_days(topic.as_str());
            let mut pairs = days.iter().zip(&expected);
            let difference = pairs.find(|(actual, expected)| actual != expected);
            assert_eq!(difference, None, "{topic} on day {day}: the first day that differs");
            assert_eq!(days.len(), expected.len(), "{topic} on day {day}");
            self.compare_event_pages(&topic).await;
        }
    }
}

fn day_of(number: u32) -> NaiveDate {
    let first = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
    first.date_naive() + Days::new(u64::from(number) + 1)
}

impl Simulation {
    /// The lists by growth of each past day that has some, by their paths.
    async fn past_lists(&self, day: u32) -> BTreeMap<String, Vec<u8>> {
        let (url, _stop) = self.serve().await;
        let mut lists = BTreeMap::new();
        for topic in TOPICS {
            for (day, window) in (0..day).map(day_of).zip(["1d", "7d", "30d", "90d"].iter().cycle())
            {
                let path = format!("/api/trending/{topic}?window={window}&day={day}");
                let answer = http_client().get(format!("{url}{path}")).send().await;
                let answer = answer.expect("an answer");
                let list = answer.status() == StatusCode::OK;
                let list = if list { answer.bytes().await.expect("a body") } else { continue };
                // The last day has not passed: its list has what is known of the present alone.
                if !String::from_utf8_lossy(&list).contains("\"updated_at\":\"") {
                    lists.insert(path, list.to_vec());
                }
            }
        }
        lists
    }

    /// The lists by growth equal the script's, and those of past days are as they were.
    async fn check_growth(&mut self, kept: BTreeMap<String, Vec<u8>>) {
        self.stub.world().faults.clear();
        self.stub.world().settings.drop = BTreeSet::default();
        // A topic that was just forgotten has no list, and a killed run holds its lease for a time.
        self.clock.advance(TimeDelta::minutes(2));
        for topic in topics() {
            self.service.refresher.refresh(Some(&topic), Trigger::Request).await.expect("a run");
        }
        let archive = tempfile::tempdir().expect("a temporary folder");
        let now = self.clock.now();
        let exported = api::archive::export(&*self.store, archive.path(), now, |_| ()).await;
        exported.expect("an export");
        let (url, _stop) = self.serve().await;
        for topic in TOPICS {
            let days: Vec<NaiveDate> = kept
                .keys()
                .filter(|path| path.contains(&format!("/{topic}?")))
                .filter_map(|path| path.split_once("day=")?.1.parse().ok())
                .step_by(12)
                .collect();
            let rows = equal_rows(archive.path(), &url, topic, &days).await;
            *self.model.occurrences.entry("grown").or_default() += rows;
        }
        for (path, list) in kept {
            let now = http_client().get(format!("{url}{path}")).send().await.expect("an answer");
            let now = now.text().await.expect("text");
            let rows = |list: &str| -> Vec<Value> { serde_json::from_str(list).expect("a list") };
            let list = String::from_utf8_lossy(&list);
            for (now, then) in rows(&now).iter().zip(rows(&list)) {
                assert_eq!(*now, then, "{path}");
            }
            assert_eq!(now, list, "{path}");
            *self.model.occurrences.entry("past days").or_default() += 1;
        }
    }

    /// Serves until what is returned is dropped.
    async fn serve(&self) -> (String, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel();
        let router =
            axum::Router::new().fallback_service(api::http::router(Arc::clone(&self.service)));
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        tokio::spawn(serving.into_future());
        (url, stop)
    }
}

fn topics() -> [Topic; 2] {
    TOPICS.map(|topic| topic.parse().expect("a topic"))
}

fn without_third_word(row: &str) -> String {
    let words = row.split(' ').enumerate().filter(|(place, _)| *place != 2);
    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

fn coverages(random: &mut fastrand::Rng) -> [Coverage; 2] {
    [(); 2].map(|()| if random.bool() { Coverage::Top } else { Coverage::Complete })
}

async fn start(
    stub: &Stub,
    database: &Database,
    clock: &Arc<TestClock>,
    coverages: [Coverage; 2],
) -> (KillableRuntime, Arc<App>) {
    let topic = |(topic, coverage): (&str, Coverage)| {
        let coverage: &str = coverage.into();
        format!("{topic}:{coverage}")
    };
    let topics = TOPICS.into_iter().zip(coverages).map(topic).collect::<Vec<_>>().join(",");
    let settings = [("TOPICS", &*topics), ("GITHUB_TOKEN", "some-token")];
    start_service(stub, database, clock, &settings).await
}
