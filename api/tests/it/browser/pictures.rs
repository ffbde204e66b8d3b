//! Charts and badges as Chromium draws them.

use serde_json::json;

use super::pages::mirror;
use super::{Browser, DESKTOP};

#[tokio::test]
async fn chart_and_badge_are_drawn_in_both_themes_without_a_message() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let list = mirror.get("/api/popularity/kubernetes?per_page=2").await.json();
    let [first, second] = [0, 1].map(|place| list[place]["full_name"].as_str().expect("a name"));
    browser.resize(DESKTOP).await;
    for (name, path) in [
        ("chart", format!("/charts/{first}.svg?width=1200&height=600")),
        ("chart-daily", format!("/charts/{second}.svg?type=daily&range=90d")),
        ("chart-compared", format!("/charts/compare.svg?repos={first},{second}")),
        ("chart-topic", "/charts/topics/kubernetes.svg".to_owned()),
        ("badge", format!("/badges/kubernetes/{first}.svg")),
    ] {
        let mut fills = Vec::new();
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            browser.open(&format!("{}{path}", mirror.url)).await;
            let script = "return getComputedStyle(document.querySelector('rect,path')).fill";
            fills.push(browser.evaluate(script, &[]).await);
            browser.picture(&format!("{name}-{scheme}")).await;
        }
        let title = "return document.querySelector('title').textContent.length > 0";
        assert_eq!(browser.evaluate(title, &[]).await, json!(true), "{path}");
        // A badge has the same colours on every page.
        assert_eq!(fills[0] == fills[1], name == "badge", "{path}: {fills:?}");
        browser.assert_quiet(&mirror.url).await;
    }
}
