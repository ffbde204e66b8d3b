//! Rows as NDJSON or as CSV, compressed if the client takes it.

use std::borrow::Cow;
use std::io::{self, Write};

use bytes::Bytes;
use csv::{Terminator, WriterBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

use crate::lists::bundle::Encoding;

/// The bytes of rows that make a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// From 0 to 9. Level 1 costs a third of the default's time, and counts of days shrink to a tenth
/// with it.
const GZIP_LEVEL: Compression = Compression::fast();

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
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// A text as a row has it. A spreadsheet takes a cell that begins like a formula for one, so CSV
    /// has an apostrophe before it.
    pub(super) fn text(self, text: &str) -> Cow<'_, str> {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if self == Self::Csv && is_formula { format!("'{text}").into() } else { text.into() }
    }
}

/// The form of an export's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub format: ExportFormat,
    /// Gzip or identity.
    pub encoding: Encoding,
}

/// Writes rows to memory, from which chunks are taken. The same rows in the same portions give the
/// same bytes.
pub(super) struct RowWriter {
    format: ExportFormat,
    plain: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl RowWriter {
    pub(super) fn new(form: Form, columns: &[&str]) -> io::Result<Self> {
        let gzip = || GzEncoder::new(Vec::new(), GZIP_LEVEL);
        let gzip = (form.encoding == Encoding::Gzip).then(gzip);
        let mut writer = Self { format: form.format, plain: Vec::new(), gzip };
        if form.format == ExportFormat::Csv {
            writer.write([columns])?;
        }
        Ok(writer)
    }

    pub(super) fn write<R: Serialize>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> io::Result<()> {
        match self.format {
            ExportFormat::Ndjson => {
                for row in rows {
                    serde_json::to_writer(&mut self.plain, &row)?;
                    self.plain.push(b'\n');
                }
            }
            ExportFormat::Csv => {
                let mut csv = WriterBuilder::new();
                csv.has_headers(false).terminator(Terminator::CRLF);
                let mut csv = csv.from_writer(&mut self.plain);
                for row in rows {
                    csv.serialize(row)?;
                }
                csv.flush()?;
            }
        }
        Ok(())
    }

    /// The rows as a chunk, if there are enough.
    pub(super) fn full_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.plain.len() < CHUNK_BYTES { Ok(None) } else { self.chunk().map(Some) }
    }

    /// The remaining rows and the end of the compressed data.
    pub(super) fn last_chunk(&mut self) -> io::Result<Bytes> {
        let rest = self.chunk()?;
        let Some(gzip) = self.gzip.take() else { return Ok(rest) };
        Ok([rest, gzip.finish()?.into()].concat().into())
    }

    fn chunk(&mut self) -> io::Result<Bytes> {
        let plain = std::mem::take(&mut self.plain);
        let Some(gzip) = &mut self.gzip else { return Ok(plain.into()) };
        gzip.write_all(&plain)?;
        Ok(std::mem::take(gzip.get_mut()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[derive(Serialize)]
    struct Row {
        name: Cow<'static, str>,
        stars: Option<i64>,
    }

    fn written(format: ExportFormat, encoding: Encoding, times: usize) -> Vec<u8> {
        let form = Form { format, encoding };
        let mut writer = RowWriter::new(form, &["name", "stars"]).expect("memory");
        let (mut bytes, texts) = (Vec::new(), ["=1+1", "a,\"b\"", "\u{e9}\n"]);
        for _ in 0..times {
            let row = |text: &'static str| Row { name: format.text(text), stars: None };
            writer.write(texts.map(row)).expect("memory");
            bytes.extend(writer.full_chunk().expect("memory").unwrap_or_default());
        }
        bytes.extend(writer.last_chunk().expect("memory"));
        bytes
    }

    #[test]
    fn csv_has_a_header_quotes_and_no_formulas_and_ndjson_the_texts_themselves() {
        let csv = written(ExportFormat::Csv, Encoding::Identity, 1);
        let expected = "name,stars\r\n'=1+1,\r\n\"a,\"\"b\"\"\",\r\n\"\u{e9}\n\",\r\n";
        assert_eq!(String::from_utf8_lossy(&csv), expected);
        assert_eq!(written(ExportFormat::Csv, Encoding::Identity, 0), b"name,stars\r\n");
        let ndjson = written(ExportFormat::Ndjson, Encoding::Identity, 1);
        let expected = concat!(
            "{\"name\":\"=1+1\",\"stars\":null}\n",
            "{\"name\":\"a,\\\"b\\\"\",\"stars\":null}\n",
            "{\"name\":\"\u{e9}\\n\",\"stars\":null}\n",
        );
        assert_eq!(String::from_utf8_lossy(&ndjson), expected);
    }

    #[test]
    fn compressed_chunks_are_one_gzip_stream_of_the_same_rows() {
        for format in ExportFormat::VARIANTS {
            let plain = written(*format, Encoding::Identity, 10_000);
            let gzip = written(*format, Encoding::Gzip, 10_000);
            assert!(plain.len() > 4 * CHUNK_BYTES && gzip.len() < plain.len() / 10);
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&*gzip).read_to_end(&mut read).expect("gzip");
            assert!(read == plain, "{format:?}");
        }
    }
}
