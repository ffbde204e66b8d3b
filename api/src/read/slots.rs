//! Slots for work that takes CPU time, and the line of callers who wait for one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Slots for each thread that does the work: one job is done while the next one is prepared.
const SLOTS: usize = 2;

/// A line of up to as many callers for each thread refuses none of them. A page may show many
/// pictures at once, and on a machine that is busy with something else the thread may get no CPU
/// for a while.
const SHORT_LINE: usize = 16;

/// A caller at the end of a longer line is refused after this time.
const LONGEST_SLOT_WAIT: Duration = Duration::from_millis(20);

/// Slots for work on a number of threads, in the order of asking.
#[derive(Debug)]
pub(super) struct Slots {
    free: Semaphore,
    short_line: usize,
    /// Each caller in line holds a clone.
    line: Arc<()>,
}

impl Slots {
    #[must_use]
    pub(super) fn new(threads: usize) -> Self {
        Self {
            free: Semaphore::new(SLOTS * threads),
            short_line: SHORT_LINE * threads,
            line: Arc::default(),
        }
    }

    /// A slot, or none if the line is too long, at first and after [`LONGEST_SLOT_WAIT`] as well.
    pub(super) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        let _in_line = Arc::clone(&self.line);
        let mut slot = pin!(self.free.acquire());
        if self.is_line_long() {
            if let Ok(slot) = timeout(LONGEST_SLOT_WAIT, &mut slot).await {
                return slot.ok();
            }
            if self.is_line_long() {
                return None;
            }
        }
        // The semaphore is never closed.
        slot.await.ok()
    }

    /// The next slot, however long the line is, for a caller who has given one back.
    pub(super) async fn reacquire(&self) -> Option<SemaphorePermit<'_>> {
        let _in_line = Arc::clone(&self.line);
        self.free.acquire().await.ok()
    }

    fn is_line_long(&self) -> bool {
        Arc::strong_count(&self.line) - 1 > self.short_line
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::future::join_all;
    use futures_util::poll;
    use tokio::time::advance;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    /// Waits for a slot and frees it at once.
    async fn has_slot(slots: &Slots) -> bool {
        slots.acquire().await.is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn acquire_refuses_those_who_come_to_a_long_line_and_none_of_a_short_one() {
        let slots = Slots::new(1);
        let taken = [slots.acquire().await, slots.acquire().await];
        let mut first = pin!(join_all((0..SHORT_LINE).map(|_| has_slot(&slots))));
        assert!(poll!(&mut first).is_pending());
        advance(LONGEST_SLOT_WAIT - SOON).await;
        let mut later = pin!(join_all((0..10).map(|_| has_slot(&slots))));
        assert!(poll!(&mut later).is_pending());
        advance(LONGEST_SLOT_WAIT - SOON).await;
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut later).is_pending(), "some were refused too soon");
        advance(2 * SOON).await;
        assert_eq!(poll!(&mut later), Poll::Ready(vec![false; 10]));
        advance(100 * LONGEST_SLOT_WAIT).await;
        assert!(poll!(&mut first).is_pending());
        drop(taken);
        assert_eq!(first.await, [true; SHORT_LINE]);
    }

    #[tokio::test(start_paused = true)]
    async fn acquire_refuses_none_when_the_line_has_become_short() {
        let slots = Slots::new(1);
        let taken = [slots.acquire().await, slots.acquire().await];
        let mut first = Box::pin(join_all((0..SHORT_LINE).map(|_| has_slot(&slots))));
        assert!(poll!(&mut first).is_pending());
        let mut last = pin!(has_slot(&slots));
        assert!(poll!(&mut last).is_pending());
        drop(first);
        advance(LONGEST_SLOT_WAIT + SOON).await;
        assert!(poll!(&mut last).is_pending());
        drop(taken);
        assert!(last.await);
    }

    #[tokio::test(start_paused = true)]
    async fn reacquire_refuses_none() {
        let slots = Slots::new(1);
        let taken = [slots.acquire().await, slots.acquire().await];
        let again = async || slots.reacquire().await.is_some();
        let mut line = pin!(join_all((0..10 * SHORT_LINE).map(|_| again())));
        assert!(poll!(&mut line).is_pending());
        advance(100 * LONGEST_SLOT_WAIT).await;
        assert!(poll!(&mut line).is_pending());
        let mut last = pin!(has_slot(&slots));
        assert!(poll!(&mut last).is_pending());
        advance(LONGEST_SLOT_WAIT + SOON).await;
        assert_eq!(poll!(&mut last), Poll::Ready(false), "they make the line long");
        drop(taken);
        assert!(line.await.into_iter().all(|has_slot| has_slot));
    }
}
