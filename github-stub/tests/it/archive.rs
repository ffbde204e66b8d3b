//! The past that `--history` makes up, as the archive and the star history show it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use flate2::read::GzDecoder;
use github_stub::{Stub, World, archive};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{client, send};

const DAYS: usize = 90;

/// The files in the manifest's order, and the keys of their rows.
const FILES: [(&str, &str); 8] = [
    ("topics", "topic origin coverage tracked_at refreshed_at complete total_count found"),
    (
        "repositories",
        "id node_id name full_name owner html_url description homepage language license topics \
         default_branch fork archived disabled is_template size stargazers_count forks_count \
         open_issues_count created_at updated_at pushed_at stored_at",
    ),
    ("members", "topic repository_id best_match_rank joined_at"),
    ("counts", "repository_id day stargazers_count forks_count open_issues_count"),
    ("backfilled", ""),
    ("topic_days", "topic day total_count stored complete best_match"),
    ("events", "topic at kind repository_id full_name"),
    ("names", "repository_id full_name until"),
];

fn today() -> NaiveDate {
    "2026-11-26".parse().expect("a date")
}

fn world(seed: u64, today: NaiveDate) -> World {
    let topics = ["mcp".to_owned(), "kubernetes".to_owned()];
    World::generate_with_history(120, seed, &topics, DAYS, today)
}

/// The bytes of the files that the world's archive has.
fn write(world: &World) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    archive::write(world, &folder.path().join("new")).expect("written");
    let files = std::fs::read_dir(folder.path().join("new")).expect("the folder");
    let read = |path: &Path| std::fs::read(path).expect("a file");
    let name = |file: &std::fs::DirEntry| file.file_name().into_string().expect("a name");
    files.map(|file| file.expect("a file")).map(|file| (name(&file), read(&file.path()))).collect()
}

fn lines(gzip: &[u8]) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(gzip).read_to_string(&mut text).expect("gzip");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

/// The rows of each file.
fn rows(world: &World) -> HashMap<&'static str, Vec<Value>> {
    let files = write(world);
    let rows = |name: &str| -> Vec<Value> {
        let lines = lines(&files[&format!("{name}.ndjson.gz")]);
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    FILES.iter().map(|(name, _)| (*name, rows(name))).collect()
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_else(|| panic!("{field} of {row} is a text"))
}

fn id(row: &Value) -> u64 {
    row["repository_id"].as_u64().expect("an id")
}

/// Asserts that the rows are in the order of their keys and that no key is there twice.
fn assert_ordered<K: Ord + std::fmt::Debug>(rows: &[Value], key: impl Fn(&Value) -> K) {
    let keys: Vec<K> = rows.iter().map(key).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
}

/// The counts of each repository by day.
fn counts(rows: &[Value]) -> HashMap<u64, BTreeMap<NaiveDate, &Value>> {
    let mut counts: HashMap<u64, BTreeMap<_, _>> = HashMap::new();
    for row in rows {
        let day = text(row, "day").parse().expect("a day");
        counts.entry(id(row)).or_default().insert(day, row);
    }
    counts
}

#[test]
fn manifest_names_the_rows_and_checksums_of_the_files() {
    let files = write(&world(7, today()));
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
    assert_eq!(
        (&manifest["format"], &manifest["exported_at"]),
        (&json!(1), &json!("2026-11-26T00:00:00Z"))
    );
    let listed = manifest["files"].as_array().expect("files");
    assert_eq!((listed.len(), files.len()), (FILES.len(), FILES.len() + 1));
    for (entry, (name, keys)) in listed.iter().zip(FILES) {
        let name = format!("{name}.ndjson.gz");
        let bytes = &files[&name];
        let sha256: String =
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let lines = lines(bytes);
        assert_eq!(entry, &json!({"name": name, "rows": lines.len(), "sha256": sha256}));
        assert_eq!(bytes[3..8], [0; 5], "the gzip header has neither time nor name");
        for line in lines {
            let places = keys.split(' ').map(|key| line.find(&format!("\"{key}\":")));
            let places: Vec<usize> = places.map(|place| place.expect("the key")).collect();
            assert!(places.is_sorted() && line.starts_with('{'), "{line}");
        }
    }
}

#[test]
fn equal_seeds_and_days_make_equal_archives() {
    let archive = write(&world(7, today()));
    assert_eq!(write(&world(7, today())), archive);
    assert_ne!(write(&world(8, today())), archive);
    assert_ne!(write(&world(7, today() + Days::new(1))), archive);
}

#[test]
fn last_counts_and_repositories_equal_the_served_world() {
    let world = world(7, today());
    let rows = rows(&world);
    assert_ordered(&rows["repositories"], |row| row["id"].as_u64());
    assert_ordered(&rows["counts"], |row| (id(row), text(row, "day").to_owned()));
    let counts = counts(&rows["counts"]);
    assert_eq!((rows["repositories"].len(), counts.len()), (240, 240));
    for row in &rows["repositories"] {
        let id = row["id"].as_u64().expect("an id");
        let served = &world.repository(id).expect("a repository of the world").item;
        let last = counts[&id][&today()];
        for field in ["stargazers_count", "forks_count", "open_issues_count"] {
            assert_eq!((&row[field], &last[field]), (&served[field], &served[field]), "{id}");
        }
        for field in ["full_name", "created_at", "updated_at", "pushed_at", "archived", "topics"] {
            assert_eq!(row[field], served[field], "{id}");
        }
        assert_eq!(row["owner"], served["owner"]["login"]);
        assert_eq!(row["license"], served["license"]["spdx_id"]);
        assert!(text(row, "created_at") <= text(row, "pushed_at"), "{row}");
        assert!(text(row, "pushed_at") <= text(row, "updated_at"), "{row}");
        assert!(text(row, "updated_at") <= "2026-11-26T00:00:00Z", "{row}");
        for (day, count) in &counts[&id] {
            assert!(text(row, "created_at") <= &*format!("{day}T00:00:00Z"), "{row}: {day}");
            assert!(
                count
                    .as_object()
                    .expect("a row")
                    .values()
                    .all(|field| field.as_i64() >= Some(0) || field.is_string())
            );
        }
    }
}

#[test]
fn members_days_and_events_agree_with_the_counts() {
    let world = world(7, today());
    let rows = rows(&world);
    let counts = counts(&rows["counts"]);
    assert_ordered(&rows["members"], |row| (text(row, "topic").to_owned(), id(row)));
    assert_ordered(&rows["topic_days"], |row| {
        (text(row, "topic").to_owned(), text(row, "day").to_owned())
    });
    assert_ordered(&rows["events"], |row| {
        let (topic, at, kind) = (text(row, "topic"), text(row, "at"), text(row, "kind"));
        (topic.to_owned(), at.to_owned(), id(row), kind.to_owned())
    });
    let topics: Vec<&str> = rows["topics"].iter().map(|row| text(row, "topic")).collect();
    assert_eq!(topics, ["kubernetes", "mcp"]);
    for topic in topics {
        let of_topic = |name: &str| -> Vec<&Value> {
            rows[name].iter().filter(|row| row["topic"] == topic).collect()
        };
        let members = of_topic("members");
        let mut joined: HashMap<u64, &str> = HashMap::new();
        for event in of_topic("events") {
            assert!(counts.contains_key(&id(event)), "{event}");
            if event["kind"] == "joined" {
                joined.insert(id(event), text(event, "at"));
            }
        }
        let mut ranks: Vec<(u64, u64)> = Vec::new();
        for member in &members {
            let joined_at = joined.get(&id(member));
            assert_eq!(member["joined_at"].as_str(), joined_at.copied(), "{member}");
            ranks.extend(member["best_match_rank"].as_u64().map(|rank| (rank, id(member))));
        }
        ranks.sort_unstable();
        assert!(ranks.iter().map(|(rank, _)| *rank).eq(1..=120));
        let ranked: Vec<u64> = ranks.iter().map(|(_, id)| *id).collect();
        assert_eq!(ranked, world.ranked(topic, "best-match"));
        let days = of_topic("topic_days");
        assert_eq!(days.len(), DAYS + 1);
        assert_eq!(days[DAYS]["best_match"], json!(ranked));
        assert_eq!(days.iter().filter(|row| row["complete"] == false).count(), 2);
        for row in days {
            let day: NaiveDate = text(row, "day").parse().expect("a day");
            let seen: BTreeSet<u64> = members
                .iter()
                .map(|member| id(member))
                .filter(|id| counts[id].contains_key(&day))
                .collect();
            assert_eq!(row["total_count"], row["stored"]);
            if row["complete"] == true {
                let best_match = row["best_match"].as_array().expect("ids");
                assert!(
                    best_match.iter().filter_map(Value::as_u64).collect::<BTreeSet<_>>() == seen
                );
                assert_eq!(row["stored"], seen.len());
            } else {
                assert_eq!(
                    (&row["best_match"], &row["stored"]),
                    (&Value::Null, &json!(seen.len() + 1))
                );
            }
        }
    }
}

/// The gains between days that follow each other, if they are all there.
fn gains(days: &BTreeMap<NaiveDate, &Value>) -> Vec<i64> {
    let stars: Vec<i64> =
        days.values().map(|row| row["stargazers_count"].as_i64().expect("a count")).collect();
    stars.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn each_topic_has_every_kind_of_past() {
    let rows = rows(&world(7, today()));
    let counts = counts(&rows["counts"]);
    assert!(rows["backfilled"].is_empty());
    for topic in ["kubernetes", "mcp"] {
        let events: Vec<&Value> =
            rows["events"].iter().filter(|row| row["topic"] == topic).collect();
        let of = |kind: &str| -> Vec<&Value> {
            events.iter().copied().filter(|row| row["kind"] == kind).collect()
        };
        let [left, renamed] = [of("left"), of("renamed")];
        assert_eq!((left.len(), renamed.len(), of("archived").len()), (1, 1, 1));
        assert_eq!(left[0]["reason"], "topic_removed");
        let returned = of("joined").into_iter().find(|row| id(row) == id(left[0]));
        let away: Vec<&str> =
            [left[0], returned.expect("it returns")].map(|row| text(row, "at")).into();
        assert!(away[0] < away[1]);
        let is_away = |day: &&NaiveDate| {
            let day = format!("{day}T00:00:00Z");
            away[0] <= &*day && &*day < away[1]
        };
        assert_eq!(counts[&id(left[0])].keys().filter(is_away).count(), 0);
        assert!(of("joined").len() >= 2, "a newcomer besides");
        let name = rows["names"].iter().find(|row| id(row) == id(renamed[0])).expect("a name");
        assert_eq!((&name["full_name"], &name["until"]), (&renamed[0]["from"], &renamed[0]["at"]));
        assert_eq!(renamed[0]["to"], renamed[0]["full_name"]);

        let members = rows["members"].iter().filter(|row| row["topic"] == topic);
        let days: Vec<&BTreeMap<_, _>> = members.map(|row| &counts[&id(row)]).collect();
        assert_eq!(
            days.iter().filter(|days| days.len() == DAYS - 1).count(),
            1,
            "a gap of two days"
        );
        let gains: Vec<Vec<i64>> = days.iter().map(|days| gains(days)).collect();
        assert_eq!(gains.iter().filter(|gains| gains.iter().any(|gain| *gain < 0)).count(), 1);
        let quiet = gains.iter().filter(|gains| gains.iter().all(|gain| *gain == 0)).count();
        assert!((30..110).contains(&quiet), "{quiet} are quiet");
        let burst = |gains: &&Vec<i64>| {
            let (most, all) = (gains.iter().max().copied().unwrap_or(0), gains.iter().sum::<i64>());
            gains.len() == DAYS && most >= 3 && most * 6 > all
        };
        assert!(gains.iter().filter(burst).count() >= 2, "one keeps its stars, one loses some");
    }
}

#[tokio::test]
async fn star_history_of_a_past_has_the_stars_of_its_days() {
    let world = world(7, today());
    let rows = rows(&world);
    let counts = counts(&rows["counts"]);
    let now = today().and_time(NaiveTime::MIN).and_utc();
    let stub = Stub::start_with_clock(world, Arc::new(move || now)).await.expect("a free port");
    let client = client();
    let mut falls = 0;
    let changed = |days: &BTreeMap<_, _>| gains(days).iter().any(|gain| *gain != 0);
    for (id, days) in counts.iter().filter(|(_, days)| changed(days)) {
        let path = stub.world().repository(*id).expect("it is served").path.clone();
        let mut held: BTreeMap<NaiveDate, i64> = BTreeMap::new();
        for page in 1.. {
            let path = format!("/repos/{path}/stargazers/history?page={page}");
            let weeks = send(client.get(stub.url() + &path)).await.json();
            let weeks = weeks.as_array().expect("weeks");
            for week in weeks {
                let first = week["week"].as_i64().expect("a second");
                let first = DateTime::from_timestamp(first, 0).expect("a date");
                let days = week["days"].as_array().expect("days");
                for (day, stars) in first.date_naive().iter_days().zip(days) {
                    held.insert(day, stars.as_i64().expect("a count"));
                }
            }
            if weeks.is_empty() {
                break;
            }
        }
        let stars = stub.world().repository(*id).map(|served| served.stars);
        assert_eq!(Some(held.values().sum()), stars, "{path}");
        let falling = gains(days).iter().any(|gain| *gain < 0);
        falls += usize::from(falling);
        for (day, row) in days {
            let before = held.range(..day).map(|(_, stars)| stars).sum::<i64>();
            let seen = row["stargazers_count"].as_i64().expect("a count");
            assert!(before == seen || (falling && before < seen), "{path} on {day}");
        }
    }
    assert_eq!(falls, 2, "one a topic");
}

#[test]
fn short_history_and_small_world_make_an_archive() {
    for (count, days) in [(0, 90), (1, 90), (3, 14), (50, 1), (50, 13)] {
        let world = World::generate_with_history(count, 7, &["mcp".to_owned()], days, today());
        let rows = rows(&world);
        assert_eq!((rows["repositories"].len(), rows["topic_days"].len()), (count, days + 1));
    }
}

#[test]
fn archive_of_a_world_without_a_past_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = archive::write(&World::generate(5, 7, "mcp"), folder.path());
    assert!(refused.is_err_and(|error| error.to_string().contains("--history")));
}
