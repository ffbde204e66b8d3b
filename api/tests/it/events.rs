//! `/topics/{topic}/events` and `/topics/{topic}/history`.

use chrono::TimeDelta;
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::databases;
use crate::support::Mirror;

/// Changes a repository of the stub's world.
pub(crate) fn edit(mirror: &Mirror, id: u64, fields: &Value) {
    let fields = fields.as_object().expect("an object").clone();
    assert!(mirror.stub.world().edit(id, fields).expect("valid fields"), "{id} is there");
}

pub(crate) fn rename(mirror: &Mirror, id: u64, full_name: &str) {
    let (_, name) = full_name.split_once('/').expect("owner/name");
    let html_url = format!("https://github.com/{full_name}");
    edit(mirror, id, &json!({ "full_name": full_name, "name": name, "html_url": html_url }));
}

/// A mirror whose topic was refreshed on three days. On the second, a repository was renamed and
/// another one archived; on the third, one left and one of the first day gained 5 stars.
pub(crate) async fn mirror_with_events(settings: &[(&str, &str)]) -> (Mirror, [u64; 4]) {
    let world = World::generate(30, 7, "kubernetes");
    let mirror = Mirror::start_on(databases::sqlite(), world, settings).await;
    mirror.refresh("kubernetes").await;
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    let ids = [ids[0], ids[1], ids[2], ids[3]];
    mirror.clock.advance(TimeDelta::days(1));
    rename(&mirror, ids[0], "new/name");
    edit(&mirror, ids[1], &json!({ "archived": true }));
    mirror.refresh("kubernetes").await;
    mirror.clock.advance(TimeDelta::days(1));
    let stars = mirror.stub.world().repository(ids[3]).expect("a repository").stars;
    edit(&mirror, ids[3], &json!({ "stargazers_count": stars + 5 }));
    edit(&mirror, ids[2], &json!({ "topics": ["mcp"] }));
    mirror.refresh("kubernetes").await;
    (mirror, ids)
}

#[tokio::test]
async fn events_are_those_of_the_topic_in_pages_newest_first() {
    let (mirror, [renamed, archived, left, _]) = mirror_with_events(&[]).await;
    let former = mirror.get("/topics/kubernetes/events?kind=renamed").await.json();
    let former = former[0]["from"].as_str().expect("a name").to_owned();
    let all = mirror.get("/topics/kubernetes/events").await;
    assert_eq!((all.header("x-matched"), all.header("content-type")), ("3", "application/json"));
    let events = all.json();
    let at = events[0]["at"].as_str().expect("a time");
    assert!(at.starts_with("2026-09-23T14:"), "{at}");
    let expected = json!({
        "id": events[0]["id"], "at": at, "kind": "left", "repository_id": left,
        "full_name": events[0]["full_name"], "reason": "topic_removed",
    });
    assert_eq!(events[0], expected);
    let id = events[0]["id"].as_str().expect("an id");
    let compact = at.replace(['-', ':'], "");
    assert_eq!(id, format!("{compact}-left-{left}"));
    let kinds: Vec<&Value> = (1..3).map(|number| &events[number]["kind"]).collect();
    assert_eq!(kinds, ["archived", "renamed"]);
    assert_eq!(events[1]["repository_id"], archived);
    assert_eq!(events[2]["repository_id"], renamed);
    assert_eq!((&events[2]["from"], &events[2]["to"]), (&json!(former), &json!("new/name")));
    assert_eq!(events[2]["full_name"], "new/name");

    let page = mirror.get("/topics/kubernetes/events?page=2&per_page=2&since=2026-09-22").await;
    assert_eq!(page.json(), json!([events[2]]));
    let link = |page, relation| {
        let path = "/topics/kubernetes/events?since=2026-09-22";
        format!("<{path}&page={page}&per_page=2>; rel=\"{relation}\"")
    };
    let links = [link(1, "first"), link(1, "prev"), link(2, "last")].join(", ");
    assert_eq!((page.header("link"), page.header("x-matched")), (&*links, "3"));
    let past = mirror.get("/topics/kubernetes/events?page=9").await;
    assert_eq!((past.json(), past.header("x-matched")), (json!([]), "3"));

    let since = events[0]["at"].as_str().expect("a time");
    for (query, expected) in [
        ("kind=left,archived", vec![&events[0], &events[1]]),
        ("kind=joined", vec![]),
        (&*format!("since={since}"), vec![&events[0]]),
        ("since=2026-09-22&kind=renamed", vec![&events[2]]),
        ("since=2026-09-23", vec![&events[0]]),
        ("since=2026-09-24", vec![]),
    ] {
        let found = mirror.get(&format!("/topics/kubernetes/events?{query}")).await.json();
        assert_eq!(found, json!(expected), "{query}");
    }
}

#[tokio::test]
async fn events_refuse_parameters_that_they_do_not_know() {
    let mirror = Mirror::start(World::default()).await;
    for (query, named) in [
        ("kind=born", "kind accepts one or more of joined, left, renamed, archived, unarchived"),
        ("kind=joined,", "kind accepts"),
        ("since=yesterday", "since accepts a day, such as"),
        ("since=2026-02-30", "since accepts a day, such as"),
        ("since=-9999-01-1", "since accepts a day, such as"),
        ("since=%2B99999-1-1", "since accepts a day, such as"),
        ("since=9999-12-31T23:59:59-01:00", "since accepts a day, such as"),
        ("page=0", "page accepts a number from 1"),
        ("per_page=501", "per_page accepts a number from 1 to 500"),
        ("page=1&page=2", "page may be given only once"),
        ("language=go", "language is unknown here: this route accepts kind, since, page, per_page"),
    ] {
        let problem = mirror.get(&format!("/topics/kubernetes/events?{query}")).await;
        assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{query}");
        let detail = problem.json()["detail"].as_str().expect("text").to_owned();
        assert!(detail.contains(named), "{query}: {detail}");
    }
    let problem = mirror.get("/topics/kubernetes/history?range=1y").await;
    assert_eq!(problem.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn history_has_each_day_of_the_topic_and_changes_only_with_it() {
    let (mirror, _) = mirror_with_events(&[]).await;
    let history = mirror.get("/topics/kubernetes/history").await;
    let day = |day: &str, stored: i64, stars_gained: Value, left: i64| {
        json!({
            "day": day, "total_count": stored, "stored": stored, "complete": true,
            "stars_gained": stars_gained, "joined": 0, "left": left,
        })
    };
    let expected = json!([
        day("2026-09-21", 30, Value::Null, 0),
        day("2026-09-22", 30, json!(0), 0),
        day("2026-09-23", 29, json!(5), 1),
    ]);
    assert_eq!(history.json(), expected);
    assert!(history.header("cache-control").starts_with("public, max-age=60"));
    let etag = history.header("etag");
    let again = mirror.get_with("/topics/kubernetes/history", &[("if-none-match", etag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));

    mirror.clock.advance(TimeDelta::days(1));
    mirror.refresh("kubernetes").await;
    let replica = mirror.replica(&[]).await;
    let newer = mirror.get("/topics/kubernetes/history").await;
    assert_eq!(newer.json().as_array().map(Vec::len), Some(4));
    let of_replica = replica.get("/topics/kubernetes/history").await;
    assert_eq!(
        (newer.body, newer.headers["etag"].clone()),
        (of_replica.body, of_replica.headers["etag"].clone())
    );
}

#[tokio::test]
async fn topic_that_is_not_tracked_is_404_and_is_not_fetched() {
    let mirror = Mirror::start(World::generate(5, 7, "mcp")).await;
    for path in ["/topics/mcp/events", "/topics/mcp/history"] {
        let problem = mirror.get(path).await;
        assert_eq!(problem.status, StatusCode::NOT_FOUND, "{path}");
        assert!(problem.text().contains("the topic mcp is not tracked"), "{}", problem.text());
    }
    assert_eq!(mirror.stub.world().counters.requests, []);
    // Nothing is known yet of one that is tracked.
    assert_eq!(mirror.get("/topics/kubernetes/events").await.json(), json!([]));
    let not_yet = mirror.get("/topics/kubernetes/history").await;
    assert_eq!(not_yet.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_ne!(not_yet.header("retry-after"), "");
    mirror.refresh("mcp").await;
    assert_eq!(mirror.get("/topics/mcp/history").await.json()[0]["stored"], 5);
    mirror.request(Method::DELETE, "/topics/mcp", &[]).await;
    let gone = mirror.get("/topics/mcp/history").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}
