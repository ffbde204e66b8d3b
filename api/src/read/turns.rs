//! Turns for work that takes CPU time, and who waits for one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Turns for each thread that does the work: one has it done while the next one gets ready.
const TURNS: usize = 2;

/// How many may wait for each thread as long as it takes. A page may show many pictures at once,
/// and on a machine that is busy with something else the first turn may take long.
const FEW: usize = 16;

/// How long others wait: nobody is to wait long behind others.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Turns for work on a number of threads, in the order of asking.
#[derive(Debug)]
pub(super) struct Turns {
    free: Semaphore,
    few: usize,
    /// Each who waits holds a clone.
    waiting: Arc<()>,
}

impl Turns {
    #[must_use]
    pub(super) fn new(threads: usize) -> Self {
        Self { free: Semaphore::new(TURNS * threads), few: FEW * threads, waiting: Arc::default() }
    }

    /// A turn, or none if it has not come within [`LONGEST_WAIT`] and more than [`FEW`] for each
    /// thread wait then.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        let waiting = Arc::clone(&self.waiting);
        let mut turn = pin!(self.free.acquire());
        if let Ok(turn) = timeout(LONGEST_WAIT, &mut turn).await {
            return turn.ok();
        }
        if Arc::strong_count(&waiting) - 1 > self.few {
            return None;
        }
        turn.await.ok()
    }

    /// The next turn, however long it takes, for one who has given a turn back.
    pub(super) async fn take_again(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.free.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use futures_util::stream::FuturesUnordered;
    use futures_util::{StreamExt, poll};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_wait_as_long_as_it_takes_and_one_more_is_refused_in_time() {
        let turns = Turns::new(1);
        let taken = [turns.take().await, turns.take().await];
        assert!(taken.iter().all(Option::is_some));
        let mut line: FuturesUnordered<_> = repeat_with(|| turns.take()).take(FEW).collect();
        assert!(poll!(line.next()).is_pending());
        advance(LONGEST_WAIT * 100).await;
        assert!(poll!(line.next()).is_pending(), "none of the few was refused");

        let mut last = pin!(turns.take());
        assert!(poll!(&mut last).is_pending());
        advance(LONGEST_WAIT - Duration::from_millis(1)).await;
        assert!(poll!(&mut last).is_pending(), "it was refused too soon");
        advance(Duration::from_millis(2)).await;
        assert!(last.await.is_none(), "it was refused");

        assert_eq!(line.len(), FEW);
        drop(taken);
        assert!(line.all(async |turn| turn.is_some()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn turn_taken_again_is_never_refused() {
        let turns = Turns::new(1);
        let taken = [turns.take().await, turns.take().await];
        let mut line: FuturesUnordered<_> =
            repeat_with(|| turns.take_again()).take(10 * FEW).collect();
        assert!(poll!(line.next()).is_pending());
        advance(LONGEST_WAIT * 100).await;
        assert!(poll!(line.next()).is_pending());
        drop(taken);
        assert!(line.all(async |turn| turn.is_some()).await);
    }
}
