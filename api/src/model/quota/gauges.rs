//! The state of a rate limit in figures, for metrics.

use chrono::{DateTime, TimeDelta, Utc};

use super::Quota;

impl Quota {
    /// The requests that are left in the window, and its limit, as far as known.
    #[must_use]
    pub fn requests_left(&self, now: DateTime<Utc>) -> Option<(i64, i64)> {
        let (remaining, limit) = self.remaining.zip(self.limit)?;
        let has_ended = self.reset_at.is_some_and(|reset_at| reset_at <= now);
        Some((if has_ended { limit } else { remaining }, limit))
    }

    /// The time until the pause ends: zero without one.
    #[must_use]
    pub fn pause_left(&self, now: DateTime<Utc>) -> TimeDelta {
        self.paused_until(now) - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quota::{Reported, Resource};

    #[test]
    fn requests_left_are_unknown_at_first_and_the_limit_after_the_window() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut quota = Quota::default();
        assert_eq!(quota.requests_left(now), None);
        let reset_in = Some(TimeDelta::seconds(20));
        let reported = Reported { limit: Some(30), remaining: Some(4), reset_in };
        quota.observe(Resource::Search, reported, now);
        assert_eq!(quota.requests_left(now), Some((4, 30)));
        assert_eq!(quota.requests_left(now + TimeDelta::seconds(20)), Some((30, 30)));
    }

    #[test]
    fn pause_left_is_the_time_until_its_end_and_zero_without_one() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut quota = Quota::default();
        assert_eq!(quota.pause_left(now), TimeDelta::zero());
        quota.pause(now + TimeDelta::seconds(40), now);
        assert_eq!(quota.pause_left(now + TimeDelta::seconds(30)), TimeDelta::seconds(10));
        assert_eq!(quota.pause_left(now + TimeDelta::seconds(50)), TimeDelta::zero());
    }
}
