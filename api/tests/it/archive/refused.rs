//! Archives that `api import` refuses.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    add_former_members, assert_same, change_lines, change_manifest, entry, folder, foreign_archive,
    own_archive, path, replace_file,
};
use crate::process::{api, output};

/// A change that makes an archive wrong.
type Damage = fn(&Path);

fn set(folder: &Path, table: &str, line: usize, field: &str, value: &Value) {
    change_lines(folder, table, |lines| {
        let mut row: Value = serde_json::from_str(&lines[line - 1]).expect("JSON");
        row[field] = value.clone();
        lines[line - 1] = row.to_string();
    });
}

fn replace_line(folder: &Path, table: &str, line: usize, text: &str) {
    change_lines(folder, table, |lines| text.clone_into(&mut lines[line - 1]));
}

/// Each damage with the words that the message must have.
const DAMAGES: &[(Damage, &[&str])] = &[
    (|folder| change_manifest(folder, |all| all["format"] = json!(2)), &["manifest.json", "2"]),
    (|folder| change_manifest(folder, |all| all["files"] = json!(7)), &["manifest.json"]),
    (|folder| std::fs::write(folder.join("manifest.json"), "{").expect("w"), &["manifest.json"]),
    (|folder| remove(&folder.join("manifest.json")), &["manifest.json", "archive"]),
    (|folder| remove(&path(folder, "counts")), &["counts.ndjson.gz"]),
    (|folder| forget(folder, "events"), &["manifest.json", "events.ndjson.gz"]),
    (|folder| append(&path(folder, "counts")), &["counts.ndjson.gz", "checksum"]),
    (|folder| add_a_row_to_the_manifest(folder, "names"), &["names.ndjson.gz", "rows"]),
    (
        |folder| replace_line(folder, "repositories", 3, "no JSON"),
        &["repositories.ndjson.gz line 3"],
    ),
    (|folder| replace_line(folder, "repositories", 3, "[1]"), &["repositories.ndjson.gz line 3"]),
    (|folder| replace_line(folder, "counts", 3, ""), &["counts.ndjson.gz line 3"]),
    (
        |folder| set(folder, "repositories", 2, "stargazers_count", &Value::Null),
        &["repositories.ndjson.gz line 2", "stargazers_count"],
    ),
    (
        |folder| set(folder, "repositories", 2, "stargazers_count", &json!(-1)),
        &["repositories.ndjson.gz line 2", "stargazers_count"],
    ),
    (
        |folder| set(folder, "repositories", 2, "html_url", &json!("javascript:alert(1)")),
        &["repositories.ndjson.gz line 2", "html_url", "http"],
    ),
    (
        |folder| set(folder, "repositories", 2, "name", &json!("n\0")),
        &["repositories.ndjson.gz line 2", "name"],
    ),
    (
        |folder| set(folder, "repositories", 2, "updated_at", &json!("yesterday")),
        &["repositories.ndjson.gz line 2", "updated_at"],
    ),
    (
        |folder| set(folder, "counts", 5, "day", &json!("2026-02-30")),
        &["counts.ndjson.gz line 5", "day"],
    ),
    (
        |folder| set(folder, "events", 1, "kind", &json!("starred")),
        &["events.ndjson.gz line 1", "kind", "renamed"],
    ),
    (
        |folder| set(folder, "members", 4, "repository_id", &json!(1)),
        &["members.ndjson.gz line 4", "repository 1"],
    ),
    (
        |folder| set(folder, "members", 4, "topic", &json!("other")),
        &["members.ndjson.gz line 4", "topic", "other"],
    ),
    (
        |folder| replace_line(folder, "repositories", 2, &" ".repeat(2_000_000)),
        &["repositories.ndjson.gz line 2", "longer"],
    ),
    (
        |folder| set(folder, "counts", 5, "day", &json!("+10000-01-01")),
        &["counts.ndjson.gz line 5", "day"],
    ),
    (
        |folder| set(folder, "counts", 1, "day", &json!("0000-01-01")),
        &["counts.ndjson.gz line 1", "day"],
    ),
    (
        |folder| set(folder, "repositories", 2, "updated_at", &json!("+10000-01-01T00:00:00Z")),
        &["repositories.ndjson.gz line 2", "updated_at"],
    ),
    (
        |folder| change_lines(folder, "counts", |lines| lines.swap(2, 3)),
        &["counts.ndjson.gz line 4", "ordered by repository_id, day"],
    ),
    (
        |folder| change_lines(folder, "repositories", |lines| lines.insert(3, lines[2].clone())),
        &["repositories.ndjson.gz line 4", "ordered by id, each once"],
    ),
    (
        |folder| change_lines(folder, "members", |lines| lines.rotate_left(1)),
        &["members.ndjson.gz line ", "ordered by topic, repository_id"],
    ),
    (
        |folder| change_lines(folder, "events", |lines| lines.insert(1, lines[0].clone())),
        &["events.ndjson.gz line 2", "ordered by topic, at, repository_id, kind"],
    ),
    (
        |folder| add_former_members(folder, &[(1, "2026-09-02", "2026-09-01")]),
        &["former_members.ndjson.gz line 1", "first_day"],
    ),
    (
        |folder| {
            let spans = [(1, "2026-09-01", "2026-09-03"), (1, "2026-09-03", "2026-09-05")];
            add_former_members(folder, &spans);
        },
        &["former_members.ndjson.gz line 2", "first_day"],
    ),
    (|folder| cut_short(folder, "counts"), &["counts.ndjson.gz line "]),
    (|folder| replace_file(folder, "names", b"no gzip"), &["names.ndjson.gz"]),
];

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("removed");
}

/// Takes a file out of the manifest.
fn forget(folder: &Path, table: &str) {
    change_manifest(folder, |manifest| entry(manifest, table)["name"] = json!("other"));
}

fn append(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes.push(0);
    std::fs::write(path, bytes).expect("written");
}

fn add_a_row_to_the_manifest(folder: &Path, table: &str) {
    change_manifest(folder, |manifest| {
        let rows = &mut entry(manifest, table)["rows"];
        *rows = json!(rows.as_u64().expect("a number") + 1);
    });
}

fn cut_short(folder: &Path, table: &str) {
    let bytes = std::fs::read(path(folder, table)).expect("a file");
    replace_file(folder, table, &bytes[..bytes.len() / 2]);
}

async fn run(home: &TempDir, command: &str, archive: &Path) -> (i32, String, String) {
    let mut process = api(home, &[("RUST_LOG", "off"), ("TOPICS", "kubernetes,mcp:complete")]);
    process.args([command, &archive.display().to_string()]);
    output(process).await
}

#[tokio::test]
async fn import_refuses_a_wrong_archive_in_one_line_and_changes_nothing() {
    let home = folder();
    let own = own_archive().await;
    let (code, _, stderr) = run(&home, "import", own.path()).await;
    assert_eq!(code, 0, "{stderr}");
    for (number, (damage, words)) in DAMAGES.iter().enumerate() {
        let archive = foreign_archive();
        damage(archive.path());
        let (code, stdout, stderr) = run(&home, "import", archive.path()).await;
        let context = format!("damage {number}, {words:?}: {stderr:.500}");
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{context}");
        for word in *words {
            assert!(stderr.contains(word), "{word} is named: {context}");
        }
    }
    let after = folder();
    let (code, _, stderr) = run(&home, "export", after.path()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_same(after.path(), own.path(), "after the refused imports");
}
