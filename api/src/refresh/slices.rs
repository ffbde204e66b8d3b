//! Reading every repository of a topic, past the 1,000 that one search shows: slices by date of
//! creation, halved until a search shows one whole.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::plan::{CHANGES_OVERLAP, Query, SEARCH_CAP};
use super::run::{Run, length};
use crate::github::{GitHubError, PER_PAGE};
use crate::model::slice::Slice;
use crate::model::time::rfc3339;

/// A slice that was read this recently is not read again: a run that was cut off is finished by the
/// next.
const FRESH: TimeDelta = TimeDelta::hours(1);

/// How often a slice is read again because repositories moved while it was read.
const MAX_REREADS: usize = 2;

/// A slice that is still to be read.
struct Open {
    slice: Slice,
    /// About how many repositories it has, where its parent and its older sibling tell.
    estimate: Option<i64>,
    /// The next one on the stack is its younger sibling, and expects to hear how many this one had.
    is_older: bool,
}

impl Run<'_> {
    /// Reads the topic slice by slice, oldest first.
    pub(super) async fn read_slices(&mut self) -> Result<(), GitHubError> {
        let read: HashMap<Slice, DateTime<Utc>> =
            self.parts.store.slices(self.topic, self.began - FRESH).await?.into_iter().collect();
        let was_halved =
            |slice: Slice| read.keys().any(|inner| *inner != slice && slice.contains(*inner));
        let mut taken_since: Option<DateTime<Utc>> = None;
        let mut open =
            vec![Open { slice: Slice::ROOT, estimate: self.report.total_count, is_older: false }];
        while let Some(Open { slice, estimate, is_older }) = open.pop() {
            if slice.first() > self.began {
                continue;
            }
            let mut too_large = estimate.filter(|estimate| *estimate > SEARCH_CAP);
            let count = if let Some(read_at) = read.get(&slice) {
                taken_since = Some(taken_since.map_or(*read_at, |since| since.min(*read_at)));
                Some(self.take_slice(slice).await?)
            } else if too_large.is_some() || was_halved(slice) {
                estimate
            } else {
                let total = self.read_slice(slice).await?;
                too_large = total.filter(|total| *total > SEARCH_CAP);
                total
            };
            if is_older && let Some(younger) = open.last_mut() {
                younger.estimate = younger.estimate.zip(count).map(|(both, own)| both - own);
            }
            if !read.contains_key(&slice) && (too_large.is_some() || was_halved(slice)) {
                let Some([older, younger]) = slice.halves() else {
                    let second = rfc3339(slice.first());
                    self.report.because(format!(
                        "more than {SEARCH_CAP} repositories were created in the second {second}"
                    ));
                    continue;
                };
                open.push(Open { slice: younger, estimate: count, is_older: false });
                open.push(Open { slice: older, estimate: None, is_older: true });
            }
            self.expect_slices();
        }
        // What was taken over may have changed since it was read.
        if let Some(since) = taken_since {
            self.read_changes(since - CHANGES_OVERLAP).await?;
        }
        Ok(())
    }

    /// Reads a slice whole and returns how many repositories GitHub counts there. One that is too
    /// large is only counted; `None` when it could not be read.
    async fn read_slice(&mut self, slice: Slice) -> Result<Option<i64>, GitHubError> {
        let query = Query::slice(self.topic, slice);
        let mut rereads = 0;
        loop {
            let began = self.parts.clock.now();
            let Some(reading) = self.attempt(&query).await? else { return Ok(None) };
            if reading.total_count > SEARCH_CAP {
                return Ok(Some(reading.total_count));
            }
            if reading.lacks_some() && reading.fault.is_none() && rereads < MAX_REREADS {
                rereads += 1;
                self.report.pages_refetched +=
                    length(query.reach(reading.total_count).div_ceil(PER_PAGE));
                continue;
            }
            // What GitHub counts and does not show each time is judged by the size of the whole
            // topic.
            if reading.fault.is_none() {
                self.parts
                    .store
                    .keep_slice(self.lease, self.topic, slice, began, self.parts.clock.now())
                    .await?;
            }
            return Ok(Some(reading.total_count));
        }
    }

    /// Takes over a slice that an earlier run has read; returns how many repositories it has.
    async fn take_slice(&mut self, slice: Slice) -> Result<i64, GitHubError> {
        let ids = self
            .parts
            .store
            .take_slice(self.lease, self.topic, slice, self.parts.clock.now())
            .await?;
        let count = length(ids.len());
        self.seen.extend(ids);
        self.report.found = length(self.seen.len());
        Ok(count)
    }

    /// What is left: a page for each hundred, and as much again for the slices' last pages and for
    /// finding the slices as was needed so far.
    fn expect_slices(&mut self) {
        let left = self.report.total_count.unwrap_or(0) - self.report.found;
        let pages = usize::try_from(left).unwrap_or(0).div_ceil(PER_PAGE);
        self.expect(pages + pages.div_ceil(5));
    }
}
