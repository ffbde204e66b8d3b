//! Verification of unconfirmed repositories: stored ones that a complete run should have shown and
//! did not. GitHub drops some now and then, so each is looked up by its id.

use chrono::TimeDelta;
use tracing::{info, warn};

use super::recorder::{Recorder, count};
use crate::github::GitHubError;
use crate::model::event::LeftReason;
use crate::model::repository::{Repository, RepositoryId};
use crate::store::{Scope, StoreError};

/// Repositories that a run looks up. The others keep their places until a later run does.
const MAX_LOOKUPS: usize = 50;

/// The longest time that a run spends on look-ups that fail, because the lists wait for them. The
/// next run begins with the repositories that were not looked up.
const MAX_FAILING: TimeDelta = TimeDelta::seconds(30);

/// The answers about unconfirmed repositories.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// Those that are still in the topic, with fresh numbers.
    pub(super) present: Vec<Repository>,
    /// Those that were deleted, were made private, or left the topic.
    pub(super) gone: Vec<(RepositoryId, LeftReason)>,
    /// The number of all unconfirmed repositories.
    pub(super) unconfirmed: usize,
}

/// Looks up the unconfirmed repositories of the scope, as far as GitHub's limits allow without
/// waiting. A repository about which GitHub gives no answer goes to the end of the queue.
pub(super) async fn verify_missing(
    recorder: &mut Recorder<'_>,
    scope: Scope,
) -> Result<Verified, StoreError> {
    let run = recorder.run;
    let unconfirmed = run.store.unconfirmed(run.lease, run.topic, scope).await?;
    let mut verified = Verified { unconfirmed: unconfirmed.len(), ..Verified::default() };
    let (mut unanswered, mut failing) = (Vec::new(), TimeDelta::zero());
    for id in unconfirmed.into_iter().take(MAX_LOOKUPS) {
        let asked_at = run.clock.now();
        if failing >= MAX_FAILING || asked_at >= run.deadline {
            break;
        }
        match recorder.look_up(id).await {
            // mutant in refreshes: a repository that still exists keeps its place
            //     if !repository.private => if false
            // mutant in refreshes: a repository that turned private is removed
            //     !repository.private && => true &&
            // mutant in refreshes: a repository that left the topic is removed
            //     repository.has_topic(run.topic.as_str()) => true
            Ok(Some(repository))
                if !repository.private && repository.has_topic(run.topic.as_str()) =>
            {
                verified.present.push(repository);
            }
            Ok(Some(repository)) if repository.private => {
                verified.gone.push((id, LeftReason::Private));
            }
            Ok(Some(_)) => verified.gone.push((id, LeftReason::TopicRemoved)),
            // mutant in refreshes: a repository that is gone is removed
            //     verified.gone.push((id, LeftReason::Deleted)) => {}
            Ok(None) => verified.gone.push((id, LeftReason::Deleted)),
            Err(GitHubError::Store(error)) => return Err(error),
            Err(error @ (GitHubError::Failed { .. } | GitHubError::Refused { .. })) => {
                warn!(id, %error, "an unconfirmed repository could not be looked up");
                unanswered.push(id);
                failing += run.clock.now() - asked_at;
            }
            // These hold for the other repositories as well.
            Err(
                GitHubError::Limited { .. }
                | GitHubError::Unreachable { .. }
                | GitHubError::Denied(_)
                | GitHubError::Stopping,
            ) => break,
        }
    }
    if !unanswered.is_empty() {
        // mutant in refreshes: a repository without an answer goes to the end of the queue
        //     &unanswered => &[]
        run.store.note_unanswered(run.lease, run.topic, &unanswered, run.clock.now()).await?;
    }
    let settled = verified.present.len() + verified.gone.len();
    recorder.report.doubts_settled = count(settled);
    recorder.report.doubts_open = count(verified.unconfirmed - settled);
    Ok(verified)
}

/// Stores the fresh numbers, and removes the repositories that are gone from the topic.
pub(super) async fn apply(
    recorder: &mut Recorder<'_>,
    present: &[Repository],
    gone: &[(RepositoryId, LeftReason)],
) -> Result<(), StoreError> {
    if !present.is_empty() {
        recorder.store(present, &[]).await?;
    }
    if !gone.is_empty() {
        info!(?gone, "repositories left the topic");
        let run = recorder.run;
        run.store.remove(run.lease, run.topic, gone, run.clock.now()).await?;
        recorder.report.removed += count(gone.len());
    }
    Ok(())
}
