//! Revisions count the changes of a topic, and each published one has a Last-Modified of its own.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// The revision of a topic that is tracked at `now`. A topic that is deleted and tracked again
/// continues above its old revisions, so caches do not take its new lists for older ones.
#[must_use]
pub fn first_revision(now: DateTime<Utc>) -> i64 {
    now.timestamp_millis()
}

/// The Last-Modified after `last`: the present second, or the one after `last` if that is later,
/// since different bytes never share one.
pub(super) fn next_modified(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let now = now.trunc_subsecs(0);
    last.map_or(now, |last| now.max(last + TimeDelta::seconds(1)))
}
