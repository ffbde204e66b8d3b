//! The numbers of pages equal the JSON that the pages name, field by field.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::Browser;
use super::pages::mirror;
use crate::support::Mirror;

/// A number as pages write it.
pub(super) fn number(text: &str) -> i64 {
    let plain = text.replace('\u{202f}', "").replace('−', "-");
    plain.parse().unwrap_or_else(|_| panic!("a number: {text:?}"))
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// The JSON that the open page names.
pub(super) async fn json_of(browser: &Browser, mirror: &Mirror) -> Vec<Value> {
    let named = browser.attributes("link[type='application/json']", "href").await;
    let [path] = &named[..] else { panic!("one address: {named:?}") };
    let rows = mirror.get(path).await.json();
    rows.as_array().expect("rows").clone()
}

/// Compares a row of a page with that of its JSON.
fn compare(shown: &Map<String, Value>, row: &Value, counted: &str, at: &str) {
    let text = |head: &str| {
        shown.get(head).and_then(Value::as_str).unwrap_or_else(|| panic!("{head} in {shown:?}"))
    };
    let or_dash = |value: &Value| value.as_str().unwrap_or("–").to_owned();
    let repository = text("repository");
    assert!(repository.starts_with(row["full_name"].as_str().expect("a name")), "{repository}");
    let description = row["description"].as_str().unwrap_or_default();
    let description: Vec<&str> = description.split_whitespace().collect();
    let said: Vec<&str> = repository.split_whitespace().collect();
    assert!(said.ends_with(&description), "{said:?} ends with {description:?}");
    assert_eq!(text("language"), or_dash(&row["language"]), "{repository}");
    assert_eq!(number(text("stars")), row["stargazers_count"], "{repository}");
    assert_eq!(
        number(text(counted)),
        row[if counted == "forks" { "forks_count" } else { "gained" }]
    );
    assert_eq!(time(&shown[at]), time(&row[format!("{at}_at")]), "{repository}");
    let cautions = ["archived", "no push in 2 years", "one day made it"];
    let caution = cautions.into_iter().find(|caution| repository.contains(caution));
    assert_eq!(caution == Some("archived"), row["archived"] == true, "{repository}");
}

#[tokio::test]
async fn numbers_of_each_list_equal_the_json_that_the_page_names() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    for (path, counted, at) in [
        ("", "7 days", "pushed"),
        ("?window=30d&by=percent&per_page=200", "30 days", "pushed"),
        ("/popularity?language=Go,Rust&page=2&per_page=7", "forks", "pushed"),
        ("/falling?window=90d", "90 days", "pushed"),
        ("/popularity?archived=true", "forks", "pushed"),
        ("/activity", "forks", "updated"),
        ("/newest", "forks", "created"),
        ("/best_match?per_page=10", "forks", "pushed"),
    ] {
        browser.open(&format!("{}/t/kubernetes{path}", mirror.url)).await;
        let (shown, rows) = (browser.table("main table").await, json_of(&browser, &mirror).await);
        assert!(!rows.is_empty() && shown.len() == rows.len(), "{path}: {} rows", rows.len());
        for (shown, row) in shown.iter().zip(&rows) {
            compare(shown, row, counted, at);
        }
        let first = if path.contains("&page=2") { 8 } else { 1 };
        for (shown, place) in shown.iter().zip(first..) {
            let shown = shown["place"].as_str().expect("text");
            assert_eq!(shown.split_whitespace().next().map(number), Some(place), "{path}");
        }
    }
}

/// The text of a row's cell.
fn cell<'a>(row: &'a Map<String, Value>, head: &str) -> &'a str {
    row.get(head).and_then(Value::as_str).unwrap_or_else(|| panic!("{head} in {row:?}"))
}

#[tokio::test]
async fn numbers_of_the_first_page_equal_the_topics_their_days_and_their_lists() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    browser.open(&mirror.url).await;
    let (shown, topics) = (browser.table("main table").await, json_of(&browser, &mirror).await);
    assert_eq!((shown.len(), topics.len()), (2, 2));
    for (shown, state) in shown.iter().zip(&topics) {
        let topic = state["topic"].as_str().expect("a topic");
        assert_eq!(cell(shown, "topic"), topic);
        assert_eq!(number(cell(shown, "repositories")), state["stored"]);
        assert_eq!(time(&shown["state"]), time(&state["refreshed_at"]));
        let days = mirror.get(&format!("/topics/{topic}/history")).await.json();
        let days = days.as_array().expect("days").iter().rev().take(7);
        let gained: i64 = days.filter_map(|day| day["stars_gained"].as_i64()).sum();
        assert_eq!(number(cell(shown, "stars in 7 days")), gained, "{topic}");
        let list = mirror.get(&format!("/api/trending/{topic}")).await.json();
        let movers: Vec<&str> = cell(shown, "gained most in 7 days").split_whitespace().collect();
        let expected = list.as_array().expect("rows").iter().take(movers.len() / 2);
        assert_eq!(movers.len(), 6, "{movers:?}");
        for (mover, row) in movers.chunks(2).zip(expected) {
            assert_eq!(
                (mover[0], number(mover[1])),
                (
                    row["full_name"].as_str().expect("a name"),
                    row["gained"].as_i64().expect("stars"),
                )
            );
        }
    }
}

#[tokio::test]
async fn numbers_of_the_status_equal_the_refreshes() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    browser.open(&format!("{}/status", mirror.url)).await;
    let shown = browser.table("[aria-label=Refreshes] table").await;
    let refreshes = json_of(&browser, &mirror).await;
    assert_eq!((shown.len(), refreshes.len()), (2, 2));
    for (shown, refresh) in shown.iter().zip(&refreshes) {
        assert_eq!(number(cell(shown, "refresh")), refresh["id"]);
        assert_eq!(cell(shown, "topic"), refresh["topic"]);
        assert_eq!(time(&shown["started"]), time(&refresh["started_at"]));
        assert_eq!(cell(shown, "outcome"), refresh["outcome"]);
        assert_eq!(number(cell(shown, "requests")), refresh["requests"]);
    }
    let shown = browser.table("[aria-label=Topics] table").await;
    let ready = mirror.get("/ready").await.json();
    let topics = ready["topics"].as_array().expect("topics");
    assert_eq!((shown.len(), topics.len()), (2, 2));
    for (shown, topic) in shown.iter().zip(topics) {
        assert_eq!(cell(shown, "topic"), topic["topic"]);
        assert_eq!(cell(shown, "state") == "complete", topic["complete"] == true);
    }
}

/// Compares the fields of a repository on a page with its JSON, as far as the page has them.
fn compare_fields(shown: &Map<String, Value>, repository: &Value) {
    let growth = |window: &str| repository["growth"][window]["gained"].clone();
    for (head, expected) in [
        ("stars", repository["stargazers_count"].clone()),
        ("forks", repository["forks_count"].clone()),
        ("open issues", repository["open_issues_count"].clone()),
        ("issues", repository["open_issues_count"].clone()),
        ("7 days", growth("7d")),
        ("30 days", growth("30d")),
        ("90 days", growth("90d")),
    ] {
        if let Some(text) = shown.get(head).and_then(Value::as_str) {
            let text = text.split_whitespace().next().unwrap_or_default();
            let own = (text != "–").then(|| number(text));
            assert_eq!(json!(own), expected, "{head} of {shown:?}");
        }
    }
    for head in ["language", "license"] {
        assert_eq!(cell(shown, head), repository[head].as_str().unwrap_or("–"), "{shown:?}");
    }
    for head in ["created", "pushed"] {
        assert_eq!(time(&shown[head]), time(&repository[format!("{head}_at")]), "{shown:?}");
    }
}

#[tokio::test]
async fn numbers_of_a_repository_and_of_a_comparison_equal_their_json() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let list = mirror.get("/api/popularity/kubernetes?per_page=3").await.json();
    let names = [0, 1, 2].map(|place| list[place]["full_name"].as_str().expect("a name"));
    let mut repositories = Vec::new();
    for name in names {
        browser.open(&format!("{}/r/{name}", mirror.url)).await;
        let named = browser.attributes("link[type='application/json']", "href").await;
        let repository = mirror.get(&named[0]).await.json();
        let facts = "
            const said = fact => fact.querySelector('time')?.dateTime ?? fact.innerText.trim();
            return Object.fromEntries([...document.querySelectorAll('main dl > div')].map(
                pair => [pair.children[0].innerText, said(pair.children[1])]))";
        let facts = browser.evaluate(facts, &[]).await;
        compare_fields(facts.as_object().expect("facts"), &repository);
        let places = browser.texts("[aria-labelledby=places] tbody :is(th, td)").await;
        let ranked = &repository["topics_ranked"][0];
        assert_eq!((json!(places[0]), places.len()), (ranked["topic"].clone(), 9));
        for (place, ranking) in [(3, "popularity"), (7, "activity"), (8, "best_match")] {
            assert_eq!(number(&places[place]), ranked[ranking], "{name}: {ranking}");
        }
        repositories.push(repository);
    }
    let former = repositories[0]["former_names"][0]["full_name"].as_str().expect("a former name");
    browser.open(&format!("{}/r/{}", mirror.url, names[0])).await;
    assert!(browser.texts("main").await[0].contains(former), "{former}");
    browser.open(&format!("{}/compare?repos={}", mirror.url, names.join(","))).await;
    let shown = browser.table("main table").await;
    assert_eq!(shown.len(), 3);
    for (shown, repository) in shown.iter().zip(&repositories) {
        assert_eq!(cell(shown, "repository"), repository["full_name"]);
        compare_fields(shown, repository);
    }
}
