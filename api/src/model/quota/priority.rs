//! The urgency of a request.

/// The urgency of a request, which decides how much of the quota it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A scheduled refresh: spread over the window, with a tenth of the limit in reserve.
    Scheduled,
    /// A topic that a reader asked for: spread over the window, with half of the limit in reserve,
    /// so that readers cannot starve the schedule.
    OnDemand,
    /// The first search of a topic for which a reader waits: like [`Priority::OnDemand`], but
    /// without spacing while there is quota.
    Waiting,
    /// A backfill, with a fifth of the limit in reserve: the look-ups of refreshes have a tenth
    /// when a backfill has used up its part.
    Backfill,
}
