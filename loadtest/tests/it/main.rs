//! The load test as a process: it passes on the service itself, and fails on a service that returns
//! wrong answers.

#![expect(clippy::expect_used, reason = "a test that cannot go on should stop where it is")]

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::app::App;
use api::clock::SystemClock;
use api::config::Config;
use api::server;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flate2::{Compression, write::GzEncoder};
use github_stub::{Stub, World};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Runs the load test for three seconds; returns its exit code, stdout and stderr. `arguments`
/// should have a threshold that does not depend on the machine's speed.
async fn loadtest(url: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command
        .env_clear()
        .env("LOAD_HOST", url)
        .args(["-u", "12", "-r", "12", "-t", "3s"])
        .args(arguments);
    let output = command.kill_on_drop(true).output().await.expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// The service on the GitHub stub, after a complete refresh of `kubernetes`.
struct Mirror {
    url: String,
    service: Arc<App>,
    _stub: Stub,
    folder: TempDir,
}

impl Mirror {
    async fn start(repositories: usize) -> Self {
        // Fails if another test of this process has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stub =
            Stub::start(World::generate(repositories, 7, "kubernetes")).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let settings = [
            ("GITHUB_API_URL", OsString::from(stub.url())),
            ("DATA_DIR", folder.path().into()),
            ("SCHEDULER", "external".into()),
        ];
        let config = Config::read(&|name: &str| {
            settings.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
        });
        let service = App::new(config.expect("valid settings"), Arc::new(SystemClock))
            .await
            .expect("a service");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(server::serve(Arc::clone(&service), listener, std::future::pending()));
        let report: Value = reqwest::get(format!("{url}/update_cache"))
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        assert_eq!(report["complete"], true, "{report}");
        Self { url, service, _stub: stub, folder }
    }
}

/// The scenarios of lists. goose gives users to scenarios by chance, so with one more of them a run
/// might leave one out.
const LISTS: [&str; 2] = ["--scenarios", "people,programs,clients"];

#[tokio::test(flavor = "multi_thread")]
async fn service_passes_unless_a_threshold_fails() {
    let rows_of_lists =
        ["/test", "/api/{topic}", "/db/activity/{topic}", "(If-None-Match)", "HEAD", "{unknown}"];
    let rows_of_visitors = [
        "/api/newest/{topic}",
        "/api/trending/{topic}",
        "/api/falling/{topic}",
        "/api/repos/{owner}/{repo}",
        "/api/repos/{owner}/{repo}/history",
        "/topics/{topic}/events",
        "/topics/{topic}/facets",
        "/api/popularity/{topic}?language=go",
        "/charts/{owner}/{repo}.svg",
        "/badges/{topic}/{owner}/{repo}.svg",
        "/exports/{topic}/history.csv",
        "/feeds/{topic}/new.atom",
        "/t/{topic}",
        "/r/{owner}/{repo}",
    ];
    for repositories in [700, 120] {
        let mirror = Mirror::start(repositories).await;
        let report_file = mirror.folder.path().join("report.html");
        let report_file = report_file.to_string_lossy();
        for (scenarios, rows) in
            [(LISTS[1], &rows_of_lists[..]), ("visitors", &rows_of_visitors[..])]
        {
            let arguments = ["--threshold", "error-rate<=0%", "--report-file", &report_file];
            let arguments = [&arguments[..], &["--scenarios", scenarios]].concat();
            let (code, stdout, stderr) = loadtest(&mirror.url, &arguments).await;
            let verdict = stdout.lines().last().unwrap_or_default();
            assert_eq!(code, 0, "{stdout}{stderr}");
            assert!(
                verdict.starts_with("PASS: ")
                    && verdict.contains(" requests in ")
                    && verdict.contains(" 0 failed"),
                "{verdict}"
            );
            let report = std::fs::read_to_string(&*report_file).expect("a report");
            for row in rows {
                assert!(report.contains(row), "{row}");
            }
        }
        let (code, stdout, stderr) = loadtest(&mirror.url, &["--threshold", "max<1us"]).await;
        assert_eq!(code, 1, "{stdout}{stderr}");
        assert!(stdout.contains("FAIL: ") && stdout.contains("max<1us"), "{stdout}");
        mirror.service.stop().await;
    }
}

/// A service that returns `list` for every list, behind a proxy that refuses some paths by 429.
/// Returns its address.
async fn serve_list(
    list: Value,
    refused: impl Fn(&str) -> bool + Clone + Send + Sync + 'static,
) -> String {
    let router = Router::new().fallback(async move |uri: Uri, headers: HeaderMap| -> Response {
        match uri.path() {
            path if refused(path) => StatusCode::TOO_MANY_REQUESTS.into_response(),
            "/test" => "Oh, Hello World".into_response(),
            "/topics/kubernetes" => json!({"stored": 3}).to_string().into_response(),
            _ if headers[header::ACCEPT_ENCODING] == "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(list.to_string().as_bytes()).expect("memory");
                ([(header::CONTENT_ENCODING, "gzip")], encoder.finish().expect("memory"))
                    .into_response()
            }
            _ => list.to_string().into_response(),
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn items(stars: &[u64]) -> Value {
    let item = |(id, stars): (usize, &u64)| {
        json!({
            "id": id, "name": "a", "full_name": "o/a", "html_url": "https://x/o/a",
            "language": null, "updated_at": "2026-01-01T00:00:00Z", "pushed_at": null,
            "stargazers_count": stars,
        })
    };
    stars.iter().enumerate().map(item).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_fails_when_a_list_is_wrong() {
    for (stars, expected) in [
        (&[3, 2, 1][..], None),
        (&[1, 2, 3], Some("out of order at place 2")),
        (&[3, 2], Some("2 items, not 3")),
    ] {
        let url = serve_list(items(stars), |_| false).await;
        let (code, stdout, stderr) =
            loadtest(&url, &["--scenarios", "programs", "--threshold", "error-rate<=0%"]).await;
        match expected {
            None => assert_eq!(code, 0, "{stdout}{stderr}"),
            Some(expected) => {
                assert_eq!(code, 1, "{stdout}{stderr}");
                assert!(stdout.contains("FAIL: ") && stdout.contains(expected), "{stdout}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_429s_are_counted_separately() {
    let programs = ["--scenarios", "programs", "--threshold", "error-rate<=0%"];
    let second = Arc::new(AtomicBool::new(false));
    let every_second_list = move |path: &str| {
        path.contains("/kubernetes")
            && path != "/topics/kubernetes"
            && second.fetch_xor(true, Ordering::Relaxed)
    };
    let (code, stdout, stderr) =
        loadtest(&serve_list(items(&[3, 2, 1]), every_second_list).await, &programs).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    let [.., limited, verdict] = stdout.lines().collect::<Vec<_>>()[..] else { panic!("{stdout}") };
    assert!(
        limited.starts_with("limited (429) and not counted: ") && verdict.starts_with("PASS: "),
        "{stdout}"
    );
    for row in [
        "/api/{topic}",
        "/api/popularity/{topic}",
        "/api/activity/{topic}",
        "/db/{topic}",
        "/db/activity/{topic}",
    ] {
        assert!(limited.contains(&format!(" of GET {row}")), "{row}: {limited}");
    }

    // A row with 429s alone fails the run, and so does a 429 of /test, which the proxy does not
    // limit.
    let everything_else = |path: &str| path != "/topics/kubernetes" && path != "/test";
    let (code, stdout, stderr) = loadtest(
        &serve_list(items(&[3]), everything_else).await,
        &[&LISTS[..], &["--threshold", "error-rate<=0%"]].concat(),
    )
    .await;
    assert_eq!(code, 1, "{stdout}{stderr}");
    for expected in [
        "FAIL: ",
        " 0 failed",
        "GET /db/{topic}: nothing but 429",
        "HEAD /api/{topic}: nothing",
        "{unknown}: nothing",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (code, stdout, stderr) =
        loadtest(&serve_list(items(&[3, 2, 1]), |path| path == "/test").await, &programs).await;
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stdout.contains("times GET /test: 429 Too Many Requests instead of 200"), "{stdout}");
}

#[tokio::test]
async fn run_prints_one_line_when_the_service_is_unreachable() {
    let closed = tokio::net::TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let url = format!("http://{}", closed.local_addr().expect("an address"));
    let (code, _, stderr) = loadtest(&url, &[]).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.contains(&url) && stderr.contains("LOAD_HOST"), "{stderr}");
}
