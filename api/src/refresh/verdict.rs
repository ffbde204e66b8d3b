//! The rules of belief: whether GitHub's answers are whole, and whether a run's result may replace
//! the one before. Everything here is pure: evidence in, verdict out.

use chrono::{DateTime, TimeDelta, Utc};

use super::plan::SEARCH_CAP;
use super::reading::Reading;
use crate::github::{PER_PAGE, SearchPage};
use crate::model::list::LIST_LENGTH;
use crate::model::run::{Outcome, Plan};
use crate::model::time::rfc3339;
use crate::model::topic::{Coverage, TopicState};

/// One skipped item in this many does not make a run partial. Nor does one repository that is
/// counted but not shown, and one more in this many: GitHub counts and shows at different times.
const TOLERATED_OF: i64 = 100;

/// A result that shrank by more than half counts if a later run, at least this much later, agrees
/// within a tenth.
// mutant in refreshes: the run that confirms a shrunk result is ten minutes later
//     minutes(10) => minutes(0)
const SHRINK_CONFIRMED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Why something is missing from a page.
pub(super) fn page_fault(page: &SearchPage, offset: usize) -> Option<String> {
    let reachable = usize::try_from(page.total_count.min(SEARCH_CAP)).unwrap_or(0);
    let expected = reachable.saturating_sub(offset).min(PER_PAGE);
    // mutant in refreshes: incomplete results are not believed
    //     page.incomplete_results => false
    if page.incomplete_results {
        return Some("GitHub ran out of time and sent incomplete results".to_owned());
    }
    // mutant in refreshes: short pages are not believed
    //     page.items() < expected => false
    (page.items() < expected)
        .then(|| format!("GitHub sent {} repositories on a page of {expected}", page.items()))
}

/// Why GitHub's count on a page contradicts the count before it.
pub(super) fn count_fault(before: Option<i64>, count: i64) -> Option<String> {
    let before = before.unwrap_or(count);
    // mutant in refreshes: a count that halves makes the run partial
    //     count.min(before) * 2 < count.max(before) => false
    (count.min(before) * 2 < count.max(before))
        .then(|| format!("GitHub counted {before} repositories and then {count}"))
}

/// Why a search ends too early: `offset` repositories were read, and it reaches to `reach`.
pub(super) fn end_fault(has_next: bool, offset: usize, reach: usize) -> Option<String> {
    // mutant in client: a last page before the count is reached is noticed
    //     !has_next && offset < reach => false
    (!has_next && offset < reach)
        .then(|| format!("GitHub named no page after the first {offset} of {reach}"))
}

/// Whether a query showed fewer repositories than GitHub counted. If a repository moves to a page
/// that was read already, no page shows it.
pub(super) fn lacks_some(reading: &Reading) -> bool {
    i64::try_from(reading.shown()).is_ok_and(|shown| shown < reading.total_count)
}

/// Whether a search that is sorted by update went by the last push instead. GitHub does not document
/// that it goes by `updated_at`, which a star changes too; the order of the repositories tells.
pub(super) fn is_by_push(reading: &Reading) -> bool {
    // mutant in coverage: an order by the last push is recognised
    //     reading.against_push < reading.against_update => false
    reading.against_push < reading.against_update
}

/// Why a search for the changes since a time did not show all of them.
pub(super) fn too_many_changes(reading: &Reading, since: DateTime<Utc>) -> Option<String> {
    let reaches_since = reading.oldest.is_none_or(|oldest| oldest < since);
    (!reaches_since && reading.total_count > SEARCH_CAP).then(|| {
        format!(
            "more than {SEARCH_CAP} repositories changed since {}: the next run reads every one",
            rfc3339(since)
        )
    })
}

/// Whether best match alone shows the whole topic, because the topic is no larger than a list. Other
/// queries would show the same again. A count that fell by more than half against the last result
/// is not believed without them.
pub(super) fn shows_all(best_match: &Reading, coverage: Coverage, found: Option<i64>) -> bool {
    let count = best_match.total_count;
    // mutant in refreshes: a count that fell by more than half is not taken for the whole topic
    //     count * 2 >= found.unwrap_or(0) => true
    let is_believed = count <= LIST_LENGTH as i64 && count * 2 >= found.unwrap_or(0);
    let is_whole = !lacks_some(best_match) && best_match.fault.is_none();
    is_believed && (coverage == Coverage::Top || is_whole)
}

/// The facts of a run by which its result is judged.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) coverage: Coverage,
    pub(super) plan: Plan,
    /// Why the searches are not whole.
    pub(super) reason: Option<String>,
    /// Distinct repositories shown, unreadable ones included.
    pub(super) found: i64,
    /// Items that could not be read.
    pub(super) skipped: i64,
    /// GitHub's count of the topic's repositories.
    pub(super) total_count: i64,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// Why the run is not complete.
    pub(super) reason: Option<String>,
    /// The size of the topic by this run.
    pub(super) size: i64,
    /// A result that waits for a later run to agree, and when a run first saw it.
    pub(super) shrunk: Option<(i64, DateTime<Utc>)>,
}

/// Judges a run's result against the topic's state before the run.
pub(super) fn judge(evidence: &Evidence, state: &TopicState, now: DateTime<Utc>) -> Verdict {
    // A run over changes shows only those.
    let size = match evidence.plan {
        Plan::Changed => evidence.total_count,
        Plan::Top | Plan::Complete => evidence.found,
    };
    let fault = evidence.reason.clone();
    let fault = fault.or_else(|| skipped_fault(evidence)).or_else(|| hidden_fault(evidence, size));
    let (reason, shrunk) = match fault {
        Some(fault) => (Some(fault), state.shrunk),
        None => shrink_fault(evidence.coverage, size, state, now).unzip(),
    };
    let outcome = match reason {
        None => Outcome::Complete,
        Some(_) if evidence.found == 0 => Outcome::Failed,
        Some(_) => Outcome::Partial,
    };
    Verdict { outcome, reason, size, shrunk }
}

fn skipped_fault(evidence: &Evidence) -> Option<String> {
    let Evidence { found, skipped, .. } = *evidence;
    // mutant in refreshes: one item in a hundred may be unreadable
    //     skipped * TOLERATED_OF > found => false
    (skipped * TOLERATED_OF > found)
        .then(|| format!("{skipped} of {found} items could not be read"))
}

/// Every page of a slice may be full although GitHub hides repositories, so the size of the whole
/// topic is compared with GitHub's count.
fn hidden_fault(evidence: &Evidence, size: i64) -> Option<String> {
    let Evidence { plan, total_count: counted, .. } = *evidence;
    // mutant in coverage: the size of a whole topic is compared with GitHub's count
    //     (counted - size - 1) * TOLERATED_OF > counted => false
    (plan == Plan::Complete && (counted - size - 1) * TOLERATED_OF > counted)
        .then(|| format!("GitHub counts {counted} repositories and showed {size}"))
}

/// Why a result is too small to be believed yet, and the smaller result that a later run must agree
/// with.
fn shrink_fault(
    coverage: Coverage,
    size: i64,
    state: &TopicState,
    now: DateTime<Utc>,
) -> Option<(String, (i64, DateTime<Utc>))> {
    // The top of a topic is always smaller than all of it.
    let is_comparable = coverage == Coverage::Complete || state.cursor.covered_at.is_none();
    let before = state.found.filter(|_| is_comparable).unwrap_or(0);
    // mutant in refreshes: a result less than half as large must be confirmed
    //     size * 2 >= before => true
    if size * 2 >= before {
        return None;
    }
    let agreeing = state.shrunk.filter(|(shrunk, _)| (size - shrunk).abs() * 10 <= *shrunk);
    if agreeing.is_some_and(|(_, seen_at)| now - seen_at >= SHRINK_CONFIRMED_AFTER) {
        return None;
    }
    let reason = format!(
        "GitHub showed {size} repositories where it showed {before} before; \
         a later run must agree"
    );
    Some((reason, agreeing.unwrap_or((size, now))))
}
