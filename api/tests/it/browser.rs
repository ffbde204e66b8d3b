//! Headless Chromium, which chromedriver starts and controls over the WebDriver protocol.
//!
//! The protocol is JSON over HTTP. The crates for it turn on `preserve_order` of serde_json, and
//! the service under test would then write other JSON than the one that is released.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::postgres::is_root;
use crate::python::target;
use crate::support::{eventually, http_client, say_not_run};

mod checks;
mod numbers;
mod pages;
mod pictures;
mod states;
mod theme;
mod topic;

const CHROMIUM_FLAGS: [&str; 9] = [
    "--headless=new",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    // Chromium ends when the pipe to chromedriver closes, however chromedriver ended.
    "--remote-debugging-pipe",
];

/// The width and height of a window.
pub(crate) const DESKTOP: (u32, u32) = (1_280, 900);
pub(crate) const NARROW: (u32, u32) = (360, 740);

/// A browser with one window, which ends when this is dropped.
pub(crate) struct Browser {
    http: reqwest::Client,
    /// The address of the session.
    session: String,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser. If chromedriver is not installed, this prints that the test is skipped, or
    /// panics if REQUIRE_ALL_BACKENDS is set.
    pub(crate) async fn start() -> Option<Self> {
        let Some((driver, address)) = launch().await else {
            let is_required = std::env::var_os("REQUIRE_ALL_BACKENDS").is_some();
            assert!(!is_required, "chromedriver is not installed");
            say_not_run("chromedriver is not installed; `make test` installs it");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut flags: Vec<String> = CHROMIUM_FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        if is_root() {
            flags.push("--no-sandbox".to_owned());
        }
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let (http, session) = (http_client(), format!("{address}/session"));
        let mut browser = Self { http, session, _driver: driver, _profile: profile };
        let capabilities = json!({ "capabilities": { "alwaysMatch": wanted } });
        let id = browser.command("", &capabilities).await["sessionId"].clone();
        browser.session = format!("{address}/session/{}", id.as_str().expect("an id"));
        browser.open("about:blank").await;
        browser.resize(DESKTOP).await;
        Some(browser)
    }

    /// Sends a command of the protocol and returns its value.
    async fn command(&self, name: &str, parameters: &Value) -> Value {
        let url = format!("{}{name}", self.session);
        let sent = self.http.post(url).json(parameters).send().await.expect("chromedriver answers");
        let mut answer: Value = sent.json().await.expect("JSON");
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{name}: {} {parameters}", value["message"]);
        value
    }

    /// Sends a command of the Chrome DevTools Protocol.
    async fn devtools(&self, name: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({ "cmd": name, "params": parameters })).await
    }

    /// Sets the size of the page, which may be narrower than a window can be.
    pub(crate) async fn resize(&self, (width, height): (u32, u32)) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await;
    }

    /// Says that the person prefers `dark` or `light` pages.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] })).await;
    }

    /// Turns the scripts of pages on or off, from the next page on.
    pub(crate) async fn run_scripts(&self, are_on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": !are_on })).await;
    }

    /// Opens an address and waits until the page is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url })).await;
    }

    /// Runs the body of a function in the page, also if the page's own scripts are off. Returns
    /// what it returns, or what its promise becomes.
    pub(crate) async fn evaluate(&self, script: &str, arguments: &[Value]) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    pub(crate) async fn address(&self) -> String {
        self.evaluate("return location.href", &[]).await.as_str().expect("an address").to_owned()
    }

    /// Waits until the window shows this address.
    pub(crate) async fn arrive(&self, url: &str) {
        eventually(20, url, async || self.address().await == url).await;
    }

    /// The texts of the elements that a CSS selector finds, as the page shows them.
    pub(crate) async fn texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)";
        let texts = self.evaluate(script, &[json!(selector)]).await;
        serde_json::from_value(texts).expect("texts")
    }

    /// An attribute of each element that a CSS selector finds and that has the attribute.
    pub(crate) async fn attributes(&self, selector: &str, name: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])] \
            .map(e => e.getAttribute(arguments[1])).filter(value => value !== null)";
        let values = self.evaluate(script, &[json!(selector), json!(name)]).await;
        serde_json::from_value(values).expect("texts")
    }

    /// The rows of a table: the text of each cell by the head of its column, or the exact time of a
    /// cell that has one.
    pub(crate) async fn table(&self, selector: &str) -> Vec<Map<String, Value>> {
        let script = "
            const table = document.querySelector(arguments[0]);
            const heads = [...table.tHead.rows[0].cells].map(cell => cell.innerText.trim());
            const said = cell => cell.querySelector('time')?.dateTime ?? cell.innerText.trim();
            return [...table.tBodies[0].rows].map(row => Object.fromEntries(
                [...row.cells].map((cell, place) => [heads[place], said(cell)])));";
        let rows = self.evaluate(script, &[json!(selector)]).await;
        serde_json::from_value(rows).expect("rows")
    }

    /// Moves the mouse to the only element that an XPath expression finds, and clicks. Panics if
    /// something else is there.
    pub(crate) async fn click(&self, xpath: &str) {
        let script = "
            const found = document.evaluate(
                arguments[0], document, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE);
            if (found.snapshotLength !== 1) return `${found.snapshotLength} elements`;
            const element = found.snapshotItem(0);
            element.scrollIntoView({ block: 'center', behavior: 'instant' });
            const { x, y, width, height } = element.getClientRects()[0] ?? element;
            const place = [x + width / 2, y + height / 2].map(Math.round);
            const top = document.elementFromPoint(...place);
            return element.contains(top) ? place : `hidden by ${top?.outerHTML}`";
        let place = self.evaluate(script, &[json!(xpath)]).await;
        assert!(place.is_array(), "{xpath} in {}: {place}", self.address().await);
        let mouse = json!([
            { "type": "pointerMove", "x": place[0], "y": place[1] },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.act("pointer", &mouse).await;
    }

    /// Clicks the only link that an XPath expression finds, and waits for its page.
    pub(crate) async fn follow(&self, xpath: &str) {
        let script = "return document.evaluate(arguments[0], document).iterateNext()?.href";
        let href = self.evaluate(script, &[json!(xpath)]).await;
        self.click(xpath).await;
        self.arrive(href.as_str().unwrap_or_else(|| panic!("a link: {xpath}"))).await;
    }

    /// Types into the only element that an XPath expression finds, in place of its text.
    pub(crate) async fn fill(&self, xpath: &str, text: &str) {
        self.click(xpath).await;
        self.evaluate("document.activeElement.select()", &[]).await;
        for key in text.chars() {
            self.press(key).await;
        }
    }

    /// Presses a key, such as `\u{e004}` for Tab, in the element that has the focus.
    pub(crate) async fn press(&self, key: char) {
        let keys = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        self.act("key", &json!(keys)).await;
    }

    /// Uses the mouse or the keyboard. A page that this opens comes later.
    async fn act(&self, device: &str, actions: &Value) {
        let source = json!({ "type": device, "id": device, "actions": actions });
        self.command("/actions", &json!({ "actions": [source] })).await;
    }

    /// Writes the page as it is shown, or the beginning of a long one, to `target/pages`.
    pub(crate) async fn picture(&self, name: &str) {
        let size = "return [innerWidth, Math.min(document.documentElement.scrollHeight, 4000)]";
        let size = self.evaluate(size, &[]).await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let whole = json!({ "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", &whole).await;
        let png = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        let folder = target().join("pages");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("a file");
    }

    /// The console's messages since the last look, but for the status of the page itself.
    pub(crate) async fn messages(&self) -> Vec<String> {
        let own =
            format!("{} - Failed to load resource: the server responded", self.address().await);
        let log = self.command("/se/log", &json!({ "type": "browser" })).await;
        let messages = log.as_array().expect("a log").iter();
        let messages = messages.map(|entry| entry["message"].as_str().expect("text").to_owned());
        messages.filter(|message| !message.starts_with(&own)).collect()
    }

    /// The addresses that the browser requested from servers since the last look, in order.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({ "type": "performance" })).await;
        let events = log.as_array().expect("a log").iter().map(|entry| -> Value {
            serde_json::from_str(entry["message"].as_str().expect("text")).expect("JSON")
        });
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let url =
            |event: Value| event["message"]["params"]["request"]["url"].as_str().map(str::to_owned);
        sent.filter_map(url).filter(|url| !is_internal(url)).collect()
    }

    /// Panics if the console has a message, or if anyone but `origin` got a request since the last
    /// look. Returns the requests.
    pub(crate) async fn assert_quiet(&self, origin: &str) -> Vec<String> {
        let (address, messages) = (self.address().await, self.messages().await);
        assert_eq!(messages, [""; 0], "{address}");
        let requests = self.requests().await;
        let others = requests.iter().filter(|url| !url.starts_with(&format!("{origin}/")));
        assert_eq!(others.count(), 0, "{address} asks others: {requests:?}");
        requests
    }
}

/// Tells addresses that the browser has the answer to, such as those of its page for a new tab.
fn is_internal(url: &str) -> bool {
    ["about:", "chrome:", "data:"].iter().any(|scheme| url.starts_with(scheme))
}

/// Starts chromedriver. Returns its address.
async fn launch() -> Option<(Child, String)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut driver = command.spawn().ok()?;
    let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
    while let Some(line) = lines.next_line().await.expect("a readable log") {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
            // The task reads the log until the end, or a write to the closed pipe would fail.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some((driver, address));
        }
    }
    panic!("chromedriver did not start");
}
