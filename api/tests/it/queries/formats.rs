//! Lists as NDJSON and CSV.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::Value;

use super::mirror_on;
use crate::databases;

const PATH: &str = "/api/popularity/kubernetes?fields=all&per_page=500";

/// Reads CSV by Python's reader, and returns each record by the header's names.
const READ_CSV: &str = "
import csv, io, json, sys
text = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8', newline='')
json.dump(list(csv.DictReader(text, strict=True)), sys.stdout)
";

fn read_csv(csv: &[u8]) -> Vec<Value> {
    let mut python = Command::new("python3")
        .args(["-c", READ_CSV])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    python.stdin.take().expect("a pipe").write_all(csv).expect("a reader");
    let output = python.wait_with_output().expect("an end");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A value of JSON as CSV has it.
fn as_text(value: &Value) -> String {
    let guarded = |text: &str| {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        format!("{}{text}", if is_formula { "'" } else { "" })
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => guarded(text),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn csv_read_by_another_reader_has_the_values_of_json() {
    let mirror = mirror_on(databases::sqlite()).await;
    let rows = mirror.get(PATH).await.json().as_array().expect("rows").clone();
    let answer = mirror.get(&format!("{PATH}&format=csv")).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert!(answer.text().starts_with("id,name,full_name,html_url,language,"));
    let records = read_csv(&answer.body);
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        for (name, value) in row.as_object().expect("a row") {
            assert_eq!(record[name], as_text(value), "{name} of {}", row["id"]);
        }
        assert_eq!(record.as_object().expect("a record").len(), 24);
    }
    let formulas = records
        .iter()
        .filter(|record| record["description"].as_str().is_some_and(|text| text.starts_with("'=")));
    assert!(formulas.count() > 0);
}

#[tokio::test]
async fn ndjson_has_the_rows_of_json_one_a_line() {
    let mirror = mirror_on(databases::sqlite()).await;
    let answer = mirror.get(&format!("{PATH}&format=ndjson")).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    assert!(text.ends_with("}\n"));
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("an object"));
    assert_eq!(Value::Array(lines.collect()), mirror.get(PATH).await.json());
    let none = mirror.get("/api/kubernetes?q=unheard-of&format=ndjson").await;
    assert_eq!((none.status, none.text().as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn accept_chooses_the_format_if_no_parameter_does() {
    let mirror = mirror_on(databases::sqlite()).await;
    let (json, ndjson, csv) =
        ("application/json", "application/x-ndjson", "text/csv; charset=utf-8; header=present");
    for (accept, query, expected) in [
        ("text/csv", "", csv),
        ("application/x-ndjson", "", ndjson),
        ("text/csv", "?format=json", json),
        ("application/x-ndjson", "?per_page=3", ndjson),
        ("*/*", "", json),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "", json),
        ("text/csv, */*", "", csv),
        ("text/csv;q=0.5, application/json", "", json),
        ("text/csv;q=0", "", json),
        ("image/png", "", json),
    ] {
        let path = format!("/api/kubernetes{query}");
        let answer = mirror.get_with(&path, &[("accept", accept)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{accept}");
        assert_eq!(answer.header("content-type"), expected, "{accept} {query}");
        assert_eq!(answer.header("vary"), "Accept, Accept-Encoding", "{accept} {query}");
    }
    let list = mirror.get_with("/api/kubernetes", &[("accept", "text/csv")]).await;
    assert_eq!(read_csv(&list.body).len(), 500);
}
