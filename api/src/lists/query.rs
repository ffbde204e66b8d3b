//! A query: which rows of a catalogue a list has, in which order and format.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::catalogue::{Catalogue, Row};
use super::field::Field;
use super::filter::Marks;
use super::order::{index_of, rows_before, rows_in};
use super::table::{Format, TableWriter};
use crate::model::filter::Filter;
use crate::model::growth::Window;
use crate::model::list::LIST_LENGTH;
use crate::model::ranking::{Listing, Order};

/// The rows, the fields and the format that are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub order: Order,
    pub filter: Filter,
    /// The number of rows before the first one.
    pub offset: usize,
    /// The most rows.
    pub limit: usize,
    pub fields: Vec<Field>,
    pub format: Format,
}

impl Query {
    /// A list without parameters.
    #[must_use]
    pub fn ready(listing: Listing) -> Self {
        Self {
            order: listing.into(),
            filter: Filter::default(),
            offset: 0,
            limit: LIST_LENGTH,
            fields: default_fields(listing),
            format: Format::default(),
        }
    }
}

/// The fields of a list if the client names none.
#[must_use]
pub fn default_fields(listing: Listing) -> Vec<Field> {
    let mut fields = Field::LISTED.to_vec();
    if !matches!(listing, Listing::Ranked(_)) {
        fields.push(Field::CreatedAt);
    }
    if matches!(listing, Listing::Trend(_)) {
        fields.extend(Field::GROWTH);
    }
    fields
}

/// The fields that a list has.
#[must_use]
pub fn all_fields(listing: Listing) -> Vec<Field> {
    let growth = if matches!(listing, Listing::Trend(_)) { Field::GROWTH } else { &[] };
    [Field::STORED, growth].concat()
}

/// The answer to a query.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// The number of rows that match, on all pages.
    pub matched: usize,
}

/// A page of the rows that match.
struct Found<'a> {
    rows: Vec<&'a Row>,
    /// The number of rows that match, on all pages.
    matched: usize,
}

/// Answers a query.
#[must_use]
pub fn answer(catalogue: &Catalogue, query: &Query) -> Answer {
    let Found { rows, matched } = find(catalogue, query);
    let mut writer = writer(query.format, &query.fields);
    for row in rows {
        write(&mut writer, catalogue, row, &query.fields, query.order.window());
    }
    Answer { bytes: writer.finish(), matched }
}

/// The first rows of an order that match a filter, at most `limit` of them.
#[must_use]
pub fn first<'a>(
    catalogue: &'a Catalogue,
    order: Order,
    filter: &Filter,
    limit: usize,
) -> Vec<&'a Row> {
    page(catalogue, order, filter, 0, limit).rows
}

/// All rows that match a query, on all its pages.
#[must_use]
pub fn in_order<'a>(catalogue: &'a Catalogue, query: &Query) -> Vec<&'a Row> {
    page(catalogue, query.order, &query.filter, 0, usize::MAX).rows
}

/// The rows of a query.
fn find<'a>(catalogue: &'a Catalogue, query: &Query) -> Found<'a> {
    page(catalogue, query.order, &query.filter, query.offset, query.limit)
}

/// The rows behind the first `offset` ones that match, and the number of all that match.
fn page<'a>(
    catalogue: &'a Catalogue,
    order: Order,
    filter: &Filter,
    offset: usize,
    limit: usize,
) -> Found<'a> {
    let order = rows_in(catalogue, order);
    let row = |row: &u32| &catalogue.rows()[*row as usize];
    if filter.is_empty() {
        let rows = order.iter().skip(offset).take(limit).map(row).collect();
        return Found { rows, matched: order.len() };
    }
    let marks = Marks::of(catalogue, filter);
    let (mut rows, mut matched) = (Vec::new(), 0);
    for place in order.iter().filter(|place| marks.has(**place)) {
        if matched >= offset && rows.len() < limit {
            rows.push(row(place));
        }
        matched += 1;
    }
    Found { rows, matched }
}

/// The places that rows had when a window began, among the repositories that the topic has now and
/// that match; `None` if the order's past is not kept. The topic's counts begin on the day `since`.
#[must_use]
pub fn places_before(
    catalogue: &Catalogue,
    order: Order,
    filter: &Filter,
    window: Window,
    since: NaiveDate,
    rows: &[&Row],
) -> Option<Vec<Option<usize>>> {
    let before = rows_before(catalogue, order, window, since)?;
    let marks = (!filter.is_empty()).then(|| Marks::of(catalogue, filter));
    let wanted = rows.iter().filter_map(|row| index_of(catalogue, row.id));
    let slots: HashMap<u32, usize> = wanted.zip(0..).collect();
    let mut places = vec![None; rows.len()];
    let matching = before.iter().filter(|row| marks.as_ref().is_none_or(|marks| marks.has(**row)));
    for (row, place) in matching.zip(1..) {
        if let Some(slot) = slots.get(row) {
            places[*slot] = Some(place);
        }
    }
    Some(places)
}

fn writer(format: Format, fields: &[Field]) -> TableWriter {
    TableWriter::new(format, fields.iter().map(|field| field.name()).collect())
}

/// Writes a row with its growth within a window.
fn write(
    writer: &mut TableWriter,
    catalogue: &Catalogue,
    row: &Row,
    fields: &[Field],
    window: Option<Window>,
) {
    let growth = window.and_then(|window| catalogue.growth(row, window));
    writer.row(|place| fields[place].value(catalogue, row, growth.as_ref()));
}

/// The rows that match a filter, by id.
pub fn matching<'a>(
    catalogue: &'a Catalogue,
    filter: &Filter,
) -> impl Iterator<Item = &'a Row> + use<'a> {
    let marks = Marks::of(catalogue, filter);
    (0..).zip(catalogue.rows()).filter(move |(place, _)| marks.has(*place)).map(|(_, row)| row)
}

/// All rows with all fields that are stored, by id, in parts of some 100 KB.
pub fn export(catalogue: &Catalogue, format: Format) -> impl Iterator<Item = Vec<u8>> {
    const ROWS_AT_ONCE: usize = 100;
    let mut writer = writer(format, Field::STORED);
    let header = writer.take();
    let parts = catalogue.rows().chunks(ROWS_AT_ONCE).map(move |rows| {
        rows.iter().for_each(|row| write(&mut writer, catalogue, row, Field::STORED, None));
        writer.take()
    });
    std::iter::once(header).chain(parts)
}
