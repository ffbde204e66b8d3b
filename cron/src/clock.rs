//! Notices that the system's clock is set back. tokio-cron-scheduler would start no job until the
//! clock reaches the time that it had computed before.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::time::Instant;

/// How often the system's clock is compared with the monotonic one.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The clock may be set back by so much between two looks, as time servers do.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Returns when the clock was set back.
pub(crate) async fn set_back() {
    loop {
        let (time, began) = (Utc::now(), Instant::now());
        tokio::time::sleep(LOOK_EVERY).await;
        if is_set_back(Utc::now() - time, began.elapsed()) {
            return;
        }
    }
}

/// Whether the system's clock lags behind the monotonic one.
fn is_set_back(by_the_clock: TimeDelta, elapsed: Duration) -> bool {
    TimeDelta::from_std(elapsed).is_ok_and(|elapsed| by_the_clock < elapsed - TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_set_back_when_it_lags_behind_the_monotonic_one() {
        let after_ten = |by_the_clock| {
            is_set_back(TimeDelta::milliseconds(by_the_clock), Duration::from_secs(10))
        };
        for (by_the_clock, expected) in
            [(10_000, false), (8_000, false), (7_999, true), (-3_600_000, true), (90_000, false)]
        {
            assert_eq!(after_ten(by_the_clock), expected, "{by_the_clock} ms in 10 s");
        }
    }
}
