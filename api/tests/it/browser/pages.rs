//! The checks that every page passes.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::checks::{self, Axe};
use super::{Browser, DESKTOP, NARROW};
use crate::databases;
use crate::events::{edit, rename};
use crate::growth::with_a_past_of;
use crate::support::Mirror;

/// The most bytes of a page with its style, its script and its icon, compressed.
const MOST_BYTES: usize = 60 * 1_024;

/// The repositories of each topic.
pub(super) const REPOSITORIES: usize = 120;

/// A mirror with 90 days of a past, on whose last day a repository got another name, another one
/// was archived, and others gained and lost stars.
pub(super) async fn mirror() -> (Mirror, TempDir) {
    let (mirror, past) = with_a_past_of(REPOSITORIES, databases::sqlite(), &[]).await;
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    mirror.clock.advance(TimeDelta::days(1));
    rename(&mirror, ids[0], "new/name");
    edit(&mirror, ids[1], &json!({ "archived": true }));
    for (id, gained) in ids[2..].iter().zip(-12..12) {
        let mut world = mirror.stub.world();
        let stars = world.repository(*id).expect("a repository").stars;
        world.star(*id, stars + gained, mirror.service.clock.now());
    }
    mirror.refresh("kubernetes").await;
    mirror.refresh("mcp").await;
    (mirror, past)
}

/// The paths of all pages, each with a name for its pictures.
async fn pages(mirror: &Mirror) -> Vec<(String, &'static str)> {
    let list = mirror.get("/api/popularity/kubernetes?per_page=2").await.json();
    let [first, second] = [0, 1].map(|place| list[place]["full_name"].as_str().expect("a name"));
    let pages = [
        ("/", "home"),
        ("/t/kubernetes", "trending"),
        ("/t/kubernetes?language=Go,Rust&stars=2..&per_page=20&page=2&window=30d", "filtered"),
        ("/t/kubernetes/popularity?per_page=20", "popularity"),
        ("/t/kubernetes/activity?per_page=20", "activity"),
        ("/t/kubernetes/newest?per_page=20", "newest"),
        ("/t/kubernetes/falling", "falling"),
        ("/t/kubernetes/best_match?q=no+such+words", "no-rows"),
        ("/t/kubernetes?stars=x&created=y", "refused"),
        ("/compare", "compare-none"),
        ("/status", "status"),
        ("/docs", "docs"),
        ("/nothing", "error"),
    ];
    let mut pages = Vec::from(pages.map(|(path, name)| (path.to_owned(), name)));
    pages.push((format!("/r/{first}"), "repository"));
    pages.push((format!("/r/{second}"), "archived"));
    pages.push((format!("/compare?repos={first},{second}"), "compare"));
    pages
}

/// Checks a page in both themes and in a narrow window, and keeps pictures of it.
async fn check(browser: &Browser, axe: &Axe, mirror: &Mirror, path: &str, name: &str) {
    for theme in ["light", "dark"] {
        browser.prefer(theme).await;
        browser.open(&format!("{}{path}", mirror.url)).await;
        browser.assert_quiet(&mirror.url).await;
        browser.picture(&format!("{name}-{theme}")).await;
        assert_eq!(axe.faults(browser, theme == "dark").await, [""; 0], "{path}, {theme}");
    }
    browser.resize(NARROW).await;
    browser.picture(&format!("{name}-narrow")).await;
    let excess = "const { scrollWidth, clientWidth } = document.documentElement; \
        return scrollWidth - clientWidth";
    assert_eq!(browser.evaluate(excess, &[]).await, 0, "{path} scrolls sideways");
    browser.resize(DESKTOP).await;
}

#[tokio::test]
async fn every_page_is_accessible_quiet_and_fits_a_narrow_window() {
    let (Some(browser), Some(axe)) = (Browser::start().await, Axe::fetch()) else { return };
    let (mirror, _past) = mirror().await;
    for (path, name) in pages(&mirror).await {
        check(&browser, &axe, &mirror, &path, name).await;
    }
}

#[tokio::test]
async fn every_page_is_valid_html() {
    let (mirror, _past) = mirror().await;
    let mut all = Vec::new();
    for (path, _) in pages(&mirror).await {
        let html = mirror.get_with(&path, &[("accept", "text/html")]).await.text();
        assert!(html.starts_with("<!DOCTYPE html>"), "{path}: {html}");
        all.push((path, html));
    }
    assert_eq!(checks::invalid(&all).await.unwrap_or_default(), [""; 0]);
}

#[tokio::test]
async fn every_page_is_whole_without_a_script() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let pages = pages(&mirror).await;
    let mut texts = Vec::new();
    for are_on in [true, false] {
        browser.run_scripts(are_on).await;
        for (path, _) in &pages {
            browser.open(&format!("{}{path}", mirror.url)).await;
            // A page of an error has the id of its request.
            let text = browser.texts("body > :not(main), main > :not(:last-child)").await;
            texts.push(text);
        }
    }
    let (with, without) = texts.split_at(pages.len());
    for ((with, without), (path, _)) in with.iter().zip(without).zip(&pages) {
        assert_eq!(with, without, "{path}");
    }
}

#[tokio::test]
async fn every_link_of_a_page_leads_to_an_answer_and_the_page_is_small() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    let mut links = Vec::new();
    for (path, _) in pages(&mirror).await {
        browser.requests().await;
        browser.open(&format!("{}{path}", mirror.url)).await;
        let requests = browser.requests().await;
        let others = requests.iter().filter(|url| !url.ends_with(".svg"));
        assert!(others.count() <= 3, "{path}: {requests:?}");
        links.extend(browser.attributes("a[href^='/'], link[href^='/']", "href").await);
        let script = "return [...document.querySelectorAll('link[rel=stylesheet], link[rel=icon]')]
            .map(link => link.href).concat([...document.scripts].map(script => script.src))";
        let parts = browser.evaluate(script, &[]).await;
        let mut bytes = 0;
        for part in parts.as_array().expect("addresses").iter().filter_map(Value::as_str) {
            let part = part.strip_prefix(&mirror.url).unwrap_or_else(|| panic!("own: {part}"));
            bytes += mirror.get_with(part, &[("accept-encoding", "br")]).await.body.len();
        }
        let headers = [("accept", "text/html"), ("accept-encoding", "br")];
        bytes += mirror.get_with(&path, &headers).await.body.len();
        assert!(bytes <= MOST_BYTES, "{path}: {bytes} bytes");
    }
    links.sort_unstable();
    links.dedup();
    for link in links {
        let answer = mirror.get_with(&link, &[("accept", "text/html")]).await;
        assert!(answer.status.is_success(), "{link}: {}", answer.text());
    }
}

#[tokio::test]
async fn rows_of_a_page_are_in_a_browser_of_text() {
    let (mirror, _past) = mirror().await;
    for (path, list) in [
        ("/t/kubernetes", "/api/trending/kubernetes"),
        ("/t/kubernetes/popularity", "/api/popularity/kubernetes"),
        ("/t/mcp/newest", "/api/newest/mcp"),
    ] {
        let Some(text) = checks::in_w3m(&format!("{}{path}", mirror.url)).await else { return };
        let words = text.split_whitespace().collect::<String>();
        let rows = mirror.get(&format!("{list}?per_page=100")).await.json();
        for row in rows.as_array().expect("rows") {
            let name = row["full_name"].as_str().expect("a name");
            assert!(words.contains(name), "{name} in {text}");
        }
    }
}
