//! Verification of unconfirmed repositories: stored ones that a complete run should have shown and
//! did not. GitHub drops some now and then, so each is looked up by its id.

use tracing::{info, warn};

use super::recorder::{Recorder, count};
use crate::github::{GitHubError, Lookup};
use crate::model::repository::{Repository, RepositoryId};
use crate::store::{Scope, StoreError};

/// Repositories that a run looks up. The others keep their places until a later run does.
const MAX_LOOKUPS: i64 = 50;

/// Failed lookups after which the others wait for the next run, because the lists wait for them.
const MAX_FAILED_LOOKUPS: usize = 3;

/// The unconfirmed repositories about which GitHub gave an answer.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// Those that are still in the topic, with fresh numbers.
    present: Vec<Repository>,
    /// Those that were deleted, were made private, or left the topic.
    gone: Vec<RepositoryId>,
}

/// Looks up the unconfirmed repositories of the scope, as far as GitHub's limits allow without
/// waiting.
pub(super) async fn verify_missing(
    recorder: &mut Recorder<'_>,
    scope: Scope,
) -> Result<Verified, StoreError> {
    let run = recorder.run;
    let unconfirmed = run.store.unconfirmed(run.lease, run.topic, scope, MAX_LOOKUPS).await?;
    let (mut verified, mut failures) = (Verified::default(), 0);
    for id in unconfirmed {
        if failures == MAX_FAILED_LOOKUPS || run.clock.now() >= run.deadline {
            break;
        }
        match recorder.look_up(id).await {
            // mutant in refreshes: a repository that still exists keeps its place
            //     if !repository.private => if false
            // mutant in refreshes: a repository that turned private is removed
            //     !repository.private && => true &&
            // mutant in refreshes: a repository that left the topic is removed
            //     repository.has_topic(run.topic.as_str()) => true
            Ok(Lookup::Found(repository))
                if !repository.private && repository.has_topic(run.topic.as_str()) =>
            {
                verified.present.push(*repository);
            }
            // mutant in refreshes: a repository that is gone is removed
            //     verified.gone.push(id) => {}
            Ok(Lookup::Found(_) | Lookup::Gone) => verified.gone.push(id),
            Err(GitHubError::Store(error)) => return Err(error),
            Err(error @ (GitHubError::Failed { .. } | GitHubError::Refused(_))) => {
                warn!(id, %error, "an unconfirmed repository could not be looked up");
                failures += 1;
            }
            Err(GitHubError::Limited { .. } | GitHubError::Stopping) => break,
        }
    }
    Ok(verified)
}

/// Stores the fresh numbers, and removes the repositories that are gone from the topic.
pub(super) async fn apply(
    recorder: &mut Recorder<'_>,
    verified: Verified,
) -> Result<(), StoreError> {
    let Verified { present, gone } = verified;
    recorder.report.doubts_settled = count(present.len() + gone.len());
    if !present.is_empty() {
        recorder.store(&present, &[]).await?;
    }
    if !gone.is_empty() {
        info!(?gone, "repositories left the topic");
        let run = recorder.run;
        run.store.remove(run.lease, run.topic, &gone, run.clock.now()).await?;
        recorder.report.removed += count(gone.len());
    }
    Ok(())
}
