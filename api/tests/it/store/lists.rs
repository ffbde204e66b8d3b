//! Lists of a topic: their order, length and time of modification.

use api::model::ranking::Ranking;
use api::model::topic::Origin;
use api::store::{Scope, SharedStore};

use super::{
    at, begin, finish, listed_ids, repository, store_complete_run, store_page, topic, topic_state,
};
use crate::support::stored_list;

async fn list_orders_equal_ranks_by_id(store: SharedStore) {
    let repositories: Vec<_> = [9, 3, 7, 1].into_iter().map(|id| repository(id, 10)).collect();
    store_complete_run(&*store, "kubernetes", &repositories, at(0)).await;
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::BestMatch).await, [9, 3, 7, 1]);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [1, 3, 7, 9]);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Activity).await, [1, 3, 7, 9]);
}

async fn list_has_the_first_500_when_the_topic_has_more(store: SharedStore) {
    let repositories: Vec<_> = (0..600).map(|id| repository(id, id)).collect();
    store_complete_run(&*store, "kubernetes", &repositories, at(0)).await;
    for (ranking, first, last) in [
        (Ranking::BestMatch, 0, 499),
        (Ranking::Popularity, 599, 100),
        (Ranking::Activity, 599, 100),
    ] {
        let ids = listed_ids(&*store, "kubernetes", ranking).await;
        assert_eq!((ids.len(), ids[0], ids[499]), (500, first, last), "{ranking:?}");
    }
}

async fn modified_at_is_a_later_second_for_each_revision(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    let mut last = None;
    for stars in 2..6 {
        let lease = begin(&*store, "kubernetes", at(0)).await;
        store_page(&*store, &lease, &[repository(1, stars)], at(0)).await;
        let modified_at_and_revision = async || {
            let kubernetes = topic("kubernetes");
            store.allot_modified(&kubernetes, at(0)).await.expect("a database");
            let list = stored_list(&*store, &kubernetes, Ranking::Popularity).await;
            let meta = list.expect("a list").0;
            (meta.modified_at, meta.revision)
        };
        let during = modified_at_and_revision().await;
        assert!(during.0 > last, "modified_at advances although the clock does not");
        assert_eq!(modified_at_and_revision().await, during, "an unchanged list keeps its time");
        finish(&*store, &lease, Some(&[1]), Scope::All, at(0)).await;
        let after = modified_at_and_revision().await;
        assert!(after > during);
        last = after.0;
    }
}

async fn modified_at_is_equal_for_concurrent_readers_of_a_revision(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 1)], at(0)).await;
    let lease = begin(&*store, "kubernetes", at(1)).await;
    let kubernetes = topic("kubernetes");
    for stars in 2..6 {
        store_page(&*store, &lease, &[repository(1, stars)], at(1)).await;
        let readers = (0..8).map(async |_| {
            store.allot_modified(&kubernetes, at(1)).await.expect("a database");
            stored_list(&*store, &kubernetes, Ranking::Popularity).await
        });
        for list in futures_util::future::join_all(readers).await {
            assert_eq!(list.expect("a list").0.modified_at, Some(at(stars - 1)));
        }
    }
}

async fn first_list_is_readable_before_the_run_ends(store: SharedStore) {
    store.track(&topic("kubernetes"), Origin::OnDemand, None, at(0)).await.expect("tracked");
    let lease = begin(&*store, "kubernetes", at(0)).await;
    store_page(&*store, &lease, &[repository(1, 1), repository(2, 2)], at(0)).await;
    store
        .first_list(&lease, &topic("kubernetes"), &[2, 1], Some(700), at(0))
        .await
        .expect("a list");
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::BestMatch).await, [2, 1]);
    let state = topic_state(&*store, "kubernetes").await;
    assert_eq!((state.complete, state.refreshed_at, state.total_count), (false, None, Some(700)));
}

contract![
    list_orders_equal_ranks_by_id,
    list_has_the_first_500_when_the_topic_has_more,
    modified_at_is_a_later_second_for_each_revision,
    modified_at_is_equal_for_concurrent_readers_of_a_revision,
    first_list_is_readable_before_the_run_ends,
];
