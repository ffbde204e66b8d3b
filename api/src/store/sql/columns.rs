//! Columns of the tables that the archive knows: the values of a batch's rows for them.

use super::dialect::{AS_BOOLEAN, AS_INTEGER, as_date, as_time};
use crate::store::archive::{Field, Kind};

/// The value at a place of a JSON array as a value of the database.
pub(super) fn typed(json: &str, place: usize, kind: Kind) -> String {
    let text = format!("{json}->>{place}");
    match kind {
        Kind::Integer => format!("({text}){AS_INTEGER}"),
        Kind::Place => format!("({text}){AS_INTEGER} - 1"),
        Kind::Boolean => format!("({text}){AS_BOOLEAN}"),
        Kind::Text(_) | Kind::Address | Kind::Homepage | Kind::Topic | Kind::OneOf(_) => text,
        Kind::Texts => format!("{json}->{place}"),
        Kind::Ids => format!("nullif({json}->{place}, 'null')"),
        Kind::Time => as_time(&text),
        Kind::Day => as_date(&text),
    }
}

/// The values of the fields in a row of a batch.
pub(super) fn values(fields: &[Field]) -> Vec<String> {
    let fields = fields.iter().enumerate();
    fields.map(|(place, field)| typed("value", place, field.kind)).collect()
}

/// Each field's column in a form of its own, separated by commas.
pub(super) fn list(fields: &[Field], form: impl Fn(&str) -> String) -> String {
    fields.iter().map(|field| form(field.column)).collect::<Vec<_>>().join(", ")
}

/// The assignments of an upsert that takes over every field.
pub(super) fn assignments(fields: &[Field]) -> String {
    list(fields, |column| format!("{column} = excluded.{column}"))
}
