//! The state of the stub: repositories, settings, faults to inject, and counters of the requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::http::Uri;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::faults::{Fault, FaultKind, next_fault};
use crate::history::History;
use crate::limits::{Limit, Resource, Windows};
use crate::query::{Order, Query, Sort, sort};
use crate::repository::{Repository, rfc3339};

/// The seconds to wait after a secondary limit without `retry-after`.
/// Source: GitHub's "Rate limits for the REST API".
const DEFAULT_WAIT: i64 = 60;

/// The model that the routes serve.
#[derive(Default)]
pub struct World {
    pub settings: Settings,
    /// The faults to inject; the first that applies to a request wins.
    pub faults: Vec<Fault>,
    pub counters: Counters,
    /// If set, a record of the answers that show repositories, in order.
    pub shown: Option<Vec<Shown>>,
    pub(crate) windows: Windows,
    /// The end of the wait that refusals asked for: a primary limit's under its resource and token,
    /// a secondary limit's, which holds for every request, under `None`.
    waits: HashMap<Option<(Resource, Option<String>)>, DateTime<Utc>>,
    /// The number of searches that have no answer yet.
    pub(crate) open_searches: u64,
    /// The stub was dropped and answers no further request.
    pub(crate) stopped: bool,
    pub(crate) history: Option<History>,
    repositories: BTreeMap<u64, Arc<Repository>>,
    by_path: HashMap<String, u64>,
    /// A cache of search results, without which each page of a query would sort 35,000 rows. A
    /// change of the world or of its settings clears it.
    results: HashMap<(String, Sort, bool), Arc<Vec<u64>>>,
    /// The settings that `results` were made under.
    results_settings: Settings,
}

/// Behaviour that lasts until it is set anew, here or by `POST /_stub/settings`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Searches a minute; if unset, no limit and no rate-limit headers.
    pub search_limit: Option<Limit>,
    /// Other requests an hour; if unset, no limit and no rate-limit headers.
    pub core_limit: Option<Limit>,
    /// The tokens that are accepted; if unset, any token is.
    pub tokens: Option<BTreeSet<String>>,
    /// The ids that searches leave out although `incomplete_results` is false.
    pub drop: BTreeSet<u64>,
    /// If set, equal ranks are in a pseudo-random order of this seed instead of by lowest id.
    pub shuffle: Option<u64>,
    /// `sort=updated` sorts by `pushed_at` instead of `updated_at`.
    pub updated_by_push: bool,
    /// Searches have an ETag and can return 304.
    pub search_etag: bool,
    /// How many seconds GitHub's clock, which `Date` and `x-ratelimit-reset` show, is ahead of the
    /// stub's.
    pub clock_ahead: i64,
    /// The delay of every answer in milliseconds.
    pub latency_millis: u64,
}

/// Counts of the requests, which `GET /_stub/counters` returns too.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Counters {
    /// Searches, refused ones included.
    pub searches: u64,
    /// Other requests to GitHub's routes, refused ones included.
    pub core: u64,
    /// Requests over the limit of their window.
    pub over_limit: u64,
    /// Requests that arrived before the end of the wait that a refusal had asked for.
    pub impatient: u64,
    /// Searches that arrived while another one had no answer yet.
    pub overlapping: u64,
    /// Faults injected, by [`FaultKind::name`].
    pub faults: BTreeMap<String, u64>,
    /// The time, and the method, path and query, of every request in order.
    pub requests: Vec<(DateTime<Utc>, String)>,
    /// Requests that are a client's bug: unknown paths and queries, no User-Agent, pages beyond the
    /// cap.
    pub unexpected: Vec<String>,
}

/// A whole answer: the page of a search, or the answer about a single repository.
#[derive(Clone, Debug)]
pub struct Shown {
    pub at: DateTime<Utc>,
    /// The path and query.
    pub request: String,
    /// The count that a search tells; the number of repositories of another answer.
    pub total_count: usize,
    pub repositories: Vec<Arc<Repository>>,
}

impl World {
    #[must_use]
    pub fn new(repositories: Vec<Repository>) -> Self {
        let mut world = Self::default();
        for repository in repositories {
            world.insert(repository);
        }
        world
    }

    /// A world of `count` generated repositories of `topic`; equal seeds give equal worlds.
    #[must_use]
    pub fn generate(count: usize, seed: u64, topic: &str) -> Self {
        let mut world = Self::default();
        world.add_generated(count, seed, topic);
        world
    }

    /// A world of `count` generated repositories of each topic with a past of `days`, whose present
    /// is the beginning of `today`; equal arguments give equal worlds and pasts.
    #[must_use]
    pub fn generate_with_history(
        count: usize,
        seed: u64,
        topics: &[String],
        days: usize,
        today: NaiveDate,
    ) -> Self {
        let mut world = Self::default();
        for (seed, topic) in (seed..).zip(topics) {
            world.add_generated_until(count, seed, topic, today.and_time(NaiveTime::MIN).and_utc());
        }
        world.history = Some(History::make(&mut world, topics.to_vec(), seed, days, today));
        world
    }

    /// Adds generated repositories of a topic, with ids above the present ones.
    pub fn add_generated(&mut self, count: usize, seed: u64, topic: &str) {
        let newest = DateTime::from_timestamp(1_790_000_000, 0).expect("a date in 2026");
        self.add_generated_until(count, seed, topic, newest);
    }

    fn add_generated_until(&mut self, count: usize, seed: u64, topic: &str, newest: DateTime<Utc>) {
        let after = self.repositories.last_key_value().map_or(1_000_000, |(id, _)| *id);
        for repository in crate::generate::repositories(count, seed, topic, newest, after) {
            self.insert(repository);
        }
    }

    /// Reads search items from a file, one JSON object a line, plain or gzip, and adds `topics` to
    /// each.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is no repository; the message names the line.
    pub fn read(path: &Path, topics: &[String]) -> anyhow::Result<Self> {
        let named = || format!("{}", path.display());
        let mut file = BufReader::new(std::fs::File::open(path).with_context(named)?);
        let gzip = file.fill_buf().with_context(named)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut world = Self::default();
        for (index, line) in BufReader::new(reader).lines().enumerate() {
            let at = || format!("{}, line {}", path.display(), index + 1);
            let line = line.with_context(at)?;
            if line.trim().is_empty() {
                continue;
            }
            let mut item: Map<String, Value> = serde_json::from_str(&line).with_context(at)?;
            let mut own = item.get("topics").and_then(Value::as_array).cloned().unwrap_or_default();
            for topic in topics.iter().map(|topic| Value::String(topic.clone())) {
                if !own.contains(&topic) {
                    own.push(topic);
                }
            }
            item.insert("topics".to_owned(), Value::Array(own));
            world.insert(Repository::new(item).map_err(anyhow::Error::msg).with_context(at)?);
        }
        Ok(world)
    }

    /// Adds a repository, or replaces the one with its id.
    pub fn insert(&mut self, repository: Repository) {
        self.remove(repository.id);
        self.by_path.insert(repository.path.clone(), repository.id);
        self.repositories.insert(repository.id, Arc::new(repository));
    }

    pub fn remove(&mut self, id: u64) -> Option<Arc<Repository>> {
        self.results.clear();
        let gone = self.repositories.remove(&id)?;
        // The name may belong to another id by now.
        if self.by_path.get(&gone.path) == Some(&id) {
            self.by_path.remove(&gone.path);
        }
        Some(gone)
    }

    /// Sets fields of a repository; returns false if there is none with that id.
    ///
    /// # Errors
    /// The reason, if the result would be no valid repository.
    pub fn edit(&mut self, id: u64, fields: Map<String, Value>) -> Result<bool, String> {
        let Some(repository) = self.repositories.get(&id) else { return Ok(false) };
        let mut item = repository.item.clone();
        item.extend(fields);
        self.insert(Repository::new(item)?);
        Ok(true)
    }

    /// Sets the star count and, as GitHub does with every star, `updated_at`.
    ///
    /// # Panics
    /// If there is no repository with that id.
    pub fn star(&mut self, id: u64, stars: i64, at: DateTime<Utc>) {
        let fields =
            [("stargazers_count", Value::from(stars)), ("updated_at", Value::from(rfc3339(at)))];
        let edited =
            self.edit(id, fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect());
        assert_eq!(edited, Ok(true), "there is a repository {id}");
    }

    /// Every repository, in order of ids.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        self.repositories.values().map(|repository| &**repository)
    }

    #[must_use]
    pub fn repository(&self, id: u64) -> Option<&Repository> {
        self.repositories.get(&id).map(|repository| &**repository)
    }

    /// The repository of this `owner/name`, in any case.
    #[must_use]
    pub fn repository_at(&self, path: &str) -> Option<&Repository> {
        self.repository(*self.by_path.get(&path.to_lowercase())?)
    }

    /// The ids of a topic as a mirror should show them: in the order of the sort `by`
    /// (`best-match`, `stars`, `forks`, `updated`), equal ranks by the lowest id.
    #[must_use]
    pub fn ranked(&self, topic: &str, by: &str) -> Vec<u64> {
        let query = Query::parse(&format!("topic:{topic}")).expect("a topic is a valid query");
        let mut found: Vec<&Repository> =
            self.repositories().filter(|repository| query.matches(repository)).collect();
        sort(
            &mut found,
            Sort::parse(Some(by)),
            Order { updated_by_push: self.settings.updated_by_push, ..Order::default() },
        );
        found.iter().map(|repository| repository.id).collect()
    }

    /// Records an answer, if answers are recorded.
    pub(crate) fn record_shown(
        &mut self,
        request: &Uri,
        total_count: usize,
        ids: &[u64],
        now: impl FnOnce() -> DateTime<Utc>,
    ) {
        let Some(shown) = &mut self.shown else { return };
        let repositories = ids.iter().filter_map(|id| self.repositories.get(id).cloned()).collect();
        shown.push(Shown { at: now(), request: request.to_string(), total_count, repositories });
    }

    /// The ids of a search's results, all pages together.
    pub(crate) fn search(
        &mut self,
        q: &str,
        query: &Query,
        by: Sort,
        ascending: bool,
    ) -> Arc<Vec<u64>> {
        if self.results_settings != self.settings {
            self.results.clear();
            self.results_settings = self.settings.clone();
        }
        let key = (q.to_owned(), by, ascending);
        if let Some(found) = self.results.get(&key) {
            return Arc::clone(found);
        }
        let order = Order {
            ascending,
            updated_by_push: self.settings.updated_by_push,
            shuffle: self.settings.shuffle,
        };
        let shown = |repository: &&Repository| {
            !self.settings.drop.contains(&repository.id) && query.matches(repository)
        };
        let mut found: Vec<&Repository> = self.repositories().filter(shown).collect();
        sort(&mut found, by, order);
        let found = Arc::new(found.iter().map(|repository| repository.id).collect::<Vec<_>>());
        self.results.insert(key, Arc::clone(&found));
        found
    }

    /// Takes the fault that applies to this request, counts it, and records the wait that it asks
    /// for.
    pub(crate) fn next_fault(
        &mut self,
        path: &str,
        search: Option<(Sort, usize)>,
        caller: (Resource, Option<String>),
        now: DateTime<Utc>,
    ) -> Option<FaultKind> {
        let fault = next_fault(&mut self.faults, path, search, caller.1.is_some())?;
        *self.counters.faults.entry(fault.name().to_owned()).or_default() += 1;
        let wait = match fault {
            // No wait is longer than the window, and none is too short to be one.
            FaultKind::PrimaryLimit { reset_in, .. } => {
                let longest = caller.0.window().num_seconds();
                Some((Some(caller), reset_in.clamp(1, longest)))
            }
            FaultKind::SecondaryLimit { retry_after, .. } => {
                Some((None, retry_after.map_or(DEFAULT_WAIT, i64::from)))
            }
            _ => None,
        };
        if let Some((limited, seconds)) = wait {
            self.waits.insert(limited, now + TimeDelta::seconds(seconds));
        }
        Some(fault)
    }

    /// Counts the request if a refusal asked to wait longer.
    pub(crate) fn count_if_impatient(
        &mut self,
        caller: (Resource, Option<String>),
        now: DateTime<Utc>,
    ) {
        let waits = [None, Some(caller)]
            .map(|limited| self.waits.get(&limited).is_some_and(|until| now < *until));
        self.counters.impatient += u64::from(waits.contains(&true));
    }
}
