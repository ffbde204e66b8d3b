//! Pages of `GET /search/repositories`.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::warn;
use url::Url;

use super::bounded::Bounded;
use super::item::Item;
use super::link::next_page;
use super::text::decode;
use crate::model::repository::{MAX_COUNT, Repository, RepositoryId};
use crate::model::run::Skipped;

/// The most items that GitHub puts on a page.
pub const PER_PAGE: usize = 100;

/// The orders that searches ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// GitHub's own order, if no sort is named.
    BestMatch,
    /// By stars, most first.
    Stars,
    /// By the last update, newest first.
    Updated,
}

impl Sort {
    fn parameter(self) -> Option<&'static str> {
        match self {
            Self::BestMatch => None,
            Self::Stars => Some("stars"),
            Self::Updated => Some("updated"),
        }
    }
}

/// A page as GitHub sent it.
#[derive(Debug)]
pub struct SearchPage {
    /// GitHub's count of the repositories that match.
    pub total_count: i64,
    /// GitHub ran out of time, so items are missing.
    pub incomplete_results: bool,
    pub repositories: Vec<Repository>,
    /// Items that could not be read.
    pub skipped: Vec<Skipped>,
    /// The ids of both kinds of items, in GitHub's order.
    pub order: Vec<RepositoryId>,
    /// Characters and fields that could not be read or were too long, and cost no item.
    pub mended: usize,
    /// The address of the next page, at GITHUB_API_URL's origin.
    pub next: Option<Url>,
}

impl SearchPage {
    /// The number of items that GitHub sent, readable or not.
    #[must_use]
    pub fn items(&self) -> usize {
        self.repositories.len() + self.skipped.len()
    }
}

pub(super) fn first_page(base: &Url, query: &str, sort: Sort) -> Url {
    let mut url = endpoint(base, "search/repositories");
    let mut parameters = url.query_pairs_mut();
    parameters.append_pair("q", query);
    if let Some(sort) = sort.parameter() {
        parameters.append_pair("sort", sort).append_pair("order", "desc");
    }
    parameters.append_pair("per_page", &PER_PAGE.to_string());
    drop(parameters);
    url
}

/// The address of a route below the base. The base of a GitHub Enterprise Server has a path of its
/// own.
pub(super) fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Reads a page. An item that cannot be read is skipped and named; the others stay.
pub(super) fn read_page<'a>(
    body: &[u8],
    links: impl Iterator<Item = &'a [u8]>,
    base: &Url,
) -> Result<SearchPage, String> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        total_count: i64,
        #[serde(default)]
        incomplete_results: bool,
        #[serde(borrow)]
        items: Bounded<&'a RawValue, PER_PAGE>,
    }
    let (text, mut mended) = decode(body);
    let unreadable = |error: &dyn Display| {
        warn!(%error, "a page of a search cannot be read");
        "a page that cannot be read".to_owned()
    };
    let wire: Wire<'_> = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    if wire.items.is_cut {
        return Err(unreadable(&format!("it has more than {PER_PAGE} items")));
    }
    // mutant in search: a count that no topic can have is not believed
    //     !(0..=MAX_COUNT).contains(&wire.total_count) => false
    if !(0..=MAX_COUNT).contains(&wire.total_count) {
        return Err("a page whose count cannot be right".to_owned());
    }
    let (mut repositories, mut skipped) = (Vec::new(), Vec::new());
    let mut order = Vec::new();
    for item in wire.items.first {
        match Item::read(item.get()) {
            Ok(item) => {
                order.push(item.repository.id);
                mended += item.mended;
                repositories.push(item.repository);
            }
            Err(unreadable) => {
                // mutant in refreshes: unreadable items keep their ranks
                //     order.extend(unreadable.id) => ()
                order.extend(unreadable.id);
                skipped.push(unreadable);
            }
        }
    }
    Ok(SearchPage {
        total_count: wire.total_count,
        incomplete_results: wire.incomplete_results,
        repositories,
        skipped,
        order,
        mended,
        next: links.into_iter().find_map(|link| next_page(link, base)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<SearchPage, String> {
        let base = Url::parse("https://api.github.com").expect("an address");
        read_page(body.as_bytes(), std::iter::empty(), &base)
    }

    #[test]
    fn unreadable_item_is_named_and_the_others_are_read() {
        let good = concat!(
            r#"{"id":2,"name":"b","full_name":"a/b","html_url":"https://github.com/a/b","#,
            r#""stargazers_count":1,"updated_at":"2018-05-01T17:01:50Z","homepage":false}"#
        );
        let items = format!(r#"[{{"id":1,"name":3}},{good},7]"#);
        let body = format!(r#"{{"total_count":3,"incomplete_results":false,"items":{items}}}"#);
        let page = read(&body).expect("a page");
        assert_eq!(
            page.repositories.iter().map(|repository| repository.id).collect::<Vec<_>>(),
            [2]
        );
        assert_eq!(
            page.skipped.iter().map(|skipped| skipped.id).collect::<Vec<_>>(),
            [Some(1), None]
        );
        assert_eq!((page.items(), page.mended, page.order), (3, 1, vec![1, 2]));
    }

    #[test]
    fn page_is_bounded_in_its_items_and_its_count() {
        let page = |count: &str, items: usize| {
            let items = vec!["7"; items].join(",");
            read(&format!(r#"{{"total_count":{count},"items":[{items}]}}"#))
        };
        assert_eq!(page("100", 100).expect("a page").skipped.len(), 100);
        assert!(page("101", 101).is_err(), "GitHub puts 100 on a page");
        assert!(page("1000000000000", 0).is_ok() && page("0", 0).is_ok());
        for count in ["-1", "1000000000001", "9223372036854775807", "9223372036854775808", "1e30"] {
            assert!(page(count, 0).is_err(), "{count}");
        }
    }
}
