//! Maintenance: its access rules and its responses.

use github_stub::{Fault, FaultKind, World};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Mirror, eventually};

#[tokio::test]
async fn maintenance_returns_401_without_the_token_for_every_path_spelling() {
    let settings = [("MAINTENANCE_TOKEN", "correct-horse"), ("TOPICS", "kubernetes")];
    let mirror = Mirror::start_with(World::generate(10, 7, "kubernetes"), &settings).await;
    for (method, path) in [
        (Method::GET, "/update_cache"),
        (Method::POST, "//update_cache"),
        (Method::POST, "/update_cache/"),
        (Method::GET, "/update_cache?topic=kubernetes"),
        (Method::GET, "/bootstrap_db"),
        (Method::DELETE, "/topics/kubernetes"),
    ] {
        for authorization in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong-horse!!",
            "Bearer correct-horse2",
            "Basic correct-horse",
        ] {
            let answer =
                mirror.request(method.clone(), path, &[("authorization", authorization)]).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{method} {path} {authorization:?}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let answer = mirror
            .request(method.clone(), path, &[("authorization", "bearer correct-horse")])
            .await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
    }
    assert_eq!(mirror.get("/topics").await.status, StatusCode::OK, "reads need no token");
}

#[tokio::test]
async fn maintenance_returns_403_when_a_browser_request_is_cross_site() {
    let mirror = Mirror::start(World::generate(10, 7, "kubernetes")).await;
    for path in ["/update_cache", "/bootstrap_db"] {
        let answer = mirror.get_with(path, &[("sec-fetch-site", "cross-site")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(
            mirror.get_with(path, &[("sec-fetch-site", "none")]).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert_eq!(mirror.stub.world().counters.searches, 1, "a refused request asks GitHub nothing");
}

#[tokio::test]
async fn bootstrap_reports_created_false_when_the_schema_exists() {
    let mirror = Mirror::start(World::default()).await;
    for method in [Method::GET, Method::POST] {
        let answer = mirror.request(method, "/bootstrap_db", &[]).await;
        assert_eq!((answer.status, &answer.json()["created"]), (StatusCode::OK, &false.into()));
    }
    assert_eq!(mirror.get("/topics").await.json()[0]["topic"], "kubernetes");
}

#[tokio::test]
async fn update_returns_its_report() {
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    let report = mirror.get("/update_cache").await.json();
    for (key, expected) in [
        ("complete", json!(true)),
        ("outcome", "complete".into()),
        ("state", "finished".into()),
        ("coalesced", false.into()),
        ("requests", 15.into()),
        ("removed", 0.into()),
        ("cause", "request".into()),
    ] {
        assert_eq!(report[key], expected, "{key}");
    }
    assert_eq!(report["topics"][0]["topic"], "kubernetes");
    let one = mirror.refresh("kubernetes").await;
    assert_eq!(one["topics"][0]["id"], one["id"], "a run of one topic is its own only topic run");
    assert_eq!((&one["inserted"], &one["updated"]), (&0.into(), &0.into()));
    assert_eq!(one["found"], one["topics"][0]["found"]);
}

#[tokio::test]
async fn concurrent_updates_share_one_run() {
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    mirror.stub.world().settings.latency_millis = 20;
    for path in ["/update_cache?topic=kubernetes", "/update_cache"] {
        mirror.stub.world().counters.searches = 0;
        let reports = futures_util::future::join_all((0..8).map(|_| mirror.get(path))).await;
        let reports: Vec<_> = reports.iter().map(super::support::Answer::json).collect();
        assert_eq!(reports.iter().filter(|report| report["coalesced"] == false).count(), 1);
        assert!(
            reports
                .iter()
                .all(|report| report["id"] == reports[0]["id"] && report["complete"] == true)
        );
        assert_eq!(mirror.stub.world().counters.searches, 15, "{path}");
    }
}

#[tokio::test]
async fn update_returns_202_and_location_when_respond_async_is_preferred() {
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    let prefer = [("prefer", "wait=5, Respond-Async")];
    let answer = mirror.request(Method::POST, "/update_cache", &prefer).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let location = answer.header("location").to_owned();
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(location, format!("/refreshes/{}", answer.json()["id"]));
    // A second caller joins the run and waits for its end.
    assert_eq!(mirror.get("/update_cache").await.json()["coalesced"], true);
    let entry = mirror.get(&location).await.json();
    assert_eq!((&entry["state"], &entry["complete"]), (&"finished".into(), &true.into()));
}

#[tokio::test]
async fn update_of_an_untracked_topic_needs_post_and_tracks_it() {
    let mut world = World::generate(10, 7, "kubernetes");
    world.add_generated(20, 8, "mcp");
    let mirror = Mirror::start(world).await;
    assert_eq!(mirror.get("/update_cache?topic=mcp").await.status, StatusCode::NOT_FOUND);
    assert_eq!(mirror.refresh("mcp").await["complete"], true);
    assert_eq!(mirror.get("/topics/mcp").await.json()["origin"], "requested");
    let all = mirror.get("/update_cache").await.json();
    let topics: Vec<_> = all["topics"]
        .as_array()
        .expect("topics")
        .iter()
        .map(|topic| topic["topic"].clone())
        .collect();
    assert_eq!(topics, ["kubernetes", "mcp"]);
    let stored = "SELECT count(*) || '' FROM repositories";
    for (path, left) in [("/topics/mcp", "30"), ("/topics/mcp?history=true", "10")] {
        let answer = mirror.request(Method::DELETE, path, &[]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(mirror.get("/topics/mcp").await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(mirror.database.query(stored).await, [left], "{path}");
    }
    for path in ["/topics/mcp", "/topics/mcp?history=true"] {
        let answer = mirror.request(Method::DELETE, path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let answer = mirror.request(Method::DELETE, "/topics/mcp?history=maybe", &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn update_returns_503_with_the_reason_when_a_topic_has_no_list() {
    let mirror = Mirror::start(World::generate(10, 7, "kubernetes")).await;
    mirror.stub.world().faults.push(FaultKind::Unauthorized.into());
    let answer = mirror.get("/update_cache").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains("kubernetes has no list") && detail.contains("GITHUB_TOKEN"),
        "{detail}"
    );
    // If every topic has a list, only the report says that a run failed.
    assert_eq!(mirror.get("/update_cache").await.status, StatusCode::OK);
    mirror.stub.world().faults.push(Fault::from(FaultKind::Unauthorized).times(4));
    let report = mirror.get("/update_cache").await.json();
    assert_eq!((&report["complete"], &report["outcome"]), (&false.into(), &"failed".into()));
    assert_eq!(mirror.get("/api/kubernetes").await.ids().len(), 10);
}

#[tokio::test]
async fn run_over_all_topics_is_partial_when_one_topic_fails() {
    let mut world = World::generate(10, 7, "kubernetes");
    world.add_generated(10, 8, "mcp");
    let mirror = Mirror::start_with(world, &[("TOPICS", "kubernetes,mcp")]).await;
    assert_eq!(mirror.get("/update_cache").await.json()["outcome"], "complete");
    // A topic has up to three queries.
    let refused = Fault::from(FaultKind::Forbidden);
    for (fault, outcome) in
        [(refused.clone().on("best-match", 1), "partial"), (refused.clone().times(6), "failed")]
    {
        mirror.stub.world().faults.push(fault);
        assert_eq!(mirror.get("/update_cache").await.json()["outcome"], outcome);
    }
    // An on-demand topic without a list does not turn the response into a 503.
    mirror.stub.world().faults.push(refused.clone().times(3));
    assert_eq!(mirror.get("/api/helm").await.status, StatusCode::SERVICE_UNAVAILABLE);
    mirror.stub.world().faults.push(refused.times(9));
    assert_eq!(mirror.get("/update_cache").await.status, StatusCode::OK);
    assert_eq!(
        mirror.get("/update_cache?topic=helm").await.status,
        StatusCode::OK,
        "the topic is fetched again"
    );
}

/// If one topic's run is going on already, a run over all topics joins and reports that run.
#[tokio::test]
async fn run_over_all_topics_reports_a_topic_run_that_it_joined() {
    let mut world = World::generate(300, 7, "kubernetes");
    world.add_generated(20, 8, "mcp");
    let mirror = Mirror::start_with(world, &[("TOPICS", "kubernetes,mcp")]).await;
    mirror.stub.world().settings.latency_millis = 50;
    let prefer = [("prefer", "respond-async")];
    let one = mirror.request(Method::POST, "/update_cache?topic=kubernetes", &prefer).await.json();
    let all = mirror.request(Method::POST, "/update_cache", &prefer).await.json();
    let running = mirror.get(all["location"].as_str().expect("a location")).await.json();
    assert_eq!(running["state"], "running");
    let ended = mirror.get("/update_cache").await.json();
    assert_eq!((&ended["id"], &ended["coalesced"]), (&all["id"], &true.into()), "{ended}");
    let topics: Vec<_> = ended["topics"]
        .as_array()
        .expect("topics")
        .iter()
        .map(|one| (&one["topic"], &one["id"]))
        .collect();
    assert_eq!(topics.len(), 2, "{ended}");
    assert!(topics.contains(&(&json!("kubernetes"), &one["id"])), "{topics:?}");
    assert_eq!(
        mirror.stub.world().counters.searches,
        4,
        "three pages of kubernetes and one of mcp"
    );
}

#[tokio::test]
async fn running_refresh_shows_requests_done_and_expected() {
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    mirror
        .stub
        .world()
        .faults
        .push(Fault::from(FaultKind::Slow { millis: 600_000 }).on("stars", 2));
    let all =
        mirror.request(Method::POST, "/update_cache", &[("prefer", "respond-async")]).await.json();
    while mirror.stub.world().counters.searches < 7 {
        tokio::task::yield_now().await;
    }
    let entry = mirror.get(all["location"].as_str().expect("a location")).await.json();
    for entry in [&entry, &entry["topics"][0], &mirror.get("/refreshes").await.json()[0]] {
        assert_eq!(entry["state"], "running");
        assert_eq!(
            (&entry["requests"], &entry["requests_expected"]),
            (&6.into(), &15.into()),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn refresh_ends_complete_when_its_caller_disconnects() {
    let mirror = Mirror::start(World::generate(700, 7, "kubernetes")).await;
    mirror.stub.world().settings.latency_millis = 30;
    {
        let leaving = mirror.get("/update_cache");
        let begun = async {
            while mirror.stub.world().counters.searches == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = leaving => panic!("{}", answer.text()),
            () = begun => {}
        }
    }
    let entry = async || mirror.get("/refreshes").await.json()[0].clone();
    eventually(30, "the run ends", async || entry().await["state"] == "finished").await;
    assert_eq!(
        (&entry().await["complete"], mirror.stub.world().counters.searches),
        (&true.into(), 15)
    );
}

#[tokio::test]
async fn maintenance_without_a_token_returns_403_when_a_page_gave_its_name_our_address() {
    let mirror = Mirror::start(World::generate(10, 7, "kubernetes")).await;
    for (host, is_own) in [
        ("rebound.example", false),
        ("rebound.example:8081", false),
        ("127.0.0.1.rebound.example", false),
        ("localhost.rebound.example", false),
        ("192.0.2.7:8081", false),
        ("[2001:db8::1]:8081", false),
        ("127.0.0.1:8081", true),
        ("127.1.2.3", true),
        ("[::1]:8081", true),
        ("[::ffff:127.0.0.1]", true),
        ("LocalHost:8081", true),
        ("mirror.localhost.", true),
        ("proxy:8081", true),
    ] {
        for (method, path) in [
            (Method::DELETE, "/topics/none"),
            (Method::POST, "//update_cache"),
            (Method::GET, "/bootstrap_db/"),
        ] {
            let answer = mirror.request(method.clone(), path, &[("host", host)]).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, !is_own, "{method} {path} of {host}: {}", answer.text());
        }
        assert_eq!(mirror.get_with("/topics", &[("host", host)]).await.status, StatusCode::OK);
    }
    let settings = [("MAINTENANCE_TOKEN", "correct-horse")];
    let guarded = mirror.replica(&settings).await;
    let headers = [("host", "mirror.example"), ("authorization", "Bearer correct-horse")];
    let answer = guarded.get_with("/bootstrap_db", &headers).await;
    assert_eq!(answer.status, StatusCode::OK, "a token needs no name");
}
