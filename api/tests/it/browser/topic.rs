//! The page of a topic: its lists, its form, its facets and its pages.

use serde_json::Value;

use super::numbers::{json_of, number};
use super::pages::{REPOSITORIES, mirror};
use super::{Browser, DESKTOP, NARROW};

/// The lists of a topic: the tab of each, and its path after the topic's.
const TABS: [(&str, &str); 6] = [
    ("Trending", ""),
    ("Popular", "/popularity"),
    ("Active", "/activity"),
    ("Newest", "/newest"),
    ("Falling", "/falling"),
    ("Best match", "/best_match"),
];

#[tokio::test]
async fn tab_opens_its_list_and_is_the_current_one() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let topic = format!("{}/t/kubernetes", mirror.url);
    browser.open(&format!("{topic}?language=Go&window=30d&page=2&per_page=5")).await;
    for (name, path) in TABS.iter().rev() {
        browser.follow(&format!("//nav[@aria-label='Lists']//a[normalize-space()='{name}']")).await;
        assert_eq!(browser.address().await, format!("{topic}{path}?language=Go&per_page=5"));
        let current = browser.texts("nav[aria-label=Lists] [aria-current=page]").await;
        assert_eq!(current, [*name]);
        let kept = json_of(&browser, &mirror).await;
        assert!(kept.iter().all(|row| row["language"] == "Go"), "{path}");
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
        browser.arrive(&format!("{topic}?language=Go&stars=2..")).await;
        let values = "return ['language', 'stars'].map(name => \
            document.querySelector(`form[aria-label=Filter] [name=${name}]`).value)";
        assert_eq!(browser.evaluate(values, &[]).await, serde_json::json!(["Go", "2.."]));
        let rows = json_of(&browser, &mirror).await;
        let is_asked =
            |row: &Value| row["language"] == "Go" && row["stargazers_count"].as_i64() >= Some(2);
        assert!(!rows.is_empty() && rows.iter().all(is_asked));
        browser.follow("//a[contains(., 'language: Go')]").await;
        assert_eq!(browser.address().await, format!("{topic}?stars=2.."));
        browser.follow("//a[contains(., 'stars: 2..')]").await;
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
        browser.follow(&format!("{facet}//li[1]/a")).await;
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
    browser.open(&format!("{}/t/kubernetes/popularity?per_page=50", mirror.url)).await;
    for rows in [50, 50, REPOSITORIES - 100] {
        let shown = browser.table("main table").await;
        assert_eq!(shown.len(), rows);
        for (shown, expected) in shown.iter().zip(&mut places) {
            let name = expected["full_name"].as_str().expect("a name");
            assert!(shown["repository"].as_str().is_some_and(|text| text.starts_with(name)));
        }
        if places.len() > 0 {
            browser.follow("//a[@rel='next']").await;
        }
    }
    assert_eq!(browser.attributes("a[rel=next]", "href").await, [""; 0]);
    browser.follow("//a[@rel='prev']").await;
    assert!(browser.address().await.ends_with("page=2"));
}
