//! What a list must be.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;

/// A list's longest.
pub(crate) const MOST: usize = 500;

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranking {
    /// GitHub's, which nothing in the list tells.
    BestMatch,
    /// Most stars first.
    Popularity,
    /// Updated last first.
    Activity,
}

/// Exactly these keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only that they are there and of their type")]
struct Item<'a> {
    id: u64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    full_name: Cow<'a, str>,
    #[serde(borrow)]
    html_url: Cow<'a, str>,
    #[serde(borrow)]
    language: Option<Cow<'a, str>>,
    updated_at: &'a str,
    pushed_at: Option<&'a str>,
    stargazers_count: u64,
}

/// Whether `body` is a list of `size` different repositories in this order, equal ranks by the
/// lowest id. Best match may have fewer: only those that GitHub has shown there.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn list(ranking: Ranking, size: usize, body: &[u8]) -> Result<(), String> {
    let items: Vec<Item<'_>> =
        serde_json::from_slice(body).map_err(|error| format!("it is not a list: {error}"))?;
    let least = if ranking == Ranking::BestMatch { 1 } else { size };
    if !(least..=size).contains(&items.len()) {
        return Err(format!("it has {} items, not {size}", items.len()));
    }
    let ids: HashSet<u64> = items.iter().map(|item| item.id).collect();
    if ids.len() != items.len() {
        return Err("it shows a repository twice".to_owned());
    }
    // Times of one width, in UTC, sort as text.
    if items.iter().any(|item| {
        item.updated_at.len() != "2018-05-01T17:01:50Z".len() || !item.updated_at.ends_with('Z')
    }) {
        return Err("it has a time that is not RFC 3339 in UTC and whole seconds".to_owned());
    }
    let in_order = |[before, after]: [&Item<'_>; 2]| match ranking {
        Ranking::BestMatch => true,
        Ranking::Popularity => {
            (after.stargazers_count, before.id) < (before.stargazers_count, after.id)
        }
        Ranking::Activity => (after.updated_at, before.id) < (before.updated_at, after.id),
    };
    match items.windows(2).position(|pair| !in_order([&pair[0], &pair[1]])) {
        Some(place) => Err(format!("it is out of order at place {}", place + 2)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: u64, updated_at: &str, stars: u64) -> String {
        format!(
            r#"{{"id":{id},"name":"a\"b","full_name":"o/a","html_url":"https://x/o/a","language":null,"updated_at":"{updated_at}","pushed_at":null,"stargazers_count":{stars}}}"#
        )
    }

    fn problem(ranking: Ranking, size: usize, items: &[String]) -> String {
        list(ranking, size, format!("[{}]", items.join(",")).as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn finds_what_is_wrong_with_a_list() {
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let right = [item(7, new, 9), item(3, old, 5), item(4, old, 5)];
        for ranking in [Ranking::BestMatch, Ranking::Popularity, Ranking::Activity] {
            assert_eq!(problem(ranking, 3, &right), "");
            assert_eq!(problem(ranking, 2, &right), "it has 3 items, not 2");
            let fewer = if ranking == Ranking::BestMatch { "" } else { "it has 3 items, not 4" };
            assert_eq!(problem(ranking, 4, &right), fewer);
        }
        assert_eq!(problem(Ranking::BestMatch, 1, &[]), "it has 0 items, not 1");
        for (swapped, popularity, activity) in [
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
            assert_eq!(problem(Ranking::BestMatch, 2, &swapped), "");
            assert_eq!(problem(Ranking::Popularity, 2, &swapped), popularity);
            assert_eq!(problem(Ranking::Activity, 2, &swapped), activity);
        }
        assert_eq!(
            problem(Ranking::BestMatch, 2, &[item(7, new, 9), item(7, new, 9)]),
            "it shows a repository twice"
        );
        assert!(
            problem(Ranking::BestMatch, 1, &[item(7, "Tue, 01 May 2018", 9)]).contains("RFC 3339")
        );
        for wrong in [
            "{}",
            "",
            "[{\"id\":1}]",
            &format!("[{}]", item(1, old, 1).replace("\"id\"", "\"score\":1,\"id\"")),
        ] {
            let text = list(Ranking::BestMatch, 1, wrong.as_bytes()).expect_err("not a list");
            assert!(text.starts_with("it is not a list: "), "{text}");
        }
    }
}
