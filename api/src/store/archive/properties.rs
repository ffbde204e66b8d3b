//! A row of an archive is read as it was written, or refused, whatever it has.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use super::{Kind, TABLES, Table};
use crate::arbitrary::{config, json as any_json, pattern, text};
use crate::model::time::parse_day;

/// A value that a field of this kind may have, or nearly.
fn value(kind: Kind) -> BoxedStrategy<Value> {
    let texts = |texts: &'static [&'static str]| select(texts).prop_map(Value::from).boxed();
    let day = pattern("[ +]?[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])");
    match kind {
        Kind::Integer | Kind::Place => any::<i64>().prop_map(|all| json!(all >> 20)).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Text(_) => text().prop_map(Value::from).boxed(),
        Kind::Address | Kind::Homepage => {
            text().prop_map(|text| json!(format!("https://{text}"))).boxed()
        }
        Kind::Topic => pattern("[a-zA-Z0-9-]{1,51}").prop_map(Value::from).boxed(),
        Kind::OneOf(accepted) => texts(accepted),
        Kind::Texts => vec(text(), 0..22).prop_map(Value::from).boxed(),
        Kind::Ids => vec(-1..100_i64, 0..5).prop_map(Value::from).boxed(),
        Kind::Time => (day, pattern("T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](Z|[+]00:00)"))
            .prop_map(|(day, time)| json!(day + &time))
            .boxed(),
        Kind::Day => day.prop_map(Value::from).boxed(),
    }
}

/// The fields of a row, some of which are arbitrary or absent.
fn row_of(table: &'static Table) -> impl Strategy<Value = Map<String, Value>> {
    let odd = any_json().prop_map(|text| serde_json::from_str(&text).unwrap_or_default());
    let fields: Vec<_> = table.fields.iter().map(|field| value(field.kind)).collect();
    let changes = vec((0..table.fields.len(), prop::option::of(odd)), 0..2);
    (fields, changes).prop_map(
        move |(values, changes): (Vec<Value>, Vec<(usize, Option<Value>)>)| {
            let name = |place: usize| table.fields[place].name.to_owned();
            let mut row: Map<String, Value> =
                values.into_iter().enumerate().map(|(place, value)| (name(place), value)).collect();
            for (place, odd) in changes {
                match odd {
                    Some(odd) => drop(row.insert(name(place), odd)),
                    None => drop(row.remove(&name(place))),
                }
            }
            row
        },
    )
}

/// A table and two rows of it.
fn rows() -> impl Strategy<Value = (&'static Table, Map<String, Value>, Map<String, Value>)> {
    Union::new(TABLES.map(|table| {
        (row_of(table), row_of(table)).prop_map(move |(one, other)| (table, one, other))
    }))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn row_is_read_as_it_was_written_or_its_field_is_named(
        (table, fields, _) in rows(),
    ) {
        match table.read(fields.clone()) {
            Ok(row) => {
                for (field, value) in table.fields.iter().zip(&row) {
                    let written = fields.get(field.name).unwrap_or(&Value::Null);
                    prop_assert_eq!(value, written, "{}", field.name);
                    if field.kind == Kind::Day && !value.is_null() {
                        prop_assert!(value.as_str().and_then(parse_day).is_some(), "{value}");
                    }
                }
                prop_assert!(table.check_order(Some(&row), &row).is_err(), "each once");
            }
            Err(problem) => {
                let is_named = table.fields.iter().any(|field| problem.starts_with(field.name));
                prop_assert!(is_named, "{problem}");
            }
        }
    }

    #[test]
    fn rows_are_ordered_in_one_way(
        (table, one, other) in rows(),
    ) {
        if let (Ok(one), Ok(other)) = (table.read(one), table.read(other)) {
            let is_before = table.check_order(Some(&one), &other).is_ok();
            prop_assert!(!is_before || table.check_order(Some(&other), &one).is_err());
        }
    }
}
