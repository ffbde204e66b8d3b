//! Answers against GitHub's own OpenAPI schema, `github-search.openapi.json` in the directory that
//! REAL_DATA_DIR names.

use std::io::Write;
use std::path::{Path, PathBuf};

use github_stub::{FaultKind, Stub, World};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{SEARCH, get, serve};

/// The directory of the schema and the recorded repositories. If there is none, prints that `test`
/// was not run and returns `None`.
fn real_data(test: &str) -> Option<PathBuf> {
    if let Some(directory) = std::env::var_os("REAL_DATA_DIR") {
        return Some(directory.into());
    }
    // The test harness captures the `eprintln!` of a test that passes.
    writeln!(std::io::stderr(), "{test} was NOT RUN: REAL_DATA_DIR is unset").expect("stderr");
    None
}

fn description(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("github-search.openapi.json"))
        .expect("GitHub's description");
    serde_json::from_str(&text).expect("JSON")
}

/// A validator of the schema at this JSON pointer of an OpenAPI 3.0 description.
fn validator(description: &Value, pointer: &str) -> Validator {
    let reference = format!("#{}", pointer.replace('{', "%7B").replace('}', "%7D"));
    let mut schema = json!({
        "$ref": reference,
        "paths": description["paths"],
        "components": description["components"],
    });
    to_json_schema(&mut schema);
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("a schema")
}

/// Turns `nullable`, which OpenAPI 3.0 alone has, into a type of JSON Schema. Removes every format
/// but dates, since GitHub does not keep to them: it sends an empty `homepage` for a `uri`.
fn to_json_schema(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(to_json_schema),
        Value::Object(fields) => {
            fields.values_mut().for_each(to_json_schema);
            if fields
                .get("format")
                .is_some_and(|format| format.is_string() && format != "date-time")
            {
                fields.remove("format");
            }
            if fields.remove("nullable") == Some(json!(true)) {
                *schema = json!({"anyOf": [schema.take(), {"type": "null"}]});
            }
        }
        _ => {}
    }
}

fn assert_valid(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error:.200}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

/// Validates every page of every sort, and the first repository of each page; returns the number of
/// items.
async fn assert_answers(stub: &Stub, description: &Value) -> usize {
    let schema_of = |path: &str, status: &str| {
        let path = path.replace('/', "~1");
        validator(
            description,
            &format!("/paths/{path}/get/responses/{status}/content/application~1json/schema"),
        )
    };
    let (search, single) =
        (schema_of("/search/repositories", "200"), schema_of("/repos/{owner}/{repo}", "200"));
    let mut items = 0;
    for sort in ["best-match", "stars", "forks", "updated"] {
        for page in 1..=10 {
            let path = format!("{SEARCH}&sort={sort}&per_page=100&page={page}");
            let answer = get(stub, &path).await;
            assert_valid(&search, &answer.json(), &path);
            items += answer.ids().len();
            if let Some(id) = answer.ids().first() {
                assert_valid(
                    &single,
                    &get(stub, &format!("/repositories/{id}")).await.json(),
                    &format!("repository {id}"),
                );
            }
        }
    }
    assert_valid(
        &schema_of("/rate_limit", "200"),
        &get(stub, "/rate_limit").await.json(),
        "/rate_limit",
    );
    let refused = validator(description, "/components/schemas/validation-error");
    for path in ["/search/repositories", &format!("{SEARCH}&page=99")] {
        assert_valid(&refused, &get(stub, path).await.json(), path);
    }
    items
}

#[tokio::test]
async fn generated_answers_follow_githubs_schema() {
    let Some(directory) = real_data("generated_answers_follow_githubs_schema") else { return };
    let stub = serve(World::generate(1_100, 7, "kubernetes")).await;
    assert_eq!(assert_answers(&stub, &description(&directory)).await, 4_000);
}

#[tokio::test]
async fn recorded_repositories_follow_githubs_schema() {
    let Some(directory) = real_data("recorded_repositories_follow_githubs_schema") else { return };
    let world = World::read(&directory.join("repositories.jsonl.gz"), &["kubernetes".to_owned()])
        .expect("recorded repositories");
    assert!(world.ranked("kubernetes", "stars").len() > 3_000, "forks are left out");
    // Searches show a quarter of the repositories, so all items are validated here without HTTP.
    let description = description(&directory);
    let item = validator(&description, "/components/schemas/repo-search-result-item");
    world.repositories().for_each(|repository| {
        assert_valid(&item, &repository.item.clone().into(), &repository.path)
    });
    assert_eq!(assert_answers(&serve(world).await, &description).await, 4_000);
}

#[tokio::test]
async fn schema_refuses_broken_items() {
    let Some(directory) = real_data("schema_refuses_broken_items") else { return };
    let description = description(&directory);
    let item = validator(&description, "/components/schemas/repo-search-result-item");
    let stub = serve(World::generate(5, 7, "kubernetes")).await;
    let good = get(&stub, SEARCH).await.json()["items"][0].clone();
    assert_valid(&item, &good, "an item");
    for (field, broken) in [
        ("stargazers_count", json!("many")),
        ("stargazers_count", Value::Null),
        ("pushed_at", json!("yesterday")),
        ("license", json!({"key": "mit"})),
        ("owner", json!({"login": 1})),
        ("topics", json!([1])),
    ] {
        let mut bad = good.clone();
        bad[field] = broken;
        assert!(!item.is_valid(&bad), "{field}: {}", bad[field]);
    }
    for nullable in ["owner", "description", "language", "license"] {
        let mut whole = good.clone();
        whole[nullable] = Value::Null;
        assert_valid(&item, &whole, nullable);
        whole.as_object_mut().expect("an object").remove(nullable);
        assert!(!item.is_valid(&whole), "{nullable} is required");
    }
    stub.world().faults.push(FaultKind::BadItems { count: 1 }.into());
    assert!(
        !item.is_valid(&get(&stub, SEARCH).await.json()["items"][0]),
        "an injected bad item is invalid"
    );
}
