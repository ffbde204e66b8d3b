//! Exports and imports that end half-way.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;

use api::archive;
use api::store::Store;
use api::store::archive::TABLES;
use futures_util::FutureExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    assert_same, change_lines, export, export_after_import, folder, foreign_archive, import, lines,
    now, on_each_database, open, path, topics, world_with_a_past,
};
use crate::databases::{self, Database};
use crate::process::{api, output};
use crate::support::stored_lists;

/// Ends an import after it has handled that many rows.
async fn import_only(store: &dyn Store, archive: &TempDir, rows: u64) {
    let progress = |done, _| {
        if done >= rows {
            // Unwinding without a panic prints no message.
            resume_unwind(Box::new("killed"));
        }
    };
    let importing = archive::import(store, archive.path(), now(), progress);
    let ended = AssertUnwindSafe(importing).catch_unwind().await;
    assert!(ended.is_err(), "the import ended before row {rows}");
}

#[tokio::test]
async fn second_import_finishes_one_that_was_killed() {
    let archive = foreign_archive();
    // More rows of a repository than one transaction has.
    let days: Vec<_> = now().date_naive().iter_days().take(1_500).collect();
    change_lines(archive.path(), "backfilled", |rows| {
        for (id, days) in [(1, &days[..]), (2, &days[..700]), (3, &days[..700])] {
            let row = |day| json!({ "repository_id": id, "day": day, "stargazers_count": 7 });
            rows.extend(days.iter().map(|day| row(day).to_string()));
        }
    });
    let expected = export_after_import(&databases::sqlite(), archive.path()).await;
    assert_eq!(lines(expected.path(), "backfilled").len(), 2_900);
    let database = databases::sqlite();
    let store = open(&database).await;
    let rows = import(&*store, archive.path()).await.rows;
    on_each_database(async |database| {
        // Every row is read twice, and written after the second time.
        for done in [1, 3, 110, 140, 300, 1_300, 3_000, 4_500, 5_500, rows] {
            let database = match &database {
                Database::Sqlite(_) => databases::sqlite(),
                Database::Postgres(_) => databases::postgres().expect("a server"),
            };
            let store = open(&database).await;
            import_only(&*store, &archive, rows + done).await;
            let imported = import(&*store, archive.path()).await.topics;
            let context = format!("killed after {done} of {rows} rows");
            assert_same(export(&*store).await.path(), expected.path(), &context);
            assert_eq!(imported, topics(), "{context}");
            for topic in imported {
                let lists = stored_lists(&*store, &topic).await;
                assert!(lists.is_some(), "{topic} has lists: {context}");
            }
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn second_import_publishes_the_rows_of_one_that_was_killed_before_that() {
    let archive = foreign_archive();
    on_each_database(async |database| {
        let store = open(&database).await;
        for table in TABLES.iter().filter(|table| path(archive.path(), table.name).exists()) {
            let row = |line: &String| {
                table.read(serde_json::from_str(line).expect("JSON")).expect("a row")
            };
            let rows: Vec<_> = lines(archive.path(), table.name).iter().map(row).collect();
            store.import(table, &rows, now()).await.expect("imported");
        }
        assert_eq!(stored_lists(&*store, &topics()[0]).await, None);
        import(&*store, archive.path()).await;
        assert!(stored_lists(&*store, &topics()[0]).await.is_some());
    })
    .await;
}

/// `api export` of the database in `home`, with a limit on the size of files.
fn export_with_little_space(home: &TempDir, archive: &Path, kilobytes: u32) -> Command {
    let mut command = Command::new("/bin/sh");
    // The signal would end the process: a write fails instead, as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_api"), "export"]).arg(archive);
    command.env_clear().env("RUST_LOG", "off").current_dir(home);
    command
}

#[tokio::test]
async fn old_archive_stays_whole_when_the_disk_is_full_during_an_export() {
    let (home, foreign) = (folder(), folder());
    let world = world_with_a_past(1_000, 14);
    github_stub::archive::write(&world, foreign.path()).expect("an archive");
    let run = async |command: &str, archive: &Path| {
        let mut process = api(&home, &[("RUST_LOG", "off")]);
        process.args([command, &archive.display().to_string()]);
        let (code, _, stderr) = output(process).await;
        assert_eq!(code, 0, "{stderr}");
    };
    run("import", foreign.path()).await;
    let (archive, copy) = (folder(), folder());
    run("export", archive.path()).await;
    run("export", copy.path()).await;
    let size = std::fs::metadata(path(archive.path(), "counts")).expect("a file").len();
    assert!(size > 70_000, "{size}");
    run("import", foreign_archive().path()).await;
    let (code, stdout, stderr) = output(export_with_little_space(&home, archive.path(), 64)).await;
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
    assert!(stderr.contains("cannot write repositories.ndjson.gz"), "{stderr}");
    assert_same(archive.path(), copy.path(), "after an export that failed");
    run("export", archive.path()).await;
    let new = folder();
    run("export", new.path()).await;
    assert_same(archive.path(), new.path(), "after an export with space");
}
