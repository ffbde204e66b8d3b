//! Clients that take connections and do nothing with them.

use github_stub::World;
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{ApiProcess, api, stub};

/// The program under a limit of open files that it cannot raise.
fn api_with_files(files: u64, folder: &tempfile::TempDir, settings: &[(&str, &str)]) -> Command {
    let program = api(folder, settings);
    let program = program.as_std();
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -n {files}; exec \"$0\"");
    command.arg("-c").arg(script).arg(program.get_program()).current_dir(folder.path());
    command.env_clear().kill_on_drop(true);
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn service_answers_while_more_clients_than_files_are_silent_or_read_nothing() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("SCHEDULER", "external")];
    let process = ApiProcess::start(api_with_files(256, &folder, &settings)).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    let address = process.url.trim_start_matches("http://").to_owned();
    let request = "GET /api/kubernetes HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for sent in ["", "GET /api/kub", request] {
        let mut clients = Vec::new();
        for _ in 0..300 {
            let mut client = TcpStream::connect(&address).await.expect("it listens");
            client.write_all(sent.as_bytes()).await.expect("sent");
            clients.push(client);
        }
        for path in ["/health", "/api/popularity/kubernetes", "/db/kubernetes", "/update_cache"] {
            assert_eq!(process.get(path).await.0, StatusCode::OK, "{path} beside {sent:?}");
        }
    }
    process.signal("-TERM");
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("could not be accepted"), "{log}");
}
