//! Commands, settings and the start of the service.

use github_stub::{Fault, FaultKind, World};
use reqwest::StatusCode;

use super::{ApiProcess, api, output, stub};

#[tokio::test]
async fn start_names_every_wrong_setting_and_exits_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = api(
        &folder,
        &[("TOPICS", "not ok"), ("GITHUB_TOKEN", "hunter2 hunter2"), ("SCHEDULER", "x")],
    );
    command.args(["--refresh-schedule", "often", "serve"]);
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 2, "{stderr}");
    for expected in [
        "4 settings are wrong",
        "TOPICS",
        "GITHUB_TOKEN",
        "SCHEDULER",
        "REFRESH_SCHEDULE: \"often\"",
    ] {
        assert!(stderr.contains(expected), "{expected} in {stderr}");
    }
    assert!(!stderr.contains("hunter2"));
    let mut command = api(&folder, &[]);
    command.arg("--no-such-flag");
    assert_eq!(output(command).await.0, 2);
}

#[tokio::test]
async fn start_prints_one_line_when_the_port_or_folder_is_unavailable() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, _, stderr) = output(api(&folder, &[("LISTEN_ADDR", &address)])).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("LISTEN_ADDR"), "{stderr}");

    std::fs::write(folder.path().join("file"), "").expect("written");
    let (code, _, stderr) = output(api(&folder, &[("DATA_DIR", "file/below")])).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.contains("file/below/mirror.sqlite") && stderr.contains("DATA_DIR"), "{stderr}");
}

#[tokio::test]
async fn flag_overrides_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = api(&folder, &[("DATA_DIR", "from-environment")]);
    command.args(["bootstrap", "--data-dir", "from-flag"]);
    let (code, stdout, stderr) = output(command).await;
    assert_eq!((code, stdout.as_str()), (0, "the schema is there\n"), "{stderr}");
    assert!(
        folder.path().join("from-flag/mirror.sqlite").exists()
            && !folder.path().join("from-environment").exists()
    );
}

#[tokio::test]
async fn refresh_command_shows_progress_and_exits_1_when_the_refresh_fails() {
    let stub = stub(World::generate(700, 7, "kubernetes")).await;
    stub.world().settings.latency_millis = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("GITHUB_API_URL", &*stub.url()), ("RUST_LOG", "off")];
    let mut command = api(&folder, &settings);
    command.args(["refresh", "kubernetes"]);
    let (code, stdout, stderr) = output(command).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("kubernetes: ") && stdout.contains(" found, "), "{stdout}");
    assert!(stderr.contains(" of about 15 requests done"), "{stderr}");

    stub.world().faults.push(Fault::from(FaultKind::Unauthorized).times(100));
    let mut command = api(&folder, &settings);
    command.arg("refresh");
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 1);
    assert!(
        stderr.lines().last().is_some_and(|line| line.contains("the refresh failed: kubernetes: ")),
        "{stderr}"
    );
    let mut command = api(&folder, &settings);
    command.args(["refresh", "not_a_topic"]);
    assert_eq!(output(command).await.0, 2);
}

#[tokio::test]
async fn version_flag_prints_and_healthcheck_exits_1_when_the_service_is_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = api(&folder, &[]);
    command.arg("--version");
    assert_eq!(output(command).await.1, format!("api {}\n", settings::version()));

    let stub = stub(World::default()).await;
    let process = ApiProcess::start(api(&folder, &[("GITHUB_API_URL", &stub.url())])).await;
    let address = process.url.trim_start_matches("http://").to_owned();
    let healthcheck = async || {
        // Docker's client gives containers the proxy that it is configured with.
        let dead = ("http_proxy", "http://127.0.0.1:1");
        let mut command = api(&folder, &[("LISTEN_ADDR", &address), dead]);
        command.arg("healthcheck");
        output(command).await.0
    };
    assert_eq!(healthcheck().await, 0);
    process.signal("-TERM");
    assert_eq!(process.ended().await.0.code(), Some(0));
    assert_eq!(healthcheck().await, 1);
}

#[tokio::test]
async fn service_answers_and_logs_the_reason_when_github_is_unreachable() {
    let folder = tempfile::tempdir().expect("a folder");
    let process =
        ApiProcess::start(api(&folder, &[("GITHUB_API_URL", "http://127.0.0.1:1")])).await;
    let answer = reqwest::get(format!("{}/api/kubernetes", process.url)).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    // /update_cache waits for the end of the refresh; the list's 503 comes before.
    let (status, problem) = process.get("/update_cache").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    let (_, ready) = process.get("/ready").await;
    assert!(ready.contains("GitHub failed 4 times"), "{ready}");
    process.signal("-TERM");
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0));
    let says_why = |line: &&str| {
        line.contains("kubernetes has no list yet")
            && line.contains("next try at")
            && line.contains("make demo")
    };
    assert_eq!(log.lines().filter(says_why).count(), 1, "{log}");
}

#[tokio::test]
async fn github_is_asked_through_the_proxy_unless_no_proxy_names_it() {
    let stub = stub(World::generate(10, 7, "kubernetes")).await;
    let url = stub.url();
    let elsewhere = ("GITHUB_API_URL", "http://github.example.com");
    let dead = ("HTTP_PROXY", "http://127.0.0.1:1");
    for settings in [
        &[elsewhere, ("HTTP_PROXY", &*url)][..],
        &[("GITHUB_API_URL", &*url), dead, ("NO_PROXY", "github-stub,127.0.0.1")],
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = api(&folder, settings);
        command.arg("refresh");
        let (code, _, log) = output(command).await;
        assert_eq!(code, 0, "{settings:?}: {log}");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_named_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.pem").display().to_string();
    // The public ones remain.
    let settings = [
        ("SSL_CERT_FILE", &*file),
        ("SSL_CERT_DIR", "/etc/ssl/certs"),
        ("GITHUB_API_URL", "http://127.0.0.1:1"),
    ];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    process.signal("-TERM");
    let log = process.ended().await.1;
    let names_it = |line: &&str| line.contains("certificate") && line.contains(&file);
    assert_eq!(log.lines().filter(names_it).count(), 1, "{log}");
}
