//! Themes, the keyboard, and pages without their script.

use super::Browser;
use super::pages::mirror;

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

const LIGHT: &str = "rgb(251, 250, 247)";
const DARK: &str = "rgb(21, 22, 26)";

async fn background(browser: &Browser) -> String {
    let script = "return getComputedStyle(document.documentElement).backgroundColor";
    browser.evaluate(script, &[]).await.as_str().expect("a color").to_owned()
}

#[tokio::test]
async fn theme_is_the_persons_own_and_is_remembered_if_scripts_run() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    for are_on in [true, false] {
        browser.run_scripts(are_on).await;
        browser.prefer("dark").await;
        browser.open(&mirror.url).await;
        assert_eq!(background(&browser).await, DARK, "as the system says");
        for (theme, expected) in [("light", LIGHT), ("auto", DARK), ("light", LIGHT)] {
            browser.click(&format!("//label[normalize-space()='{theme}']")).await;
            assert_eq!(background(&browser).await, expected, "{theme}");
        }
        browser.open(&format!("{}/status", mirror.url)).await;
        let expected = if are_on { LIGHT } else { DARK };
        assert_eq!(background(&browser).await, expected, "the next page");
        let checked = "return document.querySelector('[name=theme]:checked').value";
        let expected = if are_on { "light" } else { "auto" };
        assert_eq!(browser.evaluate(checked, &[]).await, expected);
        browser.prefer("light").await;
        browser.click("//label[normalize-space()='dark']").await;
        assert_eq!(background(&browser).await, DARK);
    }
    browser.assert_quiet(&mirror.url).await;
}

#[tokio::test]
async fn keyboard_reaches_the_content_and_opens_a_topic() {
    let Some(browser) = Browser::start().await else { return };
    let (mirror, _past) = mirror().await;
    browser.open(&mirror.url).await;
    let focused = "return document.activeElement.innerText";
    browser.press(TAB).await;
    assert_eq!(browser.evaluate(focused, &[]).await, "Skip to the content");
    browser.press(ENTER).await;
    browser.arrive(&format!("{}/#main", mirror.url)).await;
    browser.press(TAB).await;
    let is_within = "return document.querySelector('main').contains(document.activeElement)";
    assert_eq!(browser.evaluate(is_within, &[]).await, true);
    browser.fill("//input[@name='topic']", "mcp\u{e007}").await;
    browser.arrive(&format!("{}/t/mcp", mirror.url)).await;
    assert_eq!(browser.texts("h1").await, ["mcp"]);
}
