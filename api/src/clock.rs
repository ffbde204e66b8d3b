//! Time as a parameter: tests set it, and minutes of waiting take no time there.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// The source of the time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present, in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Returns at `time`, or at once if that is past.
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
        // The system's clock may be set while we sleep, so look again now and then.
        while let Ok(left) = (time - self.now()).to_std()
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(Duration::from_secs(30))).await;
        }
    }
}
