//! GitHub's limits as it last reported them, the pause that all replicas obey, and the next request
//! slot.

mod gauges;
mod priority;

use chrono::{DateTime, TimeDelta, Utc};
use strum::IntoStaticStr;

pub use priority::Priority;

/// One of GitHub's rate limits.
#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum Resource {
    /// `/search`: 30 a minute with a token, 10 without.
    Search,
    /// Everything else: 5,000 an hour with a token, 60 without.
    Core,
    /// Requests for a repository that GitHub refused to the token, made again without it.
    AnonymousCore,
}

impl Resource {
    pub const ALL: [Self; 3] = [Self::Search, Self::Core, Self::AnonymousCore];

    /// The length of GitHub's window, and so the longest time until it ends.
    #[must_use]
    pub fn window(self) -> TimeDelta {
        match self {
            Self::Search => TimeDelta::minutes(1),
            Self::Core | Self::AnonymousCore => TimeDelta::hours(1),
        }
    }
}

/// The longest pause that an answer may cause: the longest of GitHub's windows.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// A request in flight for longer has failed, or its process has ended.
const LONGEST_REQUEST: TimeDelta = TimeDelta::seconds(35);

/// Reserved slots reach no further than this.
const LONGEST_QUEUE: TimeDelta = TimeDelta::hours(1);

/// GitHub's lowest limit for searches: without a token.
const ASSUMED_LIMIT: i64 = 10;

/// Before GitHub's first answer, callers after the first ask for a slot again after this time: the
/// real limit may be far above the assumed one.
const UNKNOWN_LIMIT_WAIT: TimeDelta = TimeDelta::seconds(1);

/// A quota that was stored this much later than now was stored before the clock was set back. The
/// clocks of replicas differ by less: moved times must not let a request go too early.
const SET_BACK: TimeDelta = TimeDelta::minutes(5);

/// Limits above this need no spacing; private servers have them.
const SPACED_UP_TO: i64 = 1_000;

/// The first wait after a secondary limit that names no time, doubled with each further one.
/// Source: GitHub's "Rate limits for the REST API".
const SECONDARY_WAIT: TimeDelta = TimeDelta::minutes(1);

/// The first wait after a limit that names a time which is past, doubled with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// A wait is doubled at most this often.
const MAX_DOUBLINGS: i64 = 6;

/// Secondary limits in a row after which a run ends: going on "may result in banning".
const MAX_SECONDARY_LIMITS: i64 = 5;

/// The state of a rate limit, kept in the database for every replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Grows with each change, for compare-and-swap.
    pub version: i64,
    /// Requests a window; `None` when GitHub reports no limit.
    pub limit: Option<i64>,
    /// Requests left in the window, as far as known.
    pub remaining: Option<i64>,
    /// The end of the window.
    pub reset_at: Option<DateTime<Utc>>,
    /// The next free slot. Each spaced request reserves one, in the order of asking.
    pub next_at: Option<DateTime<Utc>>,
    /// Until when a request may be in flight; `None` when none is.
    pub busy_until: Option<DateTime<Utc>>,
    /// The end of the wait that GitHub asked for.
    pub paused_until: Option<DateTime<Utc>>,
    /// Limits since the last good answer that are secondary or named no usable time.
    pub secondary_limits: i64,
    /// When it was stored.
    pub saved_at: Option<DateTime<Utc>>,
}

/// The `x-ratelimit-*` headers of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    pub limit: Option<i64>,
    pub remaining: Option<i64>,
    /// The time until the window ends, by GitHub's clock: past if not above zero.
    pub reset_in: Option<TimeDelta>,
}

/// A request slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The request may go at this time, or the caller may ask for a slot again.
    pub at: DateTime<Utc>,
    /// Whether the slot is reserved for the caller.
    pub is_reserved: bool,
}

impl Default for Quota {
    /// The state before GitHub's first answer. Failures report no limit, but count towards it.
    fn default() -> Self {
        Self {
            version: 0,
            // mutant in quota: the lowest limit is assumed before the first answer
            //     Some(ASSUMED_LIMIT) => None
            limit: Some(ASSUMED_LIMIT),
            remaining: None,
            reset_at: None,
            next_at: None,
            busy_until: None,
            paused_until: None,
            secondary_limits: 0,
            saved_at: None,
        }
    }
}

impl Quota {
    /// Notes that the quota is used at `now`. If the clock was set back since it was stored, its
    /// times are set back as far, or requests would wait for as long as that. Returns whether they
    /// were.
    #[must_use]
    pub fn follow_clock(&mut self, now: DateTime<Utc>) -> bool {
        let ahead = self.saved_at.map_or_else(TimeDelta::zero, |saved_at| saved_at - now);
        // mutant in quota: waits are set back with the clock
        //     ahead > SET_BACK; => false;
        let is_set_back = ahead > SET_BACK;
        if is_set_back {
            let Self { reset_at, next_at, busy_until, paused_until, .. } = self;
            for time in [reset_at, next_at, busy_until, paused_until].into_iter().flatten() {
                *time -= ahead;
            }
        }
        self.saved_at = Some(now);
        is_set_back
    }

    /// The time at which GitHub allows a request: `now`, the end of a pause, or the end of a window
    /// that is used up.
    #[must_use]
    pub fn allowed_at(
        &self,
        resource: Resource,
        priority: Priority,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let time = self.paused_until(now);
        let reset_at = believed(self.reset_at, resource.window(), now);
        let (Some(limit), Some(remaining), Some(reset_at)) = (self.limit, self.remaining, reset_at)
        else {
            return time;
        };
        let reserve = match priority {
            // mutant in quota: a tenth of the limit is in reserve
            //     (limit + 9) / 10 => -1
            Priority::Scheduled => (limit + 9) / 10,
            // mutant in quota: half of the limit is in reserve from readers' topics
            //     limit / 2 => 0
            Priority::OnDemand | Priority::Waiting => limit / 2,
            // mutant in quota: a fifth of the limit is in reserve from backfills
            //     (limit + 4) / 5 => -1
            Priority::Backfill => (limit + 4) / 5,
        };
        if now < reset_at && remaining <= reserve { time.max(reset_at) } else { time }
    }

    /// Reserves the next request slot. Slots are handed out in order of asking, so topics that
    /// refresh side by side share the limit. If the window has nothing left for this priority, the
    /// slot is not reserved and tells only when to ask again: the slots until then are for other
    /// priorities. Before GitHub's first answer only one slot at a time is reserved.
    pub fn take_slot(
        &mut self,
        resource: Resource,
        priority: Priority,
        now: DateTime<Utc>,
    ) -> Slot {
        let allowed = self.allowed_at(resource, priority, now);
        let Some(spacing) = self.spacing(resource) else {
            return Slot { at: allowed, is_reserved: true };
        };
        // mutant in quota: a request that must wait for the window reserves no slot
        //     return Slot { at: allowed, is_reserved: false }; => ()
        if allowed > self.paused_until(now) {
            return Slot { at: allowed, is_reserved: false };
        }
        // A slot further away than any queue means that the clock was set back.
        let next = self.next_at.filter(|next| *next < now + LONGEST_QUEUE).unwrap_or(allowed);
        let at = if priority == Priority::Waiting { allowed } else { allowed.max(next) };
        // mutant in quota: slots are reserved one at a time before the first answer
        //     self.remaining.is_none() && at > allowed => false
        if self.remaining.is_none() && at > allowed {
            return Slot { at: at.min(allowed + UNKNOWN_LIMIT_WAIT), is_reserved: false };
        }
        // mutant in quota: a slot is for one request
        //     next.max(at + spacing) => next
        self.next_at = Some(next.max(at + spacing));
        Slot { at, is_reserved: true }
    }

    /// Whether another request is in flight. A time further away than any request takes means that
    /// the clock was set back; the factor allows for replicas whose clocks differ.
    #[must_use]
    pub fn is_busy(&self, now: DateTime<Utc>) -> bool {
        self.busy_until.is_some_and(|until| now < until && until <= now + LONGEST_REQUEST * 2)
    }

    /// Counts a request sent at `now`.
    pub fn send(&mut self, now: DateTime<Utc>) {
        if self.reset_at.is_some_and(|reset_at| reset_at <= now) {
            (self.remaining, self.reset_at) = (self.limit, None);
        }
        self.remaining = self.remaining.map(|remaining| (remaining - 1).max(0));
        self.busy_until = Some(now + LONGEST_REQUEST);
    }

    /// The time that scheduled requests, this many, take by the limits.
    #[must_use]
    pub fn time_for(&self, resource: Resource, requests: i64, now: DateTime<Utc>) -> TimeDelta {
        let spacing = self.spacing(resource).unwrap_or_default();
        let between = i32::try_from((requests - 1).max(0)).unwrap_or(i32::MAX);
        self.allowed_at(resource, Priority::Scheduled, now) - now + spacing * between
    }

    /// Takes over the limits that an answer reports.
    pub fn observe(&mut self, resource: Resource, reported: Reported, now: DateTime<Utc>) {
        let is_new = self.limit != reported.limit;
        self.limit = reported.limit;
        self.remaining = reported.remaining;
        // mutant in quota: a window is no longer than GitHub's
        //     wait.min(resource.window()) => wait
        self.reset_at = reported
            .reset_in
            .filter(|wait| *wait > TimeDelta::zero())
            .map(|wait| now + wait.min(resource.window()));
        // A changed limit changes the spacing, so reserved slots no longer fit.
        self.next_at = self
            .spacing(resource)
            .map(|spacing| self.next_at.filter(|_| !is_new).unwrap_or(now + spacing));
    }

    /// A good answer ends a series of secondary limits.
    pub fn answered(&mut self) {
        self.secondary_limits = 0;
    }

    /// Pauses until the window ends: GitHub says that it is used up.
    pub fn exhausted(
        &mut self,
        resource: Resource,
        reset_in: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) {
        let wait = match reset_in {
            // The header counts whole seconds, so the window may end up to a second later.
            Some(wait) if wait > TimeDelta::zero() => {
                wait.min(resource.window()) + TimeDelta::seconds(1)
            }
            Some(_) => self.growing_wait(FIRST_WAIT),
            None => SECONDARY_WAIT,
        };
        // mutant in quota: the end of a used up window is waited for
        //     self.pause(now + wait.min(resource.window()), now) => self.pause(now, now)
        self.pause(now + wait.min(resource.window()), now);
    }

    /// Pauses after a secondary limit. False after too many of them in a row.
    #[must_use]
    pub fn slowed(&mut self, retry_after: Option<TimeDelta>, now: DateTime<Utc>) -> bool {
        // mutant in quota: a wait that is past is a pause that grows from a second
        //     self.growing_wait(FIRST_WAIT) => TimeDelta::zero()
        let wait = match retry_after {
            Some(wait) if wait > TimeDelta::zero() => {
                self.secondary_limits += 1;
                wait
            }
            Some(_) => self.growing_wait(FIRST_WAIT),
            None => self.growing_wait(SECONDARY_WAIT),
        };
        // mutant in quota: a secondary limit is waited for
        //     self.pause(now + wait, now) => self.pause(now, now)
        self.pause(now + wait, now);
        // mutant in quota: five secondary limits in a row end the run
        //     self.secondary_limits < MAX_SECONDARY_LIMITS => true
        self.secondary_limits < MAX_SECONDARY_LIMITS
    }

    /// A wait that doubles with each limit in a row.
    fn growing_wait(&mut self, first: TimeDelta) -> TimeDelta {
        let doublings = u32::try_from(self.secondary_limits.clamp(0, MAX_DOUBLINGS)).unwrap_or(0);
        self.secondary_limits += 1;
        first * 2_i32.pow(doublings)
    }

    /// Lets no request go before `until`, but for an hour at most.
    pub fn pause(&mut self, until: DateTime<Utc>, now: DateTime<Utc>) {
        self.paused_until = Some(self.paused_until(now).max(until.min(now + LONGEST_PAUSE)));
    }

    /// The end of the pause, or `now` without one.
    fn paused_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        believed(self.paused_until, LONGEST_PAUSE, now).map_or(now, |until| until.max(now))
    }

    /// The distance between two requests that spreads the limit over its window. Core requests are
    /// too rare to need one.
    fn spacing(&self, resource: Resource) -> Option<TimeDelta> {
        let limit = self.limit.filter(|limit| (1..=SPACED_UP_TO).contains(limit))?;
        // mutant in quota: requests are spread over the window
        //     resource == Resource::Search => false
        (resource == Resource::Search)
            .then(|| resource.window() / i32::try_from(limit).unwrap_or(i32::MAX))
    }
}

/// A stored time to wait for, which is at most `longest` away. A time much further away was stored
/// before the clock was set back, or by a release that believed any time; the factor allows for
/// replicas whose clocks differ.
fn believed(
    time: Option<DateTime<Utc>>,
    longest: TimeDelta,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    // mutant in quota: stored waits are bounded when they are read
    //     *time <= now + longest * 2 => true
    time.filter(|time| *time <= now + longest * 2).map(|time| time.min(now + longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a date")
    }

    fn allowed_at(quota: &Quota, priority: Priority, now: DateTime<Utc>) -> DateTime<Utc> {
        quota.allowed_at(Resource::Search, priority, now)
    }

    fn after_first_request(limit: i64, remaining: i64) -> Quota {
        let mut quota = Quota::default();
        assert_eq!(
            quota.take_slot(Resource::Search, Priority::Scheduled, at(0)).at,
            at(0),
            "the first request never waits"
        );
        quota.send(at(0));
        let reported = Reported {
            limit: Some(limit),
            remaining: Some(remaining),
            reset_in: Some(TimeDelta::minutes(1)),
        };
        quota.observe(Resource::Search, reported, at(0));
        quota
    }

    #[test]
    fn slots_spread_the_reported_limit_over_its_window() {
        let slot =
            |mut quota: Quota| quota.take_slot(Resource::Search, Priority::Scheduled, at(0)).at;
        assert_eq!(slot(after_first_request(30, 29)), at(2));
        assert_eq!(slot(after_first_request(10, 9)), at(6));
        assert_eq!(slot(after_first_request(5_000, 4_999)), at(0), "above 1,000: no spacing");
        let mut unlimited = Quota::default();
        unlimited.send(at(0));
        unlimited.observe(Resource::Search, Reported::default(), at(0));
        assert_eq!(slot(unlimited), at(0), "no limit reported: no spacing");
    }

    #[test]
    fn slots_are_reserved_one_at_a_time_when_the_limit_is_unknown() {
        let mut quota = Quota::default();
        let mut slot = |now| quota.take_slot(Resource::Search, Priority::Scheduled, now);
        assert_eq!(slot(at(0)), Slot { at: at(0), is_reserved: true });
        assert_eq!(
            [slot(at(0)), slot(at(0))],
            [Slot { at: at(1), is_reserved: false }; 2],
            "no answer yet"
        );
        assert_eq!(slot(at(5)), Slot { at: at(6), is_reserved: false });
        assert_eq!(
            slot(at(6)),
            Slot { at: at(6), is_reserved: true },
            "the first answer may never come"
        );
    }

    #[test]
    fn slots_are_reserved_in_order_of_asking() {
        let mut quota = after_first_request(30, 29);
        let mut slot = |priority| quota.take_slot(Resource::Search, priority, at(1)).at;
        assert_eq!(
            [slot(Priority::Scheduled), slot(Priority::OnDemand), slot(Priority::Scheduled)],
            [at(2), at(4), at(6)]
        );
        assert_eq!(slot(Priority::Waiting), at(1), "a waiting reader skips the queue");
        assert_eq!(slot(Priority::Scheduled), at(8));
        assert_eq!(quota.time_for(Resource::Search, 11, at(1)), TimeDelta::seconds(20));
    }

    #[test]
    fn allowed_at_keeps_a_reserve_for_each_priority() {
        let earliest =
            |remaining, priority| allowed_at(&after_first_request(30, remaining), priority, at(10));
        assert_eq!(earliest(4, Priority::Scheduled), at(10));
        assert_eq!(earliest(3, Priority::Scheduled), at(60), "a tenth is reserved");
        assert_eq!(earliest(16, Priority::OnDemand), at(10));
        assert_eq!(earliest(15, Priority::OnDemand), at(60), "half is reserved");
        assert_eq!(earliest(15, Priority::Waiting), at(60));
        assert_eq!(earliest(7, Priority::Backfill), at(10));
        assert_eq!(earliest(6, Priority::Backfill), at(60), "a fifth is reserved");
    }

    #[test]
    fn slot_is_not_reserved_when_an_on_demand_request_must_wait() {
        let mut quota = after_first_request(30, 15);
        assert_eq!(
            quota.take_slot(Resource::Search, Priority::OnDemand, at(10)),
            Slot { at: at(60), is_reserved: false }
        );
        assert_eq!(
            quota.take_slot(Resource::Search, Priority::Scheduled, at(10)),
            Slot { at: at(10), is_reserved: true }
        );
    }

    #[test]
    fn slots_and_requests_expire_when_the_clock_is_set_back() {
        let mut quota = after_first_request(30, 29);
        quota.send(at(86_400));
        assert!(quota.is_busy(at(86_401)) && !quota.is_busy(at(0)));
        quota.take_slot(Resource::Search, Priority::Scheduled, at(86_400));
        assert_eq!(quota.take_slot(Resource::Search, Priority::Scheduled, at(1)).at, at(1));
    }

    #[test]
    fn waits_last_as_long_when_the_clock_is_set_back() {
        let stored = |saved_at| {
            let mut quota = after_first_request(30, 14);
            assert!(!quota.follow_clock(saved_at));
            quota.exhausted(Resource::Search, Some(TimeDelta::seconds(40)), saved_at);
            quota
        };
        for (saved_at, now, expected) in [
            (at(0), at(0), 41),
            (at(0), at(30), 11),
            (at(1_800), at(0), 41),
            // Another replica's clock may be ahead.
            (at(25), at(0), 66),
            (at(300), at(0), 341),
        ] {
            let mut quota = stored(saved_at);
            assert_eq!(quota.follow_clock(now), now == at(0) && saved_at == at(1_800));
            let wait = allowed_at(&quota, Priority::Scheduled, now) - now;
            assert_eq!(wait, TimeDelta::seconds(expected), "stored at {saved_at}, read at {now}");
            assert_eq!(quota.saved_at, Some(now));
        }
        let mut busy = Quota { saved_at: Some(at(1_800)), ..Quota::default() };
        busy.send(at(1_800));
        assert!(busy.follow_clock(at(0)) && busy.is_busy(at(34)) && !busy.is_busy(at(35)));
    }

    #[test]
    fn pause_lasts_as_long_as_github_says() {
        let mut quota = after_first_request(30, 0);
        quota.exhausted(Resource::Search, Some(TimeDelta::seconds(40)), at(80));
        assert_eq!(allowed_at(&quota, Priority::Waiting, at(80)), at(121));
        quota.exhausted(Resource::Search, None, at(200));
        assert_eq!(allowed_at(&quota, Priority::Waiting, at(200)), at(260), "no time is named");

        let mut quota = after_first_request(30, 14);
        assert!(quota.slowed(Some(TimeDelta::seconds(7)), at(10)));
        assert_eq!(allowed_at(&quota, Priority::Scheduled, at(10)), at(17));

        let mut quota = after_first_request(30, 14);
        let mut now = at(100);
        for minutes in [1, 2, 4, 8] {
            assert!(quota.slowed(None, now));
            let until = allowed_at(&quota, Priority::Scheduled, now);
            assert_eq!(until, now + TimeDelta::minutes(minutes));
            now = until;
        }
        assert!(!quota.slowed(None, now), "then it gives up");
    }

    #[test]
    fn wait_is_never_longer_than_its_window() {
        let long = TimeDelta::days(20_000_000);
        for (resource, longest) in [(Resource::Search, 60), (Resource::AnonymousCore, 3_600)] {
            let mut quota = Quota::default();
            let reported = Reported { limit: Some(30), remaining: Some(0), reset_in: Some(long) };
            quota.observe(resource, reported, at(0));
            let allowed = |quota: &Quota| quota.allowed_at(resource, Priority::Scheduled, at(0));
            assert_eq!(allowed(&quota), at(longest), "{resource:?}");
            quota.exhausted(resource, Some(long), at(0));
            assert_eq!(allowed(&quota), at(longest), "{resource:?}, refused");
            assert!(quota.slowed(Some(long), at(0)));
            assert_eq!(allowed(&quota), at(3_600), "{resource:?}, secondary");
        }
    }

    #[test]
    fn wait_grows_from_a_second_when_its_end_is_past() {
        for past in [TimeDelta::zero(), TimeDelta::seconds(-1), TimeDelta::days(-20_000)] {
            let mut quota = after_first_request(30, 14);
            let reported = Reported { limit: Some(30), remaining: Some(0), reset_in: Some(past) };
            quota.observe(Resource::Search, reported, at(100));
            let mut now = at(100);
            for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
                quota.exhausted(Resource::Search, Some(past), now);
                let until = allowed_at(&quota, Priority::Scheduled, now);
                assert_eq!(until, now + TimeDelta::seconds(seconds), "{past}");
                now = until;
            }
            quota.answered();
            assert!(quota.slowed(Some(past), now));
            assert_eq!(allowed_at(&quota, Priority::Scheduled, now), now + TimeDelta::seconds(1));
        }
    }

    #[test]
    fn stored_wait_is_bounded_when_it_is_read() {
        let far = at(3_600 * 24 * 365 * 5_000);
        for (reset, paused, expected) in [
            (far, far, 0),
            (at(121), at(7_201), 0),
            (at(119), at(0), 60),
            (at(0), at(7_000), 3_600),
            (at(30), at(40), 40),
        ] {
            let mut quota =
                Quota { reset_at: Some(reset), paused_until: Some(paused), ..Quota::default() };
            (quota.limit, quota.remaining) = (Some(30), Some(0));
            assert_eq!(allowed_at(&quota, Priority::Scheduled, at(0)), at(expected), "{reset}");
            quota.pause(at(50), at(0));
            assert_eq!(allowed_at(&quota, Priority::Scheduled, at(0)), at(expected.max(50)));
        }
    }

    #[test]
    fn window_is_full_again_when_it_has_ended() {
        let mut quota = after_first_request(10, 0);
        assert_eq!(allowed_at(&quota, Priority::Scheduled, at(61)), at(61));
        quota.send(at(61));
        assert_eq!((quota.remaining, quota.reset_at), (Some(9), None));
    }
}
