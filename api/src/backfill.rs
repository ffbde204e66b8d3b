//! Backfill: copies GitHub's own history of stars into the database, repository by repository.
//!
//! GitHub tells how many stars of each day are still held, so the counts are the stars still held
//! at the end of a day. A repository's history is written in one transaction when all of it was
//! read, so a run that is killed leaves no half of one.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use tracing::warn;

use crate::clock::Clock;
use crate::github::{Deadline, GitHub, GitHubError, StarWeek, Usage};
use crate::model::counts::{Counts, Span};
use crate::model::quota::Priority;
use crate::model::topic::Topic;
use crate::store::{Store, Unfilled};

/// GitHub's limit for the pages of a star history.
const MAX_PAGES: usize = 100;

/// A backfill ends rather than wait longer for GitHub's limits.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(2);

/// Failures in a row after which a backfill ends.
const MAX_FAILURES: u32 = 5;

/// The pause after the first failure, doubled with each further one in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The state of a backfill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backfill {
    /// The repositories of the topic.
    pub all: usize,
    /// Those that are done, by this run or an earlier one.
    pub done: usize,
    /// Those of this run for which GitHub offers no history.
    pub not_offered: usize,
    /// The requests of this run.
    pub requests: i64,
    /// When GitHub's limit allows the next request, if that ended the run.
    pub limited_until: Option<DateTime<Utc>>,
}

/// Backfills the repositories of a topic that have no backfilled counts yet, most stars first.
/// `progress` is told of each repository.
///
/// # Errors
/// If the topic is not tracked, the database fails, or GitHub fails or refuses again and again.
pub async fn backfill(
    store: &dyn Store,
    github: &GitHub,
    clock: &dyn Clock,
    topic: &Topic,
    mut progress: impl FnMut(&Backfill),
) -> anyhow::Result<Backfill> {
    let Some(state) = store.topic(topic).await? else {
        bail!("{topic} is not tracked; `api refresh {topic}` tracks it");
    };
    let mut left = VecDeque::from(store.unfilled(topic, clock.now().date_naive()).await?);
    let all = usize::try_from(state.stored).unwrap_or_default();
    let mut backfill =
        Backfill { all, done: all.saturating_sub(left.len()), ..Backfill::default() };
    let (mut usage, mut failures) = (Usage::default(), 0);
    while let Some(repository) = left.pop_front() {
        progress(&backfill);
        let today = clock.now().date_naive();
        let read = read(github, clock, &repository, today, &mut usage).await;
        backfill.requests = usage.requests;
        match read {
            Ok(weeks) => {
                let spans = weeks.as_deref().map(|weeks| spans(&repository, weeks, today));
                store.backfill(repository.id, spans.as_deref().unwrap_or_default(), today).await?;
                backfill.done += 1;
                backfill.not_offered += usize::from(spans.is_none());
                failures = 0;
            }
            Err(GitHubError::Limited { until }) => {
                backfill.limited_until = Some(until);
                break;
            }
            Err(error @ (GitHubError::Failed { .. } | GitHubError::Refused { .. }))
                if failures + 1 < MAX_FAILURES =>
            {
                let name = &repository.full_name;
                warn!(name, %error, "a star history could not be read; it is tried again later");
                // mutant in backfill: a history that failed is read again in the same run
                //     left.push_back(repository) => drop(repository)
                left.push_back(repository);
                clock.sleep_until(clock.now() + FIRST_PAUSE * 2_u32.pow(failures)).await;
                failures += 1;
            }
            Err(error) => {
                let Backfill { done, all, .. } = backfill;
                let stopped = format!("stopped at {done} of {all} repositories; run it again");
                return Err(error).context(stopped);
            }
        }
    }
    progress(&backfill);
    Ok(backfill)
}

/// Reads a repository's star history, newest week first; `None` if GitHub does not offer it.
async fn read(
    github: &GitHub,
    clock: &dyn Clock,
    repository: &Unfilled,
    today: NaiveDate,
    usage: &mut Usage,
) -> Result<Option<Vec<StarWeek>>, GitHubError> {
    let mut weeks: Vec<StarWeek> = Vec::new();
    let mut next = Some(github.first_star_page(&repository.full_name));
    for _ in 0..MAX_PAGES {
        let Some(address) = next else { break };
        // The newest week is the present one.
        let before = weeks.last().map_or(today + Days::new(7), |week| week.first);
        let until = clock.now() + LONGEST_WAIT;
        let deadline = Deadline { priority: Priority::Backfill, until };
        let Some(page) = github.star_page(&address, before, deadline, usage).await? else {
            return Ok(None);
        };
        weeks.extend(page.weeks);
        next = page.next;
    }
    Ok(Some(weeks))
}

/// The stars still held at the end of each day before today, from the creation on.
fn spans(repository: &Unfilled, weeks: &[StarWeek], today: NaiveDate) -> Vec<Span> {
    let created = repository.created_at.map(|time| time.date_naive());
    let oldest = weeks.last().map(|week| week.first);
    // A history that begins with the repository begins with no star. Any other one begins with the
    // stars that it does not show.
    let is_whole = oldest.zip(created).is_some_and(|(oldest, created)| oldest <= created);
    let shown: i64 = weeks.iter().flat_map(|week| week.days).sum();
    let mut stars = if is_whole { 0 } else { (repository.stars - shown).max(0) };
    let mut spans: Vec<Span> = Vec::new();
    let days = weeks.iter().rev().flat_map(|week| week.first.iter_days().zip(week.days));
    // mutant in backfill: the present day is not over
    //     *day < today => *day <= today
    for (day, given) in days.take_while(|(day, _)| *day < today) {
        stars += given;
        match spans.last_mut() {
            Some(span) if given == 0 => span.last = day,
            // GitHub's days may begin before UTC's, and so before the day of the creation.
            None if given == 0 && created.is_some_and(|created| day < created) => {}
            last => {
                if let (Some(span), Some(eve)) = (last, day.pred_opt()) {
                    span.last = eve;
                }
                let counts = Counts { stars, forks: None, open_issues: None };
                spans.push(Span { repository: repository.id, first: day, last: day, counts });
            }
        }
    }
    if let (Some(span), Some(yesterday)) = (spans.last_mut(), today.pred_opt()) {
        span.last = yesterday;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That many days after Sunday, 2026-09-20.
    fn day(number: i64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 9, 20).expect("a date") + TimeDelta::days(number)
    }

    fn week(number: i64, days: [i64; 7]) -> StarWeek {
        StarWeek { first: day(number * 7), days }
    }

    /// The spans of a repository with 100 stars, and the last day of each as a number.
    fn held(created: Option<i64>, weeks: &[StarWeek], today: i64) -> Vec<(i64, i64, i64)> {
        let created_at =
            created.map(|number| day(number).and_time(chrono::NaiveTime::MIN).and_utc());
        let full_name = "a/b".to_owned();
        let repository = Unfilled { id: 1, full_name, stars: 100, created_at };
        let number = |date: NaiveDate| (date - day(0)).num_days();
        let spans = spans(&repository, weeks, day(today));
        spans
            .iter()
            .map(|span| (number(span.first), number(span.last), span.counts.stars))
            .collect()
    }

    #[test]
    fn stars_held_grow_from_none_at_the_creation_to_yesterday() {
        let weeks = [week(0, [0, 2, 0, 5, 7, 0, 0]), week(-1, [0, 0, 3, 0, 0, 1, 0])];
        assert_eq!(
            held(Some(-6), &weeks, 4),
            [(-6, -6, 0), (-5, -3, 3), (-2, 0, 4), (1, 2, 6), (3, 3, 11)],
            "today's stars are not of a whole day"
        );
        assert_eq!(held(Some(-6), &weeks, 0), [(-6, -6, 0), (-5, -3, 3), (-2, -1, 4)]);
        assert_eq!(held(Some(-6), &weeks[1..], 20).last(), Some(&(-2, 19, 4)));
        assert_eq!(held(Some(0), &weeks[..1], 0), [], "it was created today");
        assert_eq!(held(Some(0), &[], 4), []);
    }

    #[test]
    fn star_of_the_day_before_the_creation_counts() {
        let weeks = [week(0, [0, 1, 0, 0, 0, 0, 0])];
        assert_eq!(held(Some(2), &weeks, 3), [(1, 2, 1)]);
    }

    #[test]
    fn weeks_that_are_left_out_have_no_stars() {
        let weeks = [week(3, [0, 1, 0, 0, 0, 0, 0]), week(0, [2, 0, 0, 0, 0, 0, 0])];
        assert_eq!(held(Some(0), &weeks, 30), [(0, 21, 2), (22, 29, 3)]);
    }

    #[test]
    fn history_that_begins_after_the_creation_counts_back_from_the_present_stars() {
        let weeks = [week(0, [0, 2, 0, 5, 7, 0, 0])];
        for created in [Some(-1), None] {
            assert_eq!(held(created, &weeks, 4), [(0, 0, 86), (1, 2, 88), (3, 3, 93)]);
        }
        let weeks = [week(0, [0, 200, 0, 0, 0, 0, 0])];
        assert_eq!(held(None, &weeks, 3), [(0, 0, 0), (1, 2, 200)], "never below 0");
    }
}
