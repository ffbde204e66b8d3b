//! Rows as NDJSON or as CSV.

#![expect(clippy::expect_used, reason = "plain data can be written, and memory takes it")]

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum ExportFormat {
    /// A JSON object a line.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
}

impl ExportFormat {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// The line before all rows, which is empty if the format has none.
    pub(super) fn header(self, columns: &[&str]) -> Vec<u8> {
        if self == Self::Csv { self.rows([columns]) } else { Vec::new() }
    }

    pub(super) fn rows<R: Serialize>(self, rows: impl IntoIterator<Item = R>) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Ndjson => {
                for row in rows {
                    serde_json::to_writer(&mut bytes, &row).expect("plain data");
                    bytes.push(b'\n');
                }
            }
            Self::Csv => {
                let mut csv = WriterBuilder::new();
                csv.has_headers(false).terminator(Terminator::CRLF);
                let mut csv = csv.from_writer(&mut bytes);
                for row in rows {
                    csv.serialize(row).expect("plain data");
                }
                csv.flush().expect("memory");
            }
        }
        bytes
    }

    /// A text as a row has it. A spreadsheet takes a cell that begins like a formula for one, and
    /// CSV has an apostrophe before it.
    pub(super) fn text(self, text: &str) -> Cow<'_, str> {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if self == Self::Csv && is_formula { format!("'{text}").into() } else { text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        name: Cow<'static, str>,
        stars: Option<i64>,
    }

    fn written(format: ExportFormat) -> String {
        let texts = ["=1+1", "a,\"b\"", "\u{e9}\n"];
        let rows = texts.map(|text| Row { name: format.text(text), stars: None });
        let bytes = [format.header(&["name", "stars"]), format.rows(rows)].concat();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn csv_has_a_header_quotes_and_no_formulas_and_ndjson_the_texts_themselves() {
        let expected = "name,stars\r\n'=1+1,\r\n\"a,\"\"b\"\"\",\r\n\"\u{e9}\n\",\r\n";
        assert_eq!(written(ExportFormat::Csv), expected);
        let expected = concat!(
            "{\"name\":\"=1+1\",\"stars\":null}\n",
            "{\"name\":\"a,\\\"b\\\"\",\"stars\":null}\n",
            "{\"name\":\"\u{e9}\\n\",\"stars\":null}\n",
        );
        assert_eq!(written(ExportFormat::Ndjson), expected);
    }
}
