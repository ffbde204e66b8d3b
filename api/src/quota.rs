//! What GitHub allows: its limits as it last reported them, a pause that everyone obeys, and when
//! the next request may go.

use chrono::{DateTime, TimeDelta, Utc};
use strum::IntoStaticStr;

/// GitHub counts searches apart from everything else.
#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum Bucket {
    /// `/search`: 30 a minute with a token, 10 without.
    Search,
    /// Everything else: 5,000 an hour with a token, 60 without.
    Core,
}

impl Bucket {
    /// The one that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Search => Self::Core,
            Self::Core => Self::Search,
        }
    }
}

/// GitHub's windows for searches are one minute long.
const SEARCH_WINDOW: TimeDelta = TimeDelta::minutes(1);

/// A request that was under way for longer has failed, or its process has ended.
const LONGEST_REQUEST: TimeDelta = TimeDelta::seconds(35);

/// The turns that were taken reach no further than this.
const LONGEST_QUEUE: TimeDelta = TimeDelta::hours(1);

/// The lowest that GitHub has for searches: without a token.
const ASSUMED_LIMIT: i64 = 10;

/// Where nothing is known of what remains, as before GitHub's first answer, who is not the first
/// asks again after this: the real limit may be far above the assumed one.
const UNHEARD_WAIT: TimeDelta = TimeDelta::seconds(1);

/// Limits above this need no spacing: a private server's, or none to speak of.
const SPACED_UP_TO: i64 = 1_000;

/// The first wait after a secondary limit that names no time, doubled with each further one.
/// Source: GitHub's "Rate limits for the REST API".
const SECONDARY_WAIT: TimeDelta = TimeDelta::minutes(1);

/// Secondary limits in a row after which we stop asking: going on "may result in banning".
const MAX_STRIKES: i64 = 5;

/// How urgent a request is, which decides how much of the quota it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The schedule's: spread over the window, down to a tenth of the limit.
    Scheduled,
    /// A reader's topic: spread as well, but only down to half, so that strangers cannot starve the
    /// schedule.
    OnDemand,
    /// A reader is waiting: like [`Pace::OnDemand`], and without spacing while there is quota.
    Waiting,
}

/// A bucket's state, kept in the database for every replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Grows with each change.
    pub version: i64,
    /// Requests a window; `None` when GitHub reports no limit.
    pub limit: Option<i64>,
    /// Requests left in the window, as far as known.
    pub remaining: Option<i64>,
    /// The end of the window.
    pub reset_at: Option<DateTime<Utc>>,
    /// The next turn that nobody has: spaced requests take one each, in the order in which they
    /// come.
    pub next_at: Option<DateTime<Utc>>,
    /// Until when a request may be under way; `None` when there is none.
    pub busy_until: Option<DateTime<Utc>>,
    /// Until when GitHub said to wait.
    pub paused_until: Option<DateTime<Utc>>,
    /// Secondary limits since the last good answer.
    pub strikes: i64,
}

/// What an answer's `x-ratelimit-*` headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// `x-ratelimit-limit`.
    pub limit: Option<i64>,
    /// `x-ratelimit-remaining`.
    pub remaining: Option<i64>,
    /// `x-ratelimit-reset`.
    pub reset_at: Option<DateTime<Utc>>,
}

/// A time to go, or to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Not before.
    pub at: DateTime<Utc>,
    /// Nobody else has it.
    pub is_ours: bool,
}

impl Default for Quota {
    /// Before the first answer: failures tell of no limit, but count towards it.
    fn default() -> Self {
        Self {
            version: 0,
            limit: Some(ASSUMED_LIMIT),
            remaining: None,
            reset_at: None,
            next_at: None,
            busy_until: None,
            paused_until: None,
            strikes: 0,
        }
    }
}

impl Quota {
    /// When GitHub lets a request go: `now`, or after a pause or at the end of a window that is
    /// used up.
    #[must_use]
    pub fn allowed_at(&self, pace: Pace, now: DateTime<Utc>) -> DateTime<Utc> {
        let time = now.max(self.paused_until.unwrap_or(now));
        let (Some(limit), Some(remaining), Some(reset_at)) =
            (self.limit, self.remaining, self.reset_at)
        else {
            return time;
        };
        let reserve = match pace {
            Pace::Scheduled => (limit + 9) / 10,
            Pace::OnDemand | Pace::Waiting => limit / 2,
        };
        if now < reset_at && remaining <= reserve { time.max(reset_at) } else { time }
    }

    /// Takes the next turn. Whoever asks again after each answer shares the turns fairly with
    /// others who do. Where the window has nothing left for this pace there is only a time to ask
    /// again: the turns until then are for others. So it is before GitHub has told what it allows,
    /// while another turn is not over.
    pub fn take_turn(&mut self, bucket: Bucket, pace: Pace, now: DateTime<Utc>) -> Turn {
        let allowed = self.allowed_at(pace, now);
        let Some(spacing) = self.spacing(bucket) else {
            return Turn { at: allowed, is_ours: true };
        };
        if allowed > now.max(self.paused_until.unwrap_or(now)) {
            return Turn { at: allowed, is_ours: false };
        }
        // Further away than any queue is only where the clock was set back.
        let next = self.next_at.filter(|next| *next < now + LONGEST_QUEUE).unwrap_or(allowed);
        let at = if pace == Pace::Waiting { allowed } else { allowed.max(next) };
        if self.remaining.is_none() && at > allowed {
            return Turn { at: at.min(allowed + UNHEARD_WAIT), is_ours: false };
        }
        self.next_at = Some(next.max(at + spacing));
        Turn { at, is_ours: true }
    }

    /// Whether another request is under way. One that would take far longer than any was sent
    /// before the clock was set back; replicas' clocks differ a little.
    #[must_use]
    pub fn is_busy(&self, now: DateTime<Utc>) -> bool {
        self.busy_until.is_some_and(|until| now < until && until <= now + LONGEST_REQUEST * 2)
    }

    /// Counts a request that goes at `now`.
    pub fn send(&mut self, now: DateTime<Utc>) {
        if self.reset_at.is_some_and(|reset_at| reset_at <= now) {
            (self.remaining, self.reset_at) = (self.limit, None);
        }
        self.remaining = self.remaining.map(|remaining| (remaining - 1).max(0));
        self.busy_until = Some(now + LONGEST_REQUEST);
    }

    /// How long so many more requests of the schedule take, as far as the limits tell.
    #[must_use]
    pub fn time_for(&self, bucket: Bucket, requests: i64, now: DateTime<Utc>) -> TimeDelta {
        let spacing = self.spacing(bucket).unwrap_or_default();
        let between = i32::try_from((requests - 1).max(0)).unwrap_or(i32::MAX);
        self.allowed_at(Pace::Scheduled, now) - now + spacing * between
    }

    /// Takes over what an answer says of the limits.
    pub fn observe(&mut self, bucket: Bucket, reported: Reported, now: DateTime<Utc>) {
        let is_new = self.limit != reported.limit;
        self.limit = reported.limit;
        self.remaining = reported.remaining;
        self.reset_at = reported.reset_at;
        // An answer that tells another limit tells how far away the next request is.
        self.next_at = self
            .spacing(bucket)
            .map(|spacing| self.next_at.filter(|_| !is_new).unwrap_or(now + spacing));
    }

    /// A good answer ends a series of secondary limits.
    pub fn answered(&mut self) {
        self.strikes = 0;
    }

    /// GitHub says that the window is used up.
    pub fn exhausted(&mut self, now: DateTime<Utc>) {
        // The header counts whole seconds, so the window may end up to one later. Without it, or
        // where it is over by our clock but not by GitHub's: a minute.
        let end = self.reset_at.map(|reset_at| reset_at + TimeDelta::seconds(1));
        self.pause(end.filter(|end| *end > now).unwrap_or(now + SECONDARY_WAIT));
    }

    /// GitHub says that we are too fast, whatever the window holds; false when it has said so too
    /// often.
    #[must_use]
    pub fn slowed(&mut self, retry_after: Option<TimeDelta>, now: DateTime<Utc>) -> bool {
        let doubled = SECONDARY_WAIT
            * 2_i32.pow(u32::try_from(self.strikes.clamp(0, MAX_STRIKES)).unwrap_or(0));
        self.strikes += 1;
        self.pause(now + retry_after.unwrap_or(doubled));
        self.strikes < MAX_STRIKES
    }

    /// Nobody asks before then.
    pub fn pause(&mut self, until: DateTime<Utc>) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// The distance of two requests that spreads the limit over its window; core requests come too
    /// seldom to need one.
    fn spacing(&self, bucket: Bucket) -> Option<TimeDelta> {
        let limit = self.limit.filter(|limit| (1..=SPACED_UP_TO).contains(limit))?;
        (bucket == Bucket::Search).then(|| SEARCH_WINDOW / i32::try_from(limit).unwrap_or(i32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a date")
    }

    fn after_first_request(limit: i64, remaining: i64) -> Quota {
        let mut quota = Quota::default();
        assert_eq!(
            quota.take_turn(Bucket::Search, Pace::Scheduled, at(0)).at,
            at(0),
            "the first request never waits"
        );
        quota.send(at(0));
        let reported =
            Reported { limit: Some(limit), remaining: Some(remaining), reset_at: Some(at(60)) };
        quota.observe(Bucket::Search, reported, at(0));
        quota
    }

    #[test]
    fn spreads_the_reported_limit_over_its_window() {
        let turn = |mut quota: Quota| quota.take_turn(Bucket::Search, Pace::Scheduled, at(0)).at;
        assert_eq!(turn(after_first_request(30, 29)), at(2));
        assert_eq!(turn(after_first_request(10, 9)), at(6));
        assert_eq!(turn(after_first_request(5_000, 4_999)), at(0), "above 1,000: no spacing");
        let mut unlimited = Quota::default();
        unlimited.send(at(0));
        unlimited.observe(Bucket::Search, Reported::default(), at(0));
        assert_eq!(turn(unlimited), at(0), "no limit reported: no spacing");
    }

    #[test]
    fn nobody_reserves_turns_at_the_assumed_limit() {
        let mut quota = Quota::default();
        let mut turn = |now| quota.take_turn(Bucket::Search, Pace::Scheduled, now);
        assert_eq!(turn(at(0)), Turn { at: at(0), is_ours: true });
        assert_eq!(
            [turn(at(0)), turn(at(0))],
            [Turn { at: at(1), is_ours: false }; 2],
            "no answer yet"
        );
        assert_eq!(turn(at(5)), Turn { at: at(6), is_ours: false });
        assert_eq!(
            turn(at(6)),
            Turn { at: at(6), is_ours: true },
            "the first one's may never come"
        );
    }

    #[test]
    fn everyone_has_a_turn_of_their_own() {
        let mut quota = after_first_request(30, 29);
        let mut turn = |pace| quota.take_turn(Bucket::Search, pace, at(1)).at;
        assert_eq!(
            [turn(Pace::Scheduled), turn(Pace::OnDemand), turn(Pace::Scheduled)],
            [at(2), at(4), at(6)]
        );
        assert_eq!(turn(Pace::Waiting), at(1), "a reader does not wait for others");
        assert_eq!(turn(Pace::Scheduled), at(8));
        assert_eq!(quota.time_for(Bucket::Search, 11, at(1)), TimeDelta::seconds(20));
    }

    #[test]
    fn keeps_a_reserve_and_half_for_the_schedule() {
        let earliest =
            |remaining, pace| after_first_request(30, remaining).allowed_at(pace, at(10));
        assert_eq!(earliest(4, Pace::Scheduled), at(10));
        assert_eq!(earliest(3, Pace::Scheduled), at(60), "a tenth is the reserve");
        assert_eq!(earliest(16, Pace::OnDemand), at(10));
        assert_eq!(earliest(15, Pace::OnDemand), at(60), "half is the schedule's");
        assert_eq!(earliest(15, Pace::Waiting), at(60));
    }

    #[test]
    fn a_reader_who_must_wait_takes_no_turn_from_the_schedule() {
        let mut quota = after_first_request(30, 15);
        assert_eq!(
            quota.take_turn(Bucket::Search, Pace::OnDemand, at(10)),
            Turn { at: at(60), is_ours: false }
        );
        assert_eq!(
            quota.take_turn(Bucket::Search, Pace::Scheduled, at(10)),
            Turn { at: at(10), is_ours: true }
        );
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up() {
        let mut quota = after_first_request(30, 29);
        quota.send(at(86_400));
        assert!(quota.is_busy(at(86_401)) && !quota.is_busy(at(0)));
        quota.take_turn(Bucket::Search, Pace::Scheduled, at(86_400));
        assert_eq!(quota.take_turn(Bucket::Search, Pace::Scheduled, at(1)).at, at(1));
    }

    #[test]
    fn waits_as_long_as_github_says() {
        let mut quota = after_first_request(30, 0);
        quota.exhausted(at(10));
        assert_eq!(quota.allowed_at(Pace::Waiting, at(10)), at(61));
        let mut quota = after_first_request(30, 0);
        quota.exhausted(at(70));
        assert_eq!(
            quota.allowed_at(Pace::Waiting, at(70)),
            at(130),
            "GitHub's clock is behind ours"
        );

        let mut quota = after_first_request(30, 14);
        assert!(quota.slowed(Some(TimeDelta::seconds(7)), at(10)));
        assert_eq!(quota.allowed_at(Pace::Scheduled, at(10)), at(17));

        let mut quota = after_first_request(30, 14);
        let mut now = at(100);
        for minutes in [1, 2, 4, 8] {
            assert!(quota.slowed(None, now));
            let until = quota.allowed_at(Pace::Scheduled, now);
            assert_eq!(until, now + TimeDelta::minutes(minutes));
            now = until;
        }
        assert!(!quota.slowed(None, now), "then it gives up");
    }

    #[test]
    fn a_window_that_has_ended_is_full_again() {
        let mut quota = after_first_request(10, 0);
        assert_eq!(quota.allowed_at(Pace::Scheduled, at(61)), at(61));
        quota.send(at(61));
        assert_eq!((quota.remaining, quota.reset_at), (Some(9), None));
    }
}
