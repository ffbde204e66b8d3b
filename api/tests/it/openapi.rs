//! The description of the routes, held against their answers and read by clients from elsewhere.

use std::collections::BTreeSet;
use std::path::Path;

use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::process::Command;
use url::Url;

use crate::events::{mirror_with_events, rename};
use crate::python;
use crate::support::{Answer, Mirror, assert_hardened};

/// The packages that read the description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
const CLIENT_GENERATOR: &str = "openapi-python-client==0.29.1";

/// A mirror with a past, in which the repositories of the description's examples exist.
async fn mirror() -> Mirror {
    let settings = [("TOPICS", "kubernetes:complete"), ("ON_DEMAND_TOPICS", "false")];
    let (mirror, ids) = mirror_with_events(&settings).await;
    rename(&mirror, ids[1], "kubernetes/kubernetes");
    rename(&mirror, ids[3], "istio/istio");
    mirror.refresh("kubernetes").await;
    mirror
}

/// The whole description, and an operation of it.
struct Described<'a> {
    api: &'a Value,
    method: &'a str,
    path: &'a str,
    operation: &'a Value,
}

fn operations(api: &Value) -> Vec<Described<'_>> {
    let paths = api["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("a path") {
            all.push(Described { api, method, path, operation });
        }
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Described<'_> {
    fn method(&self) -> Method {
        self.method.to_uppercase().parse().expect("a method")
    }

    fn parameters(&self, place: &str) -> Vec<&Value> {
        let all = self.operation["parameters"].as_array();
        all.into_iter().flatten().filter(|parameter| parameter["in"] == place).collect()
    }

    /// The example's path, with what the route cannot do without.
    fn example(&self) -> Url {
        let mut path = self.path.to_owned();
        for parameter in self.parameters("path") {
            let slot = format!("{{{}}}", text(&parameter["name"]));
            path = path.replace(&slot, &text(&parameter["example"]));
        }
        let mut url = Url::parse("http://mirror").expect("a URL").join(&path).expect("a path");
        for parameter in self.parameters("query") {
            if parameter["required"] == true {
                add(&mut url, parameter);
            }
        }
        url
    }

    /// The examples: the bare one, and one with each parameter.
    fn examples(&self) -> Vec<String> {
        let bare = self.example();
        let mut all = vec![bare.clone()];
        for parameter in self.parameters("query") {
            if parameter["required"] != true {
                let mut url = bare.clone();
                add(&mut url, parameter);
                all.push(url);
            }
        }
        all.iter().map(|url| url[url::Position::BeforePath..].to_owned()).collect()
    }

    /// The description of an answer of this status.
    fn response(&self, status: StatusCode) -> &Value {
        let response = &self.operation["responses"][status.as_str()];
        assert!(!response.is_null(), "{status} of {} is not described", self.path);
        resolved(self.api, response)
    }

    fn assert_described(&self, answer: &Answer, request: &str) {
        let response = self.response(answer.status);
        let described = response["headers"].as_object().expect("headers");
        let described: BTreeSet<_> = described.keys().map(|name| name.to_lowercase()).collect();
        for name in answer.headers.keys().map(|name| name.as_str()) {
            let is_general = ["date", "content-", "transfer-", "access-control-", "vary"]
                .iter()
                .chain(&["cache-control", "x-accel-expires", "referrer-policy"])
                .chain(&["x-content-type-options", "x-frame-options", "cross-origin-"])
                .any(|general| name.starts_with(general));
            assert!(is_general || described.contains(name), "{name} of {request} is not described");
        }
        for name in described {
            // A list without parameters has no pages.
            let is_page_fact = ["link", "x-matched"].contains(&&*name);
            // The rows of a filter by age change with the day.
            let has_age = request.contains("=365d..") || request.contains("=..30d");
            if is_page_fact && !request.contains('?') || name == "last-modified" && has_age {
                continue;
            }
            assert!(answer.headers.contains_key(&name), "{request} has no {name}");
        }
        let content_type = answer.header("content-type").split(';').next().unwrap_or_default();
        let content = &response["content"];
        if answer.body.is_empty() {
            assert!(content.is_null(), "{request} has no body");
            return;
        }
        let schema = &content[content_type]["schema"];
        assert!(!schema.is_null(), "{content_type} of {request} is not described: {content}");
        if content_type.ends_with("json") && schema["type"] != "string" {
            assert_valid(self.api, schema, &answer.json(), request);
        }
    }
}

fn add(url: &mut Url, parameter: &Value) {
    url.query_pairs_mut().append_pair(&text(&parameter["name"]), &text(&parameter["example"]));
}

fn resolved<'a>(api: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => api.pointer(&reference[1..]).expect("what a reference names"),
        None => value,
    }
}

fn assert_valid(api: &Value, schema: &Value, value: &Value, request: &str) {
    let mut whole: Map<String, Value> = schema.as_object().expect("a schema").clone();
    whole.insert("components".to_owned(), api["components"].clone());
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&Value::Object(whole))
        .expect("a schema");
    let errors = validator.iter_errors(value);
    let errors: Vec<_> =
        errors.map(|error| format!("{}: {error:.200}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{request}: {errors:#?}");
}

#[tokio::test]
async fn answers_to_all_examples_are_as_described() {
    let mirror = mirror().await;
    let api = mirror.get("/openapi.json").await.json();
    let id = mirror.get("/api/repos/istio/istio").await.json()["id"].clone();
    let (mut deletion, mut ids) = (None, BTreeSet::new());
    for operation in operations(&api) {
        assert!(ids.insert(text(&operation.operation["operationId"])), "{}", operation.path);
        let method = operation.method();
        if method == Method::DELETE {
            deletion = Some(operation);
            continue;
        }
        for example in operation.examples() {
            let example = example.replace("/repositories/1", &format!("/repositories/{id}"));
            let answer = mirror.request(method.clone(), &example, &[]).await;
            // A badge's window needs by=trending.
            let is_refused = operation.path.starts_with("/badges/") && example.contains("window=");
            let expected = match is_refused {
                true => StatusCode::BAD_REQUEST,
                false if operation.path == "/t" => StatusCode::SEE_OTHER,
                false => StatusCode::OK,
            };
            assert_eq!(answer.status, expected, "{example}: {}", answer.text());
            operation.assert_described(&answer, &example);
            if operation.operation["responses"]["304"].is_null() || is_refused {
                continue;
            }
            let current = [("if-none-match", answer.header("etag"))];
            let again = mirror.get_with(&example, &current).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{example}");
            operation.assert_described(&again, &example);
        }
        let started = [("prefer", "respond-async")];
        if operation.path == "/update_cache" {
            let answer = mirror.request(method, operation.path, &started).await;
            operation.assert_described(&answer, "respond-async");
        }
    }
    let deletion = deletion.expect("a deletion");
    let answer = mirror.request(Method::DELETE, &deletion.examples()[0], &[]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    deletion.assert_described(&answer, "a deletion");
}

#[tokio::test]
async fn problems_and_redirects_are_as_described() {
    let mirror = mirror().await;
    let api = mirror.get("/openapi.json").await.json();
    let former = mirror.get("/api/repos/istio/istio").await.json()["former_names"][0].clone();
    let former = text(&former["full_name"]);
    let guarded =
        mirror.replica(&[("MAINTENANCE_TOKEN", "0123456789abcdef0123456789abcdef")]).await;
    let nowhere = mirror.replica(&[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]).await;
    for operation in operations(&api) {
        // Without repositories, the page that compares them is a form.
        let examples = operation.examples();
        let with_repositories = examples.iter().find(|example| example.contains("repos="));
        let bare = with_repositories.unwrap_or(&examples[0]);
        let unknown = match operation.path {
            "/update_cache" => "/update_cache?topic=nobody".to_owned(),
            _ => bare.replace("kubernetes", "nobody").replace("istio", "no").replace("/1", "/999"),
        };
        let is_guarded = !operation.operation["security"].is_null();
        let renamed = bare.replace("istio%2Fistio", "istio/istio").replace("istio/istio", &former);
        let has_topic = operation.path.contains("{topic}");
        let has = |status| !operation.operation["responses"][status].is_null();
        let cases = [
            (is_guarded, &guarded, bare.clone(), StatusCode::UNAUTHORIZED),
            (has("503"), &nowhere, bare.clone(), StatusCode::SERVICE_UNAVAILABLE),
            (has_topic, &mirror, bare.replace("kubernetes", "_"), StatusCode::BAD_REQUEST),
            (has("404"), &mirror, unknown, StatusCode::NOT_FOUND),
            (has("301"), &mirror, renamed, StatusCode::MOVED_PERMANENTLY),
        ];
        for (_, mirror, request, status) in cases.into_iter().filter(|(applies, ..)| *applies) {
            let answer = mirror.request(operation.method(), &request, &[]).await;
            assert_eq!(answer.status, status, "{request}: {}", answer.text());
            operation.assert_described(&answer, &request);
        }
    }
}

#[tokio::test]
async fn every_kind_of_answer_has_the_headers_for_browsers() {
    let mirror = mirror().await;
    let guarded = mirror.replica(&[("MAINTENANCE_TOKEN", "correct-horse")]).await;
    let api = mirror.get("/openapi.json").await.json();
    let mut kinds = BTreeSet::new();
    for operation in operations(&api) {
        let (path, own) = (operation.examples()[0].clone(), operation.method());
        let unknown = format!("{path}{}no-such=1", if path.contains('?') { '&' } else { '?' });
        let patch = [(Method::PATCH, &path), (Method::HEAD, &path), (Method::OPTIONS, &path)];
        let cases = [(own.clone(), &path), (own, &unknown)].into_iter().chain(patch);
        for (method, path) in cases {
            for accept in ["*/*", "text/html"] {
                let request = format!("{method} {path}, {accept}");
                let headers = [("accept", accept), ("access-control-request-method", "GET")];
                let answer = guarded.request(method.clone(), path, &headers).await;
                assert_hardened(&answer, &request);
                let content_type = answer.header("content-type").split(';').next();
                kinds.insert((answer.status.as_u16(), content_type.unwrap_or_default().to_owned()));
                let current = [("if-none-match", "*"), ("accept", accept)];
                let again = guarded.request(method.clone(), path, &current).await;
                assert_hardened(&again, &format!("{request} again"));
            }
        }
    }
    let page = guarded.get_with("/", &[("accept", "text/html")]).await.text();
    for asset in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let answer = guarded.get(asset).await;
        assert_eq!(answer.status, StatusCode::OK, "{asset}");
        assert_hardened(&answer, asset);
        kinds.insert((200, answer.header("content-type").to_owned()));
    }
    for path in ["/nothing", "/assets/none.css", "/api/_", "/charts/istio/none.svg"] {
        assert_hardened(&guarded.get(path).await, path);
    }
    for kind in [
        (200, "application/json"),
        (200, "application/x-ndjson"),
        (200, "application/atom+xml"),
        (200, "image/svg+xml"),
        (200, "text/html"),
        (200, "text/plain"),
        (200, "text/css; charset=utf-8"),
        (204, ""),
        (401, "application/problem+json"),
        (405, "text/html"),
    ] {
        assert!(kinds.contains(&(kind.0, kind.1.to_owned())), "{kind:?} is not in {kinds:?}");
    }
}

#[tokio::test]
async fn examples_of_problems_are_valid() {
    let api = Mirror::start(World::default()).await.get("/openapi.json").await.json();
    for (name, response) in api["components"]["responses"].as_object().expect("responses") {
        let content = &response["content"]["application/problem+json"];
        assert_valid(&api, &content["schema"], &content["example"], name);
    }
}

#[tokio::test]
async fn route_refuses_every_parameter_that_is_not_described() {
    let mirror = mirror().await;
    let api = mirror.get("/openapi.json").await.json();
    for operation in operations(&api) {
        let names = operation.parameters("query").into_iter().map(|own| text(&own["name"]));
        let names = names.collect::<Vec<_>>().join(", ");
        let mut url = operation.example();
        url.query_pairs_mut().append_pair("no-such", "1");
        let request = &url[url::Position::BeforePath..];
        let answer = mirror.request(operation.method(), request, &[]).await;
        let is_strict = !operation.operation["responses"]["400"].is_null() && !names.is_empty();
        if is_strict {
            let rule = format!("is unknown here: this route accepts {names}");
            let expected = json!([{ "parameter": "no-such", "detail": rule }]);
            assert_eq!(answer.json()["errors"], expected, "{request}");
        }
    }
}

/// A command for a script beside this file, with packages from PyPI.
fn script(name: &str, packages: &Path) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openapi");
    let mut command = Command::new("python3");
    command.arg(folder.join(name)).env("PYTHONPATH", packages).env("NO_PROXY", "*");
    command.kill_on_drop(true);
    command
}

async fn assert_succeeds(mut command: Command) {
    let output = command.output().await.expect("python3 runs");
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{out}\n{err}");
}

#[tokio::test]
async fn schemathesis_finds_no_answer_outside_the_description() {
    let Some(packages) = python::packages(&[SCHEMATHESIS]) else { return };
    let mirror = mirror().await;
    let mut command = script("run_schemathesis.py", &packages);
    command.arg(format!("{}/openapi.json", mirror.url));
    assert_succeeds(command).await;
}

#[tokio::test]
async fn generated_client_reads_a_list_with_parameters() {
    let Some(packages) = python::packages(&[CLIENT_GENERATOR]) else { return };
    let mirror = mirror().await;
    let mut command = script("generated_client.py", &packages);
    command.arg(&mirror.url);
    assert_succeeds(command).await;
}

#[tokio::test]
async fn page_shows_every_operation_and_schema_without_a_script() {
    let mirror = Mirror::start(World::default()).await;
    let answer = mirror.get("/docs").await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; "), "{policy}");
    let (page, api) = (answer.text(), mirror.get("/openapi.json").await.json());
    assert!(!page.contains("=\"http") && !page.contains("=\"//"), "nothing from elsewhere");
    for operation in operations(&api) {
        let id = text(&operation.operation["operationId"]);
        assert!(page.contains(&format!("<h3 id=\"{id}\">")), "{id}");
        for name in operation.parameters("query").into_iter().map(|own| text(&own["name"])) {
            assert!(page.contains(&format!("<code>{name}</code>")), "{name} of {id}");
        }
    }
    for name in api["components"]["schemas"].as_object().expect("schemas").keys() {
        assert!(page.contains(&format!("<h3 id=\"schema-{name}\">")), "{name}");
    }
}

#[tokio::test]
async fn servers_are_that_of_public_url_or_the_own_one() {
    let mirror = Mirror::start(World::default()).await;
    assert_eq!(mirror.get("/openapi.json").await.json()["servers"], json!([{ "url": "/" }]));
    let public = "https://mirror.example.org/github/";
    let mirror = mirror.replica(&[("PUBLIC_URL", public)]).await;
    let api = mirror.get("/openapi.json").await.json();
    assert_eq!(api["servers"], json!([{ "url": "https://mirror.example.org/github" }]));
    let version = json!(env!("CARGO_PKG_VERSION"));
    assert_eq!((&api["openapi"], &api["info"]["version"]), (&json!("3.1.0"), &version));
    let page = mirror.get("/docs").await.text();
    assert!(page.contains("&#39;https://mirror.example.org/github/api/kubernetes&#39;"), "{page}");
}
