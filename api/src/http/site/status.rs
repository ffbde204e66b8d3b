//! The page of the service's state: the topics' ages, refreshes, GitHub's limits, this replica.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};

use super::layout::{Layout, Section, Site, passing};
use super::words::{Grouped, Moment, counted, span};
use crate::app::App;
use crate::error::Error;
use crate::http::api::ready::{Readiness, TopicReadiness, readiness};
use crate::http::api::refreshes::latest;
use crate::http::description::{Answer, Operation, Routes};
use crate::http::parameters::Parameters;
use crate::model::quota::{Quota, Resource};
use crate::model::run::{Outcome, RefreshRun, Trigger};

/// The number of refreshes shown.
const REFRESHES: i64 = 20;

/// Seconds until the page is loaded again while a refresh runs.
const RELOAD_AFTER: u64 = 5;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    layout: Layout,
    readiness: Readiness,
    topics: Vec<TopicView>,
    running: Vec<RunView>,
    ended: Vec<RunView>,
    limits: Vec<LimitView>,
    /// Why the database cannot tell of refreshes and limits.
    fault: Option<String>,
}

struct TopicView {
    name: String,
    state: &'static str,
    age: Option<String>,
    reason: Option<String>,
}

struct RunView {
    id: i64,
    topic: Option<String>,
    trigger: &'static str,
    started: Moment,
    /// While it runs: requests done and expected, and both in words.
    requests: i64,
    expected: i64,
    progress: String,
    outcome: &'static str,
    is_complete: bool,
    took: Option<String>,
    changes: String,
    reason: Option<String>,
}

/// A rate limit of GitHub's.
struct LimitView {
    name: &'static str,
    left: String,
    resets: Option<Moment>,
}

pub(super) fn routes() -> Routes {
    Routes::default().routes(
        Operation::get("page_of_status", "A page of refreshes, limits, and this replica's state")
            .takes(&[])
            .answers(200, Answer::text("text/html"))
            .at("/status", get(status)),
    )
}

async fn status(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Error> {
    Parameters::of(&uri).finish()?;
    let site = Site::of(&app);
    let now = app.clock.now();
    let readiness = readiness(&app).await;
    let (runs, limits, fault) = match facts(&app, now).await {
        Ok((runs, limits)) => (runs, limits, None),
        Err(error) => (Vec::new(), Vec::new(), Some(error.to_string())),
    };
    let (running, ended): (Vec<RefreshRun>, Vec<RefreshRun>) =
        runs.into_iter().partition(|run| run.finished_at.is_none());
    let layout = Layout::new(&site, Section::Status, "Status".to_owned(), "status");
    let mut layout = layout.with_json(format!("{}refreshes", site.root));
    layout.reload_after = (!running.is_empty()).then_some(RELOAD_AFTER);
    let views = |runs: Vec<RefreshRun>| runs.into_iter().map(|run| view(run, now)).collect();
    let page = StatusPage {
        layout,
        topics: readiness.topics.iter().map(topic).collect(),
        readiness,
        running: views(running),
        ended: views(ended),
        limits,
        fault,
    };
    Ok(passing(&page))
}

async fn facts(app: &App, now: DateTime<Utc>) -> Result<(Vec<RefreshRun>, Vec<LimitView>), Error> {
    let runs = latest(app, REFRESHES).await?;
    let mut limits = Vec::new();
    for resource in Resource::ALL {
        let quota = app.public.quota(resource).await?;
        limits.extend(quota.saved_at.is_some().then(|| limit(resource, &quota, now)));
    }
    Ok((runs, limits))
}

fn limit(resource: Resource, quota: &Quota, now: DateTime<Utc>) -> LimitView {
    let name = match resource {
        Resource::Search => "searches",
        Resource::Core => "other requests",
        Resource::AnonymousCore => "other requests without the token",
    };
    let reset = quota.reset_at.filter(|reset| *reset > now);
    let left = match (quota.limit, quota.remaining.filter(|_| reset.is_some())) {
        (Some(limit), remaining) => {
            format!("{} of {}", Grouped(remaining.unwrap_or(limit)), Grouped(limit))
        }
        (None, _) => "no limit".to_owned(),
    };
    LimitView { name, left, resets: reset.map(|reset| Moment::new(reset, now)) }
}

fn topic(topic: &TopicReadiness) -> TopicView {
    TopicView {
        name: topic.topic.to_string(),
        state: match (topic.age_seconds, topic.complete) {
            (None, _) => "no whole refresh yet",
            (Some(_), true) => "complete",
            (Some(_), false) => "last refresh not complete",
        },
        age: topic.age_seconds.map(|seconds| span(TimeDelta::seconds(seconds))),
        reason: topic.reason.clone(),
    }
}

fn view(run: RefreshRun, now: DateTime<Utc>) -> RunView {
    let report = &run.report;
    let changes = format!(
        "{} found, {} new, {} changed, {} removed",
        Grouped(report.found),
        Grouped(report.inserted),
        Grouped(report.updated),
        Grouped(report.removed)
    );
    RunView {
        id: run.id,
        trigger: match run.trigger {
            Trigger::Schedule => "by the schedule",
            Trigger::Request => "by request",
            Trigger::OnDemand => "for a reader",
            Trigger::CommandLine => "from the command line",
        },
        started: Moment::new(run.started_at, now),
        requests: report.requests,
        expected: report.requests_expected.max(report.requests).max(1),
        progress: run.progress(),
        outcome: match run.outcome {
            Some(Outcome::Complete) => "complete",
            Some(Outcome::Partial) => "in part",
            Some(Outcome::Failed) => "failed",
            None => "running",
        },
        is_complete: run.complete,
        took: run.duration_ms.map(|duration| took(TimeDelta::milliseconds(duration))),
        changes,
        reason: report.reason.clone(),
        topic: run.topic,
    }
}

fn took(time: TimeDelta) -> String {
    if time < TimeDelta::seconds(1) {
        return counted(time.num_milliseconds(), "millisecond", "milliseconds");
    }
    span(time)
}
