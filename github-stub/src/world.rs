//! What the stand-in knows: the repositories, what is to go wrong, and what was asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::faults::{Fault, FaultKind, strike};
use crate::limits::{Bucket, Limit, Windows};
use crate::query::{Order, Query, Sort, sort};
use crate::repository::{Repository, rfc3339};

/// Seconds to wait after a secondary limit that names no time.
/// Source: GitHub's "Rate limits for the REST API".
const UNNAMED_WAIT: i64 = 60;

/// The model behind the routes.
#[derive(Default)]
pub struct World {
    /// Lasting behaviour.
    pub settings: Settings,
    /// Faults to come, in order.
    pub faults: Vec<Fault>,
    /// What was asked.
    pub counters: Counters,
    pub(crate) windows: Windows,
    /// Until when refusals have said to wait: a primary limit for its own bucket, a secondary one
    /// for everything.
    waits: HashMap<Option<Bucket>, DateTime<Utc>>,
    /// Searches that are not answered yet.
    pub(crate) searching: u64,
    /// The stand-in was dropped: no request is answered any more.
    pub(crate) stopped: bool,
    repositories: BTreeMap<u64, Arc<Repository>>,
    by_path: HashMap<String, u64>,
    /// Answers to searches, until the world or its settings change: pages of one query need not
    /// sort 35,000 rows each.
    results: HashMap<(String, Sort, bool), Arc<Vec<u64>>>,
    results_under: Settings,
}

/// Lasting behaviour, also settable over `POST /_stub/settings`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Searches a minute; no limit and no headers when unset.
    pub search_limit: Option<Limit>,
    /// Other requests an hour; no limit and no headers when unset.
    pub core_limit: Option<Limit>,
    /// Accepted tokens; any when unset.
    pub tokens: Option<BTreeSet<String>>,
    /// Ids that searches silently leave out, `incomplete_results: false`.
    pub drop: BTreeSet<u64>,
    /// Equal ranks come in an order of this seed instead of lowest id first.
    pub shuffle: Option<u64>,
    /// `sort=updated` goes by `pushed_at` instead of `updated_at`.
    pub updated_by_push: bool,
    /// Searches carry an ETag and answer 304.
    pub search_etag: bool,
    /// Every answer waits this long, in milliseconds.
    pub latency_millis: u64,
}

/// What was asked, also readable over `GET /_stub/counters`.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Counters {
    /// Searches answered, refusals included.
    pub searches: u64,
    /// Other requests of GitHub's API answered.
    pub core: u64,
    /// Requests that came though the window had none left.
    pub over_limit: u64,
    /// Requests that came before the time until which a refusal had said to wait.
    pub impatient: u64,
    /// Searches that came while another one was not answered yet.
    pub overlapping: u64,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<String, u64>,
    /// Method, path and query of every request, in order, with its time.
    pub requests: Vec<(DateTime<Utc>, String)>,
    /// Requests that no well-behaved client of search sends: unknown paths, no User-Agent, beyond
    /// the cap.
    pub unexpected: Vec<String>,
}

impl World {
    /// A world of these repositories.
    #[must_use]
    pub fn new(repositories: Vec<Repository>) -> Self {
        let mut world = Self::default();
        for repository in repositories {
            world.insert(repository);
        }
        world
    }

    /// `count` generated repositories of `topic`; the same seed gives the same ones.
    #[must_use]
    pub fn generate(count: usize, seed: u64, topic: &str) -> Self {
        let mut world = Self::default();
        world.add_generated(count, seed, topic);
        world
    }

    /// Adds generated repositories of another topic; their ids follow those that are there.
    pub fn add_generated(&mut self, count: usize, seed: u64, topic: &str) {
        let newest = DateTime::from_timestamp(1_790_000_000, 0).expect("a date in 2026");
        let after = self.repositories.last_key_value().map_or(1_000_000, |(id, _)| *id);
        for repository in crate::generate::repositories(count, seed, topic, newest, after) {
            self.insert(repository);
        }
    }

    /// Reads search items, one JSON object a line, plain or gzip. `topics` are given to every
    /// record.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is no repository: the message names the line.
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

    /// Adds a repository, or replaces the one of that id.
    pub fn insert(&mut self, repository: Repository) {
        self.remove(repository.id);
        self.by_path.insert(repository.path.clone(), repository.id);
        self.repositories.insert(repository.id, Arc::new(repository));
    }

    /// Deletes a repository, as its owner would.
    pub fn remove(&mut self, id: u64) -> Option<Arc<Repository>> {
        self.results.clear();
        let gone = self.repositories.remove(&id)?;
        // A name may since belong to another id.
        if self.by_path.get(&gone.path) == Some(&id) {
            self.by_path.remove(&gone.path);
        }
        Some(gone)
    }

    /// Changes fields of a repository; false when there is none of that id.
    ///
    /// # Errors
    /// When the result is no repository any more.
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
    /// When there is no repository of that id.
    pub fn star(&mut self, id: u64, stars: i64, at: DateTime<Utc>) {
        let fields =
            [("stargazers_count", Value::from(stars)), ("updated_at", Value::from(rfc3339(at)))];
        let edited =
            self.edit(id, fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect());
        assert_eq!(edited, Ok(true), "there is a repository {id}");
    }

    /// Every repository, by id.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        self.repositories.values().map(|repository| &**repository)
    }

    /// The repository of that id.
    #[must_use]
    pub fn repository(&self, id: u64) -> Option<&Repository> {
        self.repositories.get(&id).map(|repository| &**repository)
    }

    /// The repository of that `owner/name`.
    #[must_use]
    pub fn repository_at(&self, path: &str) -> Option<&Repository> {
        self.repository(*self.by_path.get(&path.to_lowercase())?)
    }

    /// The ids of a topic in the order of `sort` (`best-match`, `stars`, `forks`, `updated`),
    /// lowest id first where equal: what a mirror should show.
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

    /// The ids that a search finds, all pages together.
    pub(crate) fn search(
        &mut self,
        q: &str,
        query: &Query,
        by: Sort,
        ascending: bool,
    ) -> Arc<Vec<u64>> {
        if self.results_under != self.settings {
            self.results.clear();
            self.results_under = self.settings.clone();
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

    /// The fault that strikes this request, counted.
    pub(crate) fn strike(
        &mut self,
        path: &str,
        search: Option<(Sort, usize)>,
        bucket: Bucket,
        now: DateTime<Utc>,
    ) -> Option<FaultKind> {
        let struck = strike(&mut self.faults, path, search)?;
        *self.counters.faults.entry(struck.name().to_owned()).or_default() += 1;
        let wait = match struck {
            FaultKind::PrimaryLimit { reset_in, .. } => Some((Some(bucket), reset_in)),
            FaultKind::SecondaryLimit { retry_after, .. } => {
                Some((None, retry_after.map_or(UNNAMED_WAIT, i64::from)))
            }
            _ => None,
        };
        if let Some((whose, seconds)) = wait {
            self.waits.insert(whose, now + TimeDelta::seconds(seconds));
        }
        Some(struck)
    }

    /// Counts a request that comes while it should wait.
    pub(crate) fn note_impatience(&mut self, bucket: Bucket, now: DateTime<Utc>) {
        let waits = [None, Some(bucket)]
            .map(|whose| self.waits.get(&whose).is_some_and(|until| now < *until));
        self.counters.impatient += u64::from(waits.contains(&true));
    }
}
