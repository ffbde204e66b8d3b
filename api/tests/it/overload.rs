//! More requests than the service can answer in time.

use api::error::Error;
use api::lists::document::Document;
use github_stub::World;
use reqwest::StatusCode;

use crate::databases;
use crate::support::Mirror;

#[tokio::test]
async fn requests_are_refused_at_once_while_as_many_answers_are_made_as_allowed() {
    let world = World::generate(700, 7, "kubernetes");
    let mirror = Mirror::start_on(databases::sqlite(), world, &[]).await;
    mirror.refresh("kubernetes").await;
    let [kept, new] = ["stars=1..", "stars=2.."].map(|q| format!("/api/newest/kubernetes?{q}"));
    assert_eq!(mirror.get(&kept).await.status, StatusCode::OK);
    let mut makings = Vec::new();
    for number in 0..200 {
        let documents = mirror.service.documents.clone();
        let endless = || std::future::pending::<Result<Document, Error>>();
        let making = async move { documents.get(format!("endless {number}"), None, endless).await };
        makings.push(tokio::spawn(making));
    }
    let refused = mirror.get(&new).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    for path in ["/health", "/ready", "/api/kubernetes", &kept] {
        assert_eq!(mirror.get(path).await.status, StatusCode::OK, "{path}");
    }
}
