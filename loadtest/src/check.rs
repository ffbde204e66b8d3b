//! The checks of answers.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use crate::rankings::Ranking;

/// The items of the longest list.
pub(crate) const MAX_ITEMS: usize = 500;

/// An item has exactly these keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are checked by their presence and type alone")]
pub(crate) struct Item<'a> {
    id: u64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) full_name: Cow<'a, str>,
    #[serde(borrow)]
    html_url: Cow<'a, str>,
    #[serde(borrow)]
    language: Option<Cow<'a, str>>,
    pub(crate) updated_at: &'a str,
    pushed_at: Option<&'a str>,
    pub(crate) stargazers_count: u64,
}

/// Checks that `body` is a list of `size` different repositories in the order of `ranking`, equal
/// ranks by the lowest id. Best match may have fewer.
///
/// # Errors
/// The first fault of the list.
pub(crate) fn list(ranking: &Ranking, size: usize, body: &[u8]) -> Result<(), String> {
    let items: Vec<Item<'_>> =
        serde_json::from_slice(body).map_err(|error| format!("it is not a list: {error}"))?;
    let min = if ranking.order.is_none() { 1 } else { size };
    if !(min..=size).contains(&items.len()) {
        return Err(format!("it has {} items, not {size}", items.len()));
    }
    let ids: HashSet<u64> = items.iter().map(|item| item.id).collect();
    if ids.len() != items.len() {
        return Err("it shows a repository twice".to_owned());
    }
    if items.iter().any(|item| {
        item.updated_at.len() != "2018-05-01T17:01:50Z".len() || !item.updated_at.ends_with('Z')
    }) {
        return Err("it has a time that is not RFC 3339 in UTC and whole seconds".to_owned());
    }
    let Some(order) = ranking.order else { return Ok(()) };
    let in_order = |pair: &[Item<'_>]| {
        order(&pair[0], &pair[1]).then(pair[0].id.cmp(&pair[1].id)) == Ordering::Less
    };
    match items.windows(2).position(|pair| !in_order(pair)) {
        Some(index) => Err(out_of_order(index)),
        None => Ok(()),
    }
}

/// The topic and the repository, as `owner/name`, that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) topic: &'a str,
    pub(crate) repository: &'a str,
}

/// The full names of a list.
///
/// # Errors
/// If it is no list.
pub(crate) fn full_names(body: &[u8]) -> Result<Vec<String>, String> {
    let items: Vec<Item<'_>> = json(body)?;
    Ok(items.into_iter().map(|item| item.full_name.into_owned()).collect())
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

fn out_of_order(index: usize) -> String {
    format!("it is out of order at place {}", index + 2)
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("it is not as expected: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rankings::RANKINGS;

    fn item(id: u64, updated_at: &str, stars: u64) -> String {
        format!(
            concat!(
                r#"{{"id":{id},"name":"a\"b","full_name":"o/a","html_url":"https://x/o/a","#,
                r#""language":null,"updated_at":"{updated_at}","pushed_at":null,"#,
                r#""stargazers_count":{stars}}}"#
            ),
            id = id,
            updated_at = updated_at,
            stars = stars,
        )
    }

    fn fault(ranking: &Ranking, size: usize, items: &[String]) -> String {
        list(ranking, size, format!("[{}]", items.join(",")).as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn check_returns_the_first_fault_of_a_list() {
        let [popularity, best_match, activity, ..] = &RANKINGS;
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let right = [item(7, new, 9), item(3, old, 5), item(4, old, 5)];
        for ranking in [popularity, best_match, activity] {
            assert_eq!(fault(ranking, 3, &right), "");
            assert_eq!(fault(ranking, 2, &right), "it has 3 items, not 2");
            let fewer = if ranking.order.is_none() { "" } else { "it has 3 items, not 4" };
            assert_eq!(fault(ranking, 4, &right), fewer);
        }
        assert_eq!(fault(best_match, 1, &[]), "it has 0 items, not 1");
        for (swapped, by_stars, by_update) in [
            (
                [item(3, old, 5), item(7, new, 9)],
                "it is out of order at place 2",
                "it is out of order at place 2",
            ),
            (
                [item(4, old, 5), item(3, old, 5)],
                "it is out of order at place 2",
                "it is out of order at place 2",
            ),
            ([item(3, new, 5), item(7, old, 9)], "it is out of order at place 2", ""),
        ] {
            assert_eq!(fault(best_match, 2, &swapped), "");
            assert_eq!(fault(popularity, 2, &swapped), by_stars);
            assert_eq!(fault(activity, 2, &swapped), by_update);
        }
        assert_eq!(
            fault(best_match, 2, &[item(7, new, 9), item(7, new, 9)]),
            "it shows a repository twice"
        );
        assert!(fault(best_match, 1, &[item(7, "Tue, 01 May 2018", 9)]).contains("RFC 3339"));
        for wrong in [
            "{}",
            "",
            "[{\"id\":1}]",
            &format!("[{}]", item(1, old, 1).replace("\"id\"", "\"score\":1,\"id\"")),
        ] {
            let text = list(best_match, 1, wrong.as_bytes()).expect_err("not a list");
            assert!(text.starts_with("it is not a list: "), "{text}");
        }
    }

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
}
