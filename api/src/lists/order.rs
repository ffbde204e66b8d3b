//! The order of a list: the rows that it has, and which come first.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::NaiveDate;

use super::catalogue::{Catalogue, Row};
use super::names::index;
use crate::model::growth::{Growth, Measure, Window};
use crate::model::ranking::{Order, Ranking};
use crate::model::repository::{Places, RepositoryId};

/// The indexes of the rows that have a place in an order, sorted once a catalogue.
pub(super) fn rows_in(catalogue: &Catalogue, order: Order) -> Arc<[u32]> {
    catalogue.order((order, None), || sorted(catalogue, order))
}

/// The rows in the order as it was when a window began; `None` if its past is not kept. An order by
/// growth needs counts of the window before, too. The topic's counts begin on the day `since`.
pub(super) fn rows_before(
    catalogue: &Catalogue,
    order: Order,
    window: Window,
    since: NaiveDate,
) -> Option<Arc<[u32]>> {
    let key = (order, Some(window));
    let first = catalogue.last_day()? - window.days();
    let needed = if order.window().is_some() { first - window.days() } else { first };
    if needed < since {
        return None;
    }
    match order {
        Order::Ranked(Ranking::Popularity) => Some(catalogue.order(key, || {
            sorted_by(catalogue, |row| {
                let growth = catalogue.growth(row, window)?;
                let first = catalogue.last_day()? - window.days();
                let is_older = row.created_at.is_none_or(|at| at.date_naive() <= first);
                is_older.then_some(Reverse(growth.stars_before))
            })
        })),
        Order::Trending(own, measure) if own == window => Some(catalogue.order(key, || {
            sorted_by(catalogue, |row| by_measure(catalogue.growth_before(row, own)?, measure))
        })),
        Order::Falling(own) if own == window => Some(catalogue.order(key, || {
            sorted_by(catalogue, |row| {
                catalogue.growth_before(row, own).map(|growth| growth.gained).filter(is_fall)
            })
        })),
        _ => None,
    }
}

fn sorted(catalogue: &Catalogue, order: Order) -> Arc<[u32]> {
    match order {
        Order::Ranked(Ranking::BestMatch) => sorted_by(catalogue, |row| row.best_match),
        Order::Ranked(Ranking::Popularity) => sorted_by(catalogue, |row| Some(Reverse(row.stars))),
        Order::Ranked(Ranking::Activity) => {
            sorted_by(catalogue, |row| Some(Reverse(row.updated_at)))
        }
        Order::Newest => sorted_by(catalogue, |row| Some(Reverse(row.created_at))),
        Order::Trending(window, measure) => {
            sorted_by(catalogue, |row| by_measure(catalogue.growth(row, window)?, measure))
        }
        Order::Falling(window) => sorted_by(catalogue, |row| {
            catalogue.growth(row, window).map(|growth| growth.gained).filter(is_fall)
        }),
    }
}

/// The key of a repository with this growth; `None` if it has no place.
fn by_measure(growth: Growth, measure: Measure) -> Option<Reverse<(u64, i64)>> {
    // A measure is positive, and the bits of positive numbers are in the numbers' order.
    Some(Reverse((growth.measure(measure)?.to_bits(), growth.gained)))
}

fn is_fall(gained: &i64) -> bool {
    *gained < 0
}

/// The rows with a key, the least key first. Rows stand by id, which settles equal keys.
fn sorted_by<K: Ord>(catalogue: &Catalogue, key: impl Fn(&Row) -> Option<K>) -> Arc<[u32]> {
    let rows = catalogue.rows().iter().enumerate();
    let mut keys: Vec<(K, u32)> =
        rows.filter_map(|(row, facts)| Some((key(facts)?, index(row)))).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, row)| row).collect()
}

/// The place of a repository among all that the order has, from 1.
#[must_use]
pub fn place(catalogue: &Catalogue, order: Order, id: RepositoryId) -> Option<usize> {
    let row = index_of(catalogue, id)?;
    let place = rows_in(catalogue, order).iter().position(|ranked| *ranked == row)?;
    Some(place + 1)
}

/// The places of a repository in the topic; `None` if the topic does not have it.
#[must_use]
pub fn places(catalogue: &Catalogue, id: RepositoryId) -> Option<Places> {
    let row = &catalogue.rows()[index_of(catalogue, id)? as usize];
    let place = |ranking| {
        let place = place(catalogue, Order::Ranked(ranking), id)?;
        i64::try_from(place).ok()
    };
    Some(Places {
        topic: catalogue.topic().clone(),
        best_match: place(Ranking::BestMatch),
        popularity: place(Ranking::Popularity)?,
        activity: place(Ranking::Activity)?,
        joined_at: row.joined_at,
    })
}

/// The index of a repository's row.
pub(super) fn index_of(catalogue: &Catalogue, id: RepositoryId) -> Option<u32> {
    catalogue.rows().binary_search_by_key(&id, |row| row.id).ok().map(index)
}
