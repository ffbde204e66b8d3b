//! The checks of answers other than lists by rank.

use std::cmp::Reverse;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::check::{json, out_of_order};

/// The topic and the repository, as `owner/name`, that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) topic: &'a str,
    pub(crate) repository: &'a str,
}

/// A list by creation, newest first.
pub(crate) fn newest(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let rows: Vec<Value> = json(body)?;
    // Times in UTC and of equal length sort as text; rows without a time are the last ones.
    in_order(&rows, |row| (Reverse(row["created_at"].as_str()), row["id"].as_u64()))
}

/// A list by stars gained.
pub(crate) fn trending(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let rows: Vec<Growing> = json(body)?;
    growing(&rows, |gained| gained > 0)?;
    in_order(&rows, |row| (Reverse(row.gained), row.id))
}

/// A list by stars lost.
pub(crate) fn falling(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let rows: Vec<Growing> = json(body)?;
    growing(&rows, |gained| gained < 0)?;
    in_order(&rows, |row| (row.gained, row.id))
}

/// A list by velocity.
pub(crate) fn by_velocity(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let rows: Vec<Growing> = json(body)?;
    growing(&rows, |gained| gained > 0)?;
    match rows.windows(2).position(|pair| pair[0].velocity < pair[1].velocity) {
        Some(index) => Err(out_of_order(index)),
        None => Ok(()),
    }
}

/// A list of repositories in Go by stars, with three fields.
pub(crate) const FILTERED: &str =
    "/api/popularity/{topic}?language=go&fields=id,language,stargazers_count&per_page=50";

/// The answer to [`FILTERED`].
pub(crate) fn filtered(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let rows: Vec<Value> = json(body)?;
    let is_asked = |row: &Value| row["language"] == "Go" && row.as_object().is_some_and(has_three);
    match rows.iter().find(|row| !is_asked(row)) {
        Some(row) => Err(format!("{row} is not of the query")),
        None if rows.len() > 50 => Err(format!("it has {} rows", rows.len())),
        None => {
            in_order(&rows, |row| (Reverse(row["stargazers_count"].as_i64()), row["id"].as_u64()))
        }
    }
}

fn has_three(row: &Map<String, Value>) -> bool {
    row.len() == 3
}

/// The counts of the topic's repositories by the values of their fields, most first.
pub(crate) fn facets(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let facets: Value = json(body)?;
    let languages = facets["language"].as_array().map_or(&[][..], Vec::as_slice);
    if facets["matched"].as_u64().is_none_or(|matched| matched == 0) || languages.is_empty() {
        return Err("it counts nothing".to_owned());
    }
    in_order(languages, |language| {
        (Reverse(language["count"].as_u64()), language["value"].as_str())
    })
}

/// The repository itself, with its places and its growth.
pub(crate) fn repository(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let repository: Value = json(body)?;
    is_of(asked, &repository)?;
    let places = repository["topics_ranked"].as_array().map_or(&[][..], Vec::as_slice);
    if !places.iter().any(|places| places["topic"] == asked.topic) {
        return Err(format!("it has no place in {}", asked.topic));
    }
    match ["1d", "7d", "30d", "90d"].iter().find(|window| repository["growth"][window].is_null()) {
        Some(window) => Err(format!("it has no growth within {window}")),
        None => Ok(()),
    }
}

/// The days of the repository, of which there is one at least.
pub(crate) fn history(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let history: Value = json(body)?;
    is_of(asked, &history)?;
    let days = history["days"].as_array().map_or(&[][..], Vec::as_slice);
    if days.is_empty() {
        return Err("it has no days".to_owned());
    }
    in_order(days, |day| day["day"].as_str())
}

/// The days of the repository before its topic was tracked.
pub(crate) fn no_history(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let history: Value = json(body)?;
    is_of(asked, &history)?;
    if history["days"] == Value::Array(Vec::new()) {
        Ok(())
    } else {
        Err("it has days before the mirror was made".to_owned())
    }
}

/// The days of the topic, of which there is one at least.
pub(crate) fn topic_days(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let days: Vec<Value> = json(body)?;
    if days.is_empty() {
        return Err("it has no days".to_owned());
    }
    in_order(&days, |day| day["day"].as_str())
}

/// The counts of every day of the topic's repositories, by repository and day.
pub(crate) fn every_day(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let rows = text.strip_prefix(EVERY_DAY_HEADER).ok_or("it has another header")?;
    if rows.is_empty() || !rows.ends_with("\r\n") {
        return Err("it has no last row".to_owned());
    }
    // No name has a comma or a quotation mark.
    let row = |line| match str::split(line, ',').collect::<Vec<_>>()[..] {
        [id, _, day, _, _, _] => Some((id.parse::<u64>().ok()?, day)),
        _ => None,
    };
    let rows: Option<Vec<_>> = rows.lines().map(row).collect();
    in_order(&rows.ok_or("a row has other columns")?, |row| *row)
}

const EVERY_DAY_HEADER: &str =
    "repository_id,full_name,day,stargazers_count,forks_count,open_issues_count\r\n";

/// The events of the topic, newest first.
pub(crate) fn events(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let events: Vec<Value> = json(body)?;
    let is_before = |pair: &[Value]| pair[0]["at"].as_str() < pair[1]["at"].as_str();
    match events.windows(2).position(is_before) {
        Some(index) => Err(out_of_order(index)),
        None => Ok(()),
    }
}

/// A picture that names the repository.
pub(crate) fn repository_picture(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    document(body, "<svg", "</svg>", asked.repository)
}

/// A picture that names the topic.
pub(crate) fn topic_picture(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    document(body, "<svg", "</svg>", asked.topic)
}

/// An Atom feed that names the topic.
pub(crate) fn atom(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    document(body, "<feed", "</feed>", asked.topic)
}

/// A page that names the topic.
pub(crate) fn topic_page(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    document(body, "<!DOCTYPE html>", "</html>", asked.topic)
}

/// A page that names the repository, as in its own address.
pub(crate) fn repository_page(asked: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    document(body, "<!DOCTYPE html>", "</html>", asked.repository)
}

/// A whole document that has this text.
fn document(body: &[u8], start: &str, end: &str, text: &str) -> Result<(), String> {
    let document = str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    if !document.contains(start) || !document.trim_end().ends_with(end) {
        return Err(format!("it is no document from {start} to {end}"));
    }
    if document.contains(text) { Ok(()) } else { Err(format!("it does not name {text}")) }
}

/// A feed of JSON Feed 1.1.
pub(crate) fn json_feed(_: &Asked<'_>, body: &[u8]) -> Result<(), String> {
    let feed: Value = json(body)?;
    if feed["version"] != "https://jsonfeed.org/version/1.1" {
        return Err(format!("its version is {}", feed["version"]));
    }
    if feed["items"].is_array() { Ok(()) } else { Err("it has no items".to_owned()) }
}

/// The operands of a list by growth, as far as they are checked.
#[derive(Deserialize)]
struct Growing {
    id: u64,
    stars_before: i64,
    stars_after: i64,
    gained: i64,
    velocity: f64,
}

fn growing(rows: &[Growing], is_listed: fn(i64) -> bool) -> Result<(), String> {
    let is_right =
        |row: &Growing| is_listed(row.gained) && row.gained == row.stars_after - row.stars_before;
    match rows.iter().find(|row| !is_right(row)) {
        Some(row) => Err(format!("{} has gained {}", row.id, row.gained)),
        None => Ok(()),
    }
}

fn is_of(asked: &Asked<'_>, answer: &Value) -> Result<(), String> {
    if answer["full_name"] == asked.repository {
        Ok(())
    } else {
        Err(format!("it is of {}, not of {}", answer["full_name"], asked.repository))
    }
}

/// Whether the key of each row is more than that of the row before.
fn in_order<'a, T, K: Ord>(rows: &'a [T], key: impl Fn(&'a T) -> K) -> Result<(), String> {
    match rows.windows(2).position(|pair| key(&pair[0]) >= key(&pair[1])) {
        Some(index) => Err(out_of_order(index)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ASKED: Asked<'static> = Asked { topic: "kubernetes", repository: "o/a" };

    fn faults(check: fn(&Asked<'_>, &[u8]) -> Result<(), String>, answers: &[Value]) -> String {
        let fault = |answer: &Value| match check(&ASKED, answer.to_string().as_bytes()) {
            Ok(()) => "right".to_owned(),
            Err(fault) => fault,
        };
        answers.iter().map(fault).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn check_returns_the_first_fault_of_a_list_by_growth_or_creation() {
        let row = |id: u64, before: i64, gained: i64, velocity: f64| {
            json!({
                "id": id, "stars_before": before, "stars_after": before + gained,
                "gained": gained, "velocity": velocity,
            })
        };
        let (many, few) = (row(2, 5, 9, 0.1), row(1, 5, 3, 0.2));
        let (many_lost, few_lost) = (row(2, 50, -9, 0.0), row(3, 50, -3, 0.0));
        let odd = json!({
            "id": 7, "stars_before": 1, "stars_after": 1, "gained": 4, "velocity": 0.0,
        });
        let lists = [
            json!([]),
            json!([many, few]),
            json!([few, many]),
            json!([many_lost, few_lost]),
            json!([few_lost, many_lost]),
            json!([odd]),
        ];
        let second = "it is out of order at place 2";
        assert_eq!(
            faults(trending, &lists),
            format!("right, right, {second}, 2 has gained -9, 3 has gained -3, 7 has gained 4")
        );
        assert_eq!(
            faults(by_velocity, &lists),
            format!("right, {second}, right, 2 has gained -9, 3 has gained -3, 7 has gained 4")
        );
        assert_eq!(
            faults(falling, &lists),
            format!("right, 2 has gained 9, 1 has gained 3, right, {second}, 7 has gained 4")
        );
        let created = |id: u64, at: Option<&str>| json!({ "id": id, "created_at": at });
        let (new, old, none) =
            (created(1, Some("2026-01-02")), created(2, Some("2026-01-01")), created(3, None));
        let lists =
            [json!([new, old, none]), json!([old, new]), json!([none, old]), json!([new, new])];
        assert_eq!(faults(newest, &lists), format!("right, {second}, {second}, {second}"));
    }

    #[test]
    fn check_returns_the_first_fault_of_a_query_or_its_facets() {
        let row = |id: u64, stars: u64, language: &str| {
            let mut row = json!({ "id": id, "language": language });
            row["stargazers_count"] = json!(stars);
            row
        };
        let (many, few, other) = (row(2, 9, "Go"), row(1, 3, "Go"), row(3, 3, "C"));
        let lists =
            [json!([]), json!([many, few]), json!([few, many]), json!([many, other]), json!([{}])];
        assert_eq!(
            faults(filtered, &lists),
            format!(
                "right, right, it is out of order at place 2, {other} is not of the query, \
                 {{}} is not of the query"
            )
        );
        let counts = |counts: [u64; 2]| {
            let counts = counts.map(|count| json!({ "count": count }));
            json!({ "matched": 3, "language": counts })
        };
        let answers = [counts([2, 1]), counts([1, 2]), json!({ "matched": 0 })];
        let expected = "right, it is out of order at place 2, it counts nothing";
        assert_eq!(faults(facets, &answers), expected);
    }

    #[test]
    fn check_returns_the_first_fault_of_a_repository_or_its_days() {
        let growth = json!({ "1d": {}, "7d": {}, "30d": {}, "90d": {} });
        let whole = |name: &str, topic: &str, growth: &Value| {
            let places = json!([{ "topic": topic }]);
            json!({ "full_name": name, "topics_ranked": places, "growth": growth })
        };
        let answers = [
            whole("o/a", "kubernetes", &growth),
            whole("o/b", "kubernetes", &growth),
            whole("o/a", "mcp", &growth),
            whole("o/a", "kubernetes", &json!({ "1d": {} })),
        ];
        assert_eq!(
            faults(repository, &answers),
            "right, it is of \"o/b\", not of o/a, it has no place in kubernetes, \
             it has no growth within 7d"
        );
        let days = |days: &[&str]| {
            let days: Vec<_> = days.iter().map(|day| json!({ "day": day })).collect();
            json!({ "full_name": "o/a", "days": days })
        };
        let answers = [days(&["2026-01-01", "2026-01-03"]), days(&["2026-01-01"; 2]), days(&[])];
        let faults_of_days = "right, it is out of order at place 2, it has no days";
        assert_eq!(faults(history, &answers), faults_of_days);
        let some = "it has days before the mirror was made";
        assert_eq!(faults(no_history, &answers), format!("{some}, {some}, right"));
    }

    #[test]
    fn check_returns_the_first_fault_of_an_export() {
        let fault = |rows: &str| {
            let body = format!("{EVERY_DAY_HEADER}{rows}");
            every_day(&ASKED, body.as_bytes()).err().unwrap_or_default()
        };
        assert_eq!(fault("7,o/a,2026-01-02,5,,\r\n40,o/b,2026-01-01,5,1,0\r\n"), "");
        let second = "it is out of order at place 2";
        assert_eq!(fault("40,o/b,2026-01-01,5,,\r\n7,o/a,2026-01-01,5,,\r\n"), second);
        assert_eq!(fault("7,o/a,2026-01-01,5,,\r\n7,o/a,2026-01-01,5,,\r\n"), second);
        assert_eq!(fault("7,o/a,2026-01-01,5\r\n"), "a row has other columns");
        for cut in ["", "7,o/a,2026-01-01,5,"] {
            assert_eq!(fault(cut), "it has no last row");
        }
        let other = every_day(&ASKED, b"name,day\r\n");
        assert_eq!(other.err().as_deref(), Some("it has another header"));
    }

    #[test]
    fn check_returns_the_first_fault_of_a_document() {
        let fault = |check: fn(&Asked<'_>, &[u8]) -> Result<(), String>, body: &str| {
            check(&ASKED, body.as_bytes()).err().unwrap_or_default()
        };
        let svg = "<svg><title>o/a</title></svg>\n";
        assert_eq!(fault(repository_picture, svg), "");
        assert_eq!(fault(topic_picture, svg), "it does not name kubernetes");
        for cut in ["", "<svg><title>o/a</title>", "{}"] {
            let text = fault(repository_picture, cut);
            assert_eq!(text, "it is no document from <svg to </svg>", "{cut}");
        }
        assert_eq!(fault(atom, "<?xml?><feed><title>kubernetes</title></feed>"), "");
        assert!(fault(atom, "<svg>kubernetes</svg>").contains("from <feed"));
        let page = "<!DOCTYPE html><title>kubernetes</title></html>";
        assert_eq!(fault(topic_page, page), "");
        assert_eq!(fault(repository_page, page), "it does not name o/a");
        assert!(fault(topic_page, "kubernetes").contains("from <!DOCTYPE html>"));
        let feeds = [
            json!({ "version": "https://jsonfeed.org/version/1.1", "items": [] }),
            json!({ "version": "https://jsonfeed.org/version/1.1" }),
            json!({ "version": "1" }),
        ];
        let expected = "right, it has no items, its version is \"1\"";
        assert_eq!(faults(json_feed, &feeds), expected);
        let at = |at: &str| json!({ "at": at });
        let (new, old) = (at("2026-01-02"), at("2026-01-01"));
        let second = "it is out of order at place 2";
        let lists = [json!([]), json!([new, new, old]), json!([old, new])];
        assert_eq!(faults(events, &lists), format!("right, right, {second}"));
        let days = [json!([{ "day": 1 }]), json!([]), json!([{ "day": "b" }, { "day": "a" }])];
        assert_eq!(faults(topic_days, &days), format!("right, it has no days, {second}"));
    }
}
