//! Feeds: Atom, JSON Feed and OPML.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use github_stub::World;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::archive::lines;
use crate::databases;
use crate::events::{edit, mirror_with_events, rename};
use crate::python;
use crate::support::{Mirror, START};

const WHOLE: (&str, &str) = ("TOPICS", "kubernetes:complete");

/// The feedparser that reads the feeds.
const FEEDPARSER: &str = "feedparser==6.0.14";

/// The items of a JSON feed: id, date, title and content of each.
async fn items(mirror: &Mirror, path: &str) -> Vec<[String; 4]> {
    let answer = mirror.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let item = |item: &Value| {
        ["id", "date_published", "title", "content_html"].map(|key| text(&item[key]))
    };
    answer.json()["items"].as_array().expect("items").iter().map(item).collect()
}

async fn titles(mirror: &Mirror, path: &str) -> Vec<String> {
    items(mirror, path).await.into_iter().map(|[_, _, title, _]| title).collect()
}

/// Adds a repository with the topic to the stub's world, and returns its id.
fn add(mirror: &Mirror, seed: u64) -> u64 {
    let mut world = mirror.stub.world();
    world.add_generated(1, seed, "kubernetes");
    world.repositories().last().expect("a repository").id
}

fn star(mirror: &Mirror, id: u64, gained: i64) {
    let now = api::clock::Clock::now(&*mirror.clock);
    let mut world = mirror.stub.world();
    let stars = world.repository(id).expect("a repository").stars;
    world.star(id, stars + gained, now);
}

#[tokio::test]
async fn feed_reader_takes_every_feed_and_hostile_names_as_text() {
    let world = World::generate(30, 7, "kubernetes");
    let mirror = Mirror::start_with(world, &[WHOLE]).await;
    mirror.refresh("kubernetes").await;
    let hostile = add(&mirror, 9);
    let fields = json!({
        "full_name": "<i>evil/&amp;'\"\u{1}\u{fffe}", "name": "evil", "language": "C<b>",
        "description": "]]> <script>alert(1)</script> \u{0}\u{1b}[31m &lt;",
        "html_url": "https://github.com/evil/\"><script>",
    });
    edit(&mirror, hostile, &fields);
    mirror.clock.advance(TimeDelta::days(1));
    mirror.refresh("kubernetes").await;
    mirror.clock.advance(TimeDelta::days(1));
    edit(&mirror, hostile, &json!({ "archived": true }));
    star(&mirror, hostile, 7);
    mirror.refresh("kubernetes").await;
    mirror.clock.advance(TimeDelta::days(6));

    let paths = ["new", "events", "trending"].map(|kind| format!("/feeds/kubernetes/{kind}"));
    let queries = ["", "?digest=daily", "?digest=weekly"];
    let folder = python::target().join("feeds");
    std::fs::create_dir_all(&folder).expect("a folder");
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    for (path, query) in paths.iter().flat_map(|path| queries.map(|query| (path, query))) {
        let atom = mirror.get(&format!("{path}.atom{query}")).await;
        assert_eq!(atom.header("content-type"), "application/atom+xml; charset=utf-8");
        let file =
            folder.join(format!("{}.atom", format!("{path}{query}").replace(['/', '?'], "-")));
        std::fs::write(&file, &atom.body).expect("written");
        files.push(file);
        let json = mirror.get(&format!("{path}.json{query}")).await;
        assert_eq!(json.header("content-type"), "application/feed+json; charset=utf-8");
        assert!(!json.text().contains("<script"), "{}", json.text());
        expected.push(json.json());
    }
    let opml = folder.join("feeds.opml");
    std::fs::write(&opml, mirror.get("/feeds.opml").await.body).expect("written");

    let Some(feedparser) = python::packages(&[FEEDPARSER]) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/feeds/read_feeds.py");
    let read = Command::new("python3").arg(script).arg(feedparser).args(&files).arg(opml).output();
    let read = read.expect("python3 runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let found: Vec<Value> = serde_json::from_slice(&read.stdout).expect("JSON");
    for ((found, expected), file) in found.iter().zip(&expected).zip(&files) {
        let file = file.display();
        assert_eq!(
            (&found["bozo"], &found["version"]),
            (&json!(false), &json!("atom10")),
            "{file}: {found}"
        );
        assert_eq!(
            (&found["title"], &found["author"]),
            (&expected["title"], &json!("GitHub topic mirror"))
        );
        assert_eq!(found["links"]["alternate"], expected["home_page_url"], "{file}");
        let own = expected["feed_url"].as_str().expect("text").replace(".json", ".atom");
        assert_eq!(found["links"]["self"], own, "{file}");
        let items = expected["items"].as_array().expect("items");
        let entries = found["entries"].as_array().expect("entries");
        assert!(!items.is_empty() && items.len() == entries.len(), "{file}: {found}");
        for (item, entry) in items.iter().zip(entries) {
            let same = [("id", "id"), ("title", "title"), ("url", "link")];
            for (key, own) in same {
                assert_eq!(item[key], entry[own], "{file}");
            }
            let date = |value: &Value| value.as_str().expect("a date").parse::<DateTime<Utc>>();
            assert_eq!(date(&item["date_published"]), date(&entry["updated"]), "{file}");
            let html = entry["html"].as_str().expect("content");
            assert!(!html.is_empty() && !html.contains("<script"), "{file}: {html}");
        }
        let newest = found["entries"][0]["updated"].clone();
        assert_eq!(found["updated"], newest, "{file}");
    }
    assert_eq!(found[0]["entries"][0]["title"], "<i>evil/&amp;'\" joined kubernetes");
    let base = &mirror.url;
    let feeds = ["new", "events", "trending"];
    let feeds = feeds.map(|kind| format!("{base}/feeds/kubernetes/{kind}.atom"));
    assert_eq!(found.last(), Some(&json!(feeds)));
}

/// The entries that a feed has shown, by id.
type Shown = BTreeMap<&'static str, BTreeMap<String, [String; 3]>>;

/// Reads feeds. Each entry that they have shown must be there still, and the same.
async fn read_again(mirror: &Mirror, shown: &mut Shown) {
    for path in [
        "/feeds/kubernetes/new.json",
        "/feeds/kubernetes/events.json",
        "/feeds/kubernetes/new.json?digest=daily",
        "/feeds/kubernetes/events.json?digest=daily",
        "/feeds/kubernetes/trending.json",
    ] {
        let items = items(mirror, path).await;
        let mut now = BTreeMap::new();
        for [id, date, title, html] in items {
            let is_new = now.insert(id.clone(), [date, title, html]).is_none();
            assert!(is_new, "{path}: {id} is repeated");
        }
        let before = shown.entry(path).or_default();
        for (id, entry) in &*before {
            assert_eq!(now.get(id), Some(entry), "{path}: {id}");
        }
        before.extend(now);
    }
}

#[tokio::test]
async fn entries_are_neither_repeated_nor_dated_anew_nor_lost() {
    for database in [Some(databases::sqlite()), databases::postgres()].into_iter().flatten() {
        let today = NaiveDate::from_ymd_opt(2026, 9, 21).expect("a date");
        let topics = ["kubernetes".to_owned()];
        let world = World::generate_with_history(40, 7, &topics, 60, today);
        let mirror = Mirror::start_on(database, world, &[WHOLE]).await;
        mirror.refresh("kubernetes").await;
        let ids = mirror.stub.world().ranked("kubernetes", "stars");
        let mut shown = Shown::new();
        for (round, id) in ids.iter().take(10).enumerate() {
            let number = i64::try_from(round).expect("few");
            mirror.clock.advance(TimeDelta::hours(9));
            star(&mirror, *id, 10 + number);
            let name = format!("renamed/r{round}");
            match round % 3 {
                0 => edit(&mirror, *id, &json!({ "archived": true })),
                1 => rename(&mirror, *id, &name),
                _ => {
                    add(&mirror, 100 + u64::try_from(round).expect("few"));
                }
            }
            mirror.refresh("kubernetes").await;
            read_again(&mirror, &mut shown).await;
            read_again(&mirror, &mut shown).await;
        }
        assert_eq!(shown["/feeds/kubernetes/events.json"].len(), 10);
        assert_eq!(shown["/feeds/kubernetes/new.json"].len(), 3);
        assert_eq!(shown["/feeds/kubernetes/events.json?digest=daily"].len(), 4);
        assert_eq!(shown["/feeds/kubernetes/trending.json"].len(), 3);

        let path = "/feeds/kubernetes/events.json";
        let before = items(&mirror, path).await;
        let all_trending = async || {
            let weekly = items(&mirror, "/feeds/kubernetes/trending.json?digest=weekly").await;
            [items(&mirror, "/feeds/kubernetes/trending.json").await, weekly].concat()
        };
        let trending_before = all_trending().await;
        let (app, topic) = (&mirror.service, "kubernetes".parse().expect("a topic"));
        let filled = api::backfill::backfill(&*app.store, &app.github, &*app.clock, &topic, |_| {});
        filled.await.expect("filled");
        mirror.refresh("kubernetes").await;
        assert_eq!(items(&mirror, path).await, before, "a backfill adds none");
        let folder = tempfile::tempdir().expect("a temporary folder");
        github_stub::archive::write(&mirror.stub.world(), folder.path()).expect("an archive");
        let now = api::clock::Clock::now(&*mirror.clock);
        let imported = api::archive::import(&*app.store, folder.path(), now, |_, _| {});
        imported.await.expect("imported");
        mirror.refresh("kubernetes").await;
        let since = api::feeds::since(now).date_naive().to_string();
        let is_shown = |event: &String| event.find("2026-").is_some_and(|at| event[at..] >= *since);
        let events = lines(folder.path(), "events").into_iter().filter(is_shown).count();
        let after = items(&mirror, path).await;
        assert_eq!(after.len(), before.len() + events, "an import adds its events alone");
        assert_eq!(after[..before.len()], before);
        assert_eq!(all_trending().await, trending_before, "an import adds no period");
        read_again(&mirror, &mut shown).await;
    }
}

#[tokio::test]
async fn ids_and_dates_are_the_same_on_every_replica_and_host() {
    let (mirror, _) = mirror_with_events(&[]).await;
    let replica = mirror.replica(&[("PUBLIC_URL", "https://example.org/mirror/")]).await;
    let path = "/feeds/kubernetes/events.json";
    assert_eq!(items(&mirror, path).await, items(&replica, path).await);
    let proxied = [("host", "Mirror.example:8081"), ("x-forwarded-proto", "https")];
    let of_host = mirror.get_with(path, &proxied).await.json();
    let (own, of_setting) = (mirror.get(path).await.json(), replica.get(path).await.json());
    let base = "https://example.org/mirror";
    for (feed, base) in
        [(&own, &*mirror.url), (&of_host, "https://mirror.example:8081"), (&of_setting, base)]
    {
        assert_eq!(feed["feed_url"], format!("{base}{path}"));
        assert_eq!(feed["home_page_url"], format!("{base}/topics/kubernetes"));
        assert_eq!(feed["items"], own["items"]);
    }
    let opml = replica.get("/feeds.opml").await;
    assert!(opml.text().contains(&format!("\"{base}/feeds/kubernetes/new.atom\"")));
    assert_eq!(opml.header("content-type"), "text/x-opml; charset=utf-8");
    let hostile = mirror.get_with(path, &[("host", "a&b")]).await;
    assert_eq!(hostile.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn list_of_feeds_for_another_host_reads_no_database() {
    let mirror = Mirror::start(World::default()).await;
    let list = async |host| {
        let list = mirror.get_with("/feeds.opml", &[("host", host)]).await;
        assert_eq!(list.status, StatusCode::OK, "{}", list.text());
        list.text()
    };
    let own = list("one.example").await;
    assert!(own.contains("http://one.example/feeds/kubernetes/new.atom"), "{own}");
    mirror.database.query("ALTER TABLE topics RENAME TO lost").await;
    assert_eq!(list("two.example").await, own.replace("one.example", "two.example"));
    mirror.database.query("ALTER TABLE lost RENAME TO topics").await;
    mirror.clock.advance(TimeDelta::minutes(1));
    mirror.request(Method::POST, "/update_cache?topic=mcp", &[]).await;
    assert!(list("three.example").await.contains("/feeds/mcp/new.atom"));
}

#[tokio::test]
async fn feed_is_kept_until_the_topic_changes() {
    let (mirror, [renamed, ..]) = mirror_with_events(&[]).await;
    let path = "/feeds/kubernetes/events.atom";
    let feed = mirror.get(path).await;
    assert_eq!(feed.header("cache-control"), "public, max-age=300, stale-if-error=86400");
    let condition = [("if-none-match", feed.header("etag"))];
    mirror.clock.advance(TimeDelta::minutes(5));
    let again = mirror.get_with(path, &condition).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    // A refresh that brings no event changes nothing either.
    mirror.refresh("kubernetes").await;
    assert_eq!(mirror.get_with(path, &condition).await.status, StatusCode::NOT_MODIFIED);
    rename(&mirror, renamed, "newer/name");
    mirror.refresh("kubernetes").await;
    let newer = mirror.get_with(path, &condition).await;
    assert!(
        newer.text().contains("<title type=\"text\">new/name was renamed to newer/name</title>")
            || newer.text().contains("<title>new/name was renamed to newer/name</title>"),
        "{}",
        newer.text()
    );
}

#[tokio::test]
async fn feeds_refuse_what_they_do_not_know_and_start_no_fetch() {
    let mirror = Mirror::start(World::generate(5, 7, "mcp")).await;
    for (path, status) in [
        ("/feeds/kubernetes/new.atom?digest=hourly", StatusCode::BAD_REQUEST),
        ("/feeds/kubernetes/new.json?colour=red", StatusCode::BAD_REQUEST),
        ("/feeds/kubernetes/trending.atom?window=7d", StatusCode::BAD_REQUEST),
        ("/feeds.opml?topic=mcp", StatusCode::BAD_REQUEST),
        ("/feeds/kubernetes/new.rss", StatusCode::NOT_FOUND),
        ("/feeds/kubernetes/other.atom", StatusCode::NOT_FOUND),
        ("/feeds/mcp/new.atom", StatusCode::NOT_FOUND),
        ("/feeds/mcp/trending.json?digest=weekly", StatusCode::NOT_FOUND),
        ("/feeds/kubernetes/events.atom", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let problem = mirror.get(path).await;
        assert_eq!(problem.status, status, "{path}");
        assert_eq!(problem.header("content-type"), "application/problem+json", "{path}");
    }
    assert_eq!(mirror.stub.world().counters.requests, []);
}

#[tokio::test]
async fn feed_has_the_last_entry_however_old_and_otherwise_31_days() {
    let (mirror, _) = mirror_with_events(&[]).await;
    let later = async |days: i64| {
        mirror.clock.advance(TimeDelta::days(days));
        mirror.refresh("kubernetes").await;
    };
    let left = titles(&mirror, "/feeds/kubernetes/events.json").await.remove(0);
    later(29).await;
    let path = "/feeds/kubernetes/events.json";
    let kept = titles(&mirror, path).await;
    assert_eq!(kept.len(), 3, "the events of the second day are 30 days old");
    later(1).await;
    assert_eq!(titles(&mirror, path).await.len(), 1);
    later(100).await;
    assert_eq!(titles(&mirror, path).await, [left]);
    let daily = titles(&mirror, "/feeds/kubernetes/events.json?digest=daily").await;
    assert_eq!(daily, ["1 event in kubernetes on 2026-09-23"]);
    let weekly = titles(&mirror, "/feeds/kubernetes/events.json?digest=weekly").await;
    assert_eq!(weekly, ["3 events in kubernetes from 2026-09-21 to 2026-09-27"]);
    let trending = titles(&mirror, "/feeds/kubernetes/trending.json").await;
    assert_eq!(trending, ["Trending in kubernetes on 2026-09-23"]);
    let none = mirror.get("/feeds/kubernetes/new.json").await.json();
    assert_eq!(none["items"], json!([]));
    let atom = mirror.get("/feeds/kubernetes/new.atom").await.text();
    assert!(atom.contains("<updated>2026-09-21T14:13:20"), "when it was first tracked: {atom}");
}

#[tokio::test]
async fn digest_has_an_entry_a_finished_period_which_never_changes() {
    let (mirror, _) = mirror_with_events(&[]).await;
    let daily = async || items(&mirror, "/feeds/kubernetes/events.json?digest=daily").await;
    let [[_, date, title, html]] = &daily().await[..] else { panic!("one finished day") };
    assert_eq!(
        (&**date, &**title),
        ("2026-09-23T00:00:00Z", "2 events in kubernetes on 2026-09-22")
    );
    assert_eq!(html.matches("<li>").count(), 2, "{html}");
    let before = daily().await;
    // The day ends, and is finished five minutes later.
    let midnight = DateTime::from_timestamp(START, 0).expect("a date").date_naive();
    let midnight =
        (midnight + chrono::Days::new(3)).and_hms_opt(0, 0, 0).expect("a time").and_utc();
    let now = api::clock::Clock::now(&*mirror.clock);
    mirror.clock.advance(midnight - now + TimeDelta::minutes(4));
    assert_eq!(daily().await, before);
    mirror.clock.advance(TimeDelta::minutes(2));
    let after = daily().await;
    assert_eq!((after.len(), &after[1..]), (2, &before[..]));
    assert_eq!(after[0][2], "1 event in kubernetes on 2026-09-23");
}

#[tokio::test]
async fn filtered_feed_has_the_entries_of_the_repositories_that_match() {
    for database in [Some(databases::sqlite()), databases::postgres()].into_iter().flatten() {
        let world = World::generate(30, 7, "kubernetes");
        let mirror = Mirror::start_on(database, world, &[WHOLE]).await;
        mirror.refresh("kubernetes").await;
        mirror.clock.advance(TimeDelta::hours(1));
        let added = [31, 32, 33, 34].map(|seed| add(&mirror, seed));
        for (place, id) in added.into_iter().enumerate() {
            edit(&mirror, id, &json!({ "language": if place < 2 { "Zig" } else { "Ada" } }));
        }
        mirror.refresh("kubernetes").await;
        let all = items(&mirror, "/feeds/kubernetes/new.json").await;
        assert_eq!(all.len(), 4);
        let zig = items(&mirror, "/feeds/kubernetes/new.json?language=zig").await;
        assert_eq!(zig.len(), 2);
        assert!(zig.iter().all(|entry| all.contains(entry)), "the same ids, dates and texts");
        let none = items(&mirror, "/feeds/kubernetes/events.json?language=cobol").await;
        assert!(none.is_empty());

        mirror.clock.advance(TimeDelta::days(1));
        added.iter().for_each(|id| star(&mirror, *id, 10));
        mirror.refresh("kubernetes").await;
        mirror.clock.advance(TimeDelta::days(1));
        for path in ["new.json?digest=daily", "trending.json?"] {
            let path = format!("/feeds/kubernetes/{path}");
            let [[id, date, _, html]] = &items(&mirror, &path).await[..] else {
                panic!("one finished day with entries")
            };
            assert_eq!(html.matches("<li>").count(), 4, "{html}");
            let [[own_id, own_date, _, own_html]] =
                &items(&mirror, &format!("{path}&language=Ada")).await[..]
            else {
                panic!("one finished day with entries")
            };
            assert_ne!(own_id, id, "another text is another entry");
            assert_eq!(own_date, date);
            assert_eq!(own_html.matches("<li>").count(), 2, "{own_html}");
        }
        let ages = mirror.get("/feeds/kubernetes/new.atom?created=30d..").await;
        assert_eq!(ages.status, StatusCode::BAD_REQUEST);
        let detail = ages.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(
            detail.starts_with("created accepts a day such as 2026-01-31, or a range"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn trending_feed_has_the_ten_that_grew_most_on_each_finished_day() {
    let mirror = Mirror::start_with(World::generate(30, 7, "kubernetes"), &[WHOLE]).await;
    let ids = mirror.stub.world().ranked("kubernetes", "stars");
    let path = "/feeds/kubernetes/trending.json";
    mirror.refresh("kubernetes").await;
    for round in 1..=3 {
        mirror.clock.advance(TimeDelta::days(1));
        for (place, id) in ids.iter().take(12).enumerate() {
            // Nothing grows on the second day.
            let gained = i64::try_from(place).expect("few") + 1;
            star(&mirror, *id, if round == 2 { -1 } else { gained * round });
        }
        mirror.refresh("kubernetes").await;
    }
    let only = items(&mirror, path).await;
    let [[_, date, title, html]] = &only[..] else {
        panic!("one finished day with gains: {only:?}")
    };
    assert_eq!(
        (&**date, &**title),
        ("2026-09-23T00:00:00Z", "Trending in kubernetes on 2026-09-22")
    );
    let gains: Vec<String> =
        (3..=12).rev().map(|gained| format!("gained {gained} stars")).collect();
    let found: Vec<&str> = html.split("<li>").skip(1).collect();
    assert_eq!(found.len(), gains.len(), "{html}");
    for (line, gained) in found.iter().zip(&gains) {
        assert!(line.contains(gained.as_str()), "{gained} in {line}");
    }
    mirror.clock.advance(TimeDelta::days(1));
    let ranked = mirror.get("/api/trending/kubernetes?window=1d&day=2026-09-22").await.ids();
    let best: Vec<u64> = ids.iter().take(12).rev().copied().collect();
    assert_eq!(ranked, best, "the list that the entry links to");
    rename(&mirror, ids[11], "renamed/now");
    mirror.refresh("kubernetes").await;
    let replica = mirror.replica(&[]).await;
    let after = items(&replica, path).await;
    assert_eq!((after.len(), &after[1]), (2, &only[0]), "made anew from newer data");
    let weekly = items(&mirror, &format!("{path}?digest=weekly")).await;
    assert_eq!(weekly, Vec::<[String; 4]>::new(), "the week has not ended");
    mirror.clock.advance(TimeDelta::days(4));
    let weekly = titles(&mirror, &format!("{path}?digest=weekly")).await;
    assert_eq!(weekly, ["Trending in kubernetes from 2026-09-21 to 2026-09-27"]);
}
