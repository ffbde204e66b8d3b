//! Backfilled counts, and the days on which GitHub was asked for them.

use api::model::counts::{Counts, Span};
use api::store::{SharedStore, Store};

use super::history::{day, rows};
use super::{repository, store_complete_run, topic};

/// A span of days with these stars.
fn span(repository: i64, first: i64, last: i64, stars: i64) -> Span {
    let counts = Counts { stars, forks: None, open_issues: None };
    Span { repository, first: day(first).date_naive(), last: day(last).date_naive(), counts }
}

async fn unfilled(store: &dyn Store, number: i64) -> Vec<i64> {
    let unfilled = store.unfilled(&topic("kubernetes"), day(number).date_naive()).await;
    unfilled.expect("a database").iter().map(|repository| repository.id).collect()
}

async fn backfill(store: &dyn Store, id: i64, spans: &[Span], number: i64) {
    store.backfill(id, spans, day(number).date_naive()).await.expect("a database");
}

async fn repositories_without_backfilled_counts_come_with_most_stars_first(store: SharedStore) {
    let own = [repository(1, 5), repository(2, 70), repository(3, 5), repository(4, 6)];
    store_complete_run(&*store, "kubernetes", &own, day(0)).await;
    store_complete_run(&*store, "mcp", &[repository(5, 90)], day(0)).await;
    assert_eq!(unfilled(&*store, 0).await, [2, 4, 1, 3]);
    backfill(&*store, 2, &[span(2, -1, -1, 70)], 0).await;
    backfill(&*store, 4, &[], 0).await;
    assert_eq!(unfilled(&*store, 0).await, [1, 3]);
    assert_eq!(unfilled(&*store, 1).await, [4, 1, 3], "4 is asked for on another day");
    backfill(&*store, 4, &[], 1).await;
    assert_eq!(unfilled(&*store, 1).await, [1, 3]);
    let all = store.unfilled(&topic("kubernetes"), day(1).date_naive()).await.expect("a database");
    assert_eq!((&*all[0].full_name, all[0].stars), ("owner/name-1", 5));
}

async fn newer_backfilled_counts_replace_older_ones(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 5), repository(2, 2)], day(0)).await;
    backfill(&*store, 1, &[span(1, -5, -3, 4), span(1, -2, -1, 5)], 0).await;
    backfill(&*store, 2, &[span(2, -1, -1, 2)], 0).await;
    backfill(&*store, 1, &[span(1, -4, -3, 3), span(1, -2, 0, 4)], 1).await;
    assert_eq!(
        rows(&*store, "backfilled").await,
        [
            "1 2026-09-17 3",
            "1 2026-09-18 3",
            "1 2026-09-19 4",
            "1 2026-09-20 4",
            "1 2026-09-21 4",
            "2 2026-09-20 2",
        ]
    );
    let seen = ["1 2026-09-21 5 0 0", "2 2026-09-21 2 0 0"];
    assert_eq!(rows(&*store, "counts").await, seen, "counts that were seen stay");
}

async fn backfilled_counts_go_with_their_repository(store: SharedStore) {
    store_complete_run(&*store, "kubernetes", &[repository(1, 5)], day(0)).await;
    backfill(&*store, 1, &[span(1, -1, -1, 5)], 0).await;
    store.delete_topic(&topic("kubernetes"), false, day(0)).await.expect("deleted");
    backfill(&*store, 1, &[span(1, -1, -1, 5)], 0).await;
    assert_eq!(rows(&*store, "backfilled").await, Vec::<String>::new());
    store_complete_run(&*store, "kubernetes", &[repository(1, 5)], day(0)).await;
    assert_eq!(unfilled(&*store, 0).await, [1], "it is asked for again");
}

contract![
    repositories_without_backfilled_counts_come_with_most_stars_first,
    newer_backfilled_counts_replace_older_ones,
    backfilled_counts_go_with_their_repository,
];
