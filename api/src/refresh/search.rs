//! Reading a query page by page: pages with something missing are asked for again, and each page is
//! stored.

use chrono::{DateTime, Utc};
use url::Url;

use super::plan::{Extent, Query, SEARCH_CAP};
use super::reading::Reading;
use super::recorder::{Recorder, count};
use super::verdict;
use crate::github::{GitHubError, PER_PAGE, SearchPage, Sort};

/// How often a page is asked for again because something is missing from it.
// mutant in client: a page with something missing is asked for again
//     usize = 2 => usize = 0
const MAX_REFETCHES: usize = 2;

/// The result of searching for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// The search showed every change, or the report says why not.
    Read,
    /// More repositories changed than a search shows, so the next run must read every repository.
    TooMany,
    /// GitHub sorted by the last push, so the search may have missed any change.
    ByPush,
}

/// Reads a query as far as GitHub shows it. If GitHub fails on one of its pages, or refuses it, the
/// run is partial, but its other queries may succeed. Any other error ends the run; `reading` has
/// the pages before it.
pub(super) async fn read(
    recorder: &mut Recorder<'_>,
    query: &Query,
    reading: &mut Reading,
) -> Result<(), GitHubError> {
    let ended = read_pages(recorder, query, reading).await;
    let ended = match ended {
        // mutant in client: a refusal ends only its query
        //     | GitHubError::Refused { .. }) => )
        Err(error @ (GitHubError::Failed { .. } | GitHubError::Refused { .. })) => {
            reading.is_cut_off = true;
            recorder.note_failure(&error);
            reading.add_fault(Some(error.to_string()));
            Ok(())
        }
        ended => ended,
    };
    if let Some(fault) = &reading.fault {
        recorder.report.fail_with(fault);
    }
    ended
}

/// Reads the repositories that changed since a time. A star is a change of `updated_at` too.
pub(super) async fn read_changes(
    recorder: &mut Recorder<'_>,
    since: DateTime<Utc>,
) -> Result<Changes, GitHubError> {
    let mut reading = Reading::default();
    read(recorder, &Query::since(recorder.run.topic, since), &mut reading).await?;
    if reading.is_cut_off {
        return Ok(Changes::Read);
    }
    if verdict::is_by_push(&reading) {
        return Ok(Changes::ByPush);
    }
    let Some(fault) = verdict::too_many_changes(&reading, since) else {
        return Ok(Changes::Read);
    };
    recorder.report.fail_with(fault);
    Ok(Changes::TooMany)
}

async fn read_pages(
    recorder: &mut Recorder<'_>,
    query: &Query,
    reading: &mut Reading,
) -> Result<(), GitHubError> {
    let mut next = Some(recorder.run.github.first_page(&query.q, query.sort));
    let mut offset = 0;
    while let Some(url) = next.take() {
        let page = whole_page(recorder, &url, offset, query, reading).await?;
        let counted_before = if query.is_of_slice {
            (offset > 0).then_some(reading.total_count)
        } else {
            recorder.report.total_count
        };
        reading.add_fault(verdict::count_fault(counted_before, page.total_count));
        if query.sort == Sort::BestMatch {
            recorder.report.total_count = Some(page.total_count);
        }
        reading.add(&page);
        if query.extent == Extent::All && offset == 0 && page.total_count > SEARCH_CAP {
            break;
        }
        recorder.store_page(&page).await?;
        offset += PER_PAGE;
        let is_read = match query.extent {
            Extent::First(depth) => offset >= depth,
            // mutant in coverage: changes are read back to the last run
            //     reading.oldest.is_some_and(|oldest| oldest < time) => true
            Extent::Since(time) => reading.oldest.is_some_and(|oldest| oldest < time),
            Extent::All => false,
        };
        if is_read {
            break;
        }
        let leads_on = |next: &Url| count(offset) < SEARCH_CAP && verdict::leads_on(next, &url);
        next = page.next.filter(leads_on);
        let reach = query.reach(page.total_count);
        reading.add_fault(verdict::end_fault(next.is_some(), offset, reach));
    }
    Ok(())
}

/// Asks for a page until nothing is missing from it. After [`MAX_REFETCHES`] returns the page
/// nevertheless and notes the fault.
async fn whole_page(
    recorder: &mut Recorder<'_>,
    url: &Url,
    offset: usize,
    query: &Query,
    reading: &mut Reading,
) -> Result<SearchPage, GitHubError> {
    let mut refetches = 0;
    loop {
        let page = recorder.search(query, url).await?;
        let fault = verdict::page_fault(&page, offset);
        if fault.is_none() || refetches == MAX_REFETCHES {
            reading.add_fault(fault);
            return Ok(page);
        }
        refetches += 1;
        recorder.report.pages_refetched += 1;
    }
}
