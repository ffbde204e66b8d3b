//! The rows of a catalogue that a ranking puts first.

use std::cmp::{Ordering, Reverse};

use super::catalogue::{Catalogue, Row};
use crate::model::list::ListItem;
use crate::model::ranking::Ranking;

/// The first rows of a ranking, at most `length` of them. Equal ranks: lowest id first.
#[must_use]
pub fn first_rows(catalogue: &Catalogue, ranking: Ranking, length: usize) -> Vec<ListItem<'_>> {
    let mut rows: Vec<&Row> = catalogue.rows().iter().collect();
    if ranking == Ranking::BestMatch {
        rows.retain(|row| row.best_match.is_some());
    }
    let order = |one: &&Row, other: &&Row| order(ranking, one, other);
    if let Some(last) = length.checked_sub(1).filter(|last| *last < rows.len()) {
        rows.select_nth_unstable_by(last, order);
        rows.truncate(length);
    }
    rows.sort_unstable_by(order);
    rows.into_iter().map(|row| catalogue.item(row)).collect()
}

fn order(ranking: Ranking, one: &Row, other: &Row) -> Ordering {
    let by_rank = match ranking {
        Ranking::BestMatch => one.best_match.cmp(&other.best_match),
        Ranking::Popularity => Reverse(one.stars).cmp(&Reverse(other.stars)),
        Ranking::Activity => Reverse(one.updated_at).cmp(&Reverse(other.updated_at)),
    };
    by_rank.then(one.id.cmp(&other.id))
}
