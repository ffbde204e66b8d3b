//! The service over a GitHub that is broken or hostile: it refuses the answer, or an item, or keeps
//! the item within bounds; its memory and its time are bounded, and it goes on serving.

mod answers;
mod github;

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use self::answers::{Case, Expected, GOOD, cases};
use self::github::HostileGitHub;
use crate::process::{ApiProcess, api};
use crate::support::{Answer, http_client, send};

/// The most memory that the process may ever have had, in MB. The largest page that is read at all
/// has 16 MB, and a debug build has twice the memory of a release.
const MOST_MEMORY: u64 = 300;

/// Peak memory in MB, from /proc.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

/// The facts about the rows of a topic that hold whatever GitHub sent.
fn assert_bounded(rows: &[Value], topic: &str) {
    let length =
        |row: &Value, field: &str| row[field].as_str().map_or(0, |text| text.chars().count());
    for row in rows {
        assert!(length(row, "description") <= 2_000 && length(row, "full_name") <= 400, "{topic}");
        assert!(row["topics"].as_array().is_none_or(|topics| topics.len() <= 20), "{topic}");
        for field in ["stargazers_count", "forks_count", "open_issues_count", "size", "id"] {
            let number = row[field].as_i64().expect("a number");
            assert!((0..=1_000_000_000_000).contains(&number), "{topic}: {field} {number}");
        }
        for field in ["html_url", "homepage"] {
            let url = row[field].as_str().unwrap_or_default();
            assert!(url.is_empty() || url.starts_with("https://"), "{topic}: {url}");
        }
        for field in ["created_at", "updated_at", "pushed_at"] {
            let year = row[field].as_str().map(|time| time[..4].parse::<u32>().expect("a year"));
            assert!(year.is_none_or(|year| year >= 1970), "{topic}: {}", row[field]);
        }
    }
}

/// Every form of a topic's answer, without anything that a browser would run or a reader refuse.
async fn assert_shown(process: &ApiProcess, topic: &str) {
    for path in [
        format!("/t/{topic}"),
        format!("/api/{topic}?format=csv&fields=all"),
        format!("/exports/{topic}.ndjson"),
        format!("/charts/topics/{topic}.svg"),
        format!("/feeds/{topic}/new.atom"),
        format!("/db/activity/{topic}"),
    ] {
        let (status, body) = process.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        if !path.contains("csv") && !path.contains("ndjson") && !path.starts_with("/db/") {
            assert!(!body.contains("<img src=x"), "{path}");
        }
        if path.ends_with(".svg") || path.ends_with(".atom") {
            roxmltree::Document::parse(&body).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
}

async fn check(process: &ApiProcess, case: &Case, answer: &Answer) {
    let (name, report) = (case.topic, answer.json());
    assert!(answer.body.len() < 5_000, "{name}: a report is short");
    let (status, body) = process.get(&format!("/api/{name}?fields=all")).await;
    let (rows, skipped, retries) = match case.expected {
        Expected::Kept => (GOOD + 1, 0, 0),
        Expected::Skipped => (GOOD, 1, 0),
        Expected::Retried => (1, 0, 1),
        Expected::Refused => {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name}: {report}");
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{name}: {body}");
            return;
        }
    };
    assert_eq!(report["complete"], true, "{name}: {report}");
    assert_eq!(report["skipped"], skipped, "{name}: {report}");
    let again = report["retries"].as_i64().zip(report["pages_refetched"].as_i64());
    assert_eq!(again.map(|(retried, read)| retried + read), Some(retries), "{name}: {report}");
    assert_eq!(status, StatusCode::OK, "{name}: {body}");
    let list: Vec<Value> = serde_json::from_str(&body).expect("JSON");
    assert_eq!(list.len(), rows, "{name}: {body:.300}");
    assert_bounded(&list, name);
    assert_shown(process, name).await;
}

#[tokio::test]
async fn hostile_answers_are_bounded_and_the_service_goes_on() {
    let cases = cases();
    let github = HostileGitHub::start(&cases).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("GITHUB_API_URL", github.url.as_str()),
        ("SCHEDULER", "external"),
        ("TOPICS", "good"),
        ("ON_DEMAND_TOPICS", "false"),
    ];
    let process = ApiProcess::start(api(&folder, &settings)).await;
    let (http, url) = (http_client(), process.url.clone());
    let refresh = async |topic: &str| {
        let url = format!("{url}/update_cache?topic={topic}");
        send(&http, Method::POST, &url, &[]).await
    };
    assert_eq!(refresh("good").await.status, StatusCode::OK);
    let refreshes = join_all(cases.iter().map(|case| refresh(case.topic)));
    let reader = async {
        loop {
            for path in ["/api/good", "/health", "/t/good"] {
                assert_eq!(process.get(path).await.0, StatusCode::OK, "{path}");
            }
        }
    };
    let answers = tokio::select! {
        answers = tokio::time::timeout(Duration::from_secs(90), refreshes) => answers,
        () = reader => unreachable!("it reads for ever"),
    };
    let answers = answers.expect("every refresh ends");
    for (case, answer) in cases.iter().zip(&answers) {
        check(&process, case, answer).await;
    }
    assert!(github.requests() < 10 * cases.len(), "{} requests", github.requests());
    let peak = peak_memory(process.id());
    assert!(peak < MOST_MEMORY, "{peak} MB");
    process.signal("-TERM");
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.len() < 200_000, "{} bytes of log", log.len());
}
