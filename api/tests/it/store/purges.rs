//! Purges: the changes that the CDN was not told of.

use api::model::topic::Origin;
use api::store::{Change, SharedStore, Store};

use super::{at, repository, store_complete_run, topic};

async fn unpurged(store: &dyn Store) -> Vec<Change> {
    store.unpurged().await.expect("a database")
}

async fn published_changes_and_deletions_are_unpurged_until_they_are_noted(store: SharedStore) {
    for name in ["kubernetes", "mcp"] {
        store.track(&topic(name), Origin::Requested, None, at(0)).await.expect("tracked");
    }
    assert_eq!(unpurged(&*store).await, [], "no topic has a list");
    let refresh = async |seconds| {
        let repositories = [repository(1, seconds)];
        store_complete_run(&*store, "kubernetes", &repositories, at(seconds)).await;
    };
    refresh(1).await;
    let first = unpurged(&*store).await;
    let [(changed, Some(revision))] = &first[..] else { panic!("{first:?}") };
    assert_eq!(*changed, topic("kubernetes"));
    refresh(100).await;
    store.note_purged(&first).await.expect("a database");
    let second = unpurged(&*store).await;
    let [(_, Some(later))] = &second[..] else { panic!("{second:?}") };
    assert!(later > revision, "a change after the look is not purged");
    store.note_purged(&second).await.expect("a database");
    assert_eq!(unpurged(&*store).await, []);

    let deleted = [(topic("kubernetes"), None), (topic("mcp"), None)];
    store.note_purged(&[(topic("mcp"), Some(0))]).await.expect("a database");
    for (name, _) in &deleted {
        assert!(store.delete_topic(name, true, at(200)).await.expect("a database"));
    }
    assert_eq!(unpurged(&*store).await, deleted);
    store.note_purged(&deleted).await.expect("a database");
    assert_eq!(unpurged(&*store).await, []);
}

contract![published_changes_and_deletions_are_unpurged_until_they_are_noted];
