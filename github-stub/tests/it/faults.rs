//! Every kind of fault, injected by the library and by the control route, and the requests that it
//! applies to.

use std::time::Duration;

use github_stub::{Fault, FaultKind, Stub};
use serde_json::{Value, json};

use crate::{Answer, SEARCH, client, get, send, serve_generated, try_send};

const PAGE: &str = "/search/repositories?q=topic:kubernetes&sort=stars&per_page=20&page=2";

fn every_kind() -> Vec<FaultKind> {
    vec![
        FaultKind::PrimaryLimit { status: 403, reset_in: 60 },
        FaultKind::PrimaryLimit { status: 429, reset_in: 60 },
        FaultKind::SecondaryLimit { status: 403, retry_after: None },
        FaultKind::SecondaryLimit { status: 429, retry_after: Some(7) },
        FaultKind::Forbidden,
        FaultKind::Unauthorized,
        FaultKind::Unavailable,
        FaultKind::NotFound,
        FaultKind::Unprocessable,
        FaultKind::HtmlError { status: 502 },
        FaultKind::JsonError { status: 503 },
        FaultKind::NotJson,
        FaultKind::Slow { millis: 20 },
        FaultKind::Cut,
        FaultKind::Reset,
        FaultKind::Redirect { to: "http://127.0.0.1:9/elsewhere".to_owned() },
        FaultKind::Incomplete { keep: 3 },
        FaultKind::Short { missing: 2 },
        FaultKind::Empty,
        FaultKind::Drift { by: -12 },
        FaultKind::Repeat { count: 5 },
        FaultKind::Hole { count: 5 },
        FaultKind::BadItems { count: 2 },
        FaultKind::ForeignLink { origin: "http://127.0.0.1:9".to_owned() },
        FaultKind::LinkLines { origin: "http://127.0.0.1:9".to_owned() },
        FaultKind::LoopLink,
        FaultKind::OddReset { reset: 1_790_000_000_000 },
        FaultKind::BadText { count: 2 },
        FaultKind::OddFields { count: 2 },
        FaultKind::LongTexts { count: 2 },
        FaultKind::LongNames { count: 2 },
    ]
}

/// Asserts that page 2 of 50 repositories, 20 a page, shows the fault.
fn check(kind: &FaultKind, answer: reqwest::Result<Answer>, ranked: &[u64]) {
    let failed = answer.as_ref().err().map(|error| error.is_body() || error.is_decode());
    match kind {
        FaultKind::Cut => return assert_eq!(failed, Some(true), "the head came, the body broke"),
        FaultKind::Reset => return assert_eq!(failed, Some(false), "not even the head came"),
        _ => {}
    }
    let answer = answer.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    let refused = |status: u16, text: &str| {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("application/json; charset=utf-8")),
            "{kind:?}"
        );
        let body = answer.json();
        assert!(
            body["message"].as_str().is_some_and(|message| message.contains(text)),
            "{kind:?}: {body}"
        );
        assert_eq!(body["status"], json!(status.to_string()), "{kind:?}");
    };
    let html = |status: u16, text: &str| {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("text/html; charset=utf-8")),
            "{kind:?}"
        );
        assert!(
            answer.text.contains(text) && answer.header("x-ratelimit-limit").is_none(),
            "{kind:?}"
        );
    };
    let page = |ids: &[u64], total: usize, incomplete: bool| {
        assert_eq!((answer.status, answer.ids().as_slice()), (200, ids), "{kind:?}");
        let body = answer.json();
        assert_eq!(
            (&body["total_count"], &body["incomplete_results"]),
            (&json!(total), &json!(incomplete)),
            "{kind:?}"
        );
    };
    let odd = |count: usize, is_odd: &dyn Fn(&Value) -> bool| {
        page(&ranked[20..40], 50, false);
        let body = answer.json();
        let odd: Vec<bool> = body["items"].as_array().expect("items").iter().map(is_odd).collect();
        assert!(odd[..count].iter().all(|odd| *odd) && !odd[count..].contains(&true), "{odd:?}");
    };
    let long = |text: &Value| text.as_str().is_some_and(|text| text.len() == 10_000);
    match kind {
        FaultKind::PrimaryLimit { status, .. } => {
            refused(*status, "API rate limit exceeded");
            assert_eq!(
                (answer.header("x-ratelimit-remaining"), answer.header("retry-after")),
                (Some("0"), None)
            );
        }
        FaultKind::SecondaryLimit { status, retry_after } => {
            refused(*status, "You have exceeded a secondary rate limit");
            assert_eq!(answer.header("retry-after"), retry_after.map(|_| "7"));
            assert_eq!(answer.header("x-ratelimit-remaining"), Some("14"));
            let docs = answer.json()["documentation_url"]
                .as_str()
                .map(|url| url.ends_with("#about-secondary-rate-limits"));
            assert_eq!(docs, Some(true));
        }
        FaultKind::Forbidden => {
            refused(403, "Resource not accessible");
            assert_eq!(
                (answer.header("x-ratelimit-remaining"), answer.header("retry-after")),
                (None, None)
            );
        }
        FaultKind::Unauthorized => refused(401, "Bad credentials"),
        FaultKind::Unavailable => refused(451, "access blocked"),
        FaultKind::NotFound => refused(404, "Not Found"),
        FaultKind::Unprocessable => refused(422, "Validation Failed"),
        FaultKind::JsonError { status } => refused(*status, "Server Error"),
        FaultKind::HtmlError { status } => html(*status, "<title>Unicorn! &middot; GitHub</title>"),
        FaultKind::NotJson => html(200, "<html>"),
        FaultKind::Redirect { to } => {
            assert_eq!((answer.status, answer.header("location")), (301, Some(to.as_str())))
        }
        FaultKind::Slow { .. } | FaultKind::Cut | FaultKind::Reset => {
            page(&ranked[20..40], 50, false)
        }
        FaultKind::Incomplete { keep } => page(&ranked[20..20 + keep], 50, true),
        FaultKind::Short { missing } => page(&ranked[20..40 - missing], 50, false),
        FaultKind::Empty => page(&[], 0, false),
        FaultKind::Drift { .. } => {
            page(&ranked[20..40], 38, false);
            assert_eq!(answer.links(), "prev=1 first=1", "`Link` follows the reported total");
        }
        FaultKind::Repeat { count } => page(&ranked[20 - count..40 - count], 50, false),
        FaultKind::Hole { count } => page(&ranked[20 + count..40 + count], 50, false),
        FaultKind::BadItems { count } => {
            odd(*count, &|item| !item["stargazers_count"].is_u64());
        }
        FaultKind::TokenPolicy => unreachable!("it needs a token"),
        FaultKind::LinkLines { origin } => {
            page(&ranked[20..40], 50, false);
            let lines: Vec<&str> = answer
                .headers
                .get_all("link")
                .iter()
                .map(|line| line.to_str().expect("an ASCII header"))
                .collect();
            assert!(lines[0].contains("preload") && lines.len() == 5, "{lines:?}");
            assert!(lines.iter().any(|line| {
                line.starts_with(&format!("<{origin}/")) && line.ends_with(r#"REL="Next""#)
            }));
        }
        FaultKind::LoopLink => {
            page(&ranked[20..40], 50, false);
            assert_eq!(answer.links(), "prev=1 next=2 last=3 first=1");
        }
        FaultKind::OddReset { reset } => {
            page(&ranked[20..40], 50, false);
            assert_eq!(answer.header("x-ratelimit-reset"), Some(&*reset.to_string()));
        }
        // The text is no JSON before the client mends it: half a surrogate pair.
        FaultKind::BadText { .. } => assert!(
            answer.text.contains("caf\u{fffd}") && answer.text.contains(r"rocket \ud83d"),
            "{kind:?}"
        ),
        FaultKind::OddFields { count } => odd(*count, &|item| item["license"] == "MIT"),
        FaultKind::LongTexts { count } => odd(*count, &|item| long(&item["description"])),
        FaultKind::LongNames { count } => odd(*count, &|item| long(&item["name"])),
        FaultKind::ForeignLink { origin } => {
            page(&ranked[20..40], 50, false);
            assert!(
                answer.header("link").is_some_and(
                    |link| link.starts_with(&format!("<{origin}/search/repositories?"))
                )
            );
        }
    }
}

async fn post(stub: &Stub, faults: &Value) -> Answer {
    send(client().post(stub.url() + "/_stub/faults").json(faults)).await
}

#[tokio::test]
async fn fault_shows_once_when_injected_by_library_or_control_route() {
    let stub = serve_generated(50).await;
    let ranked = stub.world().ranked("kubernetes", "stars");
    for kind in every_kind() {
        for over_http in [false, true] {
            let fault = Fault::from(kind.clone()).on("stars", 2);
            if over_http {
                assert_eq!(post(&stub, &json!([fault])).await.status, 200, "{kind:?}");
                assert_eq!(get(&stub, "/_stub/faults").await.json()[0]["kind"], kind.name());
                assert_eq!(stub.world().faults, [fault]);
            } else {
                stub.world().faults.push(fault);
            }
            assert_eq!(
                get(&stub, &PAGE.replace("&page=2", "")).await.ids(),
                ranked[..20],
                "{kind:?} applies to page 2 alone"
            );
            check(&kind, try_send(client().get(stub.url() + PAGE)).await, &ranked);
            assert_eq!(get(&stub, PAGE).await.ids(), ranked[20..40], "{kind:?} applies once");
        }
    }
    let world = stub.world();
    assert!(
        every_kind().iter().all(|kind| world.counters.faults[kind.name()] >= 2)
            && world.faults.is_empty()
    );
    assert!(world.counters.unexpected.is_empty(), "{:?}", world.counters.unexpected);
}

#[tokio::test]
async fn token_policy_refuses_requests_with_a_token_alone() {
    let stub = serve_generated(5).await;
    stub.world().faults.push(Fault::from(FaultKind::TokenPolicy).times(2));
    for (token, status) in [("", 200), ("Bearer x", 403), ("", 200), ("Bearer x", 403)] {
        let mut request = client().get(stub.url() + SEARCH);
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        assert_eq!(send(request).await.status, status, "{token}");
    }
    assert_eq!(stub.world().counters.faults["token_policy"], 2);
}

#[tokio::test]
async fn date_and_reset_follow_githubs_own_clock() {
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
    let world = github_stub::World::generate(5, 7, "kubernetes");
    let stub = Stub::start_with_clock(world, std::sync::Arc::new(move || now));
    let stub = stub.await.expect("a free port");
    stub.world().settings.search_limit =
        Some(github_stub::limits::Limit { with_token: 30, without_token: 10 });
    for (ahead, date, reset) in [
        (0, "Mon, 21 Sep 2026 14:13:20 GMT", "1790000060"),
        (10_800, "Mon, 21 Sep 2026 17:13:20 GMT", "1790010860"),
        (-3_600, "Mon, 21 Sep 2026 13:13:20 GMT", "1789996460"),
    ] {
        stub.world().settings.clock_ahead = ahead;
        let answer = get(&stub, SEARCH).await;
        assert_eq!(answer.header("date"), Some(date));
        assert_eq!(answer.header("x-ratelimit-reset"), Some(reset));
    }
}

#[tokio::test]
async fn slow_body_makes_the_client_time_out() {
    let stub = serve_generated(5).await;
    stub.world().faults.push(FaultKind::Slow { millis: 600_000 }.into());
    let answer =
        try_send(client().get(stub.url() + SEARCH).timeout(Duration::from_millis(20))).await;
    assert!(answer.is_err_and(|error| error.is_timeout()));
}

/// Requests these paths in order and returns the statuses.
async fn statuses(stub: &Stub, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(get(stub, path).await.status);
    }
    statuses
}

#[tokio::test]
async fn faults_apply_in_order_with_skip_and_times() {
    let stub = serve_generated(5).await;
    let first = Fault::from(FaultKind::JsonError { status: 500 }).skip(1).times(2);
    stub.world().faults.extend([first, Fault::from(FaultKind::NotFound).skip(1)]);
    assert_eq!(statuses(&stub, &[SEARCH; 5]).await, [200, 500, 500, 404, 200]);
    assert!(stub.world().faults.is_empty(), "a used-up fault is removed");
}

#[tokio::test]
async fn fault_applies_only_to_its_path_sort_and_page() {
    let stub = serve_generated(5).await;
    let stars = format!("{SEARCH}&sort=stars");
    let paths = ["/rate_limit", SEARCH, &stars, &format!("{stars}&page=2")];
    for (fault, expected) in [
        (json!({}), [500, 500, 500, 500]),
        (json!({"path": "/search/"}), [200, 500, 500, 500]),
        (json!({"path": "/rate"}), [500, 200, 200, 200]),
        (json!({"sort": "best-match"}), [200, 500, 200, 200]),
        (json!({"sort": "stars"}), [200, 200, 500, 500]),
        (json!({"page": 1}), [200, 500, 500, 200]),
        (json!({"sort": "stars", "page": 2}), [200, 200, 200, 500]),
        (json!({"sort": "stars", "skip": 1}), [200, 200, 200, 500]),
    ] {
        let mut whole = json!({"kind": "json_error", "status": 500, "times": 9});
        whole
            .as_object_mut()
            .expect("an object")
            .extend(fault.as_object().expect("an object").clone());
        assert_eq!(post(&stub, &json!([whole])).await.status, 200);
        assert_eq!(statuses(&stub, &paths).await, expected, "{fault}");
        send(client().delete(stub.url() + "/_stub/faults")).await;
        assert!(stub.world().faults.is_empty());
    }
}

#[tokio::test]
async fn control_routes_return_422_for_unknown_faults_and_settings() {
    let stub = serve_generated(5).await;
    for fault in [json!({"kind": "earthquake"}), json!({"kind": "html_error"}), json!({})] {
        assert_eq!(post(&stub, &json!([fault])).await.status, 422, "{fault}");
    }
    let settings = stub.url() + "/_stub/settings";
    assert_eq!(send(client().post(&settings).json(&json!({"search_limits": 1}))).await.status, 422);
    assert_eq!(
        send(client().post(&settings).json(&json!({"drop": [1], "search_etag": true})))
            .await
            .status,
        200
    );
    assert!(stub.world().settings.search_etag && stub.world().settings.drop.contains(&1));
    assert_eq!(get(&stub, "/_stub/settings").await.json()["drop"], json!([1]));
    get(&stub, SEARCH).await;
    assert_eq!(
        get(&stub, "/_stub/counters").await.json()["searches"],
        1,
        "control requests are not counted"
    );
    send(client().delete(stub.url() + "/_stub/counters")).await;
    assert_eq!(stub.world().counters, github_stub::Counters::default());
}
