//! The rows of a catalogue that a list puts first.

use std::cmp::{Ordering, Reverse};

use super::catalogue::{Catalogue, Row};
use crate::model::growth::Measure;
use crate::model::ranking::{Ranking, Trend};
use crate::model::repository::RepositoryId;

/// The first rows of a ranking, at most `length` of them. Equal ranks: lowest id first.
#[must_use]
pub fn first_rows(catalogue: &Catalogue, ranking: Ranking, length: usize) -> Vec<&Row> {
    let mut rows: Vec<&Row> = catalogue.rows().iter().collect();
    if ranking == Ranking::BestMatch {
        rows.retain(|row| row.best_match.is_some());
    }
    first(rows, length, |one, other| match ranking {
        Ranking::BestMatch => one.best_match.cmp(&other.best_match),
        Ranking::Popularity => other.stars.cmp(&one.stars),
        Ranking::Activity => other.updated_at.cmp(&one.updated_at),
    })
}

/// The rows that were created last, at most `length` of them.
#[must_use]
pub fn newest(catalogue: &Catalogue, length: usize) -> Vec<&Row> {
    let rows = catalogue.rows().iter().collect();
    first(rows, length, |one, other| other.created_at.cmp(&one.created_at))
}

/// The rows that gained or lost most, at most `length` of them. Equal ranks: the larger gain first,
/// then the lowest id. The measure is of gains; losses are ranked by stars.
#[must_use]
pub fn first_by_growth(
    catalogue: &Catalogue,
    trend: Trend,
    measure: Measure,
    length: usize,
) -> Vec<&Row> {
    let gained = |row: &Row| row.growth.as_ref().map_or(0, |growth| growth.gained);
    let measured = |row: &Row| row.growth.as_ref().and_then(|growth| growth.measure(measure));
    let rows = catalogue.rows().iter();
    match trend {
        Trend::Trending => {
            let rows = rows.filter(|row| measured(row).is_some()).collect();
            first(rows, length, |one, other| {
                let by_measure = measured(other).partial_cmp(&measured(one));
                by_measure.unwrap_or(Ordering::Equal).then_with(|| gained(other).cmp(&gained(one)))
            })
        }
        Trend::Falling => {
            let rows = rows.filter(|row| gained(row) < 0).collect();
            first(rows, length, |one, other| gained(one).cmp(&gained(other)))
        }
    }
}

/// The place by stars among all of the topic's repositories, from 1.
#[must_use]
pub fn popularity_place(catalogue: &Catalogue, id: RepositoryId) -> Option<usize> {
    place(catalogue.rows().iter(), id, |row| row.stars)
}

/// The place by stars gained among all of the topic's repositories that gained any, from 1.
#[must_use]
pub fn trending_place(catalogue: &Catalogue, id: RepositoryId) -> Option<usize> {
    let gained = |row: &Row| row.growth.as_ref().map_or(0, |growth| growth.gained);
    place(catalogue.rows().iter().filter(|row| gained(row) > 0), id, gained)
}

/// The number of rows with more, or as much and a lower id, and one.
fn place<'a>(
    rows: impl Iterator<Item = &'a Row> + Clone,
    id: RepositoryId,
    much: impl Fn(&Row) -> i64,
) -> Option<usize> {
    let order = |row: &Row| (Reverse(much(row)), row.id);
    let own = order(rows.clone().find(|row| row.id == id)?);
    Some(rows.filter(|row| order(row) < own).count() + 1)
}

fn first(mut rows: Vec<&Row>, length: usize, order: impl Fn(&Row, &Row) -> Ordering) -> Vec<&Row> {
    let order = |one: &&Row, other: &&Row| order(one, other).then(one.id.cmp(&other.id));
    if let Some(last) = length.checked_sub(1).filter(|last| *last < rows.len()) {
        rows.select_nth_unstable_by(last, order);
        rows.truncate(length);
    }
    rows.sort_unstable_by(order);
    rows
}
