//! A model of GitHub: topics as numbers, from which every page of a search follows.
//!
//! A repository has a date of creation and, once in 50 days, a change: 2 % of a topic change in a
//! day. A topic neither grows nor shrinks. To save rows, most repositories of topics other than the
//! large ones are private, and the service counts those without storing them. That changes no
//! request.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use api::clock::Clock;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use url::Url;

use super::{LATENCY, start};

/// The repositories on a page, and those that a search shows.
const PER_PAGE: i64 = 100;
const SEARCH_CAP: i64 = 1_000;

/// The time from the first repository of a topic to the simulation.
const PAST: i64 = 15 * 365 * 86_400;

/// The time in which each repository of a topic changes once.
const CHANGES_TAKE: f64 = 50.0 * 86_400.0;

/// The ids of a topic's repositories begin at its number times this.
const IDS: i64 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) size: i64,
    pub(super) is_complete: bool,
    pub(super) is_large: bool,
}

impl Topic {
    /// Topics of 100 to 5,000 repositories: as many of 100 to 200 as of 2,500 to 5,000. Half of
    /// them are kept whole.
    pub(super) fn spread(count: usize, seed: u64) -> Vec<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut topic = |number| {
            let size = 100.0 * 50_f64.powf(random.f64());
            #[expect(clippy::cast_possible_truncation, reason = "it is at most 5,000")]
            let size = size as i64;
            let is_complete = random.bool();
            Self { name: format!("topic-{number}"), size, is_complete, is_large: false }
        };
        (0..count).map(&mut topic).collect()
    }

    /// A large topic that is kept whole.
    pub(super) fn large(number: usize, size: i64) -> Self {
        Self { name: format!("large-{number}"), size, is_complete: true, is_large: true }
    }

    pub(super) fn coverage(&self) -> &'static str {
        if self.is_complete { "complete" } else { "top" }
    }

    /// The requests of a run that reads the most: for best match, and for the rest.
    pub(super) fn requests(&self) -> i64 {
        let list = (self.size.min(500) + PER_PAGE - 1) / PER_PAGE;
        match (self.size <= 500, self.is_complete) {
            (true, _) => list,
            (false, false) => 3 * list,
            (false, true) => list + self.size / PER_PAGE * 6 / 5 + 1,
        }
    }

    /// When a repository was created, the oldest first: more in each year than in the one before.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "15 years")]
    fn created(&self, number: i64) -> DateTime<Utc> {
        let share = ((number as f64 + 0.5) / self.size as f64).sqrt();
        start() - TimeDelta::seconds(PAST) + TimeDelta::seconds((PAST as f64 * share) as i64)
    }

    /// The repositories created from one time to another, both included.
    fn between(&self, first: DateTime<Utc>, last: DateTime<Utc>) -> Range<i64> {
        let before = |is_before: &dyn Fn(DateTime<Utc>) -> bool| {
            let (mut low, mut high) = (0, self.size);
            while low < high {
                let middle = low.midpoint(high);
                if is_before(self.created(middle)) { low = middle + 1 } else { high = middle }
            }
            low
        };
        before(&|created| created < first)..before(&|created| created <= last)
    }

    #[expect(clippy::cast_precision_loss, reason = "a topic is small")]
    fn seconds_between_changes(&self) -> f64 {
        CHANGES_TAKE / self.size as f64
    }

    /// The number of the last change. Changes go through the repositories in turn.
    #[expect(clippy::cast_possible_truncation, reason = "a topic changes a few times a second")]
    fn last_change(&self, now: DateTime<Utc>) -> i64 {
        let since = (now - start() + TimeDelta::days(100)).as_seconds_f64();
        (since / self.seconds_between_changes()) as i64
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds")]
    fn changed_at(&self, change: i64) -> DateTime<Utc> {
        let since = change as f64 * self.seconds_between_changes();
        start() - TimeDelta::days(100) + TimeDelta::seconds(since as i64)
    }

    /// Whether the service stores a repository. Of a topic kept as `top`, every run shows those.
    fn is_public(&self, number: i64) -> bool {
        self.is_large || number % 50 == 0 && (self.is_complete || number < 500)
    }

    fn write_item(&self, ids: i64, number: i64, last_change: i64, page: &mut String) {
        let change = last_change - (last_change - number).rem_euclid(self.size);
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (created, updated) = (time(self.created(number)), time(self.changed_at(change)));
        let (name, private) = (&self.name, !self.is_public(number));
        write!(
            page,
            r#"{{"id":{},"name":"r{number}","full_name":"{name}/r{number}","private":{private},"#,
            ids + number
        )
        .expect("a text");
        write!(page, r#""html_url":"https://github.com/{name}/r{number}","topics":["{name}"],"#)
            .expect("a text");
        write!(page, r#""stargazers_count":{},"updated_at":"{updated}","#, self.size - number)
            .expect("a text");
        write!(page, r#""created_at":"{created}","pushed_at":"{created}"}}"#).expect("a text");
    }
}

/// A search, as its address has it.
struct Search {
    topic: String,
    created: Option<(DateTime<Utc>, DateTime<Utc>)>,
    by_update: bool,
    /// From 1 on.
    page: i64,
}

impl Search {
    fn read(url: &Url) -> Self {
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
        };
        let q = value("q").expect("a query");
        let (topic, created) = q.split_once(' ').map_or((&*q, None), |(q, rest)| (q, Some(rest)));
        let created = created.map(|created| {
            let range = created.strip_prefix("created:").expect("the only other qualifier");
            let (first, last) = range.split_once("..").expect("a range");
            (first.parse().expect("a date"), last.parse().expect("a date"))
        });
        Self {
            topic: topic.strip_prefix("topic:").expect("a topic").to_owned(),
            created,
            by_update: value("sort").as_deref() == Some("updated"),
            page: value("page").map_or(1, |page| page.parse().expect("a number")),
        }
    }

    /// GitHub's count, and the numbers of the repositories on the page.
    fn results(&self, topic: &Topic, last_change: i64) -> (i64, Vec<i64>) {
        let offset = (self.page - 1) * PER_PAGE;
        let shown = |count: i64| offset.min(count)..(offset + PER_PAGE).min(count);
        let Some((first, last)) = self.created else {
            let by_rank = |rank: i64| {
                if self.by_update { (last_change - rank).rem_euclid(topic.size) } else { rank }
            };
            return (topic.size, shown(topic.size).map(by_rank).collect());
        };
        let range = topic.between(first, last);
        let count = range.end - range.start;
        let mut numbers: Vec<i64> = range.collect();
        // The service uses only the count of a search that it cannot read whole.
        if count <= SEARCH_CAP {
            numbers.sort_by_key(|number| (last_change - number).rem_euclid(topic.size));
        }
        let [offset, length] = [offset, PER_PAGE].map(|number| number.try_into().expect("a page"));
        (count, numbers.into_iter().skip(offset).take(length).collect())
    }
}

/// GitHub, which counts the searches of each topic.
pub(super) struct GitHub {
    url: String,
    topics: Vec<Topic>,
    clock: Arc<dyn Clock>,
    /// Searches a minute.
    limit: i64,
    state: Mutex<Counters>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    /// Searches of each topic.
    pub(super) searches: Vec<i64>,
    pub(super) lookups: i64,
    /// Searches beyond the limit.
    pub(super) refused: i64,
    /// The end of the present window, and its searches.
    window: Option<(DateTime<Utc>, i64)>,
}

impl GitHub {
    pub(super) async fn start(topics: Vec<Topic>, limit: i64, clock: Arc<dyn Clock>) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let searches = vec![0; topics.len()];
        let state = Mutex::new(Counters { searches, ..Counters::default() });
        let github = Arc::new(Self { url, topics, clock, limit, state });
        let router = Router::new()
            .route("/search/repositories", get(search))
            .route("/repositories/{id}", get(look_up))
            .with_state(Arc::clone(&github));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it listens") });
        github
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn counters(&self) -> Counters {
        self.state.lock().expect("no panic").clone()
    }

    /// Counts a search. Returns the headers about its window, and whether it is within the limit.
    fn count_search(&self, topic: usize, now: DateTime<Utc>) -> (HeaderMap, bool) {
        let mut state = self.state.lock().expect("no panic");
        state.searches[topic] += 1;
        let (end, used) = match state.window.filter(|(end, _)| now < *end) {
            Some((end, used)) => (end, used + 1),
            None => (now + TimeDelta::minutes(1), 1),
        };
        state.window = Some((end, used));
        state.refused += i64::from(used > self.limit);
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            headers.insert(name, HeaderValue::try_from(value).expect("a header"));
        };
        set("date", date);
        set("x-ratelimit-limit", self.limit.to_string());
        set("x-ratelimit-remaining", (self.limit - used).max(0).to_string());
        set("x-ratelimit-reset", (end.timestamp() + 1).to_string());
        set("x-ratelimit-resource", "search".to_owned());
        (headers, used <= self.limit)
    }
}

async fn search(State(github): State<Arc<GitHub>>, uri: Uri) -> impl IntoResponse {
    tokio::time::sleep(LATENCY).await;
    let mut url = Url::parse(&format!("{}{uri}", github.url)).expect("an address");
    let (search, now) = (Search::read(&url), github.clock.now());
    let number = github.topics.iter().position(|topic| topic.name == search.topic);
    let number = number.expect("a topic that is tracked");
    let (mut headers, is_allowed) = github.count_search(number, now);
    if !is_allowed {
        return (StatusCode::FORBIDDEN, headers, r#"{"message":"too many"}"#.to_owned());
    }
    let topic = &github.topics[number];
    let last_change = topic.last_change(now);
    let (count, numbers) = search.results(topic, last_change);
    if search.page * PER_PAGE < count.min(SEARCH_CAP) {
        let pairs: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(name, _)| name != "page").collect();
        let page = (search.page + 1).to_string();
        url.query_pairs_mut().clear().extend_pairs(pairs).append_pair("page", &page);
        let link = HeaderValue::try_from(format!("<{url}>; rel=\"next\"")).expect("a header");
        headers.insert("link", link);
    }
    let mut body = format!(r#"{{"total_count":{count},"incomplete_results":false,"items":["#);
    let ids = IDS * i64::try_from(number).expect("few");
    for (place, number) in numbers.into_iter().enumerate() {
        body.push_str(if place > 0 { "," } else { "" });
        topic.write_item(ids, number, last_change, &mut body);
    }
    body.push_str("]}");
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    (StatusCode::OK, headers, body)
}

async fn look_up(State(github): State<Arc<GitHub>>, Path(id): Path<i64>) -> String {
    tokio::time::sleep(LATENCY).await;
    github.state.lock().expect("no panic").lookups += 1;
    let topic = &github.topics[usize::try_from(id / IDS).expect("an id")];
    let mut item = String::new();
    topic.write_item(id - id % IDS, id % IDS, topic.last_change(github.clock.now()), &mut item);
    item
}
