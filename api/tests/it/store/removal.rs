//! Repositories that a run did not show: which are removed, and which are unconfirmed.

use api::model::event::LeftReason;
use api::model::ranking::Ranking;
use api::model::repository::Repository;
use api::store::{Scope, SharedStore};

use super::{
    at, begin, finish, listed_ids, repository, store_complete_run, store_page, topic, topic_state,
};

async fn finish_removes_only_displaced_repositories(store: SharedStore) {
    let old: Vec<_> = (1..=6).map(|id| repository(id, id * 10)).collect();
    store_complete_run(&*store, "kubernetes", &old, at(0)).await;
    let lease = begin(&*store, "kubernetes", at(100)).await;
    store_page(&*store, &lease, &[repository(4, 40), repository(6, 60)], at(100)).await;
    // The run should have shown 5; 1 to 3 are not among the first three any more.
    let first = Scope::First(3);
    assert_eq!(store.unconfirmed(&lease, &topic("kubernetes"), first).await.expect("ids"), [5]);
    assert_eq!(finish(&*store, &lease, Some(&[6, 4]), first, at(100)).await, 3);
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [6, 5, 4]);
    assert_eq!(
        listed_ids(&*store, "kubernetes", Ranking::BestMatch).await,
        [6, 4],
        "best match is GitHub's order"
    );

    let lease = begin(&*store, "kubernetes", at(200)).await;
    store_page(&*store, &lease, &[repository(6, 61)], at(200)).await;
    assert_eq!(
        finish(&*store, &lease, None, Scope::All, at(200)).await,
        0,
        "a partial run removes nothing"
    );
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::BestMatch).await, [6, 4]);
    let state = topic_state(&*store, "kubernetes").await;
    assert_eq!((state.complete, state.refreshed_at, state.stored), (false, Some(at(100)), 3));

    let lease = begin(&*store, "kubernetes", at(300)).await;
    let ids = store.unconfirmed(&lease, &topic("kubernetes"), Scope::All).await.expect("ids");
    assert_eq!(ids, [5, 4, 6], "the longest unconfirmed is first");
    let since = async |updated, confirmed| {
        let scope = Scope::Since { updated_at: at(updated), confirmed_at: at(confirmed) };
        store.unconfirmed(&lease, &topic("kubernetes"), scope).await.expect("ids")
    };
    assert_eq!((since(40, 0).await, since(60, 0).await), (vec![5, 6], vec![6]));
    assert_eq!(since(60, 100).await, [5, 6], "the last complete run did not confirm 5");
    store
        .remove(&lease, &topic("kubernetes"), &[(5, LeftReason::Deleted)], at(300))
        .await
        .expect("removed");
    finish(&*store, &lease, None, Scope::All, at(300)).await;
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [6, 4]);
}

async fn unanswered_repository_goes_to_the_end_of_the_queue(store: SharedStore) {
    let topic = topic("kubernetes");
    let old: Vec<_> = (1..=4).map(|id| repository(id, id)).collect();
    store_complete_run(&*store, "kubernetes", &old, at(0)).await;
    let lease = begin(&*store, "kubernetes", at(10)).await;
    let unconfirmed = async || store.unconfirmed(&lease, &topic, Scope::All).await.expect("ids");
    assert_eq!(unconfirmed().await, [4, 3, 2, 1]);
    for (ids, time, expected) in
        [(&[4, 2][..], 20, [3, 1, 4, 2]), (&[3], 30, [1, 4, 2, 3]), (&[4], 40, [1, 2, 3, 4])]
    {
        store.note_unanswered(&lease, &topic, ids, at(time)).await.expect("noted");
        assert_eq!(unconfirmed().await, expected);
    }
    store_page(&*store, &lease, &[repository(4, 4)], at(50)).await;
    finish(&*store, &lease, None, Scope::All, at(50)).await;
    let lease = begin(&*store, "kubernetes", at(60)).await;
    store.note_unanswered(&lease, &topic, &[1], at(60)).await.expect("noted");
    let ids = store.unconfirmed(&lease, &topic, Scope::All).await.expect("ids");
    assert_eq!(ids, [2, 3, 4, 1], "one that a run has seen counts from then on");
}

async fn repository_with_a_place_in_either_ranking_is_unconfirmed(store: SharedStore) {
    let updated =
        |id, stars, seconds| Repository { updated_at: at(seconds), ..repository(id, stars) };
    let all = [
        updated(1, 90, 1),
        updated(2, 80, 2),
        updated(3, 3, 80),
        updated(4, 4, 90),
        updated(5, 5, 5),
        updated(6, 70, 70),
    ];
    store_complete_run(&*store, "kubernetes", &all, at(0)).await;
    let lease = begin(&*store, "kubernetes", at(100)).await;
    store_page(&*store, &lease, &all[5..], at(100)).await;
    let ids = store.unconfirmed(&lease, &topic("kubernetes"), Scope::First(2)).await.expect("ids");
    assert_eq!(ids, [1, 2, 4, 3], "the first two by stars and the first two by update");
    assert_eq!(
        finish(&*store, &lease, Some(&[6]), Scope::First(2), at(100)).await,
        1,
        "only 5 is displaced in both rankings"
    );
    assert_eq!(listed_ids(&*store, "kubernetes", Ranking::Popularity).await, [1, 2, 6, 4, 3]);
}

contract![
    finish_removes_only_displaced_repositories,
    unanswered_repository_goes_to_the_end_of_the_queue,
    repository_with_a_place_in_either_ranking_is_unconfirmed,
];
