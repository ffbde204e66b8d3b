//! The archive: exports and imports over both databases.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use api::archive::{self, Imported};
use api::model::topic::{Topic, TopicState};
use api::store::{SharedStore, Store};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use github_stub::{Fault, FaultKind, World};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::databases::{self, Database};
use crate::support::{Mirror, START};

mod broken_off;
mod merging;
mod refused;

const TOPICS: [&str; 2] = ["kubernetes", "mcp"];

fn topics() -> Vec<Topic> {
    TOPICS.map(|topic| topic.parse().expect("a topic")).to_vec()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(START, 0).expect("a date")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The names and bytes of an archive's files. The manifest lacks the time of the export.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        files.insert(name, std::fs::read(&path).expect("a file"));
    }
    let manifest = files.get_mut("manifest.json").expect("a manifest");
    let mut fields: Value = serde_json::from_slice(manifest).expect("JSON");
    fields.as_object_mut().expect("an object").remove("exported_at");
    *manifest = fields.to_string().into_bytes();
    files
}

/// The lines of a file of an archive.
pub(crate) fn lines(folder: &Path, table: &str) -> Vec<String> {
    text(&std::fs::read(path(folder, table)).expect("a file")).lines().map(str::to_owned).collect()
}

fn path(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.ndjson.gz"))
}

fn text(gzip: &[u8]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(gzip).read_to_string(&mut text).expect("gzip");
    text
}

/// Compares two archives byte by byte. The message names the first difference.
#[track_caller]
fn assert_same(actual: &Path, expected: &Path, context: &str) {
    let (actual, expected) = (files(actual), files(expected));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&actual), names(&expected), "{context}");
    for (name, bytes) in actual.iter().filter(|(name, _)| name.ends_with(".gz")) {
        let (actual, expected) = (text(bytes), text(&expected[name]));
        let mut rows = actual.lines().zip(expected.lines()).enumerate();
        let difference = rows.find(|(_, (actual, expected))| actual != expected);
        assert_eq!(difference, None, "{name}: {context}");
    }
    for (name, bytes) in actual {
        assert!(bytes == expected[&name], "the bytes of {name} differ: {context}");
    }
}

async fn open(database: &Database) -> SharedStore {
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    store
}

async fn export(store: &dyn Store) -> TempDir {
    let folder = folder();
    archive::export(store, folder.path(), now(), |_| {}).await.expect("an archive");
    folder
}

async fn import(store: &dyn Store, folder: &Path) -> Imported {
    archive::import(store, folder, now(), |_, _| {}).await.expect("imported")
}

/// Runs a rule on an empty database of each kind.
async fn on_each_database(rule: impl AsyncFn(Database)) {
    rule(databases::sqlite()).await;
    if let Some(database) = databases::postgres() {
        rule(database).await;
    }
}

/// A world of two topics with a past of so many days, which ends on 2026-09-21.
fn world_with_a_past(count: usize, days: usize) -> World {
    let today = NaiveDate::from_ymd_opt(2026, 9, 21).expect("a date");
    World::generate_with_history(count, 7, &TOPICS.map(str::to_owned), days, today)
}

/// An archive that another program has written.
fn foreign_archive() -> TempDir {
    let folder = folder();
    github_stub::archive::write(&world_with_a_past(60, 30), folder.path()).expect("an archive");
    folder
}

/// An archive of a database that a service has filled for some days, with rows of every kind.
async fn own_archive() -> TempDir {
    let mut world = World::generate(30, 7, "kubernetes");
    world.add_generated(20, 8, "mcp");
    let settings = [("TOPICS", "kubernetes,mcp:complete")];
    let mirror = Mirror::start_with(world, &settings).await;
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    for day in 0..6 {
        change_the_world(&mirror, &ids, day);
        for topic in TOPICS {
            mirror.refresh(topic).await;
        }
        mirror.clock.advance(TimeDelta::days(1));
    }
    let backfilled = "INSERT INTO backfilled
        (repository_id, first_day, last_day, stargazers_count)
        SELECT id, '2026-09-01', '2026-09-03', 7 FROM repositories";
    mirror.database.query(backfilled).await;
    let folder = export(&*mirror.service.store).await;
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("manifest.json")).expect("read"))
            .expect("JSON");
    for file in manifest["files"].as_array().expect("files") {
        assert_ne!(file["rows"], 0, "the archive has rows of every kind: {manifest}");
    }
    let events = lines(folder.path(), "events").concat();
    let left = ["topic_removed", "deleted", "private"];
    for kind in ["joined", "left", "renamed", "archived", "unarchived"].iter().chain(&left) {
        assert!(events.contains(kind), "the archive has every kind of event: {events}");
    }
    folder
}

/// Changes repositories of the first topic.
fn change_the_world(mirror: &Mirror, ids: &[u64], day: u8) {
    let mut world = mirror.stub.world();
    let mut edit = |index: usize, fields: Value| {
        let fields = fields.as_object().expect("an object").clone();
        assert_eq!(world.edit(ids[index], fields), Ok(true));
    };
    match day {
        1 => {
            edit(0, json!({ "full_name": "new/name", "name": "name" }));
            edit(1, json!({ "stargazers_count": 1_000_000, "description": "✓ \"quoted\"\n" }));
            edit(2, json!({ "archived": true, "topics": ["kubernetes", "mcp"] }));
            edit(3, json!({ "topics": ["other"] }));
            edit(4, json!({ "private": true }));
        }
        2 => {
            edit(3, json!({ "topics": ["kubernetes"] }));
            world.remove(ids[5]);
            world.add_generated(1, 9, "mcp");
        }
        3 => {
            edit(0, json!({ "full_name": "newer/name", "name": "name" }));
            edit(2, json!({ "archived": false }));
        }
        4 => world.faults.push(Fault::from(FaultKind::JsonError { status: 503 }).times(4)),
        _ => {}
    }
}

/// Changes the rows of a file of an archive, and the manifest accordingly.
fn change_lines(folder: &Path, table: &str, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines = lines(folder, table);
    change(&mut lines);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    for line in &lines {
        writeln!(gzip, "{line}").expect("written");
    }
    replace_file(folder, table, &gzip.finish().expect("gzip"));
    change_manifest(folder, |manifest| {
        *entry(manifest, table).get_mut("rows").expect("a number") = json!(lines.len());
    });
}

/// Adds the file of former members of kubernetes to an archive that has none.
fn add_former_members(folder: &Path, spans: &[(i64, &str, &str)]) {
    change_manifest(folder, |manifest| {
        let file = json!({ "name": "former_members.ndjson.gz", "rows": 0, "sha256": "" });
        manifest["files"].as_array_mut().expect("files").push(file);
    });
    let empty = GzEncoder::new(Vec::new(), Compression::default()).finish().expect("gzip");
    replace_file(folder, "former_members", &empty);
    let line = |(id, first, last): &(i64, &str, &str)| {
        let (topic, id) = (TOPICS[0], json!(id));
        json!({ "topic": topic, "repository_id": id, "first_day": first, "last_day": last })
            .to_string()
    };
    change_lines(folder, "former_members", |lines| lines.extend(spans.iter().map(line)));
}

/// Replaces a file of an archive, and its checksum in the manifest.
fn replace_file(folder: &Path, table: &str, bytes: &[u8]) {
    std::fs::write(path(folder, table), bytes).expect("written");
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    change_manifest(folder, |manifest| {
        *entry(manifest, table).get_mut("sha256").expect("a checksum") = json!(digest);
    });
}

fn change_manifest(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    change(&mut manifest);
    std::fs::write(&path, manifest.to_string()).expect("written");
}

/// The manifest's entry of a file.
fn entry<'a>(manifest: &'a mut Value, table: &str) -> &'a mut Value {
    let files = manifest["files"].as_array_mut().expect("files");
    let is_it = |file: &&mut Value| file["name"] == format!("{table}.ndjson.gz");
    files.iter_mut().find(is_it).expect("an entry")
}

#[tokio::test]
async fn export_is_the_same_after_an_import_into_the_other_database_and_back() {
    let (own, foreign) = (own_archive().await, foreign_archive());
    for (kind, source) in [("own", own.path()), ("foreign", foreign.path())] {
        let database = databases::sqlite();
        let store = open(&database).await;
        import(&*store, source).await;
        let from_sqlite = export(&*store).await;
        if kind == "own" {
            assert_same(from_sqlite.path(), source, "after an import into SQLite");
        }
        let Some(database) = databases::postgres() else { return };
        let store = open(&database).await;
        import(&*store, from_sqlite.path()).await;
        let from_postgres = export(&*store).await;
        assert_same(from_postgres.path(), from_sqlite.path(), "from SQLite to PostgreSQL");
        let database = databases::sqlite();
        let store = open(&database).await;
        import(&*store, from_postgres.path()).await;
        assert_same(export(&*store).await.path(), from_sqlite.path(), "and back");
    }
}

#[tokio::test]
async fn foreign_archive_is_the_same_in_both_databases() {
    let foreign = foreign_archive();
    let expected = export_after_import(&databases::sqlite(), foreign.path()).await;
    for table in ["topics", "repositories", "counts", "topic_days"] {
        assert_eq!(lines(expected.path(), table), lines(foreign.path(), table), "{table}");
    }
    let Some(database) = databases::postgres() else { return };
    let actual = export_after_import(&database, foreign.path()).await;
    assert_same(actual.path(), expected.path(), "a foreign archive");
}

async fn export_after_import(database: &Database, folder: &Path) -> TempDir {
    let store = open(database).await;
    import(&*store, folder).await;
    export(&*store).await
}

#[tokio::test]
async fn second_import_of_an_archive_changes_nothing() {
    for source in [own_archive().await, foreign_archive()] {
        on_each_database(async |database| {
            let store = open(&database).await;
            let first = import(&*store, source.path()).await;
            assert_eq!(first.topics, topics());
            let before = (export(&*store).await, store.topics().await.expect("a database"));
            let second = import(&*store, source.path()).await;
            assert_eq!(second.rows, first.rows);
            assert_same(export(&*store).await.path(), before.0.path(), "after a second import");
            let revisions = |topics: Vec<TopicState>| {
                topics.into_iter().map(|topic| topic.revision).collect::<Vec<_>>()
            };
            let after = store.topics().await.expect("a database");
            assert_eq!(revisions(after), revisions(before.1));
        })
        .await;
    }
}
