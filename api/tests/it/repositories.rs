//! Single repositories over HTTP: by name, by former name, by id, and their days.

use api::clock::Clock;
use chrono::{DateTime, TimeDelta};
use github_stub::World;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Mirror};

/// The id of the repository with the most stars.
async fn first_id(mirror: &Mirror) -> u64 {
    mirror.get("/api/popularity/kubernetes").await.ids()[0]
}

fn rename(mirror: &Mirror, id: u64, full_name: &str) {
    let name = full_name.split('/').next_back();
    let fields = json!({ "full_name": full_name, "name": name });
    let fields = fields.as_object().expect("an object").clone();
    mirror.stub.world().edit(id, fields).expect("a valid repository");
}

fn name_of(mirror: &Mirror, id: u64) -> String {
    mirror.stub.world().repository(id).expect("a repository").full_name().to_owned()
}

/// A minute later, documents are made again.
fn wait_a_minute(mirror: &Mirror) {
    mirror.clock.advance(TimeDelta::minutes(1));
}

fn assert_moved(answer: &Answer, address: &str) {
    let actual = (answer.status, answer.header("location"));
    assert_eq!(actual, (StatusCode::MOVED_PERMANENTLY, address), "{}", answer.text());
}

#[tokio::test]
async fn repository_has_all_fields_and_its_places() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    let name = name_of(&mirror, ids[2]);
    let answer = mirror.get(&format!("/api/repos/{name}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let repository = answer.json();
    let own = mirror.stub.world().repository(ids[2]).expect("a repository").item.clone();
    for field in [
        "id",
        "node_id",
        "name",
        "full_name",
        "html_url",
        "description",
        "homepage",
        "language",
        "topics",
        "default_branch",
        "fork",
        "archived",
        "disabled",
        "size",
        "stargazers_count",
        "forks_count",
        "open_issues_count",
        "created_at",
        "updated_at",
        "pushed_at",
    ] {
        assert_eq!(repository.get(field), own.get(field), "{field}");
    }
    assert_eq!(repository["owner"], own["owner"]["login"]);
    let spdx_id = own["license"].get("spdx_id").cloned();
    assert_eq!(repository["license"], spdx_id.unwrap_or_default());
    let place = |list: &[u64]| list.iter().position(|id| *id == ids[2]).map(|place| place + 1);
    let [best_match, popularity, activity] = mirror.lists("kubernetes").await;
    assert_eq!(
        repository["topics_ranked"],
        json!([{
            "topic": "kubernetes",
            "best_match": place(&best_match),
            "popularity": place(&popularity),
            "activity": place(&activity),
            "joined_at": null,
        }])
    );
    assert_eq!(repository["former_names"], json!([]));
    // On the first day nothing has grown yet.
    let windows: Vec<&String> =
        repository["growth"].as_object().expect("an object").keys().collect();
    assert_eq!(windows, ["1d", "30d", "7d", "90d"]);
    assert_eq!(repository["growth"]["7d"]["gained"], 0);
}

/// A list with parameters brings the topic's catalogue into memory.
#[tokio::test]
async fn places_of_repository_are_the_same_from_memory_and_from_the_database() {
    let mirror = Mirror::refreshed(World::generate(40, 7, "kubernetes")).await;
    let id = mirror.get("/api/popularity/kubernetes").await.ids()[9];
    let places = async || {
        wait_a_minute(&mirror);
        let repository = mirror.get(&format!("/api/repositories/{id}")).await.json();
        repository["topics_ranked"][0].clone()
    };
    let counted = places().await;
    assert_eq!(counted["popularity"], 10);
    mirror.get("/api/kubernetes?per_page=1").await;
    assert_eq!(places().await, counted);
    // Memory has the catalogue of the version before.
    let now = mirror.clock.now();
    mirror.stub.world().star(id, 80_000_000, now);
    mirror.refresh("kubernetes").await;
    let starred = places().await;
    assert_eq!((&starred["popularity"], &starred["activity"]), (&json!(1), &json!(1)));
    mirror.get("/api/kubernetes?per_page=1").await;
    assert_eq!(places().await, starred);
}

/// The windows end on the last day on which this repository was seen.
#[tokio::test]
async fn repository_has_the_growth_of_trending_in_each_window() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let id = first_id(&mirror).await;
    for (days, stars) in [(30, 100), (2, 250), (4, 200), (1, 900)] {
        mirror.clock.advance(TimeDelta::days(days));
        let now = mirror.clock.now();
        mirror.stub.world().star(id, 70_000_000 + stars, now);
        mirror.refresh("kubernetes").await;
    }
    let repository = mirror.get(&format!("/api/repositories/{id}")).await.json();
    for window in ["1d", "7d", "30d", "90d"] {
        let trending =
            mirror.get(&format!("/api/trending/kubernetes?window={window}")).await.json();
        let rows = trending.as_array().expect("an array");
        let row = rows.iter().find(|row| row["id"] == id).expect("a row");
        let growth = repository["growth"][window].as_object().expect("an object");
        assert_eq!(growth["gained"].as_i64().map(|gained| gained > 0), Some(true), "{window}");
        for (name, value) in growth {
            assert_eq!(row.get(name), Some(value), "{name} of {window}");
        }
    }
    mirror.stub.world().remove(id);
    mirror.clock.advance(TimeDelta::days(10));
    mirror.refresh("kubernetes").await;
    let left = mirror.get(&format!("/api/repositories/{id}")).await.json();
    assert_eq!((&left["topics_ranked"], &left["growth"]), (&json!([]), &repository["growth"]));
}

#[tokio::test]
async fn repository_is_found_by_id_and_by_name_in_any_case() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let id = first_id(&mirror).await;
    let name = name_of(&mirror, id);
    let first = mirror.get(&format!("/api/repos/{name}")).await;
    for path in [
        format!("/api/repositories/{id}"),
        format!("/api/repos/{}", name.to_uppercase()),
        format!("//api/repos/{}/", name.to_lowercase()),
    ] {
        let other = mirror.get(&path).await;
        assert_eq!((other.status, other.text()), (StatusCode::OK, first.text()), "{path}");
    }
    let days = mirror.get(&format!("/api/repos/{name}/history")).await;
    let by_id = mirror.get(&format!("/api/repositories/{id}/history")).await;
    assert_eq!((days.status, days.text()), (by_id.status, by_id.text()));
    assert_eq!(days.json()["days"][0]["day"], "2026-09-21");
}

#[tokio::test]
async fn unknown_repository_is_404_with_a_problem() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    for path in [
        "/api/repos/no/such",
        "/api/repos/no/such/history",
        "/api/repos/a%00/b",
        "/api/repos/a%2Fb/c",
        "/api/repositories/1",
        "/api/repositories/-1/history",
        "/api/repositories/one",
        "/api/repositories/99999999999999999999",
    ] {
        let answer = mirror.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.text().contains("has no repository"), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn unknown_parameter_and_bad_day_are_400_and_named() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let path = format!("/api/repositories/{}", first_id(&mirror).await);
    for (query, expected) in [
        ("?from=2026-01-01", "from is unknown here"),
        ("/history?since=2026-01-01", "since is unknown here: this route accepts from, to"),
        ("/history?from=2026-1-1", "from accepts a day such as 2026-01-31"),
        ("/history?to=2026-02-30", "to accepts a day such as 2026-01-31"),
        ("/history?to=", "to accepts a day such as 2026-01-31"),
        ("/history?to=2026-01-01&to=2026-01-01", "to may be given only once"),
        ("/history?from=2026-01-02&to=2026-01-01", "2026-01-02 is after 2026-01-01"),
    ] {
        let answer = mirror.get(&format!("{path}{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.text());
        assert!(answer.text().contains(expected), "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn repository_and_history_under_a_former_name_redirect_and_lose_nothing() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let id = first_id(&mirror).await;
    let old = name_of(&mirror, id);
    rename(&mirror, id, "new/Name.js");
    mirror.clock.advance(TimeDelta::days(1));
    mirror.refresh("kubernetes").await;
    wait_a_minute(&mirror);

    let moved = mirror.get(&format!("/api/repos/{old}")).await;
    assert_moved(&moved, "/api/repos/new/Name.js");
    assert_eq!(moved.header("access-control-allow-origin"), "*");
    let moved = mirror.get(&format!("/api/repos/{}/history", old.to_uppercase())).await;
    assert_moved(&moved, "/api/repos/new/Name.js/history");
    let query = "?from=2026-01-01&to=2027-01-01";
    let moved = mirror.get(&format!("/api/repos/{old}/history{query}")).await;
    let address = format!("/api/repos/new/Name.js/history{query}");
    assert_moved(&moved, &address);

    let repository = mirror.get("/api/repos/new/name.js").await.json();
    assert_eq!(repository["id"], id);
    assert_eq!(
        repository["former_names"],
        json!([{ "full_name": old, "until": "2026-09-22T14:13:20Z" }])
    );
    let history = mirror.get(&address).await.json();
    assert_eq!((&history["id"], &history["full_name"]), (&id.into(), &"new/Name.js".into()));
    let days = history["days"].as_array().expect("an array");
    let days: Vec<&Value> = days.iter().map(|day| &day["day"]).collect();
    assert_eq!(days, ["2026-09-21", "2026-09-22"]);
}

#[tokio::test]
async fn name_that_another_repository_has_now_answers_for_that_one() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    let old = name_of(&mirror, ids[0]);
    rename(&mirror, ids[0], "new/name");
    rename(&mirror, ids[1], &old);
    mirror.refresh("kubernetes").await;
    let answer = mirror.get(&format!("/api/repos/{old}")).await;
    assert_eq!((answer.status, &answer.json()["id"]), (StatusCode::OK, &ids[1].into()));
    let history = mirror.get("/api/repos/new/name/history").await;
    assert_eq!((history.status, &history.json()["id"]), (StatusCode::OK, &ids[0].into()));
}

#[tokio::test]
async fn repository_that_has_left_every_topic_is_answered() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let id = first_id(&mirror).await;
    mirror.stub.world().remove(id);
    mirror.refresh("kubernetes").await;
    assert!(!mirror.get("/api/popularity/kubernetes").await.ids().contains(&id));
    let answer = mirror.get(&format!("/api/repositories/{id}")).await;
    assert_eq!((answer.status, &answer.json()["topics_ranked"]), (StatusCode::OK, &json!([])));
    let history = mirror.get(&format!("/api/repositories/{id}/history")).await.json();
    assert_eq!(history["days"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn history_has_every_seen_day_between_from_and_to() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let id = first_id(&mirror).await;
    let start = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
    let now = start + TimeDelta::days(2);
    for (days, stars) in [(1, 7), (1, 7), (2, 9)] {
        mirror.clock.advance(TimeDelta::days(days));
        mirror.stub.world().star(id, 70_000_000 + stars, now);
        mirror.refresh("kubernetes").await;
    }
    let history = async |query: &str| {
        let answer = mirror.get(&format!("/api/repositories/{id}/history{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    let all = history("").await;
    let own = mirror.stub.world().repository(id).expect("a repository").item.clone();
    let last = json!({
        "day": "2026-09-25",
        "stargazers_count": 70_000_009,
        "forks_count": own["forks_count"],
        "open_issues_count": own["open_issues_count"],
    });
    assert_eq!(all["days"][3], last);
    assert_eq!(all["backfilled"], json!([]));
    let days = async |query: &str| {
        let history = history(query).await;
        let days = history["days"].as_array().expect("an array");
        let day = |day: &Value| day["day"].as_str().expect("text")[8..].to_owned();
        days.iter().map(day).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "21 22 23 25"),
        ("?from=2026-09-22&to=2026-09-23", "22 23"),
        ("?from=2026-09-23", "23 25"),
        ("?to=2026-09-21", "21"),
        ("?from=2026-09-24&to=2026-09-24", ""),
        ("?from=2020-01-01&to=2030-01-01", "21 22 23 25"),
        ("?from=2020-01-01&to=2020-01-01", ""),
    ] {
        assert_eq!(days(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn repository_has_the_headers_of_a_list() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let id = first_id(&mirror).await;
    for path in [format!("/api/repositories/{id}"), format!("/api/repositories/{id}/history")] {
        let answer = mirror.get(&path).await;
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400"
        );
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("vary"), "Accept-Encoding");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let etag = answer.header("etag").to_owned();
        let copy = mirror.get_with(&path, &[("if-none-match", &etag)]).await;
        assert_eq!((copy.status, copy.body.len()), (StatusCode::NOT_MODIFIED, 0));
        let brotli = mirror.get_with(&path, &[("accept-encoding", "br")]).await;
        let is_long = answer.body.len() >= 1_024;
        assert_eq!(brotli.header("content-encoding") == "br", is_long, "{path}");
        assert_eq!(brotli.header("etag") != etag, is_long, "{path}");
    }
    // The answer is kept for a minute, and the next one has the new numbers.
    let path = format!("/api/repositories/{id}");
    let stars = async || mirror.get(&path).await.json()["stargazers_count"].clone();
    let before = stars().await;
    let now = DateTime::from_timestamp(crate::support::START, 0).expect("a date");
    mirror.stub.world().star(id, 70_000_000, now);
    mirror.refresh("kubernetes").await;
    assert_eq!(stars().await, before);
    wait_a_minute(&mirror);
    assert_eq!(stars().await, 70_000_000);
}

#[tokio::test]
async fn topics_named_like_the_routes_of_repositories_are_lists() {
    let topics = ["kubernetes", "repos", "repositories"].map(str::to_owned);
    let mut world = World::generate(30, 7, "repos");
    world.add_generated(20, 9, "repositories");
    let mirror = Mirror::start_with(world, &[("TOPICS", &topics.join(","))]).await;
    for (topic, expected) in [("repos", 30), ("repositories", 20)] {
        mirror.refresh(topic).await;
        let ids = mirror.get(&format!("/api/{topic}")).await.ids();
        assert_eq!(ids.len(), expected, "{topic}");
        let ids = mirror.get(&format!("/api/popularity/{topic}")).await.ids();
        assert_eq!(ids.len(), expected, "{topic}");
    }
}
