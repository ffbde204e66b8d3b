//! The rules of belief: whether GitHub's answers are whole, and whether a run's result may replace
//! the one before. Everything here is pure: evidence in, verdict out.

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

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

/// Questions by id agree with a smaller result if at most one in so many of the repositories that
/// it does not show is still in the topic.
const AGREES_WITHIN: usize = 10;

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

/// Whether the next page that GitHub names comes after this one. A page that leads back would be
/// read again and again, and its repositories would stand for those of other pages.
pub(super) fn leads_on(next: &Url, page: &Url) -> bool {
    let number = |url: &Url| {
        let (_, number) = url.query_pairs().find(|(key, _)| key == "page")?;
        number.parse::<u64>().ok()
    };
    // mutant in client: a page that names itself as the next one is noticed
    //     next > number(page).unwrap_or(1) => true
    number(next).map_or(next != page, |next| next > number(page).unwrap_or(1))
}

/// Whether a query showed fewer repositories than GitHub counted. If a repository moves to a page
/// that was read already, no page shows it.
pub(super) fn lacks_some(reading: &Reading) -> bool {
    i64::try_from(reading.shown()).is_ok_and(|shown| shown < reading.total_count)
}

/// Whether a search sorted by update went by the last push instead. GitHub does not document that
/// it goes by `updated_at`, which a star changes too, so the order of the repositories has to tell.
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

/// Whether best match alone shows the whole topic, because the topic is no larger than a list: then
/// other queries would show the same again. If the count fell by more than half against the last
/// result, it is not believed without them.
pub(super) fn shows_all(best_match: &Reading, coverage: Coverage, found: Option<i64>) -> bool {
    let count = best_match.total_count;
    // mutant in refreshes: a count that fell by more than half is not taken for the whole topic
    //     count * 2 >= found.unwrap_or(0) => true
    let is_large = count * 2 >= found.unwrap_or(0);
    let is_believed = !best_match.is_cut_off && count <= LIST_LENGTH as i64 && is_large;
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
    /// Repositories shown that are private, and so left out.
    pub(super) private: i64,
    /// GitHub's count of the topic's repositories.
    pub(super) total_count: i64,
}

/// The answers to the questions by id about repositories that a run did not show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    /// All such repositories, asked for or not.
    pub(super) unconfirmed: usize,
    /// Those that are still in the topic.
    pub(super) present: usize,
    /// Those that are not.
    pub(super) gone: usize,
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
    /// The result is less than half as large as the last one, and an earlier run has seen it too.
    pub(super) is_shrink: bool,
    /// The next run must read every repository.
    pub(super) needs_every_repository: bool,
}

/// Judges a run's result against the topic's state before the run.
pub(super) fn judge(evidence: &Evidence, state: &TopicState, now: DateTime<Utc>) -> Verdict {
    // A run over changes shows only those.
    let size = match evidence.plan {
        Plan::Changed => evidence.total_count,
        Plan::Top | Plan::Complete => evidence.found,
    };
    let fault = evidence.reason.clone();
    let Evidence { private, skipped, found, .. } = *evidence;
    let fault = fault.or_else(|| skipped_fault(evidence));
    let fault = fault.or_else(|| private_fault(private, skipped, found));
    let fault = fault.or_else(|| hidden_fault(evidence, size));
    let is_shrink = fault.is_none() && has_shrunk(evidence.coverage, size, state);
    let (reason, shrunk) = match fault {
        Some(fault) => (Some(fault), state.shrunk),
        None if is_shrink => shrink_fault(evidence.plan, size, state, now).unzip(),
        None => (None, None),
    };
    let outcome = match reason {
        None => Outcome::Complete,
        Some(_) if evidence.found == 0 => Outcome::Failed,
        Some(_) => Outcome::Partial,
    };
    // A run over changes shows too little to ask by id for what is missing.
    let needs_every_repository = is_shrink && evidence.plan == Plan::Changed;
    Verdict { outcome, reason, size, shrunk, is_shrink, needs_every_repository }
}

/// The verdict after the questions by id. A result that shrank is complete only if they agree: the
/// repositories that it does not show must be gone from the topic.
pub(super) fn confirm(verdict: Verdict, answers: &Answers) -> Verdict {
    let Answers { unconfirmed, present, gone } = *answers;
    let answered = present + gone;
    // mutant in refreshes: a shrink is not believed while questions by id contradict it
    //     present * AGREES_WITHIN > answered => false
    let is_contradicted = present * AGREES_WITHIN > answered;
    let is_unanswered = unconfirmed > 0 && answered == 0;
    if !verdict.is_shrink || !(is_contradicted || is_unanswered) {
        return verdict;
    }
    let size = verdict.size;
    let reason = if is_contradicted {
        format!(
            "GitHub showed only {size} repositories, but {present} of {answered} others \
             that were asked for by id are still in the topic"
        )
    } else {
        format!("GitHub showed only {size} repositories and gave no answer about the others")
    };
    Verdict { outcome: Outcome::Partial, reason: Some(reason), ..verdict }
}

fn skipped_fault(evidence: &Evidence) -> Option<String> {
    let Evidence { found, skipped, .. } = *evidence;
    // mutant in refreshes: one item in a hundred may be unreadable
    //     skipped * TOLERATED_OF > found => false
    (skipped * TOLERATED_OF > found)
        .then(|| format!("{skipped} of {found} items could not be read"))
}

/// Why a result of which everything was left out is not complete: its empty list would say that
/// there is nothing.
pub(super) fn private_fault(private: i64, skipped: i64, found: i64) -> Option<String> {
    // mutant in refreshes: a topic of which everything is private is not told to be nothing
    //     private > 0 && private + skipped >= found => false
    (private > 0 && private + skipped >= found)
        .then(|| format!("all {private} repositories that GitHub showed are private"))
}

/// The fewest repositories that agree with GitHub's count of them.
fn least_shown(counted: i64) -> i64 {
    counted - 1 - counted / TOLERATED_OF
}

/// How many stored repositories a slice may have that GitHub counts as `counted`: no more, since
/// some have left it then, and few less, since it counts repositories that it does not show.
pub(super) fn agreeing_sizes(counted: i64) -> RangeInclusive<i64> {
    least_shown(counted)..=counted
}

/// Every page of a slice may be full although GitHub hides repositories, so the size of the whole
/// topic is compared with GitHub's count.
fn hidden_fault(evidence: &Evidence, size: i64) -> Option<String> {
    let Evidence { plan, total_count: counted, .. } = *evidence;
    // mutant in coverage: the size of a whole topic is compared with GitHub's count
    //     size < least_shown(counted) => false
    (plan == Plan::Complete && size < least_shown(counted))
        .then(|| format!("GitHub counts {counted} repositories and showed {size}"))
}

/// Whether a result is less than half as large as that of the last complete run.
fn has_shrunk(coverage: Coverage, size: i64, state: &TopicState) -> bool {
    // The top of a topic is always smaller than all of it.
    let is_comparable = coverage == Coverage::Complete || state.cursor.covered_at.is_none();
    let before = state.found.filter(|_| is_comparable).unwrap_or(0);
    // mutant in refreshes: a result less than half as large must be confirmed
    //     size * 2 < before => false
    size * 2 < before
}

/// Why a result that shrank is not believed yet, and the smaller result that a later run must agree
/// with.
fn shrink_fault(
    plan: Plan,
    size: i64,
    state: &TopicState,
    now: DateTime<Utc>,
) -> Option<(String, (i64, DateTime<Utc>))> {
    let before = state.found.unwrap_or(0);
    // A result from before the clock was set back counts from now on.
    let earlier = state.shrunk.map(|(shrunk, seen_at)| (shrunk, seen_at.min(now)));
    let agreeing = earlier.filter(|(shrunk, _)| (size - shrunk).abs() * 10 <= *shrunk);
    let is_confirmed = agreeing.is_some_and(|(_, seen_at)| now - seen_at >= SHRINK_CONFIRMED_AFTER);
    if is_confirmed && plan != Plan::Changed {
        return None;
    }
    let reason = format!(
        "GitHub showed {size} repositories where it showed {before} before; \
         a later run must agree"
    );
    Some((reason, agreeing.unwrap_or((size, now))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::github::Item;
    use crate::model::repository::Repository;
    use crate::model::topic::{Origin, SyncCursor};

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + minutes * 60, 0).expect("a date")
    }

    /// A topic whose last complete run found `found` repositories.
    fn state(found: Option<i64>) -> TopicState {
        TopicState {
            topic: "kubernetes".parse().expect("a topic"),
            origin: Origin::Configured,
            tracked_at: at(0),
            last_read_at: at(0),
            unread_at: None,
            revision: 1,
            modified_at: None,
            refreshed_at: None,
            complete: true,
            total_count: found,
            found,
            shrunk: None,
            stored: found.unwrap_or(0),
            cursor: SyncCursor::default(),
        }
    }

    fn evidence(found: i64) -> Evidence {
        Evidence {
            coverage: Coverage::Top,
            plan: Plan::Top,
            reason: None,
            found,
            skipped: 0,
            private: 0,
            total_count: found,
        }
    }

    /// A repository, updated and pushed to at these minutes.
    fn repository(id: i64, updated: i64, pushed: i64) -> Repository {
        let item = json!({ "id": id, "name": "b", "full_name": "a/b",
            "html_url": "https://github.com/a/b", "stargazers_count": 1,
            "updated_at": at(updated), "pushed_at": at(pushed) });
        Item::read(&item.to_string()).expect("a repository").repository
    }

    fn page(total_count: i64, repositories: Vec<Repository>) -> SearchPage {
        SearchPage {
            total_count,
            incomplete_results: false,
            order: repositories.iter().map(|repository| repository.id).collect(),
            repositories,
            skipped: Vec::new(),
            mended: 0,
            next: None,
        }
    }

    fn reading(pages: &[SearchPage]) -> Reading {
        let mut reading = Reading::default();
        pages.iter().for_each(|page| reading.add(page));
        reading
    }

    /// `count` repositories, each updated and pushed to a minute before the one in front of it.
    fn repositories(count: i64) -> Vec<Repository> {
        (1..=count).map(|id| repository(id, -id, -id)).collect()
    }

    #[test]
    fn verdict_follows_from_the_evidence_and_the_state() {
        use Outcome::{Complete, Failed, Partial};
        let whole = |found, total_count| Evidence {
            coverage: Coverage::Complete,
            plan: Plan::Complete,
            total_count,
            ..evidence(found)
        };
        let skipped = |skipped| Evidence { skipped, ..evidence(600) };
        let private = |private, skipped| Evidence {
            private,
            skipped,
            ..evidence(if private == 3 { 3 } else { 300 })
        };
        let failed = |found| Evidence { reason: Some("down".to_owned()), ..evidence(found) };
        let changed = Evidence { plan: Plan::Changed, found: 3, ..whole(3, 900) };
        let shrunk =
            |to, minutes| TopicState { shrunk: Some((to, at(minutes))), ..state(Some(400)) };
        let was_whole =
            TopicState { cursor: SyncCursor::after(at(0), at(0), None), ..state(Some(4_000)) };
        let new = || state(None);
        let old = || state(Some(400));
        let unchanged = Some((150, at(-20)));
        let table = [
            ("a new topic", evidence(3), new(), Complete, None),
            ("a new topic without repositories", evidence(0), new(), Complete, None),
            ("half as many as before", evidence(200), old(), Complete, None),
            ("six skipped of six hundred", skipped(6), new(), Complete, None),
            ("seven skipped of six hundred", skipped(7), new(), Partial, None),
            ("all private", private(3, 0), new(), Partial, None),
            ("all private, but one that is unreadable", private(299, 1), new(), Partial, None),
            ("all private, but one", private(299, 0), new(), Complete, None),
            ("nine hidden of nine hundred", whole(891, 900), new(), Complete, None),
            ("eleven hidden of nine hundred", whole(889, 900), new(), Partial, None),
            ("one hidden of three", whole(2, 3), new(), Complete, None),
            ("two hidden of three", whole(1, 3), new(), Partial, None),
            ("hidden from the top of a topic", evidence(500), new(), Complete, None),
            ("only changes, as many counted", changed, state(Some(901)), Complete, None),
            ("GitHub failed half-way", failed(300), old(), Partial, None),
            ("GitHub failed at once", failed(0), old(), Failed, None),
            (
                "GitHub failed after a shrunk result",
                failed(3),
                shrunk(150, -20),
                Partial,
                unchanged,
            ),
            ("shrunk for the first time", evidence(150), old(), Partial, Some((150, at(0)))),
            ("shrunk to nothing", evidence(0), old(), Failed, Some((0, at(0)))),
            ("agrees too early", evidence(150), shrunk(150, -9), Partial, Some((150, at(-9)))),
            ("agrees ten minutes later", evidence(150), shrunk(150, -10), Complete, None),
            ("agrees within a tenth", evidence(165), shrunk(150, -10), Complete, None),
            ("does not agree", evidence(166), shrunk(150, -20), Partial, Some((166, at(0)))),
            ("the top of a topic that was kept whole", evidence(700), was_whole, Complete, None),
        ];
        for (name, evidence, state, outcome, shrunk) in table {
            let verdict = judge(&evidence, &state, at(0));
            assert_eq!((verdict.outcome, verdict.shrunk), (outcome, shrunk), "{name}");
            assert_eq!(verdict.reason.is_none(), outcome == Complete, "{name}");
        }
    }

    #[test]
    fn shrink_is_believed_only_if_questions_by_id_agree() {
        use Outcome::{Complete, Partial};
        let old = || TopicState { shrunk: Some((0, at(-20))), ..state(Some(400)) };
        let shrink = || judge(&evidence(0), &old(), at(0));
        let usual = || judge(&evidence(390), &old(), at(0));
        for (name, verdict, [unconfirmed, present, gone], outcome) in [
            ("all gone", shrink(), [400, 0, 50], Complete),
            ("all there", shrink(), [400, 50, 0], Partial),
            ("one in ten is there", shrink(), [400, 5, 45], Complete),
            ("more than one in ten", shrink(), [400, 6, 44], Partial),
            ("the only one is there", shrink(), [1, 1, 0], Partial),
            ("no answer", shrink(), [400, 0, 0], Partial),
            ("nothing to ask for", shrink(), [0, 0, 0], Complete),
            ("no shrink", usual(), [50, 50, 0], Complete),
            ("no shrink and no answer", usual(), [50, 0, 0], Complete),
        ] {
            let verdict = confirm(verdict, &Answers { unconfirmed, present, gone });
            assert_eq!(verdict.outcome, outcome, "{name}");
            assert_eq!(verdict.reason.is_none(), outcome == Complete, "{name}");
            assert_eq!(verdict.shrunk, None, "{name}: the evidence voids it");
        }
    }

    #[test]
    fn shrink_is_believed_only_by_a_run_over_every_repository() {
        let state = TopicState { shrunk: Some((100, at(-20))), ..state(Some(900)) };
        for (plan, outcome) in
            [(Plan::Changed, Outcome::Partial), (Plan::Complete, Outcome::Complete)]
        {
            let run = Evidence { plan, coverage: Coverage::Complete, ..evidence(100) };
            let verdict = judge(&run, &state, at(0));
            assert_eq!(verdict.outcome, outcome, "{plan:?}");
            assert_eq!(verdict.needs_every_repository, plan == Plan::Changed);
        }
    }

    #[test]
    fn next_page_leads_on_if_it_comes_after_the_page() {
        let url = |query: &str| {
            Url::parse(&format!("https://api.github.com/s?{query}")).expect("an address")
        };
        for (page, next, expected) in [
            ("q=a", "q=a&page=2", true),
            ("q=a", "page=1&q=a", false),
            ("q=a&page=2", "page=2&q=a", false),
            ("q=a&page=2", "q=a&page=1", false),
            ("q=a&page=9", "q=a&page=10", true),
            ("q=a", "q=a", false),
            ("q=a", "q=a&after=x", true),
        ] {
            assert_eq!(leads_on(&url(next), &url(page)), expected, "{page} to {next}");
        }
    }

    #[test]
    fn size_of_a_run_over_changes_is_githubs_count() {
        let run = Evidence { plan: Plan::Changed, total_count: 900, ..evidence(3) };
        assert_eq!(judge(&run, &state(None), at(0)).size, 900);
        assert_eq!(judge(&evidence(3), &state(None), at(0)).size, 3);
    }

    #[test]
    fn first_fault_is_the_reason() {
        let run = Evidence { reason: Some("down".to_owned()), skipped: 9, ..evidence(10) };
        assert_eq!(judge(&run, &state(None), at(0)).reason.as_deref(), Some("down"));
        let run = Evidence { reason: None, ..run };
        let reason = judge(&run, &state(Some(400)), at(0)).reason;
        assert_eq!(reason.as_deref(), Some("9 of 10 items could not be read"));
    }

    #[test]
    fn page_is_whole_if_it_has_as_many_items_as_the_count_gives_it() {
        for (total_count, offset, items, is_whole) in [
            (0, 0, 0, true),
            (3, 0, 3, true),
            (3, 0, 2, false),
            (700, 0, 100, true),
            (700, 0, 99, false),
            (120, 100, 20, true),
            (120, 100, 19, false),
            (5_000, 900, 100, true),
            (5_000, 1_000, 0, true),
        ] {
            let page = page(total_count, repositories(items));
            let named = format!("{items} of {total_count} after {offset}");
            assert_eq!(page_fault(&page, offset).is_none(), is_whole, "{named}");
            let incomplete = SearchPage { incomplete_results: true, ..page };
            assert!(page_fault(&incomplete, offset).is_some(), "{named}, incomplete");
        }
    }

    #[test]
    fn count_is_a_fault_if_it_changes_by_more_than_half() {
        for (before, count, is_fault) in [
            (None, 3, false),
            (Some(100), 50, false),
            (Some(100), 49, true),
            (Some(50), 100, false),
            (Some(49), 100, true),
            (Some(0), 1, true),
            (Some(0), 0, false),
        ] {
            assert_eq!(count_fault(before, count).is_some(), is_fault, "{before:?} {count}");
        }
    }

    #[test]
    fn search_ends_too_early_without_a_next_page_before_its_reach() {
        for (has_next, offset, reach, is_fault) in
            [(true, 100, 300, false), (false, 100, 300, true), (false, 300, 300, false)]
        {
            assert_eq!(end_fault(has_next, offset, reach).is_some(), is_fault, "{offset}");
        }
    }

    #[test]
    fn query_lacks_repositories_if_it_showed_fewer_than_githubs_highest_count() {
        let whole = reading(&[page(3, repositories(3))]);
        assert!(!lacks_some(&whole));
        let twice = reading(&[page(4, repositories(3)), page(3, repositories(1))]);
        assert!(lacks_some(&twice), "a repository on two pages counts once");
        assert_eq!(twice.order, [2, 3, 1], "and its later place counts");
    }

    #[test]
    fn best_match_shows_all_of_a_topic_that_is_no_larger_than_a_list() {
        let of = |count, shown| reading(&[page(count, repositories(shown))]);
        let faulty = || {
            let mut reading = of(3, 3);
            reading.add_fault(Some("a short page".to_owned()));
            reading
        };
        let cut_off = || {
            let mut reading = of(300, 100);
            reading.is_cut_off = true;
            reading
        };
        for (name, best_match, coverage, found, expected) in [
            ("the whole list", of(500, 500), Coverage::Top, None, true),
            ("larger than a list", of(501, 500), Coverage::Top, None, false),
            ("half as many as before", of(200, 200), Coverage::Top, Some(400), true),
            ("cut off after a page", cut_off(), Coverage::Top, None, false),
            ("fewer than half as many", of(199, 199), Coverage::Top, Some(400), false),
            ("one is not shown", of(3, 2), Coverage::Top, None, true),
            ("one is not shown of a whole topic", of(3, 2), Coverage::Complete, None, false),
            ("a fault", faulty(), Coverage::Top, None, true),
            ("a fault in a whole topic", faulty(), Coverage::Complete, None, false),
            ("a whole topic", of(3, 3), Coverage::Complete, None, true),
        ] {
            assert_eq!(shows_all(&best_match, coverage, found), expected, "{name}");
        }
    }

    #[test]
    fn order_by_push_is_recognised_by_neighbours() {
        let by_update = [repository(1, 9, 1), repository(2, 8, 5), repository(3, 7, 6)];
        let by_push = [repository(1, 1, 9), repository(2, 5, 8), repository(3, 6, 7)];
        assert!(!is_by_push(&reading(&[page(3, by_update.to_vec())])));
        assert!(is_by_push(&reading(&[page(3, by_push.to_vec())])));
        assert!(!is_by_push(&reading(&[page(3, repositories(3))])), "both orders are the same");
    }

    #[test]
    fn changes_are_too_many_if_more_than_a_search_shows_are_newer() {
        for (total_count, since, is_fault) in
            [(1_001, -4, true), (1_001, -3, true), (1_001, -2, false), (1_000, -4, false)]
        {
            let reading = reading(&[page(total_count, repositories(3))]);
            let fault = too_many_changes(&reading, at(since));
            assert_eq!(fault.is_some(), is_fault, "{total_count} since {since}");
        }
        assert_eq!(too_many_changes(&Reading::default(), at(0)), None);
    }
}
