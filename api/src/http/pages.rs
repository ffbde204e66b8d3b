//! Answers in pages: the parameters `page` and `per_page`, and the header `Link` (RFC 8288).

use axum::http::{HeaderValue, Uri};
use url::form_urlencoded;

use super::parameters::{Parameters, Shape, parameters};

const DEFAULT_PER_PAGE: u32 = 100;
const MOST_PER_PAGE: u32 = 500;

/// The most bytes of `Link`, which has the query up to four times. A proxy refuses answers whose
/// headers are longer than its buffer, and nginx then takes the replica for a dead one.
const LONGEST_LINK: usize = 12_000;

parameters! {
    pub(super) PAGE = "page", Shape::Integer(1..=u32::MAX), such as "2":
        "The page; one past the end is empty.";

    pub(super) PER_PAGE = "per_page", Shape::Integer(1..=MOST_PER_PAGE), such as "10":
        "The most entries of a page, 100 if it is absent.";
}

/// A page of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// From 1.
    number: u32,
    size: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { number: 1, size: DEFAULT_PER_PAGE }
    }
}

impl Page {
    /// As many rows as a list without parameters has.
    pub(super) const FIRST_ROWS: Self = Self { number: 1, size: MOST_PER_PAGE };

    /// `None` if the request has neither parameter.
    pub(super) fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let (number, size) = (parameters.read(&PAGE), parameters.read(&PER_PAGE));
        let page = Self::default();
        let is_asked = number.is_some() || size.is_some();
        is_asked.then(|| Self {
            number: number.unwrap_or(page.number),
            size: size.unwrap_or(page.size),
        })
    }

    /// From 1.
    pub(super) fn number(self) -> u32 {
        self.number
    }

    pub(super) fn limit(self) -> usize {
        self.size as usize
    }

    /// The number of entries on the pages before.
    pub(super) fn offset(self) -> usize {
        (self.number as usize - 1) * self.limit()
    }

    /// The addresses of the other pages, with all parameters of the request, if so many entries
    /// match; `None` if they are too long for a header. They are relative: no proxy has to tell how
    /// clients reach the service.
    pub(super) fn link(self, uri: &Uri, matched: usize) -> Option<HeaderValue> {
        let number = self.number as usize;
        let last = self.last(matched);
        let pages = [
            ("first", Some(1)),
            ("prev", (number > 1).then(|| last.min(number - 1))),
            ("next", (number < last).then_some(number + 1)),
            ("last", Some(last)),
        ];
        let links = pages.into_iter().filter_map(|(relation, number)| {
            Some(format!("<{}>; rel=\"{relation}\"", self.address(uri, number?)))
        });
        let links = links.collect::<Vec<_>>().join(", ");
        (links.len() <= LONGEST_LINK).then(|| HeaderValue::try_from(links).ok()).flatten()
    }

    /// The number of the last page if so many entries match.
    pub(super) fn last(self, matched: usize) -> usize {
        (matched.max(1) - 1) / self.limit() + 1
    }

    fn address(self, uri: &Uri, number: usize) -> String {
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let others = query.filter(|(name, _)| name != "page" && name != "per_page");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(others).append_pair("page", &number.to_string());
        query.append_pair("per_page", &self.size.to_string());
        format!("{}?{}", uri.path(), query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(query: &str, matched: usize) -> Vec<String> {
        let uri = Uri::try_from(format!("/list{query}")).expect("a URI");
        let page = Page::read(&mut Parameters::of(&uri)).unwrap_or_default();
        let link = page.link(&uri, matched).expect("a header");
        link.to_str().expect("text").split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn link_names_the_other_pages_with_all_parameters() {
        let query = "?kind=a%2Cb&page=3&per_page=10";
        let link = |number, relation| {
            format!("</list?kind=a%2Cb&page={number}&per_page=10>; rel=\"{relation}\"")
        };
        let (first, second, third) = (link(1, "first"), link(2, "prev"), link(3, "last"));
        assert_eq!(
            links(query, 31),
            [&first, &second, &link(4, "next"), &link(4, "last")].map(String::clone)
        );
        assert_eq!(links(query, 30), [&first, &second, &third].map(String::clone));
        assert_eq!(links(query, 11), [&first, &second, &link(2, "last")].map(String::clone));
        assert_eq!(links(query, 0), [link(1, "first"), link(1, "prev"), link(1, "last")]);
        let only =
            ["first", "last"].map(|name| format!("</list?page=1&per_page=100>; rel=\"{name}\""));
        assert_eq!(links("", 100), only);
        let uri = Uri::try_from(format!("/list?q={}", "'".repeat(7_000))).expect("a URI");
        assert_eq!(Page::default().link(&uri, 1_000), None, "21,000 bytes four times");
    }
}
