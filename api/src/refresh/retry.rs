//! Refreshes that failed for a reason that passes, run again until the schedule's next match.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::all_topics::TOPICS_AT_ONCE;
use crate::model::topic::Topic;

/// The first pause, doubled after each failure up to the longest. Random jitter lengthens each
/// pause by up to a fifth.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// A refresh: of a topic, or of every tracked one.
pub(super) type Target = Option<Topic>;

/// The refreshes that are to run again. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Retries(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<BTreeMap<Target, Retry>>,
    added: Notify,
}

struct Retry {
    /// The monotonic time of the retry, which a change of the system's clock does not move; `None`
    /// while it runs.
    at: Option<Instant>,
    /// The pause before it.
    pause: Duration,
}

impl Retries {
    /// Notes that a refresh failed for a reason that passes. It is dropped if the schedule's next
    /// match, which is `until_next` away, comes before its retry.
    pub(super) fn add(&self, target: Target, until_next: Duration) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let next_pause = |retry: Retry| (retry.pause * 2).min(LONGEST_PAUSE);
        let pause = waiting.remove(&target).map_or(FIRST_PAUSE, next_pause);
        let delay = pause.mul_f64(1.0 + fastrand::f64() / 5.0);
        if delay < until_next {
            let topic = target.as_ref().map_or("all", Topic::as_str);
            info!(topic, "the refresh is tried again in {:.1} s", delay.as_secs_f64());
            waiting.insert(target, Retry { at: Some(Instant::now() + delay), pause });
            self.0.added.notify_one();
        }
    }

    /// Notes that a refresh needs no retry.
    pub(super) fn remove(&self, target: &Target) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }

    /// Runs each refresh again with `retry` when its pause has passed, a few at a time. Never
    /// returns.
    pub(super) async fn run<F: Future<Output = ()>>(&self, retry: impl Fn(Target) -> F) {
        let due = stream::unfold((), |()| async { Some((self.due().await, ())) });
        let again = |target: Target| {
            let attempt = retry(target.clone());
            async move {
                attempt.await;
                self.end(&target);
            }
        };
        due.for_each_concurrent(TOPICS_AT_ONCE, again).await;
    }

    /// The next refresh that is due.
    async fn due(&self) -> Target {
        loop {
            let Some((at, target)) = self.next() else {
                self.0.added.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.0.added.notified() => continue,
            }
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(retry) = waiting.get_mut(&target).filter(|retry| retry.at == Some(at)) {
                retry.at = None;
                return target;
            }
        }
    }

    fn next(&self) -> Option<(Instant, Target)> {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().filter_map(|(target, retry)| Some((retry.at?, target.clone()))).min()
    }

    /// Forgets a retry that has run and was not noted again.
    fn end(&self, target: &Target) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(target).is_some_and(|retry| retry.at.is_none()) {
            waiting.remove(target);
        }
    }
}
