//! `/repositories/{id}` and `/repos/{owner}/{name}`: a single repository, with ETag and 304.

use github_stub::World;
use serde_json::{Map, json};

use crate::{client, get, get_with, repository, send, serve};

fn world() -> World {
    World::new(vec![repository(42, json!({"stargazers_count": 8, "forks_count": 6}))])
}

#[tokio::test]
async fn repository_is_found_by_id_and_by_name_in_any_case() {
    let stub = serve(world()).await;
    let by_id = get(&stub, "/repositories/42").await;
    assert_eq!((by_id.status, &by_id.json()["full_name"]), (200, &json!("owner/Name-42")));
    assert_eq!((&by_id.json()["network_count"], by_id.json().get("score")), (&json!(6), None));
    for path in ["/repos/owner/Name-42", "/repos/OWNER/name-42"] {
        assert_eq!(get(&stub, path).await.text, by_id.text, "{path}");
    }
    for path in ["/repositories/43", "/repos/owner/name-43"] {
        let missing = get(&stub, path).await;
        assert_eq!(
            (missing.status, &missing.json()["message"]),
            (404, &json!("Not Found")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn repository_returns_304_until_it_changes() {
    let stub = serve(world()).await;
    let first = get(&stub, "/repositories/42").await;
    assert_eq!(first.header("last-modified"), Some("Mon, 01 Jan 2024 00:00:00 GMT"));
    assert_eq!(first.header("cache-control"), Some("private, max-age=60, s-maxage=60"));
    let etag = first.header("etag").expect("core routes have one");
    assert!(etag.starts_with("W/\"") && etag.len() == 68, "{etag}");
    let fresh = get_with(&stub, "/repositories/42", "if-none-match", etag).await;
    assert_eq!((fresh.status, fresh.text.as_str(), fresh.header("etag")), (304, "", Some(etag)));
    stub.world().star(42, 9, "2024-02-02T00:00:00Z".parse().expect("a date"));
    let changed = get_with(&stub, "/repositories/42", "if-none-match", etag).await;
    assert_eq!((changed.status, &changed.json()["stargazers_count"]), (200, &json!(9)));
    assert_ne!(changed.header("etag"), Some(etag));
}

#[tokio::test]
async fn etag_differs_when_the_token_differs() {
    let stub = serve(world()).await;
    let anonymous = get(&stub, "/repositories/42").await;
    let own = get_with(&stub, "/repositories/42", "authorization", "Bearer t").await;
    assert_eq!(own.text, anonymous.text);
    assert_ne!(own.header("etag"), anonymous.header("etag"));
}

#[tokio::test]
async fn renamed_repository_keeps_its_id_and_frees_its_name() {
    let stub = serve(world()).await;
    let renamed = Map::from_iter([("full_name".to_owned(), json!("owner/new"))]);
    assert_eq!(stub.world().edit(42, renamed.clone()), Ok(true));
    assert_eq!(stub.world().edit(43, renamed), Ok(false));
    assert_eq!(get(&stub, "/repos/owner/name-42").await.status, 404);
    assert_eq!(get(&stub, "/repos/owner/new").await.json()["id"], 42);
}

#[tokio::test]
async fn control_routes_edit_and_delete_a_repository() {
    let stub = serve(world()).await;
    let path = format!("{}/_stub/repositories/42", stub.url());
    assert_eq!(
        send(client().patch(&path).json(&json!({"stargazers_count": 99}))).await.status,
        200
    );
    assert_eq!(get(&stub, "/repositories/42").await.json()["stargazers_count"], 99);
    let refused = send(client().patch(&path).json(&json!({"updated_at": "yesterday"}))).await;
    assert_eq!(
        (refused.status, refused.text.contains("updated_at")),
        (422, true),
        "{}",
        refused.text
    );
    assert_eq!(get(&stub, "/_stub/ranked/kubernetes/stars").await.json(), json!([42]));
    assert_eq!(send(client().delete(&path)).await.status, 200);
    assert_eq!(send(client().delete(&path)).await.status, 404);
    assert_eq!(get(&stub, "/repositories/42").await.status, 404);
}
