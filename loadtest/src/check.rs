//! The check of a list by rank.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use serde::Deserialize;

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

/// The full names of a list.
///
/// # Errors
/// If it is no list.
pub(crate) fn full_names(body: &[u8]) -> Result<Vec<String>, String> {
    let items: Vec<Item<'_>> = json(body)?;
    Ok(items.into_iter().map(|item| item.full_name.into_owned()).collect())
}

/// The fault of a list whose row after this index is too early.
pub(crate) fn out_of_order(index: usize) -> String {
    format!("it is out of order at place {}", index + 2)
}

pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("it is not as expected: {error}"))
}

#[cfg(test)]
mod tests {
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
}
