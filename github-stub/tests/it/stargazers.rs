//! `/repos/{owner}/{name}/stargazers/history` and `/count`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, Stub, World};
use serde_json::{Value, json};

use crate::{client, get, repository, send};

const HISTORY: &str = "/repos/owner/name-42/stargazers/history";
const COUNT: &str = "/repos/owner/name-42/stargazers/count";
const WEEK: i64 = 7 * 86_400;

/// A repository of 2020-01-01 with 800 stars, the last one of 2024-01-01; the time is a Wednesday,
/// 2024-01-10.
async fn serve() -> Stub {
    let now: DateTime<Utc> = "2024-01-10T12:00:00Z".parse().expect("a date");
    let world = World::new(vec![repository(42, json!({"stargazers_count": 800}))]);
    Stub::start_with_clock(world, Arc::new(move || now)).await.expect("a free port")
}

/// The weeks of all pages, by following `Link`.
async fn weeks(stub: &Stub) -> Vec<Value> {
    let mut address = format!("{}{HISTORY}", stub.url());
    let mut weeks = Vec::new();
    loop {
        let answer = send(client().get(&address)).await;
        let page = answer.json();
        weeks.extend(page.as_array().expect("weeks").iter().cloned());
        let links = answer.header("link").unwrap_or_default().split(", ");
        match links.filter_map(|link| link.strip_suffix(r#">; rel="next""#)).next() {
            Some(next) => next[1..].clone_into(&mut address),
            None => return weeks,
        }
    }
}

fn number(week: &Value, field: &str) -> i64 {
    week[field].as_i64().expect("a number")
}

#[tokio::test]
async fn star_history_has_the_newest_week_first_and_sums_to_the_count() {
    let stub = serve().await;
    let weeks = weeks(&stub).await;
    let sunday: DateTime<Utc> = "2024-01-07T00:00:00Z".parse().expect("a date");
    for (week, index) in weeks.iter().zip(0..) {
        assert_eq!(number(week, "week"), sunday.timestamp() - index * WEEK);
        let days: Vec<i64> =
            week["days"].as_array().expect("days").iter().filter_map(Value::as_i64).collect();
        assert_eq!((days.len(), days.iter().sum()), (7, number(week, "total")));
        assert!(days.iter().all(|stars| *stars >= 0), "{week}");
    }
    assert_eq!(weeks.len(), 211, "2019-12-29, the Sunday before the creation, is the last one");
    assert_eq!(weeks.iter().map(|week| number(week, "total")).sum::<i64>(), 800);
    assert_eq!(get(&stub, COUNT).await.json(), json!({"count": 800}));
    assert_eq!(weeks[0]["total"], 0, "the last star is of the week before");
    assert_eq!(weeks[210]["days"].as_array().expect("days")[..3], [json!(0), json!(0), json!(0)]);
}

#[tokio::test]
async fn star_history_sums_to_the_count_after_stars_are_set() {
    let stub = serve().await;
    for stars in [801, 3, 0, 5_000] {
        stub.world().star(42, stars, "2024-01-09T00:00:00Z".parse().expect("a date"));
        let weeks = weeks(&stub).await;
        assert_eq!(weeks.iter().map(|week| number(week, "total")).sum::<i64>(), stars);
        assert_eq!(get(&stub, COUNT).await.json(), json!({"count": stars}));
    }
}

#[tokio::test]
async fn star_history_has_pages_of_30_weeks_and_refuses_page_101() {
    let stub = serve().await;
    let lengths = |answer: crate::Answer| answer.json().as_array().map(Vec::len);
    for (query, length, links) in [
        ("", 30, "next=2 last=8"),
        ("?per_page=100", 30, "next=2 last=8"),
        ("?per_page=2&page=3", 2, "prev=2 next=4 last=100 first=1"),
        ("?page=8", 1, "prev=7 first=1"),
        ("?page=100", 0, "prev=99 first=1"),
    ] {
        let answer = get(&stub, &format!("{HISTORY}{query}")).await;
        assert_eq!((answer.status, answer.links().as_str()), (200, links), "{query}");
        assert_eq!(lengths(answer), Some(length), "{query}");
    }
    assert!(stub.world().counters.unexpected.is_empty());
    assert_eq!(get(&stub, &format!("{HISTORY}?page=101")).await.status, 422);
    assert_eq!(stub.world().counters.unexpected.len(), 1);
}

#[tokio::test]
async fn star_history_of_an_unknown_repository_is_404() {
    let stub = serve().await;
    for route in [HISTORY, COUNT] {
        assert_eq!(get(&stub, &route.replace("42", "43")).await.status, 404);
    }
    assert!(stub.world().counters.unexpected.is_empty());
}

#[tokio::test]
async fn star_history_counts_in_the_core_limit() {
    let stub = serve().await;
    stub.world().settings.core_limit = Some(Limit { with_token: 5_000, without_token: 2 });
    for (route, status, used) in [(HISTORY, 200, "1"), (COUNT, 200, "2"), (HISTORY, 403, "2")] {
        let answer = get(&stub, route).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-used")), (status, Some(used)));
        assert_eq!(answer.header("x-ratelimit-resource"), Some("core"));
    }
}

#[tokio::test]
async fn star_history_shows_faults() {
    let stub = serve().await;
    for (kind, status) in [
        (FaultKind::NotFound, 404),
        (FaultKind::Unprocessable, 422),
        (FaultKind::PrimaryLimit { status: 403, reset_in: 60 }, 403),
        (FaultKind::SecondaryLimit { status: 403, retry_after: Some(7) }, 403),
        (FaultKind::HtmlError { status: 502 }, 502),
    ] {
        stub.world().faults.push(Fault::from(kind).at(HISTORY));
        assert_eq!(get(&stub, COUNT).await.status, 200);
        assert_eq!(get(&stub, HISTORY).await.status, status);
        assert_eq!(get(&stub, HISTORY).await.status, 200);
    }
    stub.world().faults.push(Fault::from(FaultKind::LoopLink).at(HISTORY));
    assert_eq!(get(&stub, HISTORY).await.links(), "next=1 last=8");
}
