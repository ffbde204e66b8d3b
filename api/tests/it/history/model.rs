//! The history as it should be, made from the answers that GitHub gave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::model::run::Outcome;
use api::model::topic::Coverage;
use api::model::topic_day;
use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};
use github_stub::{Repository, Shown};
use serde_json::Value;

/// The repositories that a list has, which is how many of each ranking the coverage `top` keeps.
const LIST_LENGTH: usize = 500;

/// A run, as GitHub saw it.
pub(super) struct Run {
    pub(super) topic: &'static str,
    pub(super) coverage: Coverage,
    /// The answers that arrived.
    pub(super) shown: Vec<Shown>,
    pub(super) began: DateTime<Utc>,
    /// The time of its last request.
    pub(super) last: DateTime<Utc>,
    /// `None` if it was killed.
    pub(super) ended: Option<Outcome>,
}

pub(super) struct Model {
    /// The last counts seen of each repository on each day: stars, forks, open issues.
    counts: BTreeMap<(u64, NaiveDate), [Value; 3]>,
    /// Each repository as it was seen last.
    last: BTreeMap<u64, Arc<Repository>>,
    names: Vec<String>,
    events: Vec<String>,
    topics: BTreeMap<&'static str, TopicModel>,
    runs: u32,
    /// How often each kind of event, of a run and of its end occurred.
    pub(super) occurrences: BTreeMap<&'static str, u32>,
}

#[derive(Default)]
struct TopicModel {
    tracked_at: DateTime<Utc>,
    /// The coverage of the last complete run.
    filled: Option<Coverage>,
    members: BTreeMap<u64, Member>,
    /// The days on which former members were members.
    former: BTreeMap<u64, BTreeSet<NaiveDate>>,
    /// The repositories whose last event of coming or going was going.
    left: BTreeSet<u64>,
    /// When those joined whose last such event was coming.
    joined: BTreeMap<u64, DateTime<Utc>>,
    days: BTreeMap<NaiveDate, TopicDay>,
    /// The day on which the last complete run over every repository began.
    covered: Option<NaiveDate>,
    /// The last run that searched for slices of the topic.
    sliced_in: u32,
}

struct Member {
    joined_at: Option<DateTime<Utc>>,
    began: NaiveDate,
    /// The last run that saw it.
    confirmed_in: u32,
}

#[derive(Default)]
struct TopicDay {
    total_count: Option<usize>,
    stored: usize,
    complete: bool,
    best_match: Option<Vec<u64>>,
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn counts(own: &Repository) -> [Value; 3] {
    ["stargazers_count", "forks_count", "open_issues_count"].map(|key| own.item[key].clone())
}

fn is_private(own: &Repository) -> bool {
    own.item["private"] == true
}

/// The answers of a run that count: a page that is asked for again replaces the one before.
fn last_answers(shown: &[Shown]) -> impl Iterator<Item = &Shown> {
    let next = shown.iter().skip(1).map(Some).chain([None]);
    let is_last = |(own, next): &(&Shown, Option<&Shown>)| {
        next.is_none_or(|next| next.request != own.request)
    };
    shown.iter().zip(next).filter(is_last).map(|(own, _)| own)
}

impl Model {
    pub(super) fn new(topics: [&'static str; 2], tracked_at: DateTime<Utc>) -> Self {
        let topic = |name| (name, TopicModel { tracked_at, ..TopicModel::default() });
        Self {
            counts: BTreeMap::new(),
            last: BTreeMap::new(),
            names: Vec::new(),
            events: Vec::new(),
            topics: topics.map(topic).into(),
            runs: 0,
            occurrences: BTreeMap::new(),
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.occurrences.entry(kind).or_default() += 1;
    }

    pub(super) fn note(&mut self, run: &Run) {
        let (pages, lookups): (Vec<&Shown>, Vec<&Shown>) =
            last_answers(&run.shown).partition(|shown| shown.request.starts_with("/search/"));
        self.runs += 1;
        let mut confirmed = BTreeSet::new();
        for page in &pages {
            for own in page.repositories.iter().filter(|own| !is_private(own)) {
                self.see(own, run, page.at);
                confirmed.insert(own.id);
            }
        }
        self.count(run.ended.map_or("killed", <&str>::from));
        if run.began.date_naive() < run.last.date_naive() {
            self.count("past midnight");
        }
        let Some(outcome) = run.ended else { return };
        let is_complete = outcome == Outcome::Complete;
        for lookup in lookups {
            let id = lookup.request.rsplit('/').next().and_then(|id| id.parse().ok());
            let id: u64 = id.expect("the id that was looked up");
            let reason = match lookup.repositories.first() {
                None => "deleted",
                Some(own) if is_private(own) => "private",
                Some(own) if own.topics.iter().all(|topic| topic != run.topic) => "topic_removed",
                Some(own) => {
                    self.see(own, run, run.last);
                    confirmed.insert(id);
                    continue;
                }
            };
            if is_complete {
                self.leave(run, id, reason);
            }
        }
        self.end(run, is_complete, &pages, &confirmed);
    }

    /// A topic is forgotten and tracked again. Its days, events and former members stay.
    pub(super) fn forget(&mut self, topic: &str, at: DateTime<Utc>) {
        self.count("forgotten");
        let topic = self.topics.get_mut(topic).expect("a topic");
        for id in topic.members.keys().copied().collect::<Vec<_>>() {
            topic.end_membership(id, at);
        }
        (topic.tracked_at, topic.filled) = (at, None);
    }

    /// A repository is shown.
    fn see(&mut self, own: &Arc<Repository>, run: &Run, at: DateTime<Utc>) {
        if let Some(before) = self.last.insert(own.id, Arc::clone(own)) {
            let (from, to) = (before.full_name(), own.full_name());
            if from != to {
                self.names.push(format!("{} {} {from}", own.id, time(at)));
                self.tell_topics(own, at, "renamed", &format!("- {from} {to}"));
            }
            if own.archived != before.archived {
                let kind = if own.archived { "archived" } else { "unarchived" };
                self.tell_topics(own, at, kind, "- - -");
            }
        }
        self.counts.insert((own.id, at.date_naive()), counts(own));
        let topic = self.topics.get_mut(run.topic).expect("a topic");
        let confirmed_in = self.runs;
        if let Some(member) = topic.members.get_mut(&own.id) {
            member.confirmed_in = confirmed_in;
            return;
        }
        let earlier = topic.joined.get(&own.id).copied();
        let has_joined = earlier.is_none()
            && match topic.filled {
                None => false,
                Some(Coverage::Complete) => true,
                Some(Coverage::Top) => {
                    let is_new = own.created >= topic.tracked_at || topic.left.contains(&own.id);
                    run.coverage == Coverage::Top && is_new
                }
            };
        let joined_at = earlier.or(has_joined.then_some(at));
        topic.members.insert(own.id, Member { joined_at, began: at.date_naive(), confirmed_in });
        if has_joined {
            let has_left = topic.left.remove(&own.id);
            topic.joined.insert(own.id, at);
            let (id, name) = (own.id, own.full_name());
            self.events.push(format!("{} {} {id} joined {name} - - -", run.topic, time(at)));
            self.count(if has_left { "returned" } else { "joined" });
        }
    }

    /// An event of every topic that has the repository and has been filled.
    fn tell_topics(
        &mut self,
        own: &Repository,
        at: DateTime<Utc>,
        kind: &'static str,
        details: &str,
    ) {
        self.count(kind);
        let (id, name) = (own.id, own.full_name());
        for (topic, state) in &self.topics {
            if state.filled.is_some() && state.members.contains_key(&id) {
                self.events.push(format!("{topic} {} {id} {kind} {name} {details}", time(at)));
            }
        }
    }

    /// A complete run has found that a repository is in the topic no more.
    fn leave(&mut self, run: &Run, id: u64, reason: &'static str) {
        self.count(reason);
        let topic = self.topics.get_mut(run.topic).expect("a topic");
        topic.end_membership(id, run.last);
        if topic.filled.is_some() {
            topic.left.insert(id);
            topic.joined.remove(&id);
            let (at, name) = (time(run.last), self.last[&id].full_name());
            self.events.push(format!("{} {at} {id} left {name} {reason} - -", run.topic));
        }
    }

    fn end(&mut self, run: &Run, is_complete: bool, pages: &[&Shown], confirmed: &BTreeSet<u64>) {
        let (topic, today) = (self.topics.get_mut(run.topic).expect("a topic"), run.last);
        if is_complete && run.coverage == Coverage::Top {
            for id in topic.displaced(&self.last, confirmed) {
                topic.end_membership(id, today);
                *self.occurrences.entry("displaced").or_default() += 1;
            }
        }
        let today = today.date_naive();
        let day = run.began.date_naive();
        let has = |word| pages.iter().any(|page| page.request.contains(word));
        if has("created") {
            topic.sliced_in = self.runs;
        } else if is_complete
            && run.coverage == Coverage::Complete
            && topic.covered != Some(day)
            && day == today
            && has("sort=updated")
        {
            // An earlier run has read the slices, and this one would have shown their changes.
            let is_taken = |member: &Member| member.confirmed_in >= topic.sliced_in;
            for (id, _) in topic.members.iter().filter(|(_, member)| is_taken(member)) {
                if self.counts.range((*id, day)..=(*id, NaiveDate::MAX)).next().is_none() {
                    *self.occurrences.entry("unchanged").or_default() += 1;
                    self.counts.insert((*id, day), counts(&self.last[id]));
                }
            }
        }
        if is_complete {
            topic.covered = (run.coverage == Coverage::Complete).then_some(day);
        }
        let day = topic.days.entry(today).or_default();
        day.stored = topic.members.len();
        let is_best_match = |page: &&&Shown| !page.request.contains("sort=");
        let best_match: Vec<&Shown> = pages.iter().filter(is_best_match).copied().collect();
        if is_complete || !day.complete {
            let last = best_match.last().map(|page| page.total_count);
            day.total_count = last.or(day.total_count);
        }
        if is_complete {
            let ids = best_match.iter().flat_map(|page| &page.repositories).map(|own| own.id);
            let ids = ids.filter(|id| topic.members.contains_key(id));
            day.complete = true;
            day.best_match = Some(ids.take(LIST_LENGTH).collect());
            topic.filled = Some(run.coverage);
        }
    }

    /// The rows of the archive's tables; members without their places.
    pub(super) fn rows(&self) -> [(&'static str, Vec<String>); 6] {
        let counts = self.counts.iter().map(|((id, day), counts)| {
            let [stars, forks, issues] = counts;
            format!("{id} {day} {stars} {forks} {issues}")
        });
        let (mut members, mut former, mut days) = (Vec::new(), Vec::new(), Vec::new());
        for (name, topic) in &self.topics {
            for (id, member) in &topic.members {
                let joined_at = member.joined_at.map_or_else(|| "-".to_owned(), time);
                members.push(format!("{name} {id} {joined_at} {}", topic.since(*id, member)));
            }
            former.extend(topic.former_rows(name));
            days.extend(topic.days.iter().map(|(day, known)| known.row(name, *day)));
        }
        [
            ("counts", counts.collect()),
            ("members", members),
            ("former_members", former),
            ("topic_days", days),
            ("events", self.events.clone()),
            ("names", self.names.clone()),
        ]
    }
}

impl Model {
    /// The days of a topic as readers see them.
    pub(super) fn topic_days(&self, name: &str) -> Vec<topic_day::TopicDay> {
        let topic = &self.topics[name];
        let moves = |kind: &str, day: NaiveDate| {
            let of_day = |event: &&String| {
                let words: Vec<&str> = event.split(' ').collect();
                words[0] == name && words[1].starts_with(&day.to_string()) && words[3] == kind
            };
            i64::try_from(self.events.iter().filter(of_day).count()).expect("few")
        };
        let days =
            topic.days.iter().enumerate().map(|(number, (day, known))| topic_day::TopicDay {
                day: *day,
                total_count: known.total_count.map(|count| i64::try_from(count).expect("few")),
                stored: i64::try_from(known.stored).expect("few"),
                complete: known.complete,
                stars_gained: (number > 0).then(|| self.stars_gained(topic, *day)),
                joined: moves("joined", *day),
                left: moves("left", *day),
            });
        days.collect()
    }

    fn stars_gained(&self, topic: &TopicModel, day: NaiveDate) -> i64 {
        let gained = self.counts.iter().filter(|((id, seen), _)| {
            let since = topic.members.get(id).map(|member| topic.since(*id, member));
            let was_there = topic.former.get(id).is_some_and(|days| days.contains(&day));
            *seen == day && (was_there || since.is_some_and(|since| since <= day))
        });
        let gained = gained.filter_map(|((id, _), [after, ..])| {
            let mut earlier = self.counts.range((*id, NaiveDate::MIN)..(*id, day));
            let (_, [before, ..]) = earlier.next_back()?;
            Some(after.as_i64().expect("stars") - before.as_i64().expect("stars"))
        });
        gained.sum()
    }

    /// The number of a topic's events.
    pub(super) fn event_count(&self, topic: &str) -> usize {
        self.events.iter().filter(|event| event.starts_with(&format!("{topic} "))).count()
    }
}

impl TopicModel {
    fn end_membership(&mut self, id: u64, at: DateTime<Utc>) {
        let member = self.members.remove(&id).expect("a member");
        let days = member.began.iter_days().take_while(|day| *day <= at.date_naive());
        self.former.entry(id).or_default().extend(days);
    }

    /// The members that no ranking has a place for, and that the run has not shown.
    fn displaced(
        &self,
        last: &BTreeMap<u64, Arc<Repository>>,
        confirmed: &BTreeSet<u64>,
    ) -> Vec<u64> {
        let first = |key: &dyn Fn(&Repository) -> i64| {
            let mut ids: Vec<u64> = self.members.keys().copied().collect();
            ids.sort_by_key(|id| (-key(&last[id]), *id));
            ids.into_iter().take(LIST_LENGTH).collect::<BTreeSet<_>>()
        };
        let (by_stars, by_update) =
            (first(&|own| own.stars), first(&|own| own.updated.timestamp()));
        let has_place =
            |id: &u64| confirmed.contains(id) || by_stars.contains(id) || by_update.contains(id);
        self.members.keys().copied().filter(|id| !has_place(id)).collect()
    }

    /// The first of the days in a row, up to today, on which the topic had the member.
    fn since(&self, id: u64, member: &Member) -> NaiveDate {
        let mut since = member.began;
        let days = self.former.get(&id);
        while days.is_some_and(|days| days.contains(&(since - Days::new(1)))) {
            since = since - Days::new(1);
        }
        since
    }

    /// The days in a row on which the topic had repositories that it has no more, or had before.
    fn former_rows(&self, name: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for (id, days) in &self.former {
            let since = self.members.get(id).map(|member| self.since(*id, member));
            for first in days.iter().filter(|day| !days.contains(&(**day - Days::new(1)))) {
                let last = first.iter_days().take_while(|day| days.contains(day)).last();
                let last = last.expect("the first day at least");
                if since.is_none_or(|since| last < since) {
                    rows.push(format!("{name} {id} {first} {last}"));
                }
            }
        }
        rows
    }
}

impl TopicDay {
    fn row(&self, topic: &str, day: NaiveDate) -> String {
        let text = |known: Option<String>| known.unwrap_or_else(|| "-".to_owned());
        let ids = self.best_match.as_ref().map(|ids| format!("{ids:?}").replace(' ', ""));
        let (total_count, ids) = (text(self.total_count.map(|count| count.to_string())), text(ids));
        format!("{topic} {day} {total_count} {} {} {ids}", self.stored, self.complete)
    }
}
