//! Pages of `GET /search/repositories`.

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::warn;
use url::Url;

use crate::model::repository::{Repository, RepositoryId};
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
pub(super) fn read_page(body: &[u8], link: Option<&str>, base: &Url) -> Result<SearchPage, String> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        total_count: i64,
        #[serde(default)]
        incomplete_results: bool,
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct IdOnly {
        id: RepositoryId,
    }
    let wire: Wire<'_> = serde_json::from_slice(body).map_err(|error| {
        warn!(%error, "a page of a search cannot be read");
        "a page that cannot be read".to_owned()
    })?;
    let (mut repositories, mut skipped) = (Vec::with_capacity(wire.items.len()), Vec::new());
    let mut order = Vec::with_capacity(wire.items.len());
    for item in wire.items {
        match Repository::from_json(item.get().as_bytes()) {
            Ok(repository) => {
                order.push(repository.id);
                repositories.push(repository);
            }
            Err(error) => {
                let id = serde_json::from_str::<IdOnly>(item.get()).ok().map(|item| item.id);
                // mutant in refreshes: unreadable items keep their ranks
                //     order.extend(id) => ()
                order.extend(id);
                skipped.push(Skipped { id, reason: error.to_string() });
            }
        }
    }
    let next = link.and_then(next_link).map(|next| own_origin(base, next)).transpose()?;
    Ok(SearchPage {
        total_count: wire.total_count,
        incomplete_results: wire.incomplete_results,
        repositories,
        skipped,
        order,
        next,
    })
}

/// The `rel="next"` of a Link header (RFC 8288). Addresses may contain commas and semicolons, so
/// the header is split at its angle brackets.
fn next_link(link: &str) -> Option<&str> {
    let mut rest = link;
    while let Some((_, from)) = rest.split_once('<') {
        let (address, after) = from.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter.trim().split_once('=').is_some_and(|(key, value)| {
                key.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').split(' ').any(|rel| rel == "next")
            })
        });
        if is_next {
            return Some(address);
        }
        rest = after;
    }
    None
}

fn own_origin(base: &Url, address: &str) -> Result<Url, String> {
    let url =
        base.join(address).map_err(|_| "a next page whose address cannot be read".to_owned())?;
    // mutant in search: pages of another origin are not followed
    //     url.origin() == base.origin() => true
    if url.origin() == base.origin() {
        Ok(url)
    } else {
        Err("a next page at another origin, which is not followed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_link_is_found_at_any_place_in_the_header() {
        let page = |n| format!("<https://api.github.com/search/repositories?q=a%2Cb,c;d&page={n}>");
        assert_eq!(
            next_link(&format!(r#"{}; rel="next", {}; rel="last""#, page(2), page(5))),
            Some(&page(2)[1..page(2).len() - 1])
        );
        assert_eq!(
            next_link(&format!(r#"{}; rel="prev",{};rel=next"#, page(1), page(3))),
            Some(&page(3)[1..page(3).len() - 1])
        );
        assert_eq!(
            next_link(&format!(r#"{}; rel="prev", {}; rel="first""#, page(4), page(1))),
            None
        );
        assert_eq!(next_link(""), None);
    }

    #[test]
    fn next_page_at_another_origin_is_not_followed() {
        let base = Url::parse("https://api.github.com").expect("an address");
        let body = br#"{"total_count":0,"items":[]}"#;
        let foreign = r#"<https://api.github.com.evil.example/search?page=2>; rel="next""#;
        assert!(read_page(body, Some(foreign), &base).is_err());
        assert!(
            read_page(body, Some(r#"<http://api.github.com/search?page=2>; rel="next""#), &base)
                .is_err()
        );
        assert!(
            read_page(body, Some(r#"<https://api.github.com/search?page=2>; rel="next""#), &base)
                .is_ok()
        );
    }

    #[test]
    fn unreadable_item_is_named_and_the_others_are_read() {
        let base = Url::parse("https://api.github.com").expect("an address");
        let good = concat!(
            r#"{"id":2,"name":"b","full_name":"a/b","html_url":"x","stargazers_count":1,"#,
            r#""updated_at":"2018-05-01T17:01:50Z"}"#
        );
        let items = format!(r#"[{{"id":1,"name":3}},{good},7]"#);
        let body = format!(r#"{{"total_count":3,"incomplete_results":false,"items":{items}}}"#);
        let page = read_page(body.as_bytes(), None, &base).expect("a page");
        assert_eq!(
            page.repositories.iter().map(|repository| repository.id).collect::<Vec<_>>(),
            [2]
        );
        assert_eq!(
            page.skipped.iter().map(|skipped| skipped.id).collect::<Vec<_>>(),
            [Some(1), None]
        );
        assert_eq!((page.items(), page.order), (3, vec![1, 2]));
    }
}
