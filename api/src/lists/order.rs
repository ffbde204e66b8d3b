//! The order of a list: the rows that it has, and which come first.

use std::cmp::Reverse;
use std::sync::Arc;

use super::catalogue::{Catalogue, Row};
use super::names::index;
use crate::model::ranking::{Order, Ranking};
use crate::model::repository::RepositoryId;

/// The indexes of the rows that have a place in an order, sorted once a catalogue.
pub(super) fn rows_in(catalogue: &Catalogue, order: Order) -> Arc<[u32]> {
    catalogue.order(order, || sorted(catalogue, order))
}

fn sorted(catalogue: &Catalogue, order: Order) -> Arc<[u32]> {
    match order {
        Order::Ranked(Ranking::BestMatch) => sorted_by(catalogue, |row| row.best_match),
        Order::Ranked(Ranking::Popularity) => sorted_by(catalogue, |row| Some(Reverse(row.stars))),
        Order::Ranked(Ranking::Activity) => {
            sorted_by(catalogue, |row| Some(Reverse(row.updated_at)))
        }
        Order::Newest => sorted_by(catalogue, |row| Some(Reverse(row.created_at))),
        Order::Trending(window, measure) => sorted_by(catalogue, |row| {
            let growth = catalogue.growth(row, window)?;
            // A measure is positive, and the bits of positive numbers are in the numbers' order.
            Some(Reverse((growth.measure(measure)?.to_bits(), growth.gained)))
        }),
        Order::Falling(window) => sorted_by(catalogue, |row| {
            catalogue.growth(row, window).map(|growth| growth.gained).filter(|gained| *gained < 0)
        }),
    }
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
    let row = catalogue.rows().binary_search_by_key(&id, |row| row.id).ok()?;
    let order = rows_in(catalogue, order);
    let place = order.iter().position(|ranked| *ranked as usize == row)?;
    Some(place + 1)
}
