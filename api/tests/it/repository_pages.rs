//! The pages of repositories, and of their comparison.

use api::clock::Clock;
use chrono::TimeDelta;
use github_stub::World;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::events::{edit, mirror_with_events, rename};
use crate::support::{Answer, Mirror};

const HTML: (&str, &str) = ("accept", "text/html");

fn name_of(mirror: &Mirror, id: u64) -> String {
    mirror.stub.world().repository(id).expect("a repository").full_name().to_owned()
}

async fn with_nine_days() -> (Mirror, Vec<String>) {
    with_days(9).await
}

/// A mirror with counts of each of so many days, and the names of its repositories with most stars.
async fn with_days(days: u32) -> (Mirror, Vec<String>) {
    let mirror = Mirror::refreshed(World::generate(30, 7, "kubernetes")).await;
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    for number in 1..i64::from(days) {
        mirror.clock.advance(TimeDelta::days(1));
        let now = mirror.clock.now();
        for (place, id) in (0..).zip(&ids[..5]) {
            mirror.stub.world().star(*id, 500_000 + number * (1_000 + place * 300), now);
        }
        mirror.refresh("kubernetes").await;
    }
    let ids = mirror.get("/api/popularity/kubernetes").await.ids();
    let names = ids.iter().map(|id| name_of(&mirror, *id)).collect();
    (mirror, names)
}

/// The texts of a page's elements of a name, without the spaces of numbers.
fn texts(page: &str, element: &str) -> Vec<String> {
    let start = format!("<{element}");
    let parts = page.split(&start).skip(1);
    let text = |part: &str| {
        let inner = part.split_once('>').map_or("", |(_, rest)| rest);
        let inner = inner.split(&format!("</{element}>")).next().unwrap_or_default();
        let mut text = String::new();
        let mut is_tag = false;
        for character in inner.chars().filter(|character| *character != '\u{202f}') {
            match character {
                '<' => is_tag = true,
                '>' => is_tag = false,
                _ if !is_tag => text.push(character),
                _ => {}
            }
        }
        text.trim().to_owned()
    };
    parts.map(text).collect()
}

fn signed(value: &Value) -> String {
    let number = value.as_i64().expect("a number");
    match number {
        1.. => format!("+{number}"),
        _ => number.to_string().replace('-', "−"),
    }
}

async fn page(mirror: &Mirror, path: &str) -> String {
    let answer = mirror.get_with(path, &[HTML]).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    answer.text()
}

fn assert_moved(answer: &Answer, address: &str) {
    let actual = (answer.status, answer.header("location"));
    assert_eq!(actual, (StatusCode::MOVED_PERMANENTLY, address), "{}", answer.text());
}

#[tokio::test]
async fn numbers_of_a_repository_page_are_those_of_its_json() {
    let (mirror, names) = with_days(16).await;
    let name = &names[1];
    let html = page(&mirror, &format!("/r/{name}")).await;
    let json = mirror.get(&format!("/api/repos/{name}")).await.json();
    assert!(html.contains(&format!(r#"href="/api/repos/{name}""#)), "names the JSON");
    let facts = texts(&html, "dd");
    let growth = |window: &str| signed(&json["growth"][window]["gained"]);
    let expected = [
        json["stargazers_count"].to_string(),
        growth("7d"),
        format!("{} in 15 days", growth("30d")),
        json["forks_count"].to_string(),
        json["open_issues_count"].to_string(),
    ];
    assert_eq!(facts[..5], expected);
    let place = |list: Value| {
        let place = list.as_array().expect("a list").iter().position(|row| row["id"] == json["id"]);
        place.map_or("–".to_owned(), |place| (place + 1).to_string())
    };
    let trending = place(mirror.get("/api/trending/kubernetes").await.json());
    let before = place(mirror.get("/api/trending/kubernetes?day=2026-09-29").await.json());
    let ranked = &json["topics_ranked"][0];
    let best_match = ranked["best_match"].to_string().replace("null", "–");
    let places = texts(&html, "td");
    let places = &places[places.len() - 8..];
    let expected = [
        trending,
        before,
        ranked["popularity"].to_string(),
        places[3].clone(),
        "–".to_owned(),
        "–".to_owned(),
        ranked["activity"].to_string(),
        best_match,
    ];
    assert_eq!(places, expected);
    assert!(places[3].parse::<usize>().is_ok(), "a place by stars a week before: {places:?}");
    for file in ["csv", "json"] {
        let path = format!("/charts/{name}.{file}?range=30d&#38;type=daily&#38;scale=log");
        let html = page(&mirror, &format!("/r/{name}?type=daily&scale=log&range=30d")).await;
        assert!(html.contains(&path), "{path}");
        assert_eq!(mirror.get(&path.replace("&#38;", "&")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn readme_snippets_lead_to_pictures_that_are_there() {
    let (mirror, names) = with_nine_days().await;
    let html = page(&mirror, &format!("/r/{}", names[0])).await;
    let snippets = texts(&html, "textarea");
    assert_eq!(snippets.len(), 4, "chart and badge, as Markdown and HTML");
    for snippet in [&snippets[0], &snippets[2]] {
        let addresses: Vec<_> = snippet.split(['(', ')']).skip(1).step_by(2).collect();
        let page = format!("{}/r/{}", mirror.url, names[0]);
        assert_eq!((addresses.len(), addresses[1]), (2, page.as_str()), "{snippet}");
        let picture = addresses[0].strip_prefix(&mirror.url).expect("an absolute address");
        assert_eq!(mirror.get(picture).await.status, StatusCode::OK, "{picture}");
    }
}

#[tokio::test]
async fn repository_page_tells_events_former_names_and_that_it_left() {
    let (mirror, [renamed, archived, left, _]) = mirror_with_events(&[]).await;
    let html = page(&mirror, &format!("/r/{}", name_of(&mirror, renamed))).await;
    let json = mirror.get(&format!("/api/repositories/{renamed}")).await.json();
    let former = json["former_names"][0]["full_name"].as_str().expect("a name");
    assert!(html.contains(&format!("renamed from {former} to new/name")), "{html}");
    assert!(html.contains("<h2>Former names</h2>"), "{html}");
    let html = page(&mirror, &format!("/r/{}", name_of(&mirror, archived))).await;
    assert!(html.contains(r#"<span class="caution">archived</span>"#), "{html}");
    assert!(html.contains("<li><bdi>archived</bdi>"), "{html}");
    let html = page(&mirror, &format!("/r/{}", name_of(&mirror, left))).await;
    assert!(html.contains("left kubernetes: the topic was removed"), "{html}");
    assert!(html.contains("No topic that is tracked here has this repository now"), "{html}");
    assert!(html.contains("its counts end on 22 Sep 2026"), "{html}");
    assert!(!html.contains("/badges/"), "no badge without a place");
    let former = format!("/r/{former}?type=daily");
    assert_moved(&mirror.get_with(&former, &[HTML]).await, "/r/new/name?type=daily");
}

#[tokio::test]
async fn hostile_texts_of_a_repository_are_shown_as_texts() {
    let mirror = Mirror::start(World::generate(3, 7, "kubernetes")).await;
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    let description = format!("<script>alert(1)</script>\u{202e}{}", "x".repeat(10_000));
    for (id, homepage) in ids.iter().zip([
        "javascript:alert(document.domain)",
        "https://example.com/\"><img src=x onerror=alert(1)>",
        "example.com",
    ]) {
        edit(
            &mirror,
            *id,
            &json!({
                "description": description,
                "homepage": homepage,
                "language": "<b>C</b>",
                "topics": ["kubernetes", "<i>topic</i>"],
            }),
        );
    }
    mirror.refresh("kubernetes").await;
    for (number, id) in (0..).zip(ids) {
        let html = page(&mirror, &format!("/r/{}", name_of(&mirror, id))).await;
        for tag in ["<script>", "<img src=x", "<b>C", "<i>topic"] {
            assert!(!html.contains(tag), "{tag}");
        }
        assert!(
            html.contains("<bdi>&#60;script&#62;alert(1)&#60;/script&#62;\u{202e}xxx"),
            "{html}"
        );
        assert!(!html.contains(&"x".repeat(300)), "the description is cut");
        let homepage = r#"rel="noopener nofollow"><bdi>https://example.com/&#34;&#62;&#60;img"#;
        assert_eq!(html.contains(homepage), number == 1, "{html}");
        assert!(!html.contains("javascript:") && !html.contains("<bdi>example.com"), "{html}");
    }
}

#[tokio::test]
async fn errors_of_a_repository_page_are_pages_for_browsers() {
    let mirror = Mirror::refreshed(World::generate(3, 7, "kubernetes")).await;
    let id = mirror.get("/api/popularity/kubernetes").await.ids()[0];
    let name = name_of(&mirror, id);
    for (path, status) in [
        ("/r/no/such".to_owned(), StatusCode::NOT_FOUND),
        (format!("/r/{name}?range=2d"), StatusCode::BAD_REQUEST),
        (format!("/r/{name}?page=2"), StatusCode::BAD_REQUEST),
    ] {
        let answer = mirror.get_with(&path, &[HTML]).await;
        let kind = answer.header("content-type").to_owned();
        assert_eq!((answer.status, kind.as_str()), (status, "text/html; charset=utf-8"), "{path}");
        let problem = mirror.get(&path).await;
        let kind = problem.header("content-type");
        assert_eq!((problem.status, kind), (status, "application/problem+json"), "{path}");
    }
}

#[tokio::test]
async fn comparison_has_the_numbers_of_each_repository_and_its_distance_to_the_first() {
    let (mirror, names) = with_nine_days().await;
    let repos = names[..3].join(",");
    let html = page(&mirror, &format!("/compare?repos={repos}&range=30d")).await;
    let cells = texts(&html, "td");
    let mut first = 0;
    for (name, row) in names[..3].iter().zip(cells.chunks(12)) {
        let json = mirror.get(&format!("/api/repos/{name}")).await.json();
        let stars = json["stargazers_count"].as_i64().expect("a number");
        first = if first == 0 { stars } else { first };
        let growth = |window: &str| signed(&json["growth"][window]["gained"]);
        let expected = [
            stars.to_string(),
            if stars == first { "–".to_owned() } else { signed(&json!(stars - first)) },
            growth("7d"),
            format!("{} in 8 days", growth("30d")),
            format!("{} in 8 days", growth("90d")),
        ];
        assert_eq!(row[..5], expected, "{name}");
        let counts = [&json["forks_count"], &json["open_issues_count"]].map(Value::to_string);
        assert_eq!(row[6..8], counts, "{name}");
    }
    let numbers = format!("/charts/compare.json?repos={repos}&#38;range=30d");
    assert!(html.contains(&numbers), "names the JSON");
    let numbers = mirror.get(&numbers.replace("&#38;", "&")).await.json();
    assert_eq!(numbers["series"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn faults_of_a_comparison_stand_beside_their_fields() {
    let (mirror, names) = with_nine_days().await;
    let (one, two) = (&names[0], &names[1]);
    for (query, status, fault) in [
        (format!("repos={one}"), StatusCode::BAD_REQUEST, r#"id="e-repos">repos accepts from 2"#),
        (
            format!("repos={one},{two}&range=2d"),
            StatusCode::BAD_REQUEST,
            r#"id="e-range">range accepts 30d"#,
        ),
        (
            format!("repos={one},no/such"),
            StatusCode::NOT_FOUND,
            r#"id="e-repos">repos names no/such, which the mirror does not have"#,
        ),
        ("nothing=1".to_owned(), StatusCode::BAD_REQUEST, "<bdi>nothing</bdi> is unknown here"),
    ] {
        let answer = mirror.get_with(&format!("/compare?{query}"), &[HTML]).await;
        let html = answer.text();
        assert_eq!(answer.status, status, "{query}: {html}");
        let problem = mirror.get(&format!("/compare?{query}")).await;
        let kind = problem.header("content-type");
        assert_eq!((problem.status, kind), (status, "application/problem+json"), "{query}");
        assert!(html.contains(fault), "{query}: {html}");
        assert!(html.contains(r#"name="repos""#), "{html}");
        assert!(!query.contains("repos") || html.contains(&format!(r#"value="{one}"#)), "{html}");
    }
}

#[tokio::test]
async fn comparison_without_repositories_is_a_form_with_an_example() {
    let (mirror, names) = with_nine_days().await;
    let html = page(&mirror, "/compare").await;
    let example = format!(r#"href="/compare?repos={},{}""#, names[0], names[1]);
    assert!(html.contains(&example), "{html}");
    let empty = mirror.get_with("/compare?repos=&range=&type=daily", &[HTML]).await;
    let actual = (empty.status, empty.header("location"));
    assert_eq!(actual, (StatusCode::SEE_OTHER, "/compare?type=daily"));
    let spaces = mirror.get_with("/compare?repos=a/b,+c/d++e/f,&scale=log", &[HTML]).await;
    let actual = (spaces.status, spaces.header("location"));
    assert_eq!(actual, (StatusCode::SEE_OTHER, "/compare?scale=log&repos=a/b,c/d,e/f"));
}

#[tokio::test]
async fn comparison_by_a_former_name_leads_to_the_present_one() {
    let (mirror, names) = with_nine_days().await;
    let id = mirror.get("/api/popularity/kubernetes").await.ids()[0];
    rename(&mirror, id, "new/name");
    mirror.refresh("kubernetes").await;
    let path = format!("/compare?repos={},{}&scale=log", names[0], names[1]);
    let address = format!("/compare?repos=new/name,{}&scale=log", names[1]);
    assert_moved(&mirror.get_with(&path, &[HTML]).await, &address);
}
