//! Rate limits and tokens, with a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::DateTime;
use github_stub::limits::Limit;
use github_stub::{FaultKind, Settings, Stub, World};
use serde_json::json;

use crate::{Answer, NOW, SEARCH, client, get, get_with, send, serve_generated};

/// A stub with small limits, and its clock in epoch seconds.
async fn limited() -> (Stub, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(NOW));
    let own = Arc::clone(&clock);
    let mut world = World::generate(5, 7, "kubernetes");
    world.settings.search_limit = Some(Limit { with_token: 3, without_token: 1 });
    world.settings.core_limit = Some(Limit { with_token: 2, without_token: 2 });
    let now = move || DateTime::from_timestamp(own.load(Ordering::Relaxed), 0).expect("a date");
    (Stub::start_with_clock(world, Arc::new(now)).await.expect("a free port"), clock)
}

async fn get_as(stub: &Stub, token: &str, path: &str) -> Answer {
    get_with(stub, path, "authorization", &format!("Bearer {token}")).await
}

/// The values of `x-ratelimit-limit`, `-remaining`, `-used`, `-reset` and `-resource`.
fn rate(answer: &Answer) -> Option<[String; 5]> {
    let header = |name: &str| answer.header(&format!("x-ratelimit-{name}")).map(str::to_owned);
    Some([
        header("limit")?,
        header("remaining")?,
        header("used")?,
        header("reset")?,
        header("resource")?,
    ])
}

fn numbers(limit: u32, used: u32, reset: i64, resource: &str) -> Option<[String; 5]> {
    Some([
        limit.to_string(),
        (limit - used).to_string(),
        used.to_string(),
        reset.to_string(),
        resource.to_owned(),
    ])
}

#[tokio::test]
async fn answer_has_no_rate_headers_when_no_limit_is_set() {
    let stub = serve_generated(5).await;
    let answer = get(&stub, SEARCH).await;
    assert!(
        !answer.headers.keys().any(|name| name.as_str().starts_with("x-ratelimit")),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn window_counts_down_and_restarts_at_its_reset() {
    let (stub, clock) = limited().await;
    for used in 1..=3 {
        clock.fetch_add(1, Ordering::Relaxed);
        let answer = get_as(&stub, "t", SEARCH).await;
        assert_eq!((answer.status, rate(&answer)), (200, numbers(3, used, NOW + 61, "search")));
    }
    clock.store(NOW + 60, Ordering::Relaxed);
    assert_eq!(get_as(&stub, "t", SEARCH).await.status, 403, "one second too early");
    clock.store(NOW + 61, Ordering::Relaxed);
    assert_eq!(rate(&get_as(&stub, "t", SEARCH).await), numbers(3, 1, NOW + 121, "search"));
    assert_eq!(stub.world().counters.over_limit, 1);
}

#[tokio::test]
async fn request_is_refused_as_by_github_when_its_window_is_used_up() {
    let (stub, _clock) = limited().await;
    for _ in 0..3 {
        get_as(&stub, "t", SEARCH).await;
    }
    let refused = get_as(&stub, "t", SEARCH).await;
    assert_eq!((refused.status, rate(&refused)), (403, numbers(3, 3, NOW + 60, "search")));
    assert_eq!((refused.header("retry-after"), &refused.json()["status"]), (None, &json!("403")));
    assert!(
        refused.json()["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("API rate limit exceeded for user ID"))
    );
    assert!(
        refused.json()["documentation_url"]
            .as_str()
            .is_some_and(|url| url.ends_with("/rate-limits-for-the-rest-api"))
    );

    assert_eq!(
        get(&stub, SEARCH).await.status,
        200,
        "callers without a token have their own window"
    );
    let refused = get(&stub, SEARCH).await;
    assert_eq!((refused.status, rate(&refused)), (403, numbers(1, 1, NOW + 60, "search")));
    assert!(
        refused.json()["message"]
            .as_str()
            .is_some_and(|text| text.contains("Authenticated requests get a higher"))
    );
}

#[tokio::test]
async fn resources_and_tokens_have_separate_windows() {
    let (stub, _clock) = limited().await;
    let path = format!("/repositories/{}", stub.world().ranked("kubernetes", "stars")[0]);
    assert_eq!(rate(&get_as(&stub, "t", SEARCH).await), numbers(3, 1, NOW + 60, "search"));
    assert_eq!(rate(&get_as(&stub, "t", &path).await), numbers(2, 1, NOW + 3_600, "core"));
    assert_eq!(rate(&get_as(&stub, "u", &path).await), numbers(2, 1, NOW + 3_600, "core"));
    let refusal = get_as(&stub, "t", "/nowhere").await;
    assert_eq!(
        (refusal.status, rate(&refusal)),
        (404, numbers(2, 2, NOW + 3_600, "core")),
        "a 404 counts"
    );
}

#[tokio::test]
async fn not_modified_is_free_when_the_request_has_a_token() {
    let (stub, _clock) = limited().await;
    let path = format!("/repositories/{}", stub.world().ranked("kubernetes", "stars")[0]);
    let etag =
        get_as(&stub, "t", &path).await.header("etag").expect("core routes have one").to_owned();
    for _ in 0..3 {
        let fresh =
            send(client().get(stub.url() + &path).bearer_auth("t").header("if-none-match", &etag))
                .await;
        assert_eq!((fresh.status, rate(&fresh)), (304, numbers(2, 1, NOW + 3_600, "core")));
    }
    let etag = get(&stub, &path).await.header("etag").expect("core routes have one").to_owned();
    let counted = get_with(&stub, &path, "if-none-match", &etag).await;
    assert_eq!(
        (counted.status, rate(&counted)),
        (304, numbers(2, 2, NOW + 3_600, "core")),
        "a 304 without a token counts"
    );
}

#[tokio::test]
async fn rate_limit_route_reports_both_resources_and_is_free() {
    let (stub, _clock) = limited().await;
    get_as(&stub, "t", SEARCH).await;
    for _ in 0..3 {
        let body = get_as(&stub, "t", "/rate_limit").await.json();
        let core = json!({"limit": 2, "used": 0, "remaining": 2, "reset": NOW + 3_600});
        let search = json!({"limit": 3, "used": 1, "remaining": 2, "reset": NOW + 60});
        assert_eq!(body, json!({"resources": {"core": core, "search": search}, "rate": core}));
    }
    stub.world().settings = Settings::default();
    let body = get(&stub, "/rate_limit").await.json();
    assert_eq!(
        (&body["resources"]["search"]["limit"], &body["rate"]["limit"]),
        (&json!(10), &json!(60)),
        "GitHub's own limits"
    );
}

#[tokio::test]
async fn limit_fault_has_the_rate_headers_of_the_window() {
    let (stub, _clock) = limited().await;
    stub.world()
        .faults
        .push(FaultKind::SecondaryLimit { status: 403, retry_after: Some(45) }.into());
    let secondary = get_as(&stub, "t", SEARCH).await;
    assert_eq!((secondary.status, rate(&secondary)), (403, numbers(3, 1, NOW + 60, "search")));
    assert_eq!(secondary.header("retry-after"), Some("45"));
    stub.world().faults.push(FaultKind::PrimaryLimit { status: 429, reset_in: 90 }.into());
    let primary = get_as(&stub, "t", SEARCH).await;
    assert_eq!((primary.status, rate(&primary)), (429, numbers(3, 3, NOW + 90, "search")));
    assert_eq!(
        rate(&get_as(&stub, "t", SEARCH).await),
        numbers(3, 3, NOW + 60, "search"),
        "the fault does not change the window"
    );
}

#[tokio::test]
async fn token_is_refused_when_it_is_not_among_the_accepted_ones() {
    let stub = serve_generated(5).await;
    assert_eq!(get_as(&stub, "any", SEARCH).await.status, 200);
    stub.world().settings.tokens = Some(["good".to_owned()].into());
    let refused = get_as(&stub, "bad", SEARCH).await;
    let body = json!({
        "message": "Bad credentials",
        "documentation_url": "https://docs.github.com/rest",
        "status": "401",
    });
    assert_eq!((refused.status, refused.json()), (401, body));
    assert_eq!(get_as(&stub, "good", SEARCH).await.status, 200);
    assert_eq!(get_with(&stub, SEARCH, "authorization", "token good").await.status, 200);
    assert_eq!(get(&stub, SEARCH).await.status, 200, "a request without a token is accepted");
}
