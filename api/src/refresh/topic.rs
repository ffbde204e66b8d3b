//! A run over one topic, as a list of steps: plan, search, verdict, verify, finish, publish.

use super::plan::{self, Query};
use super::publish::{ChangedTopics, Publisher};
use super::reading::Reading;
use super::recorder::{Recorder, RunContext};
use super::search::{self, Changes};
use super::verdict::{self, Answers, Evidence, Verdict};
use super::verify::Verified;
use super::{slices, verify};
use crate::github::{GitHubError, Sort};
use crate::model::quota::Resource;
use crate::model::repository::RepositoryId;
use crate::model::run::{Outcome, Plan, Report};
use crate::model::topic::{CHANGES_OVERLAP, SyncCursor, TopicState};
use crate::store::{CompleteRun, FinishRun, Scope, StoreError};

/// The end of a run.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) report: Report,
    /// The run is not complete for a reason that passes.
    pub(super) is_passing: bool,
}

/// The result of a run's searches.
struct Searched {
    /// The plan that was followed in the end.
    plan: Plan,
    /// The part of the topic that the searches should have shown.
    scope: Scope,
    /// The topic's repositories in the order of best match.
    best_match: Vec<RepositoryId>,
    /// The cursor for the next run, unless this run is complete.
    cursor: SyncCursor,
}

/// Refreshes a topic. GitHub's failures are in the report. An error is the database's or a lost
/// lease, and leaves the lists as they were.
pub(super) async fn refresh(
    run: &RunContext<'_>,
    state: &TopicState,
    publisher: &Publisher,
    changed: ChangedTopics,
) -> Result<Ended, StoreError> {
    let plan = Plan::of(run.coverage, state, run.began);
    let mut recorder = Recorder::new(run, plan, changed);
    let mut searched = search(&mut recorder, plan, state, publisher).await?;
    // A reading that GitHub's failures or limits cut off is finished by later runs. One that ended
    // is over, believed or not.
    let keeps_slices = recorder.report.reason.is_some();
    let mut verdict = verdict::judge(&evidence(&recorder, &searched), state, run.clock.now());
    if verdict.outcome == Outcome::Complete {
        let verified = verify::verify_missing(&mut recorder, searched.scope).await?;
        verdict = verdict::confirm(verdict, &answers(&verified));
        let is_complete = verdict.outcome == Outcome::Complete;
        let gone = if is_complete { &verified.gone[..] } else { &[] };
        verify::apply(&mut recorder, &verified.present, gone).await?;
    }
    if let Some(reason) = &verdict.reason {
        recorder.report.fail_with(reason);
    }
    if verdict.needs_every_repository {
        searched.cursor.covered_at = None;
    }
    finish(&mut recorder, &searched, &verdict, keeps_slices).await?;
    recorder.changed.publish().await;
    // The entry is closed last, so that a caller who waits for it finds the new lists.
    run.store.end(run.lease, verdict.outcome, &recorder.report, run.clock.now()).await?;
    let is_passing = verdict.outcome != Outcome::Complete && recorder.has_passing_failure;
    Ok(Ended { outcome: verdict.outcome, report: recorder.report, is_passing })
}

/// Makes the plan's searches and stores the repositories that they show. A failure of GitHub's ends
/// the searches and is in the report.
async fn search(
    recorder: &mut Recorder<'_>,
    plan: Plan,
    state: &TopicState,
    publisher: &Publisher,
) -> Result<Searched, StoreError> {
    let error = match search_by_plan(recorder, plan, state, publisher).await {
        Ok(searched) => return Ok(searched),
        Err(GitHubError::Store(error)) => return Err(error),
        Err(error) => error,
    };
    if let GitHubError::Limited { until } = error {
        recorder.report.retry_at = Some(until);
    }
    recorder.note_failure(&error);
    recorder.report.fail_with(error.to_string());
    Ok(Searched::new(plan, recorder.run, state))
}

async fn search_by_plan(
    recorder: &mut Recorder<'_>,
    plan: Plan,
    state: &TopicState,
    publisher: &Publisher,
) -> Result<Searched, GitHubError> {
    let run = recorder.run;
    let mut searched = Searched::new(plan, run, state);
    recorder.announce(plan::expected_requests(plan)).await?;
    let (query, mut reading) = (Query::first(run.topic, Sort::BestMatch), Reading::default());
    let ended = search::read(recorder, &query, &mut reading).await;
    if let Err(error @ GitHubError::Store(_)) = ended {
        return Err(error);
    }
    let shows_all = ended.is_ok() && verdict::shows_all(&reading, run.coverage, state.found);
    searched.best_match = reading.order;
    // If best match is all that a complete run needs, the list comes with the end of the run.
    let goes_on = !shows_all || recorder.report.reason.is_some();
    let found = recorder.report.found;
    let has_some = found > 0 && verdict::private_fault(recorder.private(), 0, found).is_none();
    if state.modified_at.is_none() && goes_on && has_some {
        give_first_list(recorder, &searched.best_match, publisher).await?;
    }
    ended?;
    if shows_all {
        recorder.expect(0);
        return Ok(searched);
    }
    match (plan, state.cursor.changes_until) {
        (Plan::Top, _) => {
            for sort in [Sort::Stars, Sort::Updated] {
                let query = Query::first(run.topic, sort);
                search::read(recorder, &query, &mut Reading::default()).await?;
            }
        }
        (Plan::Changed, Some(since)) => match search::read_changes(recorder, since).await? {
            changes @ (Changes::Read | Changes::TooMany) => {
                let confirmed_at = searched.cursor.covered_at.unwrap_or(since);
                searched.scope = Scope::Since { updated_at: since, confirmed_at };
                searched.note(changes);
            }
            // Only a reading of every repository shows new stars then.
            Changes::ByPush => {
                searched.plan = Plan::Complete;
                recorder.report.plan = Some(Plan::Complete);
                read_every_repository(recorder, &mut searched).await?;
            }
        },
        (Plan::Complete | Plan::Changed, _) => {
            read_every_repository(recorder, &mut searched).await?;
        }
    }
    Ok(searched)
}

/// Serves a new topic from its best match while the run goes on.
async fn give_first_list(
    recorder: &Recorder<'_>,
    best_match: &[RepositoryId],
    publisher: &Publisher,
) -> Result<(), StoreError> {
    let (run, total_count) = (recorder.run, recorder.report.total_count);
    let now = run.clock.now();
    run.store.first_list(run.lease, run.topic, best_match, total_count, now).await?;
    publisher.publish(run.topic).await
}

async fn read_every_repository(
    recorder: &mut Recorder<'_>,
    searched: &mut Searched,
) -> Result<(), GitHubError> {
    if let Some(since) = slices::read(recorder).await? {
        // mutant in coverage: slices taken over from an earlier run are brought up to date
        //     search::read_changes(recorder, since - CHANGES_OVERLAP).await? => Changes::Read
        let changes = search::read_changes(recorder, since - CHANGES_OVERLAP).await?;
        // mutant in coverage: slices taken over are doubted if changes cannot be searched for
        //     changes == Changes::ByPush => false
        if changes == Changes::ByPush {
            let reason = "GitHub sorts by the last push, so the new stars of repositories that an \
                          earlier run has read are unknown: a later run reads these again";
            recorder.report.fail_with(reason);
        }
        searched.note(changes);
    }
    Ok(())
}

fn evidence(recorder: &Recorder<'_>, searched: &Searched) -> Evidence {
    let report = &recorder.report;
    Evidence {
        coverage: recorder.run.coverage,
        plan: searched.plan,
        reason: report.reason.clone(),
        found: report.found,
        skipped: report.skipped,
        private: recorder.private(),
        total_count: report.total_count.unwrap_or(0),
    }
}

fn answers(verified: &Verified) -> Answers {
    Answers {
        unconfirmed: verified.unconfirmed,
        present: verified.present.len(),
        gone: verified.gone.len(),
    }
}

/// Makes the run's last change to the topic: only a complete run removes repositories and changes
/// best match.
async fn finish(
    recorder: &mut Recorder<'_>,
    searched: &Searched,
    verdict: &Verdict,
    keeps_slices: bool,
) -> Result<(), StoreError> {
    let run = recorder.run;
    recorder.report.quota_remaining = run.store.quota(Resource::Search).await?.remaining;
    let is_complete = verdict.outcome == Outcome::Complete;
    let complete = CompleteRun {
        best_match: &searched.best_match,
        found: verdict.size,
        scope: searched.scope,
    };
    let cursor = if is_complete {
        let newest = recorder.newest();
        plan::next_cursor(run.coverage, searched.plan, searched.cursor, run.began, newest)
    } else {
        searched.cursor
    };
    let finish = FinishRun {
        topic: run.topic,
        // mutant in refreshes: a partial run removes nothing and keeps best match
        //     is_complete.then_some(complete) => Some(complete)
        complete: is_complete.then_some(complete),
        total_count: recorder.report.total_count,
        shrunk: verdict.shrunk,
        cursor,
        keeps_slices,
    };
    let (displaced, changed) = run.store.finish(run.lease, &finish, run.clock.now()).await?;
    recorder.report.removed += displaced;
    recorder.changed.extend(changed);
    Ok(())
}

impl Searched {
    fn new(plan: Plan, run: &RunContext<'_>, state: &TopicState) -> Self {
        let scope = plan::scope(run.coverage);
        Self { plan, scope, best_match: Vec::new(), cursor: state.cursor }
    }

    /// Notes whether a search for changes has shown all of them.
    fn note(&mut self, changes: Changes) {
        if changes == Changes::TooMany {
            // mutant in coverage: after too many changes the next run reads every repository
            //     self.cursor.covered_at = None => ()
            self.cursor.covered_at = None;
        }
    }
}
