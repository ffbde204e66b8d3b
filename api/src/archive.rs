//! The archive as a folder: gzipped NDJSON files, and a manifest that is written last.

mod export;
mod import;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::archive::Table;

pub use export::export;
pub use import::{Imported, import};

/// The version of the format.
const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";

#[derive(Deserialize, Serialize)]
struct Manifest {
    format: u32,
    exported_at: String,
    files: Vec<FileEntry>,
}

#[derive(Deserialize, Serialize)]
struct FileEntry {
    name: String,
    rows: u64,
    /// Of the file's bytes, in hexadecimal digits.
    sha256: String,
}

impl Manifest {
    fn entry(&self, table: &Table) -> Option<&FileEntry> {
        let name = file_name(table.name);
        self.files.iter().find(|file| file.name == name)
    }
}

fn file_name(table: &str) -> String {
    format!("{table}.ndjson.gz")
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut reader, mut hash, mut buffer) = (BufReader::new(file), Sha256::new(), vec![0; 65_536]);
    loop {
        let read = reader.read(&mut buffer).with_context(|| path.display().to_string())?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}
