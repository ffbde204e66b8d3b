//! `/metrics` of the program, held to the list of families.

use std::collections::{BTreeMap, BTreeSet};

use api::telemetry::{FAMILIES, Family, Kind};
use github_stub::World;
use github_stub::limits::Limit;
use reqwest::StatusCode;
use tempfile::TempDir;

use super::{ApiProcess, api, stub};

/// A family as `/metrics` shows it.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    help: String,
    kind: String,
    /// The labels of its samples, without a bucket's bound.
    labels: BTreeSet<Vec<String>>,
}

/// The families of a scrape by name.
fn families(text: &str) -> BTreeMap<String, Shown> {
    let mut families = BTreeMap::<String, Shown>::new();
    let mut histograms = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a text");
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
            if kind == "histogram" {
                histograms.insert(name.to_owned());
            }
        } else {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let parts = ["_bucket", "_sum", "_count"];
            let mut whole = parts.iter().filter_map(|part| name.strip_suffix(part));
            let name = whole.find(|name| histograms.contains(*name)).unwrap_or(name);
            // No value here has a comma, a quote or an equals sign.
            let names = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let names = names.map(|label| label.split_once('=').expect("a value").0.to_owned());
            let labels = names.filter(|label| label != "le").collect();
            families.entry(name.to_owned()).or_default().labels.insert(labels);
        }
    }
    families
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// The program and the address of its metrics.
async fn start(folder: &TempDir, settings: &[(&str, &str)]) -> (ApiProcess, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let mut command = api(folder, settings);
    command.env("METRICS_ADDR", &address).env("SCHEDULER", "external");
    (ApiProcess::start(command).await, address)
}

async fn scrape(address: &str) -> String {
    let answer = reqwest::get(format!("http://{address}/metrics")).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    answer.text().await.expect("a body")
}

#[tokio::test]
async fn metrics_are_the_listed_families_each_with_help_type_and_labels() {
    let stub = stub(World::generate(10, 7, "kubernetes")).await;
    // Requests within a limit of this size are not spaced.
    let limit = Limit { with_token: 2_000, without_token: 2_000 };
    stub.world().settings.search_limit = Some(limit);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("GITHUB_API_URL", &*stub.url()),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("PURGE_URL", "http://127.0.0.1:1"),
        ("PURGE_DIALECT", "varnish"),
        ("PURGE_KEY", "key"),
    ];
    let (process, address) = start(&folder, &settings).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    assert_eq!(process.get("/api/kubernetes").await.0, StatusCode::OK);
    assert_eq!(process.get("/metrics").await.0, StatusCode::NOT_FOUND, "not for clients");

    let text = scrape(&address).await;
    let expected = FAMILIES.iter().map(|family| {
        let Family { name, help, labels, .. } = family;
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let kind = kind(family.kind).to_owned();
        let shown = Shown { help: (*help).to_owned(), kind, labels: BTreeSet::from([labels]) };
        ((*name).to_owned(), shown)
    });
    assert_eq!(families(&text), expected.collect(), "{text}");
    for line in [
        "http_requests_total{route=\"/api/{topic}\",method=\"GET\",status=\"200\"} 1",
        "mirror_list_reads_total{tier=\"memory\"} 1",
        "mirror_topic_complete{topic=\"kubernetes\"} 1",
        "mirror_topic_repositories{topic=\"kubernetes\"} 10",
        "mirror_refreshes_total{outcome=\"complete\"} 1",
        "mirror_refresh_duration_seconds_count 1",
        "mirror_refresh_period_seconds 3600",
        "mirror_github_requests_total{resource=\"search\",outcome=\"good\"} 1",
        "mirror_github_quota_remaining{resource=\"search\"} 1999",
        "mirror_github_quota_limit{resource=\"search\"} 2000",
        "mirror_github_paused_seconds 0",
        "mirror_database_errors_total 0",
        "mirror_database_writes_failing 0",
        "mirror_purges_total{outcome=\"failed\"} 0",
        "mirror_cache_up{tier=\"memory\"} 1",
        "mirror_cache_up{tier=\"redis\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn metrics_of_a_topic_end_when_it_is_deleted() {
    let stub = stub(World::generate(10, 7, "kubernetes")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (process, address) = start(&folder, &[("GITHUB_API_URL", &*stub.url())]).await;
    assert_eq!(process.get("/update_cache").await.0, StatusCode::OK);
    for _ in 0..2 {
        assert!(scrape(&address).await.contains("topic=\"kubernetes\""));
    }
    let topic = format!("{}/topics/kubernetes", process.url);
    let deleted = reqwest::Client::new().delete(topic).send().await.expect("an answer");
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let text = scrape(&address).await;
    assert!(!text.contains("topic=\"kubernetes\""), "{text}");
    assert!(text.contains("mirror_refresh_period_seconds 3600"), "{text}");
}

#[test]
fn operations_document_has_the_listed_families() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let document = std::fs::read_to_string(path).expect("the document");
    let rows: Vec<&str> = document
        .lines()
        .filter(|line| {
            ["http_", "mirror_", "process_"]
                .iter()
                .any(|start| line.strip_prefix("| `").is_some_and(|row| row.starts_with(start)))
        })
        .collect();
    let listed = FAMILIES.iter().map(|Family { name, kind: of, labels, help }| {
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("| `{name}{labels}` | {} | {help} |", kind(*of))
    });
    assert_eq!(rows, listed.collect::<Vec<_>>());
}
