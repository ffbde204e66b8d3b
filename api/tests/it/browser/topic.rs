//! The page of a topic: its lists, its form, and its numbers.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::pages::mirror;
use super::{Browser, DESKTOP, NARROW};
use crate::support::Mirror;

/// The lists of a topic: the tab of each, and its path after the topic's.
const TABS: [(&str, &str); 6] = [
    ("Trending", ""),
    ("Popular", "/popularity"),
    ("Active", "/activity"),
    ("Newest", "/newest"),
    ("Falling", "/falling"),
    ("Best match", "/best_match"),
];

/// A number as pages write it.
fn number(text: &str) -> i64 {
    let plain = text.replace('\u{202f}', "").replace('−', "-");
    plain.parse().unwrap_or_else(|_| panic!("a number: {text:?}"))
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// The JSON that the open page names.
async fn json_of(browser: &Browser, mirror: &Mirror) -> Vec<Value> {
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
        ("?language=Go,Rust&page=2&per_page=7", "7 days", "pushed"),
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
        let first = if path.contains("page=2") { 8 } else { 1 };
        for (shown, place) in shown.iter().zip(first..) {
            let shown = shown["place"].as_str().expect("text");
            assert_eq!(shown.split_whitespace().next().map(number), Some(place), "{path}");
        }
    }
}

#[tokio::test]
async fn tab_opens_its_list_and_is_the_current_one() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let topic = format!("{}/t/kubernetes", mirror.url);
    browser.open(&format!("{topic}?language=Go&window=30d&page=2&per_page=5")).await;
    for (name, path) in TABS.iter().rev() {
        browser.click(&format!("//nav[@aria-label='Lists']//a[normalize-space()='{name}']")).await;
        let address = browser.address().await;
        let (own, parameters) = address.split_once('?').expect("parameters");
        assert_eq!(own, format!("{topic}{path}"));
        assert!(parameters.contains("language=Go") && !parameters.contains("page=2"), "{address}");
        let current = browser.texts("nav[aria-label=Lists] [aria-current=page]").await;
        assert_eq!(current, [*name]);
        let kept = json_of(&browser, &mirror).await;
        assert!(kept.iter().all(|row| row["language"] == "Go"), "{address}");
    }
    browser.assert_quiet(&mirror.url).await;
}

#[tokio::test]
async fn form_has_the_parameters_and_chips_take_them_away() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let topic = format!("{}/t/kubernetes/popularity", mirror.url);
    for is_narrow in [false, true] {
        browser.run_scripts(!is_narrow).await;
        browser.resize(if is_narrow { NARROW } else { DESKTOP }).await;
        browser.open(&topic).await;
        if is_narrow {
            browser.click("//summary[.='Filter and search']").await;
        }
        browser.fill(&field("language"), "Go").await;
        browser.fill(&field("stars"), "2..").await;
        browser.click("//form[@aria-label='Filter']//button").await;
        assert_eq!(browser.address().await, format!("{topic}?language=Go&stars=2.."));
        let values = "return ['language', 'stars'].map(name => \
            document.querySelector(`form[aria-label=Filter] [name=${name}]`).value)";
        assert_eq!(browser.evaluate(values, &[]).await, serde_json::json!(["Go", "2.."]));
        let rows = json_of(&browser, &mirror).await;
        let is_asked =
            |row: &Value| row["language"] == "Go" && row["stargazers_count"].as_i64() >= Some(2);
        assert!(!rows.is_empty() && rows.iter().all(is_asked));
        browser.click("//a[contains(., 'language: Go')]").await;
        assert_eq!(browser.address().await, format!("{topic}?stars=2.."));
        browser.click("//a[contains(., 'stars: 2..')]").await;
        assert_eq!(browser.address().await, topic);
    }
    browser.assert_quiet(&mirror.url).await;
}

/// The field of the filter's form with a label.
fn field(label: &str) -> String {
    format!("//form[@aria-label='Filter']//*[@id=//label[normalize-space()='{label}']/@for]")
}

#[tokio::test]
async fn facet_leads_to_as_many_repositories_as_it_says() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    for parameter in ["language", "license", "owner", "topic", "created"] {
        browser.open(&format!("{}/t/kubernetes/popularity?stars=2..", mirror.url)).await;
        let facet = format!("//section[@aria-labelledby='facet-{parameter}']");
        let count = format!("section[aria-labelledby=facet-{parameter}] li:first-child span");
        let count = number(&browser.texts(&count).await[0]);
        browser.click(&format!("{facet}//li[1]/a")).await;
        let matched = browser.texts("main .bar [role=status]").await;
        let matched = matched[0].split_whitespace().next().map(number);
        assert_eq!(matched, Some(count), "{}", browser.address().await);
    }
}

#[tokio::test]
async fn pages_of_a_list_follow_each_other() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let list = mirror.get("/api/popularity/kubernetes").await.json();
    let mut places = list.as_array().expect("rows").iter();
    browser.open(&format!("{}/t/kubernetes/popularity?per_page=120", mirror.url)).await;
    for rows in [120, 120, list.as_array().map_or(0, Vec::len) - 240] {
        let shown = browser.table("main table").await;
        assert_eq!(shown.len(), rows);
        for (shown, expected) in shown.iter().zip(&mut places) {
            let name = expected["full_name"].as_str().expect("a name");
            assert!(shown["repository"].as_str().is_some_and(|text| text.starts_with(name)));
        }
        if places.len() > 0 {
            browser.click("//a[@rel='next']").await;
        }
    }
    assert_eq!(browser.attributes("a[rel=next]", "href").await, [""; 0]);
    browser.click("//a[@rel='prev']").await;
    assert!(browser.address().await.ends_with("page=2"));
}
