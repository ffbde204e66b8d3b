//! Pages of a moment: a fetch, a refresh, errors; and pages of hostile texts.

use github_stub::{Fault, FaultKind, World};
use reqwest::StatusCode;
use serde_json::json;

use super::{Browser, NARROW};
use crate::events::edit;
use crate::support::{Mirror, eventually};

const AS_BROWSER: [(&str, &str); 1] = [("accept", "text/html,*/*;q=0.8")];

/// The status of the open page.
async fn status(browser: &Browser) -> u64 {
    let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
    browser.evaluate(script, &[]).await.as_u64().expect("a status")
}

#[tokio::test]
async fn topic_that_is_fetched_becomes_its_page_by_itself() {
    let Some(browser) = Browser::start().await else { return };
    let mirror = Mirror::start(World::generate(700, 7, "mcp")).await;
    let slow = Fault::from(FaultKind::Slow { millis: 4_000 }).on("best-match", 3);
    mirror.stub.world().faults.push(slow);
    browser.open(&format!("{}/t/mcp", mirror.url)).await;
    assert_eq!(status(&browser).await, 503);
    let told = browser.texts("main [role=status]").await.join(" ");
    assert!(told.contains("2 of about 15 requests done"), "{told}");
    browser.picture("fetching").await;
    eventually(60, "the topic's page", async || status(&browser).await == 200).await;
    assert_eq!(browser.texts("h1").await, ["mcp"]);
    assert!(!browser.table("main table").await.is_empty());
    browser.assert_quiet(&mirror.url).await;
}

#[tokio::test]
async fn refresh_under_way_is_on_the_status_page_until_it_ends() {
    let Some(browser) = Browser::start().await else { return };
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    let slow = Fault::from(FaultKind::Slow { millis: 6_000 }).on("best-match", 3);
    mirror.stub.world().faults.push(slow);
    let url = format!("{}/status", mirror.url);
    let looks = async {
        eventually(5, "two requests are done", async || {
            mirror.get("/refreshes").await.text().contains(r#""requests":2"#)
        })
        .await;
        browser.open(&url).await;
        let bar = "const bar = document.querySelector('progress'); return [bar.value, bar.max]";
        assert_eq!(browser.evaluate(bar, &[]).await, json!([2, 15]));
        let running = browser.texts("main").await.join(" ");
        assert!(running.contains("2 of about 15 requests done"), "{running}");
        browser.picture("running").await;
        browser.run_scripts(false).await;
    };
    tokio::join!(mirror.refresh("kubernetes"), looks);
    eventually(30, "the page shows the end", async || browser.texts("progress").await.is_empty())
        .await;
    assert_eq!(browser.table("[aria-label=Refreshes] table").await[0]["outcome"], "complete");
    assert_eq!(browser.attributes("meta[http-equiv=refresh]", "content").await, [""; 0]);
    browser.assert_quiet(&mirror.url).await;
}

#[tokio::test]
async fn error_is_a_page_with_the_status_and_the_request_id() {
    let Some(browser) = Browser::start().await else { return };
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let limit = FaultKind::SecondaryLimit { status: 403, retry_after: Some(3_600) };
    mirror.stub.world().faults.push(Fault::from(limit).times(9));
    for (path, expected) in [
        ("/nothing", 404),
        ("/r/no/body", 404),
        ("/t/%20", 400),
        ("/t", 400),
        ("/t/new-topic", 503),
        ("/compare?repos=no/body,no/one", 404),
        ("/api/popularity/kubernetes?stars=x", 400),
    ] {
        let answer = mirror.get_with(path, &AS_BROWSER).await;
        assert_eq!(u64::from(answer.status.as_u16()), expected, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        let id = answer.header("x-request-id");
        // A page with a form, and that of a fetch, say what to do instead.
        let is_told = !path.starts_with("/compare") && !path.ends_with("new-topic");
        assert!(!id.is_empty() && (!is_told || answer.text().contains(id)), "{path}");
        let problem = mirror.get(path).await;
        assert_eq!(u64::from(problem.status.as_u16()), expected, "{path}");
        assert_eq!(problem.header("retry-after"), answer.header("retry-after"), "{path}");
        browser.open(&format!("{}{path}", mirror.url)).await;
        assert_eq!(status(&browser).await, expected, "{path}");
        assert_eq!(browser.texts("h1").await.len(), 1, "{path}");
        browser.assert_quiet(&mirror.url).await;
    }
    mirror.database.query("ALTER TABLE topics RENAME TO lost").await;
    let answer = mirror.get_with("/", &AS_BROWSER).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().contains("<h1>"), "{}", answer.text());
}

#[tokio::test]
async fn refused_parameter_has_its_fault_beside_its_field() {
    let Some(browser) = Browser::start().await else { return };
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let path = "/t/kubernetes?stars=many&created=soon&window=3d&language=Go";
    browser.open(&format!("{}{path}", mirror.url)).await;
    assert_eq!(status(&browser).await, 400);
    browser.picture("refused").await;
    let problem = mirror.get("/api/trending/kubernetes?stars=many&created=soon&window=3d").await;
    for error in problem.json()["errors"].as_array().expect("errors") {
        let name = error["parameter"].as_str().expect("a name");
        let rule = error["detail"].as_str().expect("a rule");
        let script = "
            const field = document.querySelector(`form [name=${arguments[0]}][aria-invalid=true]`);
            const fault = document.getElementById(field.getAttribute('aria-describedby'));
            return [fault.checkVisibility(), fault.innerText]";
        let fault = browser.evaluate(script, &[json!(name)]).await;
        assert_eq!(fault[0], true, "{name}");
        assert!(fault[1].as_str().is_some_and(|text| text.contains(rule)), "{name}: {fault}");
    }
    let kept = "return document.querySelector('form [name=language]').value";
    assert_eq!(browser.evaluate(kept, &[]).await, "Go");
    assert_eq!(browser.texts("form [aria-invalid=true]").await.len(), 3);
}

#[tokio::test]
async fn hostile_texts_are_shown_as_text() {
    let Some(browser) = Browser::start().await else { return };
    let mirror = Mirror::start(World::generate(30, 7, "kubernetes")).await;
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    let long = format!("<script>alert(1)</script> \u{202e}txt.exe 😀{}", "w".repeat(10_000));
    edit(
        &mirror,
        ids[0],
        &json!({
            "full_name": "<i>evil/&amp;'\"\u{202e}`", "name": "&amp;'\"\u{202e}`",
            "description": long, "homepage": "javascript:alert(1)", "language": "<b>C",
            "license": { "key": "<u>", "name": "<u>", "spdx_id": "<u>" },
            "html_url": "https://github.com/evil/\"><script>alert(1)</script>",
        }),
    );
    mirror.refresh("kubernetes").await;
    browser.resize(NARROW).await;
    browser.open(&format!("{}/t/kubernetes/popularity", mirror.url)).await;
    let faults = "
        const { scrollWidth, clientWidth } = document.documentElement;
        const links = [...document.querySelectorAll('a')];
        return [
            document.querySelectorAll('main i, main u, main script, main svg script').length,
            links.filter(link => !/^https?:$/.test(link.protocol)).length,
            links.filter(link => link.origin !== location.origin
                && !['noopener', 'nofollow'].every(word => link.relList.contains(word))).length,
            scrollWidth > clientWidth,
        ]";
    assert_eq!(browser.evaluate(faults, &[]).await, json!([0, 0, 0, false]));
    let isolated = browser.texts("main th bdi").await;
    let description = isolated.iter().find(|text| text.contains("<script>")).expect("isolated");
    assert!(description.ends_with('…') && description.chars().count() < 400, "{description}");
    browser.picture("hostile-topic").await;
    browser.follow("(//main//table//th[@scope='row']//a)[1]").await;
    browser.picture("hostile-repository").await;
    assert_eq!((status(&browser).await, browser.texts("h1").await.len()), (200, 1));
    assert_eq!(browser.evaluate(faults, &[]).await, json!([0, 0, 0, false]));
    browser.assert_quiet(&mirror.url).await;
}
