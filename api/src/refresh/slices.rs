//! Reading every repository of a topic, past the 1,000 that one search shows: slices by date of
//! creation, halved until a search shows one whole.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};

use super::plan::{Query, SEARCH_CAP};
use super::reading::Reading;
use super::recorder::{Recorder, count};
use super::{search, verdict};
use crate::github::{GitHubError, PER_PAGE};
use crate::model::slice::Slice;
use crate::model::time::{is_recent, rfc3339};
use crate::model::topic::CHANGES_OVERLAP;
use crate::store::StoreError;

/// A slice that an earlier run read this recently is not read again, so a reading that its runs did
/// not end is finished by later ones. Those may be hours apart if many topics share the quota.
// mutant in coverage: slices that were read longer ago are read again
//     days(7) => days(90)
const KNOWN: TimeDelta = TimeDelta::days(7);

/// The changes of slices that were read this recently are shown by one search of the whole topic.
/// For older ones these may be too many, so each slice is searched for its own.
const FRESH: TimeDelta = TimeDelta::hours(1);

/// How often a slice is read again because repositories moved between its pages.
const MAX_REREADS: usize = 2;

/// A slice that is still to be read.
struct Open {
    slice: Slice,
    /// About how many repositories it has, if its parent's count and its older sibling's tell.
    estimate: Option<i64>,
    /// Whether the next one on the stack is its younger sibling, whose estimate needs its count.
    is_older: bool,
}

/// Reads the topic slice by slice, the oldest first. Returns the time of the earliest reading among
/// the fresh slices taken over from an earlier run, if there are any: they may have changed since.
pub(super) async fn read(
    recorder: &mut Recorder<'_>,
) -> Result<Option<DateTime<Utc>>, GitHubError> {
    let run = recorder.run;
    let earlier = run.store.slices(run.topic, run.began - KNOWN).await?.into_iter();
    let is_known = |(_, read_at): &(Slice, _)| is_recent(*read_at, KNOWN, run.began);
    let earlier: HashMap<Slice, DateTime<Utc>> = earlier.filter(is_known).collect();
    let was_halved =
        |slice: Slice| earlier.keys().any(|inner| *inner != slice && slice.contains(*inner));
    let mut taken_since: Option<DateTime<Utc>> = None;
    let total_count = recorder.report.total_count;
    let mut open = vec![Open { slice: Slice::ROOT, estimate: total_count, is_older: false }];
    while let Some(Open { slice, estimate, is_older }) = open.pop() {
        if slice.first() > run.began {
            continue;
        }
        let is_too_large = |count: i64| count > SEARCH_CAP;
        // mutant in coverage: slices of an unfinished reading are not read again
        //     earlier.get(&slice) => earlier.get(&slice).filter(|_| false)
        let taken = match earlier.get(&slice) {
            Some(read_at) if is_recent(*read_at, FRESH, run.began) => {
                taken_since = Some(taken_since.map_or(*read_at, |since| since.min(*read_at)));
                take_over(recorder, slice, None).await?
            }
            Some(read_at) => bring_up_to_date(recorder, slice, *read_at).await?,
            None => None,
        };
        let (count, halve) = if taken.is_some() {
            (taken, false)
        } else if estimate.is_some_and(is_too_large) || was_halved(slice) {
            (estimate, true)
        } else {
            let count = read_slice(recorder, slice).await?;
            // mutant in coverage: a whole topic is read past 1,000 repositories
            //     count.is_some_and(is_too_large) => false
            (count, count.is_some_and(is_too_large))
        };
        if is_older && let Some(younger) = open.last_mut() {
            younger.estimate = younger.estimate.zip(count).map(|(both, own)| both - own);
        }
        if halve {
            let Some([older, younger]) = slice.halves() else {
                let second = rfc3339(slice.first());
                recorder.report.fail_with(format!(
                    "more than {SEARCH_CAP} repositories were created in the second {second}"
                ));
                continue;
            };
            open.push(Open { slice: younger, estimate: count, is_older: false });
            open.push(Open { slice: older, estimate: None, is_older: true });
        }
        expect_rest(recorder);
    }
    Ok(taken_since)
}

/// Reads a slice and returns GitHub's count of its repositories. If the slice is too large, it is
/// only counted. `None` if GitHub failed.
async fn read_slice(recorder: &mut Recorder<'_>, slice: Slice) -> Result<Option<i64>, GitHubError> {
    let run = recorder.run;
    let query = Query::slice(run.topic, slice);
    let mut rereads = 0;
    loop {
        let began = run.clock.now();
        let mut reading = Reading::default();
        search::read(recorder, &query, &mut reading).await?;
        if reading.is_cut_off {
            return Ok(None);
        }
        let count = reading.total_count;
        if count > SEARCH_CAP {
            return Ok(Some(count));
        }
        if reading.fault.is_some() {
            return Ok(Some(count));
        }
        // mutant in coverage: a slice that lacks repositories is read again
        //     verdict::lacks_some(&reading) => false
        if verdict::lacks_some(&reading) && rereads < MAX_REREADS {
            rereads += 1;
            let pages = query.reach(count).div_ceil(PER_PAGE);
            recorder.report.pages_refetched += self::count(pages);
            continue;
        }
        // A slice that still lacks repositories counts as read. The verdict compares the size of
        // the whole topic with GitHub's count.
        let now = run.clock.now();
        run.store.keep_slice(run.lease, run.topic, slice, began, now).await?;
        return Ok(Some(count));
    }
}

/// Reads the changes of a slice since an earlier run has read it, and takes it over. Returns how
/// many repositories it has; `None` if it has to be read again, because the search does not tell
/// every change, or it has more or far fewer repositories than GitHub counts.
async fn bring_up_to_date(
    recorder: &mut Recorder<'_>,
    slice: Slice,
    read_at: DateTime<Utc>,
) -> Result<Option<i64>, GitHubError> {
    let (run, began) = (recorder.run, recorder.run.clock.now());
    let query = Query::slice_since(run.topic, slice, read_at - CHANGES_OVERLAP);
    let mut reading = Reading::default();
    search::read(recorder, &query, &mut reading).await?;
    let count = reading.total_count;
    if reading.is_cut_off || verdict::is_by_push(&reading) || count > SEARCH_CAP {
        return Ok(None);
    }
    let taken = take_over(recorder, slice, Some(verdict::agreeing_sizes(count))).await?;
    // A search with a fault may lack changes, so the next run searches from the same time again.
    // mutant in coverage: a search for a slice's changes with a fault does not count as read
    //     reading.fault.is_none() => true
    if taken.is_some() && reading.fault.is_none() {
        let now = run.clock.now();
        run.store.keep_slice(run.lease, run.topic, slice, began, now).await?;
    }
    Ok(taken)
}

/// Takes over a slice that an earlier run has read, and returns how many repositories it has;
/// `None` if that is not among the sizes.
async fn take_over(
    recorder: &mut Recorder<'_>,
    slice: Slice,
    sizes: Option<RangeInclusive<i64>>,
) -> Result<Option<i64>, StoreError> {
    let run = recorder.run;
    let now = run.clock.now();
    let taken = run.store.take_slice(run.lease, run.topic, slice, sizes, now).await?;
    Ok(taken.map(|ids| {
        recorder.add_shown(&ids);
        count(ids.len())
    }))
}

/// Estimates the requests that are still needed: one a hundred repositories, and a fifth more for
/// the slices' last pages and for finding the slices.
fn expect_rest(recorder: &mut Recorder<'_>) {
    let left = recorder.report.total_count.unwrap_or(0) - recorder.report.found;
    let pages = usize::try_from(left).unwrap_or(0).div_ceil(PER_PAGE);
    recorder.expect(pages + pages.div_ceil(5));
}
