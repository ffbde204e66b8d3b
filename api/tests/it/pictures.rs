//! Charts and badges over HTTP.

use chrono::{DateTime, TimeDelta};
use github_stub::World;
use reqwest::StatusCode;
use roxmltree::Document;
use serde_json::{Value, json};

use crate::events::edit;
use crate::support::{Answer, Mirror, START};

const FOR_AN_HOUR: &str = "public, max-age=3600, stale-while-revalidate=600, stale-if-error=86400";

/// The repository with the most stars: its id and its name.
async fn first(mirror: &Mirror) -> (u64, String) {
    let id = mirror.get("/api/popularity/kubernetes").await.ids()[0];
    (id, name_of(mirror, id))
}

fn name_of(mirror: &Mirror, id: u64) -> String {
    mirror.stub.world().repository(id).expect("a repository").full_name().to_owned()
}

/// Gives a repository stars and refreshes.
async fn star(mirror: &Mirror, id: u64, stars: i64) {
    let now = DateTime::from_timestamp(START, 0).expect("a date");
    mirror.stub.world().star(id, stars, now);
    mirror.refresh("kubernetes").await;
}

/// A mirror whose first repository had these stars on 21, 22, 23, 25 and 26 September.
async fn with_five_days() -> (Mirror, String) {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let (id, name) = first(&mirror).await;
    for (days, stars) in [(0, 900_000), (1, 900_010), (1, 900_007), (2, 900_050), (1, 900_060)] {
        mirror.clock.advance(TimeDelta::days(days));
        star(&mirror, id, stars).await;
    }
    (mirror, name)
}

fn assert_is_picture(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "image/svg+xml");
    let text = answer.text();
    let document = Document::parse(&text).expect("well-formed");
    assert_eq!(document.root_element().tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    assert_eq!(text.matches("://").count(), 1, "{text}");
}

fn title(answer: &Answer) -> String {
    let text = answer.text();
    let document = Document::parse(&text).expect("well-formed");
    let title = document.descendants().find(|node| node.has_tag_name("title"));
    title.and_then(|node| node.text()).expect("a title").to_owned()
}

#[tokio::test]
async fn chart_of_a_repository_has_its_days_as_picture_and_as_numbers() {
    let (mirror, name) = with_five_days().await;
    let picture = mirror.get(&format!("/charts/{name}.svg")).await;
    assert_is_picture(&picture);
    assert_eq!(title(&picture), format!("Stars: {name}, until 2026-09-26"));
    assert!(picture.text().contains("900,000 on 2026-09-21"), "{}", picture.text());
    assert!(picture.text().contains(">900,060</text>") && picture.text().contains("not seen"));
    let day = |day: u32, value: i64| json!({ "day": format!("2026-09-{day}"), "value": value });
    let numbers = mirror.get(&format!("/charts/{name}.json")).await;
    let totals = [(21, 900_000), (22, 900_010), (23, 900_007), (25, 900_050), (26, 900_060)];
    let totals = totals.map(|(number, value)| day(number, value));
    let series = json!([{ "name": name, "days": totals, "backfilled": [] }]);
    let expected = json!({ "measure": "Stars", "range": "all", "type": "total", "series": series });
    assert_eq!(numbers.json(), expected);
    let numbers = mirror.get(&format!("/charts/{name}.json?type=daily&range=30d")).await.json();
    assert_eq!(numbers["series"][0]["days"], json!([day(22, 10), day(23, -3), day(26, 10)]));
    let csv = mirror.get(&format!("/charts/{name}.csv?type=daily")).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let rows = ["22,10", "23,-3", "26,10"].map(|row| format!("{name},2026-09-{row},seen\r\n"));
    assert_eq!(csv.text(), format!("name,day,value,source\r\n{}", rows.concat()));
}

#[tokio::test]
async fn picture_has_validators_and_is_kept_for_an_hour() {
    let (mirror, name) = with_five_days().await;
    for path in [
        format!("/charts/{name}.svg"),
        format!("/charts/{}.svg?theme=dark", name.to_uppercase()),
        "/charts/topics/kubernetes.json".to_owned(),
        format!("/badges/kubernetes/{name}.svg"),
        format!("/badges/kubernetes/{name}.json"),
    ] {
        let answer = mirror.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), FOR_AN_HOUR, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let etag = answer.header("etag").to_owned();
        let copy = mirror.get_with(&path, &[("if-none-match", &etag)]).await;
        assert_eq!((copy.status, copy.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(copy.header("cache-control"), FOR_AN_HOUR, "{path}");
        let brotli = mirror.get_with(&path, &[("accept-encoding", "br")]).await;
        let expected = if answer.body.len() < 1_024 { "" } else { "br" };
        assert_eq!(brotli.header("content-encoding"), expected, "{path}");
        // Another replica has the same bytes.
        assert_eq!(mirror.replica(&[]).await.get(&path).await.header("etag"), etag, "{path}");
    }
}

#[tokio::test]
async fn chart_is_drawn_as_its_parameters_say() {
    let (mirror, name) = with_five_days().await;
    let plain = mirror.get(&format!("/charts/{name}.svg")).await.text();
    assert!(plain.contains(r#"width="640" height="320""#), "{plain}");
    for (query, contained) in [
        ("range=30d", "until 2026-09-26"),
        ("type=daily", "Stars gained each day"),
        ("scale=log", "log scale"),
        ("align=start", "from each first day"),
        ("width=320&height=160", r#"width="320" height="160""#),
        ("width=1200&height=800", r#"width="1200" height="800""#),
        ("theme=auto", "prefers-color-scheme"),
        ("theme=dark", ".p{fill:#0d1117}"),
        ("theme=light", ".p{fill:#fff}"),
    ] {
        let answer = mirror.get(&format!("/charts/{name}.svg?{query}")).await;
        assert_is_picture(&answer);
        assert!(answer.text().contains(contained), "{query}: {}", answer.text());
        let is_auto = answer.text().contains("prefers-color-scheme");
        assert_eq!(is_auto, !query.contains("dark") && !query.contains("light"), "{query}");
    }
}

#[tokio::test]
async fn bad_parameters_of_pictures_are_400_and_named() {
    let (mirror, name) = with_five_days().await;
    let chart = format!("/charts/{name}.svg");
    let badge = format!("/badges/kubernetes/{name}.svg");
    let compare = "/charts/compare.svg";
    let nine = (0..9).map(|number| format!("a/b{number}")).collect::<Vec<_>>().join(",");
    let nine = format!("repos={nine}");
    for (path, query, expected) in [
        (&*chart, "range=7d", "range accepts 30d, 90d, 1y or all"),
        (&chart, "type=weekly", "type accepts total or daily"),
        (&chart, "scale=log10", "scale accepts linear or log"),
        (&chart, "align=end", "align accepts date or start"),
        (&chart, "width=319", "width accepts a number from 320 to 1200"),
        (&chart, "width=1201", "width accepts"),
        (&chart, "height=159", "height accepts a number from 160 to 800"),
        (&chart, "height=801", "height accepts"),
        (&chart, "height=-1", "height accepts"),
        (&chart, "theme=Dark", "theme accepts auto, light or dark"),
        (&chart, "theme=dark&theme=dark", "theme may be given only once"),
        (&chart, "repos=a/b,c/d", "repos is unknown here"),
        (&chart, "range=x&width=y", "30d, 90d, 1y or all; width accepts"),
        ("/charts/topics/kubernetes.csv", "window=7d", "window is unknown here"),
        (compare, "", "repos is missing; it accepts from 2 to 8 different repositories"),
        (compare, "repos=a/b", "repos accepts from 2 to 8 different repositories"),
        (compare, &nine, "repos accepts from 2 to 8"),
        (compare, "repos=a/b,A/B", "repos accepts from 2 to 8 different"),
        (compare, "repos=a/b,c", "repos accepts from 2 to 8"),
        (compare, "repos=a/b,", "repos accepts from 2 to 8"),
        (&badge, "by=activity", "by accepts popularity or trending"),
        (&badge, "by=trending&window=2d", "window accepts 1d, 7d, 30d or 90d"),
        (&badge, "window=7d", "window needs by=trending"),
        (&badge, "theme=dark", "theme is unknown here: this route accepts by, window"),
    ] {
        let answer = mirror.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}?{query}: {}", answer.text());
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(expected), "{path}?{query}: {detail}");
    }
}

#[tokio::test]
async fn picture_of_what_the_mirror_does_not_have_is_404_or_503_and_never_stored() {
    let (mirror, name) = with_five_days().await;
    for path in [
        "/charts/no/such.svg".to_owned(),
        "/charts/topics/untracked.svg".to_owned(),
        format!("/charts/compare.svg?repos={name},no/such"),
        format!("/charts/{name}.png"),
        format!("/charts/{name}"),
        "/charts/other.svg".to_owned(),
        "/charts/a/.svg".to_owned(),
        "/charts/a%00/b.svg".to_owned(),
        format!("/badges/untracked/{name}.svg"),
        "/badges/kubernetes/no/such.svg".to_owned(),
        format!("/badges/kubernetes/{name}.csv"),
    ] {
        let answer = mirror.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(mirror.get("/charts/topics/-a.svg").await.status, StatusCode::BAD_REQUEST);
    // A topic that is tracked and has no list.
    let empty = Mirror::start(World::generate(30, 7, "kubernetes")).await;
    for path in ["/charts/topics/kubernetes.svg", "/badges/kubernetes/a/b.svg"] {
        let answer = empty.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_ne!(answer.header("retry-after"), "", "{path}");
    }
}

#[tokio::test]
async fn picture_is_the_last_good_one_while_the_database_does_not_answer() {
    let (mirror, name) = with_five_days().await;
    let paths = [format!("/charts/{name}.svg"), format!("/badges/kubernetes/{name}.svg")];
    let mut before = Vec::new();
    for path in &paths {
        before.push(mirror.get(path).await.text());
    }
    mirror.database.query("ALTER TABLE repositories RENAME TO lost").await;
    mirror.clock.advance(TimeDelta::minutes(2));
    for (path, before) in paths.iter().zip(before) {
        let answer = mirror.get(path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, before), "{path}");
    }
    let other = mirror.get(&format!("/charts/{name}.svg?theme=dark")).await;
    assert_eq!(other.status, StatusCode::SERVICE_UNAVAILABLE, "{}", other.text());
    assert_eq!(other.header("cache-control"), "no-store");
}

#[tokio::test]
async fn compare_draws_each_repository_in_the_order_asked_for() {
    let (mirror, name) = with_five_days().await;
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    let names: Vec<_> = ids[..8].iter().rev().map(|id| name_of(&mirror, *id)).collect();
    assert_eq!(names[7], name);
    let path = |extension| format!("/charts/compare.{extension}?repos={}", names.join(","));
    let picture = mirror.get(&path("svg")).await;
    assert_is_picture(&picture);
    assert_eq!(title(&picture), format!("Stars: {}, until 2026-09-26", names.join(", ")));
    let series = mirror.get(&path("json")).await.json()["series"].clone();
    let drawn: Vec<_> = (0..8).filter_map(|index| series[index]["name"].as_str()).collect();
    assert_eq!(drawn, names);
    assert_eq!(series[7]["days"].as_array().map(Vec::len), Some(5));
    let csv = mirror.get(&path("csv")).await.text();
    assert!(csv.contains(&format!("\r\n{name},2026-09-23,900007,seen\r\n")), "{csv}");
}

#[tokio::test]
async fn chart_of_a_topic_draws_its_days() {
    let (mirror, _) = with_five_days().await;
    let history = mirror.get("/topics/kubernetes/history").await.json();
    let history = history.as_array().expect("an array");
    let path = "/charts/topics/kubernetes";
    assert_eq!(history.len(), 5);
    for (query, field, measure) in [
        ("", "total_count", "Repositories with this topic on GitHub"),
        ("?type=daily", "stars_gained", "Stars gained each day"),
    ] {
        let picture = mirror.get(&format!("{path}.svg{query}")).await;
        assert_is_picture(&picture);
        assert_eq!(title(&picture), format!("{measure}: kubernetes, until 2026-09-26"));
        let numbers = mirror.get(&format!("{path}.json{query}")).await.json();
        let days = history.iter().filter(|day| !day[field].is_null());
        let days = days.map(|day| json!({ "day": day["day"], "value": day[field] }));
        assert_eq!(numbers["series"][0]["days"], days.collect::<Value>(), "{query}");
    }
    // A refresh brings a new picture at once.
    let gained = mirror.get(&format!("{path}.json?type=daily")).await.text();
    mirror.clock.advance(TimeDelta::days(1));
    mirror.refresh("kubernetes").await;
    assert_ne!(mirror.get(&format!("{path}.json?type=daily")).await.text(), gained);
}

#[tokio::test]
async fn pictures_under_a_former_name_redirect_and_keep_the_query() {
    let (mirror, old) = with_five_days().await;
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    let other = name_of(&mirror, ids[1]);
    edit(&mirror, ids[0], &json!({ "full_name": "new/Name.js", "name": "Name.js" }));
    mirror.refresh("kubernetes").await;
    mirror.clock.advance(TimeDelta::minutes(1));
    let query = "?theme=dark&width=400";
    for (path, present) in [
        (format!("/charts/{old}.svg"), "/charts/new/Name.js.svg".to_owned()),
        (format!("/charts/{old}.csv{query}"), format!("/charts/new/Name.js.csv{query}")),
        (
            format!("/badges/kubernetes/{old}.json?by=popularity"),
            "/badges/kubernetes/new/Name.js.json?by=popularity".to_owned(),
        ),
        (
            format!("/charts/compare.svg?theme=dark&repos={other},{old}&width=400"),
            format!("/charts/compare.svg?theme=dark&repos={other},new/Name.js&width=400"),
        ),
    ] {
        let moved = mirror.get(&path).await;
        let location = (moved.status, moved.header("location"));
        assert_eq!(location, (StatusCode::MOVED_PERMANENTLY, &*present), "{path}");
        let answer = mirror.get(&present).await;
        assert_eq!(answer.status, StatusCode::OK, "{present}: {}", answer.text());
    }
    let days = mirror.get("/charts/new/name.js.json").await.json();
    assert_eq!(days["series"][0]["days"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn badge_has_the_place_among_all_repositories_of_the_topic() {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    let list = mirror.get("/api/popularity/kubernetes").await.ids();
    let [best_match, ..] = mirror.lists("kubernetes").await;
    let beyond = best_match.iter().find(|id| !list.contains(id)).expect("a less popular one");
    for id in [list[0], list[2], list[499], *beyond] {
        let name = name_of(&mirror, id);
        let places = mirror.get(&format!("/api/repos/{name}")).await.json();
        let place = places["topics_ranked"][0]["popularity"].clone();
        let badge = mirror.get(&format!("/badges/kubernetes/{name}.json")).await.json();
        let expected = json!({
            "schemaVersion": 1,
            "label": "kubernetes",
            "message": format!("#{place} by stars"),
            "color": "0969a8",
        });
        assert_eq!(badge, expected);
        let picture = mirror.get(&format!("/badges/kubernetes/{name}.svg")).await;
        assert_is_picture(&picture);
        assert_eq!(title(&picture), format!("kubernetes: #{place} by stars"));
    }
}

#[tokio::test]
async fn trending_badge_has_the_place_among_those_that_gained() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    mirror.clock.advance(TimeDelta::days(1));
    for (id, gained) in [(ids[4], 5), (ids[9], 70), (ids[2], 5), (ids[7], -9)] {
        let stars = mirror.stub.world().repository(id).expect("a repository").stars;
        edit(&mirror, id, &json!({ "stargazers_count": stars + gained }));
    }
    mirror.refresh("kubernetes").await;
    let badge = async |id: u64, query: &str| {
        let name = name_of(&mirror, id);
        mirror.get(&format!("/badges/kubernetes/{name}.json?by=trending{query}")).await
    };
    for (query, window, words) in [
        ("", "7d", "7 days"),
        ("&window=1d", "1d", "1 day"),
        ("&window=7d", "7d", "7 days"),
        ("&window=30d", "30d", "30 days"),
        ("&window=90d", "90d", "90 days"),
    ] {
        let list = mirror.get(&format!("/api/trending/kubernetes?window={window}")).await.ids();
        assert!(list.len() >= 3 && list[0] == ids[9], "{list:?}");
        for (index, id) in list.iter().enumerate() {
            let message = badge(*id, query).await.json()["message"].clone();
            assert_eq!(message, format!("#{} trending, {words}", index + 1), "{query}");
        }
        let fallen = badge(ids[7], query).await;
        assert_eq!(fallen.status, StatusCode::NOT_FOUND, "{}", fallen.text());
        assert!(fallen.text().contains("has no place"), "{}", fallen.text());
    }
}

#[tokio::test]
async fn names_that_are_markup_are_escaped() {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let (id, _) = first(&mirror).await;
    edit(&mirror, id, &json!({ "full_name": "a<b>/\"c&d", "name": "\"c&d" }));
    mirror.refresh("kubernetes").await;
    let answer = mirror.get("/charts/a%3Cb%3E/%22c%26d.svg").await;
    assert_is_picture(&answer);
    assert_eq!(title(&answer), "Stars: a<b>/\"c&d, until 2026-09-21");
}
