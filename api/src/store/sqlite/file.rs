//! The identity of the SQLite file. A file that is replaced or overwritten while the process has it
//! open would be mixed with the old one's log.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file's header, up to the last field that is compared.
const HEADER: usize = 44;

/// A file that was opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    seen: Mutex<Identity>,
}

/// The facts that tell a file from another one, and from an older copy of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Grows with the changes of the file's first page.
    changes: u32,
    /// Differs in a copy that SQLite made.
    schema: u32,
}

/// Whether the file is the one that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// Another schema: the process's own, if SQLite knows it by this number.
    Schema(u32),
    Replaced,
}

impl OpenFile {
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), seen: Mutex::new(Identity::read(path)?) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Compares the file at the path with the one that was opened.
    pub(super) fn compare(&self) -> Comparison {
        let Ok(now) = Identity::read(&self.path) else { return Comparison::Replaced };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if (now.device, now.inode) != (seen.device, seen.inode) || now.changes < seen.changes {
            return Comparison::Replaced;
        }
        if now.schema != seen.schema {
            return Comparison::Schema(now.schema);
        }
        *seen = now;
        Comparison::Same
    }

    /// Notes that the schema has changed.
    pub(super) fn accept_schema(&self, schema: u32) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).schema = schema;
    }
}

impl Identity {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        let metadata = file.metadata()?;
        let mut header = [0; HEADER];
        // A new file is empty until its first checkpoint.
        if metadata.len() >= 100 {
            file.read_exact(&mut header)?;
        }
        let field = |at: usize| {
            header[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
        };
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changes: field(24),
            schema: field(40),
        })
    }
}
