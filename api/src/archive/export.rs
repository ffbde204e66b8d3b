//! `api export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{FORMAT, FileEntry, MANIFEST, Manifest, file_name, hex};
use crate::model::time::rfc3339;
use crate::store::Store;
use crate::store::archive::{ArchiveRow, ArchiveSink, TABLES, Table};

/// Writes everything that the store keeps to a folder, which is made if it is missing. `progress`
/// is called with the number of rows written so far. Returns that of all rows.
///
/// # Errors
/// If the folder cannot be written or the database does not answer. An archive that was there stays
/// whole.
pub async fn export(
    store: &dyn Store,
    folder: &Path,
    now: DateTime<Utc>,
    progress: impl Fn(u64) + Send,
) -> anyhow::Result<u64> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut archive =
        Archive { folder, progress, open: None, files: Vec::new(), rows: 0, error: None };
    let exported = store.export(&mut archive).await.context("the database cannot be read");
    let finished = exported.and_then(|()| archive.finish(now));
    if finished.is_err() {
        archive.remove_unfinished();
    }
    finished
}

/// The files that are written, each under a name of its own until all are whole.
struct Archive<'a, P> {
    folder: &'a Path,
    progress: P,
    open: Option<OpenFile>,
    files: Vec<FileEntry>,
    rows: u64,
    /// The failure that broke off the export.
    error: Option<anyhow::Error>,
}

struct OpenFile {
    table: &'static Table,
    rows: u64,
    writer: GzEncoder<BufWriter<Hashed>>,
}

/// A file and the checksum of its bytes.
struct Hashed {
    file: File,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<P: Fn(u64) + Send> ArchiveSink for Archive<'_, P> {
    fn begin(&mut self, table: &'static Table) -> ControlFlow<()> {
        let begun = self.close().and_then(|()| self.open(table));
        self.noted(begun)
    }

    fn row(&mut self, row: &ArchiveRow) -> ControlFlow<()> {
        let written = self.write(row);
        self.noted(written)
    }
}

impl<P: Fn(u64) + Send> Archive<'_, P> {
    fn noted(&mut self, result: anyhow::Result<()>) -> ControlFlow<()> {
        self.error = self.error.take().or(result.err());
        if self.error.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn unfinished(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.unfinished"))
    }

    fn open(&mut self, table: &'static Table) -> anyhow::Result<()> {
        let path = self.unfinished(&file_name(table.name));
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let file = BufWriter::new(Hashed { file, hash: Sha256::new() });
        // The header has neither a time nor a name: the same rows make the same bytes.
        let writer = GzEncoder::new(file, Compression::default());
        self.open = Some(OpenFile { table, rows: 0, writer });
        Ok(())
    }

    fn write(&mut self, row: &ArchiveRow) -> anyhow::Result<()> {
        let Some(OpenFile { table, rows, writer }) = &mut self.open else { return Ok(()) };
        let written = write_row(writer, table, row);
        written.with_context(|| format!("cannot write {}", file_name(table.name)))?;
        *rows += 1;
        self.rows += 1;
        (self.progress)(self.rows);
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let Some(OpenFile { table, rows, writer }) = self.open.take() else { return Ok(()) };
        let name = file_name(table.name);
        let finish = || -> io::Result<Hashed> {
            let hashed = writer.finish()?.into_inner()?;
            hashed.file.sync_all()?;
            Ok(hashed)
        };
        let hashed = finish().with_context(|| format!("cannot write {name}"))?;
        self.files.push(FileEntry { name, rows, sha256: hex(&hashed.hash.finalize()) });
        Ok(())
    }

    /// Gives the files their names.
    fn finish(&mut self, now: DateTime<Utc>) -> anyhow::Result<u64> {
        let closed = self.close();
        if self.noted(closed).is_break() {
            return self.error.take().map_or(Ok(self.rows), Err);
        }
        let files = std::mem::take(&mut self.files);
        let manifest = Manifest { format: FORMAT, exported_at: rfc3339(now), files };
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        fs::write(self.unfinished(MANIFEST), text).context("cannot write manifest.json")?;
        let names = manifest.files.iter().map(|file| file.name.as_str()).chain([MANIFEST]);
        for name in names {
            fs::rename(self.unfinished(name), self.folder.join(name))
                .with_context(|| format!("cannot rename {name}.unfinished"))?;
        }
        Ok(self.rows)
    }

    /// Gives back the space of an export that failed, perhaps because there was too little.
    fn remove_unfinished(&mut self) {
        self.open = None;
        let names = TABLES.iter().map(|table| file_name(table.name));
        for name in names.chain([MANIFEST.to_owned()]) {
            let _ = fs::remove_file(self.unfinished(&name));
        }
    }
}

fn write_row(writer: &mut impl Write, table: &Table, row: &ArchiveRow) -> io::Result<()> {
    let mut separator = "{";
    for (field, value) in table.fields.iter().zip(row) {
        write!(writer, "{separator}\"{}\":", field.name)?;
        serde_json::to_writer(&mut *writer, value)?;
        separator = ",";
    }
    writer.write_all(b"}\n")
}
