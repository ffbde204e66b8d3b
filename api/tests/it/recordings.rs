//! The GitHub client against recorded responses, with their headers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::clock::Clock;
use api::github::{Deadline, GitHub, GitHubConfig, GitHubError, SearchPage, Sort, Usage};
use api::model::quota::Priority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::databases;
use crate::real_data::real_data;
use crate::support::{TestClock, install_tls_provider};

/// The lines of a file of recordings.
fn recordings(file: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(real_data()?.join(file)).expect("the recordings");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// A recorded header's value. Some recordings have a template instead of a time, which names an
/// offset from `now`.
fn value(recorded: &str, now: DateTime<Utc>) -> String {
    if !recorded.starts_with("{{") {
        return recorded.to_owned();
    }
    let (count, unit) = recorded
        .split_once("offset='")
        .and_then(|(_, rest)| rest.split_once('\''))
        .and_then(|(offset, _)| offset.split_once(' '))
        .unwrap_or(("0", "seconds"));
    let count: i64 = count.parse().expect("a number");
    let time =
        now + if unit == "minutes" { TimeDelta::minutes(count) } else { TimeDelta::seconds(count) };
    if recorded.contains("unix") {
        time.timestamp().to_string()
    } else {
        time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

/// The recorded headers that the test's server sends. Links lead to `origin`, if there is one.
fn headers(recording: &Value, now: DateTime<Utc>, origin: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // GitHub's clock is the test's, not that of the day of the recording.
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.insert("date", HeaderValue::try_from(date).expect("a value"));
    for (name, recorded) in recording["headers"].as_object().expect("headers") {
        let name = name.to_ascii_lowercase();
        // These describe the recorded connection rather than the response.
        if ["content-encoding", "transfer-encoding", "content-length", "connection", "date"]
            .contains(&&*name)
        {
            continue;
        }
        let values = recorded.as_array().cloned().unwrap_or_else(|| vec![recorded.clone()]);
        for recorded in values {
            let mut value = value(recorded.as_str().expect("text"), now);
            if let (Some(origin), "link") = (origin, &*name) {
                value = ["https://api.github.com", "http://localhost:54240"]
                    .iter()
                    .fold(value, |value, own| value.replace(own, origin));
            }
            headers.append(
                HeaderName::try_from(&name).expect("a name"),
                HeaderValue::try_from(value).expect("a value"),
            );
        }
    }
    headers
}

/// The client's result, requests and waiting time.
struct SearchResult {
    page: Result<SearchPage, GitHubError>,
    requests: usize,
    waited: TimeDelta,
}

/// Searches on a server that replays the recording: every time, or once and then an empty page.
async fn replay(recording: &Value, every_time: bool, own_links: bool) -> SearchResult {
    install_tls_provider();
    let clock = TestClock::new();
    let start = clock.now();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let status = StatusCode::from_u16(
        u16::try_from(recording["status"].as_u64().expect("a status")).expect("a small number"),
    )
    .expect("a status");
    let headers = headers(recording, start, own_links.then_some(&origin));
    let body =
        recording["body"].as_str().map_or_else(|| recording["body"].to_string(), str::to_owned);
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let router = axum::Router::new().fallback(async move || {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 || every_time {
            return (status, headers.clone(), body.clone());
        }
        (StatusCode::OK, HeaderMap::new(), json!({ "total_count": 0, "items": [] }).to_string())
    });
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let page = search(&origin, Arc::clone(&clock)).await;
    server.abort();
    SearchResult { page, requests: requests.load(Ordering::Relaxed), waited: clock.now() - start }
}

/// Asks this origin for one page of a search.
async fn search(origin: &str, clock: Arc<TestClock>) -> Result<SearchPage, GitHubError> {
    let database = databases::sqlite();
    let store = api::store::open(&database.url()).await.expect("a database");
    store.bootstrap().await.expect("a schema");
    let config = GitHubConfig {
        url: origin.parse().expect("an address"),
        token: None,
        keeps_internal: false,
    };
    let deadline =
        Deadline { priority: Priority::Scheduled, until: clock.now() + TimeDelta::hours(1) };
    let github = GitHub::new(&config, Arc::clone(&store), clock, CancellationToken::new())
        .expect("a client");
    let first = github.first_page("topic:kubernetes", Sort::Stars);
    let page = github.search(&first, deadline, &mut Usage::default(), None).await;
    store.close().await;
    page
}

#[tokio::test]
async fn client_reads_every_recorded_search_page() {
    let Some(recordings) = recordings("recorded-search-repositories-pages.jsonl") else { return };
    assert_eq!(recordings.len(), 9);
    for recording in recordings {
        let named = format!("{} of {}", recording["url"], recording["source"]);
        let SearchResult { page, requests, .. } = replay(&recording, true, true).await;
        let page = page.unwrap_or_else(|error| panic!("{named}: {error}"));
        let items = recording["body"]["items"].as_array().expect("items");
        assert_eq!(
            (page.repositories.len(), page.skipped.len(), requests),
            (items.len(), 0, 1),
            "{named}"
        );
        assert_eq!(
            (&json!(page.total_count), page.incomplete_results),
            (&recording["body"]["total_count"], false),
            "{named}"
        );
        for (repository, item) in page.repositories.iter().zip(items) {
            let read = json!([
                repository.id,
                repository.full_name,
                repository.stargazers_count,
                repository.language
            ]);
            assert_eq!(
                read,
                json!([item["id"], item["full_name"], item["stargazers_count"], item["language"]]),
                "{named}"
            );
        }
        let link = recording["headers"]
            .as_object()
            .expect("headers")
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("link"));
        assert_eq!(page.next.is_some(), link.is_some(), "{named}");
        if link.is_some() {
            assert!(
                page.next.is_some_and(|next| next
                    .query_pairs()
                    .any(|pair| pair == ("page".into(), "2".into()))),
                "{named}"
            );
            // The recorded link leads to another origin, where the client does not follow it.
            let foreign = replay(&recording, true, false).await.page.expect("a page");
            let host = foreign.next.and_then(|next| next.host_str().map(str::to_owned));
            assert_eq!(host.as_deref(), Some("127.0.0.1"), "{named}");
        }
    }
}

#[tokio::test]
async fn client_retries_recorded_errors_only_when_they_can_pass() {
    let Some(recordings) = recordings("recorded-error-responses.jsonl") else { return };
    assert_eq!(recordings.len(), 19);
    for recording in recordings {
        let named = format!("{} of {}", recording["status"], recording["source"]);
        let header = |wanted: &str| {
            let headers = recording["headers"].as_object().expect("headers");
            headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .and_then(|(_, value)| value.as_str())
        };
        let SearchResult { page, requests, waited } = replay(&recording, false, true).await;
        match recording["status"].as_u64() {
            Some(401 | 422) => {
                assert!(
                    matches!(page, Err(GitHubError::Refused { .. } | GitHubError::Denied(_))),
                    "{named}: {page:?}"
                );
                assert_eq!((requests, waited.num_seconds()), (1, 0), "{named}: no retry");
            }
            Some(503) => {
                assert!(page.is_ok(), "{named}: {page:?}");
                assert!(
                    requests == 2 && waited < TimeDelta::seconds(5),
                    "{named}: a retry within 5 s"
                );
            }
            Some(403 | 429) => {
                assert!(page.is_ok(), "{named}: {page:?}");
                let seconds = match (header("retry-after"), header("x-ratelimit-remaining")) {
                    (Some(date), _) if date.starts_with("{{") => 8,
                    (Some(seconds), _) => seconds.parse().expect("seconds"),
                    // The window ends in 3 s, and its header counts whole seconds.
                    (None, Some("0")) => 4,
                    (None, _) => 60,
                };
                assert_eq!((requests, waited.num_seconds()), (2, seconds), "{named}");
            }
            other => panic!("{named}: {other:?}"),
        }
    }
}

/// No recording has this fault, which a proxy before GitHub can cause.
#[tokio::test]
async fn client_stops_reading_a_body_over_16_mb() {
    install_tls_provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let endless = || {
        futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 1 << 20]))
        })
    };
    let router =
        axum::Router::new().fallback(async move || axum::body::Body::from_stream(endless()));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let error = search(&origin, TestClock::new()).await.expect_err("no page");
    server.abort();
    assert_eq!(error.to_string(), "GitHub failed 4 times: the answer is longer than 16 MB");
}
