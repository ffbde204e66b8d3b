//! The world's past, made up from a seed: the counts of each day, and the repositories that came,
//! left or were renamed.
//!
//! Each day has one run of a mirror, at midnight (UTC), which sees the counts of that time. Run 0
//! is the topics' first one, the last run is today's and sees the world as it is served. The stars
//! between two runs are given on the calendar day between them.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use serde_json::json;

use crate::generate::signed;
use crate::repository::{Repository, rfc3339};
use crate::world::World;

/// The fewest days that have room for the roles.
const ROLE_DAYS: usize = 14;

/// A repository's special part in the history. The others grow steadily or hardly at all.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Gains much of its stars within a few days.
    Burst,
    /// Has a burst, and later loses a part of those stars.
    Fall,
    /// Is created within the history.
    Newcomer,
    Renamed,
    /// Leaves its topics and returns to them.
    Returned,
    /// Is missed by the two runs that are partial.
    Missed,
    Archived,
}

/// The roles of the repositories that follow the most popular one of each topic.
const ROLES: [Role; 7] = [
    Role::Burst,
    Role::Newcomer,
    Role::Fall,
    Role::Renamed,
    Role::Returned,
    Role::Missed,
    Role::Archived,
];

/// The counts that a run sees of a repository.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) stars: i64,
    pub(crate) forks: i64,
    pub(crate) open_issues: i64,
}

/// The past of a repository; the numbers are those of runs.
#[derive(Default)]
pub(crate) struct Past {
    /// The counts at each run, also at those that do not see the repository.
    pub(crate) counts: Vec<Counts>,
    /// The first run after its creation.
    pub(crate) begin: usize,
    /// The runs at which it lacks its topics.
    pub(crate) away: Range<usize>,
    missed: Range<usize>,
    /// Its former name, and the run that saw the new one first.
    pub(crate) former: Option<(String, usize)>,
    /// The run that first saw it archived, if it was not from the first one on.
    pub(crate) archived: Option<usize>,
}

impl Past {
    pub(crate) fn is_member(&self, run: usize) -> bool {
        self.begin <= run && !self.away.contains(&run)
    }

    pub(crate) fn is_seen(&self, run: usize) -> bool {
        self.is_member(run) && !self.missed.contains(&run)
    }

    /// The change of the star count between each run and the next one.
    fn gains(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
        self.counts.windows(2).map(|pair| pair[1].stars - pair[0].stars)
    }
}

/// The past of a world.
pub(crate) struct History {
    seed: u64,
    /// The day of run 0.
    first: NaiveDate,
    /// The number of the last run.
    pub(crate) last: usize,
    /// In order of their names.
    pub(crate) topics: Vec<String>,
    /// By repository.
    pub(crate) pasts: BTreeMap<u64, Past>,
}

impl History {
    /// Makes up the past of the world, whose last change is before `today`, and dates repositories
    /// to match it. Equal arguments give equal pasts.
    pub(crate) fn make(
        world: &mut World,
        mut topics: Vec<String>,
        seed: u64,
        days: usize,
        today: NaiveDate,
    ) -> Self {
        topics.sort();
        topics.dedup();
        let first = today - Days::new(days as u64);
        let mut history = Self { seed, first, last: days, topics, pasts: BTreeMap::new() };
        let roles = history.roles(world);
        let repositories: Vec<Repository> = world.repositories().cloned().collect();
        for mut own in repositories {
            let role = roles.get(&own.id).copied();
            let past = history.past(&mut own, role);
            history.pasts.insert(own.id, past);
            let fields = [
                ("archived", json!(own.archived)),
                ("created_at", json!(rfc3339(own.created))),
                ("updated_at", json!(rfc3339(own.updated))),
                ("pushed_at", json!(rfc3339(own.pushed))),
            ];
            let fields = fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
            let edited = world.edit(own.id, fields);
            assert_eq!(edited, Ok(true), "there is a repository {}", own.id);
        }
        history
    }

    /// The time of a run.
    pub(crate) fn at(&self, run: usize) -> DateTime<Utc> {
        self.day(run).and_time(NaiveTime::MIN).and_utc()
    }

    pub(crate) fn day(&self, run: usize) -> NaiveDate {
        self.first + Days::new(run as u64)
    }

    /// Whether the run does not see every repository.
    pub(crate) fn is_partial(&self, run: usize) -> bool {
        self.pasts.values().any(|past| past.missed.contains(&run))
    }

    /// The run after so many tenths of the days.
    fn tenth(&self, tenths: usize) -> usize {
        self.last * tenths / 10
    }

    fn roles(&self, world: &World) -> BTreeMap<u64, Role> {
        let mut roles = BTreeMap::new();
        for topic in self.topics.iter().filter(|_| self.last >= ROLE_DAYS) {
            let is_older =
                |id: &u64| world.repository(*id).is_some_and(|own| own.created < self.at(0));
            let popular = world.ranked(topic, "stars").into_iter().filter(is_older);
            for (id, role) in popular.skip(1).zip(ROLES) {
                roles.entry(id).or_insert(role);
            }
        }
        roles
    }

    /// Makes up the past that leads to the repository's counts, and dates it to match its past.
    fn past(&self, own: &mut Repository, role: Option<Role>) -> Past {
        let mut random = fastrand::Rng::with_seed(self.seed ^ own.id);
        match role {
            Some(Role::Newcomer) => {
                own.created = self.at(self.tenth(7)) + TimeDelta::hours(10);
                own.pushed = own.pushed.max(own.created);
            }
            Some(Role::Archived) => {
                own.archived = true;
                own.pushed = own.pushed.min(self.at(self.tenth(8)));
            }
            _ => {}
        }
        let gains = self.gains(own, role, &mut random);
        // Each star sets `updated_at`.
        own.updated = own.updated.max(own.pushed);
        if let Some(day) = gains.iter().rposition(|gain| *gain != 0) {
            let starred = self.at(day) + TimeDelta::seconds(random.i64(0..86_400));
            own.updated = own.updated.max(starred);
        }
        let is_new = own.created >= self.at(0);
        let begin = if is_new { days_between(self.first, own.created.date_naive()) + 1 } else { 0 };
        let counts = counts(own, begin, &gains, &mut random);
        let mut past = Past { counts, begin, ..Past::default() };
        match role {
            Some(Role::Returned) => past.away = self.tenth(2)..self.tenth(4),
            Some(Role::Missed) => past.missed = self.tenth(5)..self.tenth(5) + 2,
            Some(Role::Archived) => past.archived = Some(self.tenth(8)),
            Some(Role::Renamed) => {
                let former = format!("{}-preview", own.full_name());
                past.former = Some((former, self.tenth(4)));
            }
            _ => {}
        }
        past
    }

    /// The stars gained between each run and the next one.
    fn gains(&self, own: &Repository, role: Option<Role>, random: &mut fastrand::Rng) -> Vec<i64> {
        let (stars, created) = (own.stars.max(0), own.created.date_naive());
        let unborn = days_between(self.first, created).min(self.last);
        let mut weights = weights(self.first.max(created), self.last - unborn, random);
        let mut gains = vec![0; unborn];
        match role {
            Some(Role::Burst) => {
                add_burst(&mut weights[self.tenth(6)..]);
                gains.extend(divide(stars * 3 / 5, &weights));
            }
            Some(Role::Fall) => {
                let mut leaving = vec![0.0; weights.len()];
                leaving[self.tenth(7)..].fill(1.0);
                add_burst(&mut weights[self.tenth(3)..]);
                let left = divide(stars / 6, &leaving);
                gains.extend(divide(stars / 2, &weights).iter().zip(left).map(|(a, b)| a - b));
            }
            _ if own.created >= self.at(0) => gains.extend(divide(stars, &weights)),
            _ => {
                let age = days_between(created, self.day(self.last)).max(1);
                let share = self.last as f64 / age as f64 * (0.5 + 3.5 * random.f64());
                let steady = signed(stars as f64 * share.min(0.6));
                let quiet = random.i64(0..=2).min(stars / 20);
                let gained = if random.u32(..5) < 3 { quiet } else { steady };
                gains.extend(divide(gained, &weights));
            }
        }
        gains
    }
}

/// The counts at each run that lead to the repository's own.
fn counts(
    own: &Repository,
    begin: usize,
    gains: &[i64],
    random: &mut fastrand::Rng,
) -> Vec<Counts> {
    let open_issues = own.item["open_issues_count"].as_i64().unwrap_or(0);
    let mut counts = vec![Counts::default(); gains.len() + 1];
    let mut at = Counts { stars: own.stars, forks: own.forks, open_issues };
    let mut fewest = own.stars;
    counts[gains.len()] = at;
    for run in (begin..gains.len()).rev() {
        at.stars -= gains[run];
        // Forks grow with the stars, and nobody takes one back.
        fewest = fewest.min(at.stars);
        at.forks = own.forks * fewest / own.stars.max(1);
        if begin > 0 {
            at.open_issues = open_issues * fewest / own.stars.max(1);
        } else if gains[run] != 0 {
            at.open_issues = (at.open_issues + random.i64(-1..=1)).max(0);
        }
        counts[run] = at;
    }
    counts
}

/// The stars of a repository that are still held, by the UTC day on which they were given: the day
/// of its creation, and the stars of that day and of each one after it up to `until`. They sum to
/// the star count. Stars of days without a past are spread over the repository's life.
pub(crate) fn stars_by_day(
    repository: &Repository,
    history: Option<&History>,
    until: NaiveDate,
) -> (NaiveDate, Vec<i64>) {
    let created = repository.created.date_naive();
    let past = history.and_then(|history| Some((history, history.pasts.get(&repository.id)?)));
    let (known, earlier) = match past {
        Some((history, past)) => (history.first, past.counts[0].stars),
        None => (repository.updated.date_naive() + Days::new(1), repository.stars),
    };
    let mut random = fastrand::Rng::with_seed(repository.id);
    let mut stars = divide(earlier, &weights(created, days_between(created, known), &mut random));
    if let Some((_, past)) = past {
        stars.extend(past.gains().skip(days_between(known, created)));
    }
    stars.resize(days_between(created, until) + 1, 0);
    // The star count may have been set since the past was made, or `until` may be before its end.
    let today = stars.len() - 1;
    stars[today] += repository.stars - stars.iter().sum::<i64>();
    // A star that was taken back is missing from the day on which it was given.
    let mut lost = 0;
    for day in stars.iter_mut().rev() {
        let held = *day - lost;
        (*day, lost) = (held.max(0), (-held).max(0));
    }
    (created, stars)
}

/// Divides `total` in proportion to the weights.
fn divide(total: i64, weights: &[f64]) -> Vec<i64> {
    let sum: f64 = weights.iter().sum();
    let (mut reached, mut given) = (0.0, 0);
    let part = |weight: &f64| {
        reached += weight;
        let before = std::mem::replace(&mut given, signed((total as f64 * reached / sum).round()));
        given - before
    };
    weights.iter().map(part).collect()
}

/// Weights of so many days from `first` on: fewer stars at weekends, and some noise.
fn weights(first: NaiveDate, days: usize, random: &mut fastrand::Rng) -> Vec<f64> {
    let weight = |day: NaiveDate| match day.weekday() {
        Weekday::Sat | Weekday::Sun => 0.4 + random.f64() * 0.4,
        _ => 0.7 + random.f64() * 0.6,
    };
    first.iter_days().take(days).map(weight).collect()
}

/// Raises the first weights so that they weigh as much as 150 other days.
fn add_burst(weights: &mut [f64]) {
    let mut raised = 60.0;
    for weight in weights {
        *weight *= 1.0 + raised;
        raised *= 0.6;
    }
}

/// The days from `first` to `last`; 0 if `last` is not after it.
fn days_between(first: NaiveDate, last: NaiveDate) -> usize {
    usize::try_from((last - first).num_days()).unwrap_or(0)
}
