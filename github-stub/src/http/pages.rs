//! Pages: the part of the results that an answer shows, and the `Link` to the other parts.

use std::collections::{BTreeMap, HashMap};

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use url::form_urlencoded;

use crate::faults::FaultKind;

/// The part of the results that an answer shows.
pub(super) struct Window {
    pub(super) page: usize,
    pub(super) per_page: usize,
}

impl Window {
    /// The parameters `page` and `per_page`, with at most `most` results.
    pub(super) fn new(parameters: &HashMap<String, String>, most: usize) -> Self {
        let number = |name: &str| parameters.get(name).and_then(|value| value.parse().ok());
        Self {
            page: number("page").unwrap_or(1).max(1),
            per_page: number("per_page").unwrap_or(30).clamp(1, most),
        }
    }

    pub(super) fn start(&self) -> usize {
        (self.page - 1).saturating_mul(self.per_page)
    }

    /// The number of the last page of `total` results.
    pub(super) fn last(&self, total: usize) -> usize {
        total.div_ceil(self.per_page).max(1)
    }
}

/// Adds the `Link` of page `page` of `last` to the answer to the request for `uri`.
pub(super) fn add_links(
    response: &mut Response,
    headers: &HeaderMap,
    uri: &Uri,
    (page, last): (usize, usize),
    fault: Option<&FaultKind>,
) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let origin = match fault {
        Some(FaultKind::ForeignLink { origin } | FaultKind::LinkLines { origin }) => origin.clone(),
        _ => format!("http://{host}"),
    };
    for line in lines(links(&origin, uri, (page, last), fault), fault) {
        let line = HeaderValue::from_str(&line).expect("a percent-encoded address is ASCII");
        response.headers_mut().append(header::LINK, line);
    }
}

/// The `Link` lines of an answer with these links.
fn lines(links: Vec<String>, fault: Option<&FaultKind>) -> Vec<String> {
    match fault {
        _ if links.is_empty() => Vec::new(),
        Some(FaultKind::LinkLines { .. }) => {
            let foreign = r#"</app.css>; rel="preload", <https://x/?a,b>; rel="deprecation""#;
            let links = links.iter().map(|link| link.replace(r#"rel="next""#, r#"REL="Next""#));
            std::iter::once(foreign.to_owned()).chain(links).collect()
        }
        _ => vec![links.join(", ")],
    }
}

/// The relations `prev, next, last, first` that exist; none if one page holds all results.
fn links(
    origin: &str,
    uri: &Uri,
    (page, last): (usize, usize),
    fault: Option<&FaultKind>,
) -> Vec<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut parameters: BTreeMap<_, _> = form_urlencoded::parse(query).collect();
    parameters.remove("page");
    let address = |page: usize, rel: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&parameters).append_pair("page", &page.to_string());
        format!("<{origin}{}?{}>; rel=\"{rel}\"", uri.path(), query.finish())
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(address(page - 1, "prev"));
    }
    if page < last {
        let next = page + usize::from(fault != Some(&FaultKind::LoopLink));
        links.push(address(next, "next"));
        links.push(address(last, "last"));
    }
    if page > 1 {
        links.push(address(1, "first"));
    }
    links
}
