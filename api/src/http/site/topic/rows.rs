//! The rows of a list.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::super::words::{Gain, Grouped, Moment, Name, cut};
use crate::lists::catalogue::{Catalogue, Row};
use crate::lists::query::{Query, places_before};
use crate::model::growth::{Growth, Window};
use crate::model::ranking::{Listing, Order, Ranking};
use crate::pictures::spark;

/// The days of a sparkline.
const SPARK_DAYS: u32 = 30;

/// A repository without a push for so long gets a caution.
const UNPUSHED: TimeDelta = TimeDelta::days(2 * 365);

/// The heads of the columns that differ from list to list.
pub(super) struct Columns {
    /// The window in words, if the list is by growth.
    pub(super) window: Option<&'static str>,
    pub(super) time: &'static str,
}

impl Columns {
    pub(super) fn of(listing: Listing, order: Order) -> Self {
        let window = order.window().map(|window| match window {
            Window::Day => "1 day",
            Window::Week => "7 days",
            Window::Month => "30 days",
            Window::Quarter => "90 days",
        });
        let time = match listing {
            Listing::Ranked(Ranking::Activity) => "updated",
            Listing::Newest => "created",
            _ => "pushed",
        };
        Self { window, time }
    }
}

pub(super) struct RowView<'a> {
    pub(super) place: usize,
    pub(super) moved: Moved,
    pub(super) name: Name<'a>,
    pub(super) description: String,
    pub(super) caution: Option<&'static str>,
    pub(super) language: &'a str,
    pub(super) stars: Grouped,
    pub(super) forks: Grouped,
    pub(super) gained: Gain,
    pub(super) spark: Option<String>,
    pub(super) time: Option<Moment>,
}

/// The change of a place since the window began.
pub(super) enum Moved {
    /// The counts of then are not kept.
    Unknown,
    New,
    Same,
    Up(usize),
    Down(usize),
}

/// The rows of a page. The topic's counts begin on the day `since`.
pub(super) fn row_views<'a>(
    catalogue: &'a Catalogue,
    query: &Query,
    since: Option<NaiveDate>,
    rows: &[&'a Row],
    now: DateTime<Utc>,
) -> Vec<RowView<'a>> {
    let window = query.order.window().unwrap_or_default();
    let before = since.and_then(|since| {
        places_before(catalogue, query.order, &query.filter, window, since, rows)
    });
    let view = |(index, row): (usize, &&'a Row)| {
        let place = query.offset + index + 1;
        let growth = query.order.window().and_then(|window| catalogue.growth(row, window));
        let time = match query.order {
            Order::Ranked(Ranking::Activity) => row.updated_at,
            Order::Newest => row.created_at,
            _ => row.pushed_at,
        };
        let before = before.as_ref().map(|places| places.get(index).copied().flatten());
        RowView {
            place,
            moved: moved(place, before),
            name: Name::new(catalogue.full_name(row)),
            description: catalogue.description(row).map(cut).unwrap_or_default(),
            caution: caution(row, growth.as_ref(), now),
            language: catalogue.language(row).unwrap_or("–"),
            stars: Grouped(growth.as_ref().map_or(row.stars, |growth| growth.stars_after)),
            forks: Grouped(row.forks),
            gained: Gain(growth.as_ref().map_or(0, |growth| growth.gained)),
            spark: sparkline(catalogue, row),
            time: time.map(|time| Moment::new(time, now)),
        }
    };
    rows.iter().enumerate().map(view).collect()
}

fn moved(place: usize, before: Option<Option<usize>>) -> Moved {
    match before {
        None => Moved::Unknown,
        Some(None) => Moved::New,
        Some(Some(before)) if before > place => Moved::Up(before - place),
        Some(Some(before)) if before < place => Moved::Down(place - before),
        Some(Some(_)) => Moved::Same,
    }
}

/// The first of the things that a reader should know of.
fn caution(row: &Row, growth: Option<&Growth>, now: DateTime<Utc>) -> Option<&'static str> {
    if row.is_archived {
        Some("archived")
    } else if row.pushed_at.is_some_and(|pushed| now - pushed > UNPUSHED) {
        Some("no push in 2 years")
    } else {
        growth.filter(|growth| growth.is_burst()).map(|_| "one day made it")
    }
}

/// The line of a repository's stars over the last days with counts.
fn sparkline(catalogue: &Catalogue, row: &Row) -> Option<String> {
    let last = catalogue.last_day()?;
    let first = last - Days::new(u64::from(SPARK_DAYS) - 1);
    let spans = catalogue.spans(row);
    let spans = spans.iter().filter_map(|span| span.within(Some(first), Some(last)));
    let ends = spans.flat_map(|span| {
        let place = |day: NaiveDate| u32::try_from((day - first).num_days()).unwrap_or_default();
        let ends = [place(span.first), place(span.last)].map(|day| (day, span.counts.stars));
        ends.into_iter().take(if span.first == span.last { 1 } else { 2 })
    });
    spark::path(&ends.collect::<Vec<_>>(), SPARK_DAYS)
}
