//! The stub from outside: over HTTP, with the client octocrab, as a program, and against GitHub's
//! own schema.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it is"
)]

mod archive;
mod binary;
mod core_routes;
mod faults;
mod limits;
mod octocrab_client;
mod schema;
mod search;
mod stargazers;
mod worlds;

use std::sync::Once;

use github_stub::{Repository, Stub, World};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

/// The start of the tests' clocks: 2023-11-14T22:13:20Z.
const NOW: i64 = 1_700_000_000;
/// The search that most tests send.
const SEARCH: &str = "/search/repositories?q=topic:kubernetes";

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("an ASCII header"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn ids(&self) -> Vec<u64> {
        let answer = self.json();
        let items = answer["items"].as_array().expect("a search answer has items");
        items.iter().map(|item| item["id"].as_u64().expect("an item has an id")).collect()
    }

    /// The relation and page of each part of `Link`, for example `prev=1 next=3 last=10 first=1`.
    fn links(&self) -> String {
        let parts = self
            .header("link")
            .unwrap_or_default()
            .split(", ")
            .filter_map(|part| part.split_once("; rel="));
        let page = |address: &str| {
            let address =
                Url::parse(address.trim_matches(['<', '>'])).expect("an absolute address");
            address.query_pairs().find(|(key, _)| key == "page").expect("a page").1.into_owned()
        };
        parts
            .map(|(address, rel)| format!("{}={}", rel.trim_matches('"'), page(address)))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A client that follows no redirect and sends a User-Agent.
fn client() -> reqwest::Client {
    install_tls();
    let builder = reqwest::Client::builder()
        .user_agent("github-stub-tests")
        .redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client")
}

/// TLS clients need one provider in each process, even if they use plain HTTP alone.
fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("none was installed before")
    });
}

async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.expect("an answer")
}

async fn get(stub: &Stub, path: &str) -> Answer {
    send(client().get(stub.url() + path)).await
}

async fn get_with(stub: &Stub, path: &str, name: &str, value: &str) -> Answer {
    send(client().get(stub.url() + path).header(name, value)).await
}

async fn serve(world: World) -> Stub {
    Stub::start(world).await.expect("a free port")
}

/// Serves `count` generated repositories of the topic `kubernetes`.
async fn serve_generated(count: usize) -> Stub {
    serve(World::generate(count, 7, "kubernetes")).await
}

/// A repository of the topic `kubernetes` with additional `fields`.
fn repository(id: u64, fields: Value) -> Repository {
    let mut item = serde_json::json!({
        "id": id, "full_name": format!("owner/Name-{id}"), "topics": ["kubernetes"],
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
    });
    let Value::Object(fields) = fields else { panic!("fields are an object: {fields}") };
    item.as_object_mut().expect("an object").extend(fields);
    Repository::new(item.as_object().expect("an object").clone()).expect("a repository")
}
