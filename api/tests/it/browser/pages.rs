//! The checks that every page passes.

use github_stub::World;

use super::checks::{self, Axe};
use super::{Browser, DESKTOP, NARROW};
use crate::events::mirror_with_events;
use crate::support::Mirror;

/// Opens a page in both themes and in a narrow window, keeps pictures of it, and panics if a check
/// finds a fault. Returns the page's HTML.
async fn check(browser: &Browser, axe: &Axe, mirror: &Mirror, path: &str, name: &str) -> String {
    for theme in ["light", "dark"] {
        browser.prefer(theme).await;
        browser.open(&format!("{}{path}", mirror.url)).await;
        browser.assert_quiet(&mirror.url).await;
        browser.picture(&format!("{name}-{theme}")).await;
        assert_eq!(axe.faults(browser).await, [""; 0], "{path}, {theme}");
    }
    browser.resize(NARROW).await;
    let excess = "const { scrollWidth, clientWidth } = document.documentElement; \
        return scrollWidth - clientWidth";
    assert_eq!(browser.evaluate(excess, &[]).await, 0, "{path} scrolls sideways");
    browser.picture(&format!("{name}-narrow")).await;
    browser.resize(DESKTOP).await;
    mirror.get_with(path, &[("accept", "text/html")]).await.text()
}

#[tokio::test]
async fn every_page_is_accessible_valid_quiet_and_fits_a_narrow_window() {
    let (Some(browser), Some(axe)) = (Browser::start().await, Axe::fetch()) else { return };
    let (mirror, _) = mirror_with_events(&[]).await;
    let mut pages = Vec::new();
    for (path, name) in [("/docs", "docs")] {
        pages.push((path.to_owned(), check(&browser, &axe, &mirror, path, name).await));
    }
    assert_eq!(checks::invalid(&pages).await.unwrap_or_default(), [""; 0]);
}

#[tokio::test]
async fn docs_are_whole_without_a_script_and_as_text() {
    let Some(browser) = Browser::start().await else { return };
    let mirror = Mirror::start(World::default()).await;
    let url = format!("{}/docs", mirror.url);
    browser.open(&url).await;
    let texts = browser.texts("main").await;
    browser.run_scripts(false).await;
    browser.open(&url).await;
    assert_eq!(browser.texts("main").await, texts);
    browser.click("//nav//a[text()='Lists']").await;
    assert_eq!(browser.address().await, format!("{url}#Lists"));
    for link in browser.attributes("a[href^='#']", "href").await {
        assert_eq!(browser.attributes(&format!("[id='{}']", &link[1..]), "id").await.len(), 1);
    }
    assert!(checks::in_w3m(&url).await.contains("/api/popularity/{topic}"));
}
