//! Time as a parameter: tests set it, and minutes of waiting take no time there.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// How often a sleep looks at the system's clock.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The source of the time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present, in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Returns at `time`, or at once if that is past. If the clock is set back in the meantime, it
    /// returns when the time that was left has passed.
    async fn sleep_until(&self, time: DateTime<Utc>);
}

/// The operating system's clock.
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        // The system's clock may be set while we sleep. If it is set forward, the next look at it
        // ends the sleep; if it is set back, the sleep is no longer than it was to be.
        let end = Instant::now() + (time - self.now()).to_std().unwrap_or_default();
        while let Ok(left) = (time - self.now()).to_std()
            && !left.is_zero()
            && Instant::now() < end
        {
            let next_look = Instant::now() + left.min(LOOK_EVERY);
            tokio::time::sleep_until(next_look.min(end)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tokio's time passes at once here, and the system's clock stands still: it seems to be set
    /// back all the time.
    #[tokio::test(start_paused = true)]
    async fn sleep_is_no_longer_than_it_was_to_be_when_the_clock_is_set_back() {
        let began = Instant::now();
        let hour = Duration::from_hours(1);
        SystemClock.sleep_until(Utc::now() + hour).await;
        let slept = began.elapsed();
        assert!(slept <= hour && slept > hour - Duration::from_secs(5), "{slept:?}");
    }
}
