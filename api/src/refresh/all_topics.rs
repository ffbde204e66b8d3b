//! A run over every tracked topic: each topic has a run of its own below it.

use futures_util::{StreamExt, stream};
use tracing::{error, info};

use super::deletion::Deleter;
use super::{Dependencies, lease};
use crate::model::on_demand::UNREAD_TIME;
use crate::model::run::{Outcome, RefreshRun, Report};
use crate::model::topic::Topic;
use crate::store::StoreError;

/// Runs of topics side by side. They share GitHub's limit, so a large topic does not hold up the
/// others.
pub(super) const TOPICS_AT_ONCE: usize = 4;

/// A topic's run, as the run over all topics counts it.
struct Child {
    id: i64,
    outcome: Outcome,
    /// With the topic's name in the reason.
    report: Report,
}

/// Tracks TOPICS, deletes expired on-demand topics, and refreshes the others with `refresh`, those
/// with the oldest data first. Returns the outcome and the sum of the reports.
pub(super) async fn run<F>(
    dependencies: &Dependencies,
    deleter: &Deleter,
    refresh: impl Fn(Topic) -> F,
) -> Result<(Outcome, Report), StoreError>
where
    F: Future<Output = Result<RefreshRun, StoreError>>,
{
    let Dependencies { store, clock, topics, stopping, .. } = dependencies;
    store.configure(topics, clock.now()).await?;
    delete_expired(dependencies, deleter).await?;
    if let Err(error) = store.delete_unkept(clock.now()).await {
        error!(%error, "history that nothing keeps could not be deleted");
    }
    let mut states = store.topics().await?;
    states.retain(|state| !state.is_unknown_to_github());
    states.sort_by_key(|state| state.refreshed_at);
    let children = stream::iter(states).map(|state| {
        let run = (!stopping.is_cancelled()).then(|| refresh(state.topic.clone()));
        async move {
            let Some(run) = run else { return Child::not_started() };
            match run.await {
                Ok(run) => Child::new(&state.topic, run),
                Err(error) => Child::without_run(&state.topic, &error),
            }
        }
    });
    Ok(sum(children.buffer_unordered(TOPICS_AT_ONCE).collect().await))
}

async fn delete_expired(dependencies: &Dependencies, deleter: &Deleter) -> Result<(), StoreError> {
    let now = dependencies.clock.now();
    dependencies.store.note_unread(now - UNREAD_TIME, now).await?;
    let states = dependencies.store.topics().await?;
    for state in states.iter().filter(|state| state.has_expired(now)) {
        let topic = &state.topic;
        match deleter.delete(topic, true).await {
            Ok(_) => info!(%topic, "an on-demand topic has expired and was deleted"),
            Err(error) => error!(%topic, %error, "an expired topic could not be deleted"),
        }
    }
    Ok(())
}

fn sum(mut children: Vec<Child>) -> (Outcome, Report) {
    children.sort_by_key(|child| child.id);
    let mut report = Report::default();
    children.iter().for_each(|child| report.add(&child.report));
    let all = |outcome| children.iter().all(|child| child.outcome == outcome);
    let outcome = match (all(Outcome::Complete), all(Outcome::Failed)) {
        (true, _) => Outcome::Complete,
        (false, true) => Outcome::Failed,
        (false, false) => Outcome::Partial,
    };
    (outcome, report)
}

impl Child {
    fn new(topic: &Topic, run: RefreshRun) -> Self {
        let RefreshRun { id, outcome, mut report, .. } = run;
        report.reason = report.reason.map(|reason| format!("{topic}: {reason}"));
        Self { id, outcome: outcome.unwrap_or(Outcome::Failed), report }
    }

    /// The child of a topic whose turn comes after the service was told to stop.
    fn not_started() -> Self {
        Self::with_reason(Outcome::Partial, "the service is stopping".to_owned())
    }

    /// The child of a topic whose run the database did not let begin, or end. The other topics may
    /// have more luck.
    fn without_run(topic: &Topic, error: &StoreError) -> Self {
        Self::with_reason(Outcome::Failed, format!("{topic}: {}", lease::reason(error)))
    }

    fn with_reason(outcome: Outcome, reason: String) -> Self {
        let report = Report { reason: Some(reason), ..Report::default() };
        Self { id: i64::MAX, outcome, report }
    }
}
