//! Pages of `GET /search/repositories`.

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::warn;
use url::Url;

use crate::model::repository::{Repository, RepositoryId};
use crate::model::run::Skipped;

/// The most that GitHub puts on a page.
pub const PER_PAGE: usize = 100;

/// The orders we ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// GitHub's own, when no sort is named.
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
    /// How many repositories GitHub counts.
    pub total_count: i64,
    /// GitHub ran out of time: something is missing.
    pub incomplete_results: bool,
    /// What could be read.
    pub repositories: Vec<Repository>,
    /// What could not.
    pub skipped: Vec<Skipped>,
    /// The ids of both, in GitHub's order.
    pub order: Vec<RepositoryId>,
    /// The address of the next page, of our own origin.
    pub next: Option<Url>,
}

impl SearchPage {
    /// How many items GitHub sent, readable or not.
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

/// The address of a route below the base, which may have a path of its own (GitHub Enterprise
/// Server's has).
pub(super) fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Reads a page; an item that cannot be read is skipped and named, and never costs the page.
pub(super) fn read(body: &[u8], link: Option<&str>, base: &Url) -> Result<SearchPage, String> {
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
        warn!(%error, "a page that cannot be read");
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
                order.extend(id);
                skipped.push(Skipped { id, reason: error.to_string() });
            }
        }
    }
    let next = link.and_then(next).map(|next| own_origin(base, next)).transpose()?;
    Ok(SearchPage {
        total_count: wire.total_count,
        incomplete_results: wire.incomplete_results,
        repositories,
        skipped,
        order,
        next,
    })
}

/// The `rel="next"` of a Link header (RFC 8288). Addresses may hold commas and semicolons, so the
/// brackets lead.
fn next(link: &str) -> Option<&str> {
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
    fn finds_next_wherever_it_stands() {
        let page = |n| format!("<https://api.github.com/search/repositories?q=a%2Cb,c;d&page={n}>");
        assert_eq!(
            next(&format!(r#"{}; rel="next", {}; rel="last""#, page(2), page(5))),
            Some(&page(2)[1..page(2).len() - 1])
        );
        assert_eq!(
            next(&format!(r#"{}; rel="prev",{};rel=next"#, page(1), page(3))),
            Some(&page(3)[1..page(3).len() - 1])
        );
        assert_eq!(next(&format!(r#"{}; rel="prev", {}; rel="first""#, page(4), page(1))), None);
        assert_eq!(next(""), None);
    }

    #[test]
    fn follows_no_link_to_another_origin() {
        let base = Url::parse("https://api.github.com").expect("an address");
        let body = br#"{"total_count":0,"items":[]}"#;
        let foreign = r#"<https://api.github.com.evil.example/search?page=2>; rel="next""#;
        assert!(read(body, Some(foreign), &base).is_err());
        assert!(
            read(body, Some(r#"<http://api.github.com/search?page=2>; rel="next""#), &base)
                .is_err()
        );
        assert!(
            read(body, Some(r#"<https://api.github.com/search?page=2>; rel="next""#), &base)
                .is_ok()
        );
    }

    #[test]
    fn a_bad_item_is_named_and_costs_nothing_else() {
        let base = Url::parse("https://api.github.com").expect("an address");
        let good = r#"{"id":2,"name":"b","full_name":"a/b","html_url":"x","stargazers_count":1,"updated_at":"2018-05-01T17:01:50Z"}"#;
        let body = format!(
            r#"{{"total_count":3,"incomplete_results":false,"items":[{{"id":1,"name":3}},{good},7]}}"#
        );
        let page = read(body.as_bytes(), None, &base).expect("a page");
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
