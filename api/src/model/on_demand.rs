//! The policy for topics that anonymous readers ask for: how many there may be, and for how long.

use chrono::{DateTime, TimeDelta, Utc};

use super::topic::{Origin, TopicState};

/// Readers can fill neither the disk nor the schedule within these limits.
pub const LIMITS: OnDemandLimits = OnDemandLimits { topics: 100, new_an_hour: 10 };

/// An on-demand topic that nobody has read for this long is deleted.
pub const UNREAD_TIME: TimeDelta = TimeDelta::days(7);

/// The least time between the two looks that both find a topic unread before it is deleted: the
/// clock may have been wrong at one of them.
const UNREAD_CONFIRMED_AFTER: TimeDelta = TimeDelta::hours(1);

/// How long the mirror remembers that GitHub knows nothing of a topic.
pub const UNKNOWN_TIME: TimeDelta = TimeDelta::hours(1);

/// The most topics that are tracked on demand. A topic that GitHub knows nothing of does not count.
#[derive(Clone, Copy, Debug)]
pub struct OnDemandLimits {
    /// At any time.
    pub topics: i64,
    /// New ones within an hour.
    pub new_an_hour: i64,
}

/// Whether GitHub knows nothing of a topic that a reader asked for.
#[must_use]
pub fn is_unknown_to_github(origin: Origin, total_count: Option<i64>, has_stored: bool) -> bool {
    origin == Origin::OnDemand && total_count == Some(0) && !has_stored
}

impl TopicState {
    /// Whether GitHub knows nothing of the topic. Such a topic is not refreshed.
    #[must_use]
    pub fn is_unknown_to_github(&self) -> bool {
        is_unknown_to_github(self.origin, self.total_count, self.stored > 0)
    }

    /// Whether the topic is to be deleted at `now`, because nobody reads it or because GitHub knew
    /// nothing of it.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        // mutant in on_demand: an unread topic is deleted at the second look
        //     now - at >= UNREAD_CONFIRMED_AFTER => true
        let is_confirmed = self.unread_at.is_some_and(|at| now - at >= UNREAD_CONFIRMED_AFTER);
        let unread = self.last_read_at < now - UNREAD_TIME && is_confirmed;
        let unknown = self.is_unknown_to_github()
            && self.modified_at.is_some_and(|modified_at| modified_at < now - UNKNOWN_TIME);
        self.origin == Origin::OnDemand && (unread || unknown)
    }
}
