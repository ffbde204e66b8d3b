//! Rows as JSON, as NDJSON (one object a line) and as CSV (RFC 4180).

#![expect(clippy::expect_used, reason = "plain data is always JSON, and memory takes it")]

use std::io::Write;

use csv::{Terminator, Writer, WriterBuilder};
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::field::Value;
use crate::model::time::rfc3339;

/// A spreadsheet takes a text that begins with one of these for a formula.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The format of a list.
#[derive(Clone, Copy, Debug, Default, EnumString, Eq, IntoStaticStr, PartialEq, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    #[default]
    Json,
    Ndjson,
    Csv,
}

impl Format {
    pub const NAMES: &[&str] = <Self as VariantNames>::VARIANTS;

    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// Writes rows with the same columns.
pub struct TableWriter {
    columns: Vec<&'static str>,
    output: Output,
}

enum Output {
    Json { bytes: Vec<u8>, is_empty: bool },
    Ndjson(Vec<u8>),
    Csv(Box<Writer<Vec<u8>>>),
}

impl TableWriter {
    #[must_use]
    pub fn new(format: Format, columns: Vec<&'static str>) -> Self {
        let output = match format {
            Format::Json => Output::Json { bytes: vec![b'['], is_empty: true },
            Format::Ndjson => Output::Ndjson(Vec::new()),
            Format::Csv => {
                let mut csv = csv_writer();
                csv.write_record(&columns).expect("memory");
                Output::Csv(Box::new(csv))
            }
        };
        Self { columns, output }
    }

    /// Writes a row, given the value in each place of the columns.
    pub fn row<'a>(&mut self, value: impl Fn(usize) -> Value<'a>) {
        match &mut self.output {
            Output::Json { bytes, is_empty } => {
                if !std::mem::take(is_empty) {
                    bytes.push(b',');
                }
                object(bytes, &self.columns, value);
            }
            Output::Ndjson(bytes) => {
                object(bytes, &self.columns, value);
                bytes.push(b'\n');
            }
            Output::Csv(csv) => {
                for place in 0..self.columns.len() {
                    csv_field(csv, &value(place));
                }
                csv.write_record(None::<&[u8]>).expect("memory");
            }
        }
    }

    /// The bytes that were written since the last time.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.output {
            Output::Json { bytes, .. } | Output::Ndjson(bytes) => std::mem::take(bytes),
            Output::Csv(csv) => {
                std::mem::replace(&mut **csv, csv_writer()).into_inner().expect("memory")
            }
        }
    }

    /// The rest of the bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let mut bytes = self.take();
        if matches!(self.output, Output::Json { .. }) {
            bytes.push(b']');
        }
        bytes
    }
}

fn object<'a>(bytes: &mut Vec<u8>, columns: &[&str], value: impl Fn(usize) -> Value<'a>) {
    for (place, name) in columns.iter().enumerate() {
        bytes.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b"\":");
        match value(place) {
            Value::Null => bytes.extend_from_slice(b"null"),
            Value::Boolean(value) => json(bytes, &value),
            Value::Integer(value) => json(bytes, &value),
            Value::Number(value) => json(bytes, &value),
            Value::Text(value) => json(bytes, value),
            Value::Texts(values) => json(bytes, &values),
            Value::Time(time) => json(bytes, &rfc3339(time)),
            Value::Day(day) => write!(bytes, "\"{day}\"").expect("memory"),
        }
    }
    bytes.push(b'}');
}

fn json(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(bytes, value).expect("plain data");
}

fn csv_writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new())
}

fn csv_field(csv: &mut Writer<Vec<u8>>, value: &Value<'_>) {
    let text = |text: &str| {
        let guard = if text.starts_with(FORMULA_STARTS) { "'" } else { "" };
        format!("{guard}{text}")
    };
    let field = match value {
        Value::Null => String::new(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => {
            let mut number = Vec::new();
            json(&mut number, value);
            String::from_utf8(number).unwrap_or_default()
        }
        Value::Text(value) => text(value),
        Value::Texts(values) => text(&values.join(" ")),
        Value::Time(time) => rfc3339(*time),
        Value::Day(day) => day.to_string(),
    };
    csv.write_field(field).expect("memory");
}
