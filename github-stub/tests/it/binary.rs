//! The program: it prints its address in one line and serves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::{SEARCH, client, send};

/// A running program; the drop kills it.
struct Program {
    child: Child,
    line: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_github-stub"));
        command.args(["--listen-addr", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a piped stdout");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        Self { child, line }
    }

    fn url(&self) -> &str {
        self.line.trim_end().split(' ').next_back().expect("the address comes last")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().expect("the program still runs");
        self.child.wait().expect("the program ends");
    }
}

#[tokio::test]
async fn program_serves_generated_repositories() {
    let program = Program::start(&["--generate", "50", "--limits"]);
    assert!(
        program.line.starts_with("github-stub: 50 repositories on http://127.0.0.1:"),
        "{}",
        program.line
    );
    let answer = send(client().get(program.url().to_owned() + SEARCH)).await;
    assert_eq!((answer.status, &answer.json()["total_count"]), (200, &json!(50)));
    assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
}

#[tokio::test]
async fn program_serves_a_data_file_with_added_topics() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(
        file,
        "{}",
        json!({"id": 1, "full_name": "a/b", "updated_at": "2024-01-01T00:00:00Z"})
    )
    .expect("written");
    let path = file.path().to_str().expect("a UTF-8 path");
    let program =
        Program::start(&["--data", path, "--add-topic", "kubernetes", "--add-topic", "mcp"]);
    let answer = send(client().get(program.url().to_owned() + SEARCH + "+topic:mcp")).await;
    assert_eq!(answer.ids(), [1]);
    assert_eq!(answer.json()["items"][0]["topics"], json!(["kubernetes", "mcp"]));
}

#[test]
fn program_writes_an_archive_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a UTF-8 path");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_github-stub"));
        command.args(["--generate", "20", "--archive", path]).args(arguments);
        command.output().expect("the program runs")
    };
    let output = run(&["--history", "30"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(path), "{output:?}");
    assert!(folder.path().join("manifest.json").exists());
    for refused in [&["--history", "0"][..], &[], &["--history", "30", "--data", path]] {
        assert!(!run(refused).status.success(), "{refused:?}");
    }
}
