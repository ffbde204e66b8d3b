//! Routes beside the lists, errors, path spellings and request ids.

use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::databases;
use crate::redis::Redis;
use crate::support::{Mirror, eventually};

#[tokio::test]
async fn plain_routes_return_the_state_of_the_service() {
    let mirror = Mirror::refreshed(World::generate(150, 7, "kubernetes")).await;
    assert_eq!(mirror.get("/test").await.text(), "Oh, Hello World");
    assert_eq!(mirror.get("/health").await.text(), "ok");
    assert!(mirror.get("/").await.text().contains("/api/popularity/{topic}"));
    let robots = mirror.get("/robots.txt").await;
    assert_eq!(robots.header("content-type"), "text/plain; charset=utf-8");
    assert!(robots.text().contains("\nUser-agent: *\nDisallow: /*?\n"), "{}", robots.text());

    let ready = mirror.get("/ready").await;
    let ready = (ready.status, ready.json());
    assert_eq!(ready.0, StatusCode::OK);
    assert_eq!((&ready.1["ready"], &ready.1["database"]), (&true.into(), &"up".into()));
    assert_eq!(ready.1["topics"][0]["age_seconds"], 0);

    let topic = mirror.get("/topics/kubernetes").await.json();
    for (key, expected) in [
        ("topic", json!("kubernetes")),
        ("refreshed_at", "2026-09-21T14:13:20Z".into()),
        ("age_seconds", 0.into()),
        ("complete", true.into()),
        ("total_count", 150.into()),
        ("stored", 150.into()),
        ("next_refresh_at", "2026-09-21T15:00:00Z".into()),
    ] {
        assert_eq!(topic[key], expected, "{key}");
    }
    assert_eq!(mirror.get("/topics").await.json()[0], topic);
}

#[tokio::test]
async fn ready_returns_503_with_the_same_json_when_nothing_can_answer() {
    let mirror = Mirror::start(World::default()).await;
    let nowhere = mirror.replica(&[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]).await;
    let answer = nowhere.get("/ready").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::SERVICE_UNAVAILABLE, "application/json")
    );
    let ready = answer.json();
    assert_eq!((&ready["ready"], &ready["database"]), (&false.into(), &"down".into()), "{ready}");
    assert_eq!(ready["cache"][0], json!({ "tier": "memory", "can_answer": false }));
    assert_eq!(nowhere.get("/health").await.text(), "ok");

    // The server answers and has no schema before /bootstrap_db, and an empty Redis cannot answer
    // either.
    let (Some(missing), Some(redis)) = (databases::postgres(), Redis::start().await) else {
        return;
    };
    let settings = [("DATABASE_URL", &*missing.setting()), ("REDIS_URL", &*redis.url())];
    let bare = mirror.replica(&settings).await;
    let answer = bare.get("/ready").await;
    assert_eq!(
        (answer.status, &answer.json()["database"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"no_schema".into())
    );
    for path in ["/api/kubernetes", "/db/kubernetes", "/update_cache"] {
        let answer = bare.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text().contains("POST /bootstrap_db makes it"), "{path}: {}", answer.text());
    }
    assert_eq!(bare.get("/bootstrap_db").await.json()["created"], true);
    assert_eq!(bare.get("/ready").await.status, StatusCode::OK);
}

#[tokio::test]
async fn ready_and_problems_name_the_fault_of_a_database_that_answers() {
    let Some(database) = databases::postgres() else { return };
    let mirror = Mirror::start_on(database, World::default(), &[]).await;
    let Some(missing) = databases::postgres() else { return };
    let database = async |mirror: &Mirror| {
        let ready = mirror.get("/ready").await.json();
        (ready["database"].clone(), ready["reason"].to_string())
    };
    assert_eq!(database(&mirror).await, ("up".into(), "null".into()));
    // A new release runs before its migrations.
    let newest = "(SELECT max(version) FROM _sqlx_migrations)";
    mirror.database.query(&format!("DELETE FROM _sqlx_migrations WHERE version = {newest}")).await;
    let (state, reason) = database(&mirror).await;
    assert_eq!(state, "old_schema");
    assert!(reason.contains("older release's; POST /bootstrap_db"), "{reason}");
    mirror.database.query("ALTER TABLE topics RENAME COLUMN found TO lost").await;
    let problem = mirror.get("/topics").await;
    assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem.text().contains("an older release's"), "{}", problem.text());
    let refused = mirror.get("/bootstrap_db").await.text();
    assert!(!refused.contains("does not answer"), "{refused}");

    // The server refuses the role.
    let settings = [("DATABASE_URL", &*missing.setting()), ("POSTGRES_USER", "nobody")];
    let stranger = mirror.replica(&settings).await;
    let (state, reason) = database(&stranger).await;
    assert_eq!(state, "refused", "{reason}");
    for path in ["/api/kubernetes", "/topics", "/bootstrap_db"] {
        let problem = stranger.get(path).await.text();
        assert!(problem.contains("the database refuses this service"), "{path}: {problem}");
    }
}

#[tokio::test]
async fn ready_says_read_only_while_the_last_write_failed() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    let database = async || mirror.get("/ready").await.json()["database"].clone();
    mirror.database.query("ALTER TABLE refreshes RENAME TO lost").await;
    mirror.get("/update_cache").await;
    assert_eq!(database().await, "read_only");
    mirror.database.query("ALTER TABLE lost RENAME TO refreshes").await;
    eventually(30, "a trial write succeeds", async || database().await == "up").await;
}

#[tokio::test]
async fn answer_is_403_for_a_proxy_that_asks_others_when_nothing_is_here() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    let nowhere = mirror.replica(&[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]).await;
    let ask = [("x-ask-others", "1")];
    assert_eq!(nowhere.get("/api/kubernetes").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(nowhere.get_with("/api/kubernetes", &ask).await.status, StatusCode::FORBIDDEN);
    assert_eq!(mirror.get_with("/api/kubernetes", &ask).await.status, StatusCode::OK);
    assert_eq!(mirror.get_with("/api/-a", &ask).await.status, StatusCode::BAD_REQUEST);
    mirror
        .stub
        .world()
        .faults
        .push(github_stub::Fault::from(github_stub::FaultKind::Unauthorized).times(10));
    let unfetched = mirror.get_with("/api/mcp", &ask).await;
    assert_eq!(unfetched.status, StatusCode::SERVICE_UNAVAILABLE, "no other replica has it");
}

#[tokio::test]
async fn refreshes_show_each_run_with_its_topics() {
    let mirror = Mirror::refreshed(World::generate(150, 7, "kubernetes")).await;
    let all = mirror.request(Method::POST, "/update_cache", &[]).await.json();
    let ledger = mirror.get("/refreshes").await.json();
    assert_eq!(
        ledger.as_array().map(Vec::len),
        Some(2),
        "a topic's run is shown inside its parent"
    );
    assert_eq!(ledger[0]["id"], all["id"]);
    let entry = mirror.get(&format!("/refreshes/{}", all["id"])).await.json();
    assert_eq!(entry["topics"][0]["topic"], "kubernetes");
    assert_eq!(entry["topics"][0]["found"], 150);
    assert_eq!(mirror.get("/refreshes/999").await.status, StatusCode::NOT_FOUND);
    assert_eq!(mirror.get("/refreshes/abc").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn error_is_a_problem_document_on_every_route() {
    let mirror = Mirror::start_with(World::default(), &[("ON_DEMAND_TOPICS", "false")]).await;
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/api", 404),
        (Method::GET, "/api/other", 404),
        (Method::GET, "/topics/other", 404),
        (Method::GET, "/api/not_a_topic", 400),
        (Method::GET, "/api/-a", 400),
        (Method::GET, "/db/popularity/%ff", 400),
        (Method::GET, "/update_cache?topic=c%2B%2B", 400),
        (Method::GET, "/update_cache?topic=a&topic=b", 400),
        (Method::GET, "/update_cache?topic=other", 404),
        (Method::POST, "/api/kubernetes", 405),
        (Method::DELETE, "/bootstrap_db", 405),
        (Method::DELETE, "/topics/other", 404),
    ] {
        let answer = mirror.request(method.clone(), path, &[("x-request-id", "my-id-1")]).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], path.split('?').next().expect("a path"));
        assert_eq!(problem["request_id"], "my-id-1");
        assert!(problem["type"].is_string() && problem["title"].is_string());
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty() && !detail.contains('\n'))
        );
    }
}

#[tokio::test]
async fn wrong_method_returns_405_with_allow() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    for (method, path, allow) in [
        (Method::HEAD, "/update_cache", "GET, POST"),
        (Method::PUT, "/update_cache", "GET, POST"),
        (Method::HEAD, "/bootstrap_db", "GET, POST"),
        (Method::POST, "/api/kubernetes", "GET,HEAD"),
        (Method::DELETE, "/health", "GET,HEAD"),
    ] {
        let answer = mirror.request(method.clone(), path, &[]).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, allow),
            "{method} {path}"
        );
    }
}

/// The headers by which browsers decide about scripts of other origins.
const CORS: [&str; 5] = [
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
];

#[tokio::test]
async fn preflight_of_a_reading_route_returns_204_and_of_maintenance_405() {
    let mirror = Mirror::start(World::default()).await;
    let headers = [
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "if-none-match"),
    ];
    for path in [
        "/",
        "/api/kubernetes",
        "/api/not_a_topic",
        "/db/popularity/kubernetes",
        "/topics",
        "/topics/kubernetes",
        "/refreshes/1",
        "//ready/",
        "/health",
        "/nothing",
    ] {
        let answer = mirror.request(Method::OPTIONS, path, &headers).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0), "{path}");
        assert_eq!(answer.header(CORS[0]), "*", "{path}");
        assert_eq!(answer.header(CORS[2]), "GET, HEAD", "{path}");
        assert_eq!(answer.header(CORS[3]), "If-None-Match, If-Modified-Since, X-Request-Id");
        assert_eq!(answer.header(CORS[4]), "86400", "{path}");
    }
    assert_eq!(mirror.stub.world().counters.searches, 0, "a preflight fetches nothing");
    let plain = mirror.request(Method::OPTIONS, "/api/kubernetes", &[]).await;
    assert_eq!(plain.status, StatusCode::METHOD_NOT_ALLOWED, "it is no preflight");
    for path in ["/update_cache", "/bootstrap_db", "//update_cache//"] {
        let answer = mirror.request(Method::OPTIONS, path, &headers).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(CORS.map(|name| answer.header(name)), [""; 5], "{path}");
    }
}

#[tokio::test]
async fn script_of_another_origin_reads_every_answer_but_those_of_maintenance() {
    let mirror = Mirror::start(World::generate(10, 7, "kubernetes")).await;
    let origin = [("origin", "https://example.org")];
    mirror.stub.world().faults.push(github_stub::FaultKind::Unauthorized.into());
    for (method, path, status) in [
        (Method::GET, "/api/kubernetes", 503),
        (Method::POST, "/update_cache", 200),
        (Method::GET, "/api/kubernetes", 200),
        (Method::HEAD, "/api/kubernetes", 200),
        (Method::GET, "/db/kubernetes", 200),
        (Method::GET, "/api/not_a_topic", 400),
        (Method::GET, "/topics/other", 404),
        (Method::GET, "/nothing", 404),
        (Method::POST, "/api/kubernetes", 405),
        (Method::GET, "/topics", 200),
        (Method::GET, "/refreshes", 200),
        (Method::GET, "/ready", 200),
        (Method::GET, "/bootstrap_db", 200),
        (Method::GET, "/update_cache?topic=a&topic=b", 400),
        (Method::PUT, "/update_cache", 405),
        (Method::DELETE, "/topics/other", 404),
    ] {
        if path == "/update_cache" && method == Method::POST {
            mirror.clock.advance(chrono::TimeDelta::hours(3));
        }
        let answer = mirror.request(method.clone(), path, &origin).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
        let is_open = !path.contains("update_cache")
            && !path.contains("bootstrap_db")
            && method != Method::DELETE;
        assert_eq!(answer.header(CORS[0]), if is_open { "*" } else { "" }, "{method} {path}");
        for name in ["ETag", "Link", "Retry-After", "X-Request-Id", "X-Complete", "Cache-Status"] {
            let exposed = answer.header(CORS[1]).split(", ").any(|exposed| exposed == name);
            assert_eq!(exposed, is_open, "{name} of {method} {path}");
        }
    }
}

#[tokio::test]
async fn path_with_extra_slashes_is_the_same_path() {
    let mirror = Mirror::refreshed(World::generate(10, 7, "kubernetes")).await;
    for path in ["//api/kubernetes", "/api/kubernetes/", "//api/kubernetes//", "/api/KuberNetes"] {
        assert_eq!(mirror.get(path).await.ids().len(), 10, "{path}");
    }
    assert_eq!(mirror.get("//update_cache").await.status, StatusCode::OK);
    assert_eq!(mirror.get("/update_cache/?topic=kubernetes").await.status, StatusCode::OK);
    assert_eq!(mirror.get("//bootstrap_db/").await.json()["created"], false);
}

#[tokio::test]
async fn topic_named_like_a_ranking_has_lists() {
    let mut world = World::generate(10, 7, "popularity");
    world.add_generated(20, 8, "activity");
    let mirror = Mirror::start(world).await;
    assert_eq!(mirror.get("/api/popularity").await.ids(), mirror.expected("popularity")[0]);
    assert_eq!(mirror.get("/api/activity").await.ids(), mirror.expected("activity")[0]);
    assert_eq!(mirror.get("/api/popularity/activity").await.ids(), mirror.expected("activity")[1]);
}

#[tokio::test]
async fn request_id_is_replaced_when_it_is_unsafe() {
    let mirror = Mirror::start(World::default()).await;
    let id = async |sent: &str| {
        mirror.get_with("/test", &[("x-request-id", sent)]).await.header("x-request-id").to_owned()
    };
    assert_eq!(id("Abc-123").await, "Abc-123");
    assert_eq!(id(&"a".repeat(64)).await, "a".repeat(64));
    for unsafe_id in ["a b", "a\"b", "../x", &"a".repeat(65)] {
        let given = id(unsafe_id).await;
        assert!(given != unsafe_id && given.len() == 32, "{unsafe_id} became {given}");
    }
    assert_ne!(
        mirror.get("/test").await.header("x-request-id"),
        mirror.get("/test").await.header("x-request-id")
    );
}
