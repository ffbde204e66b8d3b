//! Recorded repositories, with every field as GitHub sent it.

use std::path::PathBuf;

use github_stub::{Repository, World};
use serde_json::{Value, json};

use crate::support::{Mirror, say_not_run};

/// Repositories in each topic: a list shows at most 500.
const PER_TOPIC: usize = 450;

/// The folder of the recordings, which are no part of this repository. If REAL_DATA_DIR is not set,
/// this prints that the test is skipped.
pub(crate) fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os("REAL_DATA_DIR").map(PathBuf::from);
    if folder.is_none() {
        say_not_run("REAL_DATA_DIR names no recordings");
    }
    folder
}

#[tokio::test]
async fn every_recorded_repository_is_served_unchanged() {
    let Some(folder) = real_data() else { return };
    let recorded = World::read(&folder.join("repositories.jsonl.gz"), &[]).expect("the recordings");
    let recorded: Vec<Repository> = recorded.repositories().cloned().collect();
    assert_eq!(recorded.len(), 4_253);
    let mut world = World::default();
    for (index, repository) in recorded.iter().enumerate() {
        let mut item = repository.item.clone();
        // Searches leave forks out, so each repository is made one that is no fork.
        item.extend([
            ("fork".to_owned(), json!(false)),
            ("topics".to_owned(), json!([format!("part-{}", index / PER_TOPIC)])),
        ]);
        world.insert(Repository::new(item).expect("a repository"));
    }
    let mirror = Mirror::start(world).await;
    for (index, part) in recorded.chunks(PER_TOPIC).enumerate() {
        let topic = format!("part-{index}");
        let report = mirror.refresh(&topic).await;
        assert_eq!(
            (&report["complete"], &report["skipped"]),
            (&true.into(), &0.into()),
            "{report}"
        );
        let list = mirror.get(&format!("/api/{topic}")).await.json();
        let list = list.as_array().expect("a list");
        assert_eq!(list.len(), part.len());
        for repository in part {
            let shown = list
                .iter()
                .find(|shown| shown["id"] == repository.id)
                .expect("a repository of the list");
            for (key, value) in shown.as_object().expect("an object") {
                assert_eq!(
                    value,
                    repository.item.get(key).unwrap_or(&Value::Null),
                    "{key} of {}",
                    repository.path
                );
            }
        }
    }
    let stored = mirror.database.query("SELECT count(*) || '' FROM repositories").await;
    assert_eq!(stored, [recorded.len().to_string()]);
}
