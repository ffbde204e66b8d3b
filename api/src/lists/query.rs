//! The rows of a catalogue that a list puts first.

use std::cmp::Ordering;

use super::catalogue::{Catalogue, Row};
use crate::model::growth::Measure;
use crate::model::ranking::{Ranking, Trend};

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

fn first<'a>(
    mut rows: Vec<&'a Row>,
    length: usize,
    order: impl Fn(&Row, &Row) -> Ordering,
) -> Vec<&'a Row> {
    let order = |one: &&Row, other: &&Row| order(one, other).then(one.id.cmp(&other.id));
    if let Some(last) = length.checked_sub(1).filter(|last| *last < rows.len()) {
        rows.select_nth_unstable_by(last, order);
        rows.truncate(length);
    }
    rows.sort_unstable_by(order);
    rows
}
