//! The first page: the tracked topics, and what moved in them. Clients that do not take HTML get a
//! short guide as plain text.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Days, Utc};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::layout::{Layout, Section, Site, document};
use super::ready::first_rows;
use super::words::{Gain, Grouped, Moment, Name};
use crate::app::App;
use crate::error::Error;
use crate::http::api::lists::nginx_may_keep;
use crate::http::conditional::takes_html;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::document::{self as documents, FOR_A_MINUTE};
use crate::http::parameters::Parameters;
use crate::lists::document::Document;
use crate::model::ranking::{Listing, Trend};
use crate::model::topic::{Topic, TopicState};
use crate::model::topic_day::TopicDay;
use crate::pictures::spark;
use crate::read::Served;

/// The repositories that the page names of each topic.
const MOVERS: usize = 3;

/// The days of a sparkline, and those of the number beside it.
const SPARK_DAYS: u32 = 30;
const GAIN_DAYS: u64 = 7;

/// How long the lists of topics are waited for. Those that come later are there at the next look.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

const VARY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
    topics: Vec<TopicView>,
    /// Whether readers may open other topics.
    is_open: bool,
}

struct TopicView {
    topic: Topic,
    repositories: Grouped,
    /// GitHub's count, if it is more.
    total: Option<Grouped>,
    /// How whole the topic is, in words.
    coverage: &'static str,
    age: Option<Moment>,
    gained: Option<Gain>,
    spark: Option<String>,
    movers: Vec<Mover>,
}

/// A row of a trending list.
#[derive(Deserialize)]
struct Mover {
    full_name: String,
    gained: i64,
}

impl Mover {
    fn name(&self) -> Name<'_> {
        Name::new(&self.full_name)
    }

    fn gain(&self) -> Gain {
        Gain(self.gained)
    }
}

pub(super) fn routes() -> Routes {
    Routes::default().routes(
        Operation::get("index", "The tracked topics as a page, or a short guide as plain text")
            .takes(&[])
            .kept(Answer::text("text/html").or_text("text/plain"))
            .at("/", get(home)),
    )
}

async fn home(
    State(app): State<Arc<App>>,
    uri: Uri,
    request: HeaderMap,
) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    if !request.get(header::ACCEPT).is_some_and(takes_html) {
        let text = guide(app.config.on_demand_topics);
        let guide = Document::new("text/plain; charset=utf-8", FOR_A_MINUTE, text.into());
        let document = Arc::new(guide.with(header::VARY, VARY));
        let served = Served { document, cache_status: "memory; hit", is_stale: false };
        return Ok(documents::answer(&app, &served, &request).await);
    }
    let site = Site::of(&app);
    let now = app.clock.now();
    let (own, key) = (Arc::clone(&app), "the first page".to_owned());
    let gather = || async move {
        let mut layout = Layout::new(&site, Section::Topics, "GitHub topics".to_owned(), "");
        layout = layout.with_json(format!("{}topics", site.root));
        let is_open = own.config.on_demand_topics;
        let page = HomePage { layout, topics: topics(&own, now).await?, is_open };
        Ok(move || Ok(document(&page, FOR_A_MINUTE, true)?.with(header::VARY, VARY)))
    };
    let served = app.documents.get(key, None, gather).await?;
    let mut response = documents::answer(&app, &served, &request).await;
    nginx_may_keep(&mut response, &uri, now);
    Ok(response)
}

async fn topics(app: &App, now: DateTime<Utc>) -> Result<Vec<TopicView>, Error> {
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut topics = Vec::new();
    for state in app.public.topics().await? {
        let days = app.public.topic_days(&state.topic).await?.unwrap_or_default();
        let lists = timeout_at(deadline, app.reader.published(&state.topic)).await;
        let movers = match lists.ok().flatten() {
            Some(hit) => {
                let trending = Listing::Trend(Trend::Trending);
                first_rows(&app.documents, hit, trending, MOVERS).await
            }
            None => Vec::new(),
        };
        topics.push(view(state, &days, movers, now));
    }
    Ok(topics)
}

fn view(state: TopicState, days: &[TopicDay], movers: Vec<Mover>, now: DateTime<Utc>) -> TopicView {
    let total = state.total_count.filter(|total| *total > state.stored);
    let coverage = match (state.refreshed_at, total) {
        (None, _) => "no whole refresh yet",
        (Some(_), None) if state.complete => "whole",
        (Some(_), Some(_)) if state.complete => "in part",
        (Some(_), _) => "last refresh not complete",
    };
    TopicView {
        topic: state.topic,
        repositories: Grouped(state.stored),
        total: total.map(Grouped),
        coverage,
        age: state.refreshed_at.map(|at| Moment::new(at, now)),
        gained: gained(days),
        spark: sparkline(days),
        movers,
    }
}

/// The stars that were gained in the last days.
fn gained(days: &[TopicDay]) -> Option<Gain> {
    let first = days.last()?.day - Days::new(GAIN_DAYS - 1);
    let gains: Vec<i64> =
        days.iter().filter(|day| day.day >= first).filter_map(|day| day.stars_gained).collect();
    (!gains.is_empty()).then(|| Gain(gains.iter().sum()))
}

/// The line of all stars over the last days, from nothing on.
fn sparkline(days: &[TopicDay]) -> Option<String> {
    let first = days.last()?.day - Days::new(u64::from(SPARK_DAYS) - 1);
    let mut sum = 0;
    let values = days.iter().filter(|day| day.day >= first).map(|day| {
        sum += day.stars_gained.unwrap_or_default();
        (u32::try_from((day.day - first).num_days()).unwrap_or_default(), sum)
    });
    spark::path(&values.collect::<Vec<_>>(), SPARK_DAYS)
}

/// The routes that people start with, as plain text, and whether other topics are fetched.
fn guide(is_open: bool) -> String {
    let mut text =
        "GitHub topic mirror: ranked lists of a GitHub topic's repositories, 500 in each, as JSON."
            .to_owned();
    text.push_str("\n\n");
    let lists = Listing::ALL.map(|listing| (format!("/api{}", listing.path()), listing.summary()));
    let others = [
        ("/charts/{owner}/{repo}.svg", "a picture of a repository's stars over days"),
        ("/badges/{topic}/{owner}/{repo}.svg", "a badge of its place in a topic"),
        ("/topics", "the tracked topics: how fresh and how complete each is"),
        ("/topics/{topic}/events", "what happened to a topic's repositories, newest first"),
        ("/feeds.opml", "feeds of each topic, for feed readers"),
        ("/refreshes", "the latest refreshes"),
        ("/ready", "whether the database and the caches can answer"),
        ("/docs", "every route with its parameters, for people"),
        ("/openapi.json", "the same for programs (OpenAPI 3.1)"),
    ];
    let others = others.map(|(path, summary)| (path.to_owned(), summary));
    for (path, summary) in lists.into_iter().chain(others) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {path:<35} {summary}");
    }
    text.push_str(
        "\nTry: curl --compressed http://localhost:8081/api/popularity/kubernetes    \
         (with this server's address)\n",
    );
    text.push_str(if is_open {
        "If a topic is not tracked, the first read of it starts to fetch it from GitHub. Until the \
         list is\nready, the answer is 503 and says how far the fetch is.\n"
    } else {
        "Topics that are not tracked are not fetched here.\n"
    });
    text
}
