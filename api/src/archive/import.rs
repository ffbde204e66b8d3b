//! `api import`.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::{FORMAT, MANIFEST, Manifest, file_name, sha256_of};
use crate::model::topic::Topic;
use crate::store::Store;
use crate::store::archive::{
    ArchiveRow, FORMER_MEMBERS, MEMBERS, REPOSITORIES, TABLES, TOPICS, Table,
};

/// Rows of one transaction.
const BATCH: usize = 1_000;

const UNWRITTEN: &str = "the database cannot be written";

/// The longest line in bytes.
const MAX_LINE: u64 = 1_000_000;

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    pub rows: u64,
    /// The tracked topics, whose lists may differ now.
    pub topics: Vec<Topic>,
}

/// Merges the archive in a folder into the store, after the whole of it was checked. An import that
/// breaks off can be repeated. `progress` is called with the number of rows read so far and of all
/// that will be; each row is read twice.
///
/// # Errors
/// The file that is wrong and how, with its line if a row is wrong; or that the database does not
/// answer.
pub async fn import(
    store: &dyn Store,
    folder: &Path,
    now: DateTime<Utc>,
    progress: impl Fn(u64, u64) + Send + Sync,
) -> anyhow::Result<Imported> {
    let manifest = read_manifest(folder)?;
    let tables = TABLES.into_iter().filter(|table| manifest.entry(table).is_some());
    let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
    let mut done = 0;
    let mut count = |batch: &[ArchiveRow]| {
        done += length(batch);
        progress(done, rows * 2);
    };
    let mut known = Known::default();
    for table in tables.clone() {
        check(folder, &manifest, table, &mut known, &mut count)?;
    }
    for table in tables {
        if table.name == TOPICS.name {
            continue;
        }
        let mut lines = Lines::open(folder, table)?;
        if table.name == MEMBERS.name {
            import_topics(store, &mut lines, &known.topics, now, &mut count).await?;
            continue;
        }
        loop {
            let batch = lines.batch()?;
            if batch.is_empty() {
                break;
            }
            count(&batch);
            store.import(table, &batch, now).await.context(UNWRITTEN)?;
        }
    }
    // Repositories may be of topics that the archive does not have.
    let topics = store.topics().await.context(UNWRITTEN)?;
    let topics: Vec<Topic> = topics.into_iter().map(|state| state.topic).collect();
    for topic in &topics {
        store.allot_modified(topic, now).await.context(UNWRITTEN)?;
    }
    Ok(Imported { rows, topics })
}

/// Imports each topic together with its members, so that a refresh never sees the one without the
/// others.
async fn import_topics(
    store: &dyn Store,
    lines: &mut Lines,
    topics: &BTreeMap<String, ArchiveRow>,
    now: DateTime<Utc>,
    count: &mut (impl FnMut(&[ArchiveRow]) + Send),
) -> anyhow::Result<()> {
    for (name, topic) in topics {
        let members = lines.take(|_, row| row[0] == **name)?;
        count(&members);
        count(std::slice::from_ref(topic));
        store.import_topic(topic, &members, now).await.context(UNWRITTEN)?;
    }
    Ok(())
}

fn length(rows: &[ArchiveRow]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

fn read_manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read; is this an archive?", path.display()))?;
    let fields: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    if fields["format"] != FORMAT {
        bail!("{} has the format {}, but must have {FORMAT}", path.display(), fields["format"]);
    }
    let manifest: Manifest =
        serde_json::from_value(fields).with_context(|| format!("{}", path.display()))?;
    // Archives of other programs may lack the former members.
    let needed = TABLES.into_iter().filter(|table| table.name != FORMER_MEMBERS.name);
    for table in needed {
        if manifest.entry(table).is_none() {
            bail!("{} does not name {}", path.display(), file_name(table.name));
        }
    }
    Ok(manifest)
}

/// Topics and repositories, to which rows of later files refer.
#[derive(Default)]
struct Known {
    topics: BTreeMap<String, ArchiveRow>,
    repositories: HashSet<i64>,
}

/// Checks a file's checksum, its number of rows, and each row.
fn check(
    folder: &Path,
    manifest: &Manifest,
    table: &'static Table,
    known: &mut Known,
    count: &mut impl FnMut(&[ArchiveRow]),
) -> anyhow::Result<()> {
    let Some(entry) = manifest.entry(table) else { return Ok(()) };
    let name = &entry.name;
    if sha256_of(&folder.join(name))? != entry.sha256 {
        bail!("{name} has another checksum than manifest.json says; copy the archive again");
    }
    let mut lines = Lines::open(folder, table)?;
    let (mut rows, mut before) = (0, None);
    while let Some(row) = lines.next()? {
        rows += 1;
        let noted = known.note(table, &row);
        if let Err(problem) = noted.and_then(|()| table.check_order(before.as_ref(), &row)) {
            bail!("{name} line {rows}: {problem}");
        }
        count(std::slice::from_ref(&row));
        before = Some(row);
    }
    if rows != entry.rows {
        bail!("{name} has {rows} rows, but manifest.json says {}", entry.rows);
    }
    Ok(())
}

impl Known {
    /// Notes the topics and repositories of the archive, and checks those of members.
    fn note(&mut self, table: &Table, row: &ArchiveRow) -> Result<(), String> {
        let text = |place: usize| row[place].as_str().unwrap_or_default();
        if table.name == TOPICS.name {
            self.topics.insert(text(0).to_owned(), row.clone());
        } else if table.name == REPOSITORIES.name {
            self.repositories.extend(row[0].as_i64());
        } else if table.name == MEMBERS.name {
            if !self.topics.contains_key(text(0)) {
                return Err(format!("the archive has no topic {}", text(0)));
            }
            if row[1].as_i64().is_none_or(|id| !self.repositories.contains(&id)) {
                return Err(format!("the archive has no repository {}", row[1]));
            }
        }
        Ok(())
    }
}

/// The rows of a file.
struct Lines {
    table: &'static Table,
    reader: BufReader<MultiGzDecoder<BufReader<File>>>,
    line: Vec<u8>,
    number: u64,
    /// A row that was read, and not taken.
    ahead: Option<ArchiveRow>,
}

impl Lines {
    fn open(folder: &Path, table: &'static Table) -> anyhow::Result<Self> {
        let path = folder.join(file_name(table.name));
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let reader = BufReader::new(MultiGzDecoder::new(BufReader::new(file)));
        Ok(Self { table, reader, line: Vec::new(), number: 0, ahead: None })
    }

    /// The next rows of one transaction; none at the end. Counts of a repository are not parted.
    fn batch(&mut self) -> anyhow::Result<Vec<ArchiveRow>> {
        let is_daily = self.table.is_daily();
        self.take(|batch, row| {
            let is_same = || batch.last().is_some_and(|last| last[0] == row[0]);
            batch.len() < BATCH || is_daily && is_same()
        })
    }

    /// The next rows, as long as they are wanted together with those before.
    fn take(
        &mut self,
        is_wanted: impl Fn(&[ArchiveRow], &ArchiveRow) -> bool,
    ) -> anyhow::Result<Vec<ArchiveRow>> {
        let mut rows = Vec::new();
        while let Some(row) = self.next()? {
            if !is_wanted(&rows, &row) {
                self.ahead = Some(row);
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The next row; `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<ArchiveRow>> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        self.number += 1;
        let name = file_name(self.table.name);
        let place = || format!("{name} line {}", self.number);
        self.line.clear();
        let mut bounded = self.reader.by_ref().take(MAX_LINE);
        if bounded.read_until(b'\n', &mut self.line).with_context(place)? == 0 {
            return Ok(None);
        }
        if !self.line.ends_with(b"\n") && self.line.len() as u64 == MAX_LINE {
            bail!("{}: the line is longer than {MAX_LINE} bytes", place());
        }
        let fields = serde_json::from_slice(&self.line)
            .map_err(io::Error::from)
            .with_context(|| format!("{}: no JSON object", place()))?;
        match self.table.read(fields) {
            Ok(row) => Ok(Some(row)),
            Err(problem) => bail!("{}: {problem}", place()),
        }
    }
}
