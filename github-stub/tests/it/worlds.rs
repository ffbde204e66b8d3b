//! The sources of repositories, which are the generator and data files; and the end of a stub.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use github_stub::{Fault, FaultKind, Repository, World};
use serde_json::json;

use crate::{SEARCH, client, get, serve_generated, try_send};

#[test]
fn equal_seeds_generate_equal_repositories() {
    let texts = |seed| {
        World::generate(300, seed, "kubernetes")
            .repositories()
            .map(|own| own.text.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(7), texts(7));
    assert_ne!(texts(7), texts(8));
}

#[test]
fn generated_repositories_have_ties_nulls_and_a_long_tail() {
    let world = World::generate(2_000, 7, "kubernetes");
    let all: Vec<&Repository> = world.repositories().collect();
    assert_eq!(all.len(), 2_000);
    let mut stars: Vec<i64> = all.iter().map(|repository| repository.stars).collect();
    stars.sort_unstable();
    assert!(stars.iter().collect::<BTreeSet<_>>().len() < 500, "ties");
    assert!(stars[0] == 0 && stars[1_000] < 10 && stars[1_999] > 500, "a long tail: {stars:?}");
    for field in ["description", "homepage", "language", "license"] {
        let nulls = all.iter().filter(|repository| repository.item[field].is_null()).count();
        assert!((50..1_200).contains(&nulls), "{field}: {nulls} nulls");
    }
    assert!(
        all.iter().any(|repository| repository.archived)
            && all.iter().any(|repository| !repository.text.is_ascii())
    );
    assert!(all.iter().all(|own| own.created <= own.pushed && own.pushed <= own.updated));
    assert_eq!(all.iter().map(|repository| &repository.path).collect::<HashSet<_>>().len(), 2_000);
}

#[test]
fn added_topic_leaves_other_topics_unchanged() {
    let mut world = World::generate(500, 7, "kubernetes");
    let before = world.ranked("kubernetes", "stars");
    world.add_generated(500, 7, "mcp");
    assert_eq!(world.ranked("kubernetes", "stars"), before);
    assert_eq!(world.ranked("mcp", "stars").len(), 500);
}

/// A data file in a temporary directory, which lives as long as the returned handle.
fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("repositories.jsonl");
    std::fs::write(&path, content).expect("written");
    (directory, path)
}

#[test]
fn data_file_is_read_plain_or_gzip_with_added_topics() {
    let lines = [
        json!({
            "id": 1, "full_name": "a/b", "updated_at": "2024-01-01T00:00:00Z",
            "topics": ["cli", "kubernetes"],
        }),
        json!({
            "id": 2, "full_name": "a/c", "updated_at": "2024-01-01T00:00:00Z",
            "topics": null, "stargazers_count": 3,
        }),
        json!({"id": 3, "full_name": "a/d", "updated_at": "2024-01-01T00:00:00Z"}),
    ];
    let plain = lines.map(|line| line.to_string()).join("\n\n");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plain.as_bytes()).expect("in memory");
    let gzip = gzip.finish().expect("in memory");
    for content in [plain.as_bytes(), gzip.as_slice()] {
        let (_directory, path) = file(content);
        let world = World::read(&path, &["kubernetes".to_owned()]).expect("read");
        assert_eq!(world.ranked("kubernetes", "stars"), [2, 1, 3]);
        assert_eq!(world.ranked("cli", "stars"), [1]);
        let topics = |id| world.repository(id).expect("read").item["topics"].clone();
        assert_eq!(topics(1), json!(["cli", "kubernetes"]), "no topic is added twice");
        assert_eq!((topics(2), topics(3)), (json!(["kubernetes"]), json!(["kubernetes"])));
    }
}

#[test]
fn broken_data_file_is_refused_with_its_line() {
    for (broken, reason) in [
        ("{", "EOF"),
        (r#"{"id": 2}"#, "full_name"),
        (r#"{"id": 2, "full_name": "a/b"}"#, "updated_at"),
    ] {
        let whole = json!({"id": 1, "full_name": "a/b", "updated_at": "2024-01-01T00:00:00Z"});
        let (_directory, path) = file(format!("{whole}\n{broken}\n").as_bytes());
        let error = format!("{:#}", World::read(&path, &[]).err().expect("line 2 is broken"));
        assert!(error.contains("repositories.jsonl, line 2") && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn dropped_stub_answers_no_request() {
    let stub = serve_generated(5).await;
    let (client, address) = (client(), stub.url() + SEARCH);
    assert!(try_send(client.get(&address)).await.is_ok());
    drop(stub);
    assert!(
        try_send(client.get(&address)).await.is_err(),
        "an open connection gets no answer either"
    );
}

#[tokio::test]
async fn whole_answers_are_recorded_on_request() {
    let stub = serve_generated(3).await;
    get(&stub, SEARCH).await;
    assert!(stub.world().shown.is_none());
    let id = {
        let mut world = stub.world();
        world.shown = Some(Vec::new());
        world.faults.push(Fault::from(FaultKind::Short { missing: 1 }));
        world.repositories().next().expect("a repository").id
    };
    get(&stub, SEARCH).await;
    get(&stub, &format!("/repositories/{id}")).await;
    get(&stub, "/repositories/1").await;
    stub.world().faults.push(Fault::from(FaultKind::Cut));
    assert!(try_send(client().get(format!("{}{SEARCH}", stub.url()))).await.is_err());
    let shown = stub.world().shown.take().expect("a record");
    let numbers: Vec<_> =
        shown.iter().map(|shown| (shown.total_count, shown.repositories.len())).collect();
    assert_eq!(numbers, [(3, 2), (1, 1), (0, 0)]);
    assert_eq!(shown[1].repositories[0].id, id);
    assert_eq!(shown[2].request, "/repositories/1");
}
