//! Addresses of the same page, or of the same list in another form, with other parameters.

use std::fmt;

use axum::http::Uri;
use url::form_urlencoded;

use crate::http::pages::{PAGE, PER_PAGE};

/// A path and its parameters.
#[derive(Clone)]
pub(super) struct Link {
    path: String,
    parameters: Vec<(String, String)>,
}

impl Link {
    pub(super) fn new(path: String) -> Self {
        Self { path, parameters: Vec::new() }
    }

    /// A path with the parameters of a request.
    pub(super) fn like(path: String, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        Self { path, parameters: form_urlencoded::parse(query).into_owned().collect() }
    }

    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The link to another path.
    pub(super) fn at(&self, path: String) -> Self {
        Self { path, parameters: self.parameters.clone() }
    }

    /// The link with a parameter in place of its present value.
    pub(super) fn with(&self, name: &str, value: impl ToString) -> Self {
        let mut link = self.without(name);
        link.parameters.push((name.to_owned(), value.to_string()));
        link
    }

    pub(super) fn without(&self, name: &str) -> Self {
        self.keeping(|own, _| own != name)
    }

    /// The link to the first page.
    pub(super) fn first_page(&self) -> Self {
        self.without(PAGE.name)
    }

    /// The link without pages.
    pub(super) fn without_pages(&self) -> Self {
        self.keeping(|name, _| name != PAGE.name && name != PER_PAGE.name)
    }

    /// The link with the parameters of which this is true.
    pub(super) fn keeping(&self, keep: impl Fn(&str, &str) -> bool) -> Self {
        let kept = self.parameters.iter().filter(|(name, value)| keep(name, value)).cloned();
        Self { path: self.path.clone(), parameters: kept.collect() }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        if self.parameters.is_empty() {
            return Ok(());
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.parameters);
        // Commas and slashes need no code within a query.
        let query = query.finish().replace("%2C", ",").replace("%2F", "/");
        write!(formatter, "?{query}")
    }
}

/// The link without the empty parameters that browsers send for the empty fields of a form, if
/// there are any.
pub(super) fn without_empty(path: String, uri: &Uri) -> Option<Link> {
    let link = Link::like(path, uri);
    let kept = link.keeping(|_, value| !value.trim().is_empty());
    (kept.parameters.len() < link.parameters.len()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(query: &str) -> Link {
        let uri = Uri::try_from(format!("/list?{query}")).expect("a URI");
        Link::like("/list".to_owned(), &uri)
    }

    #[test]
    fn link_has_the_other_parameters_of_the_request() {
        let link = link("language=C%2B%2B,Go&page=3&q=a+b");
        assert_eq!(link.to_string(), "/list?language=C%2B%2B,Go&page=3&q=a+b");
        assert_eq!(link.without("language").first_page().to_string(), "/list?q=a+b");
        assert_eq!(link.with("page", 4).without("language").to_string(), "/list?q=a+b&page=4");
        assert_eq!(link.get("q"), Some("a b"));
        assert_eq!(Link::new("/list".to_owned()).to_string(), "/list");
    }

    #[test]
    fn empty_parameters_are_left_out() {
        let uri = Uri::from_static("/t/x?language=&q=+&stars=5..");
        let clean = without_empty("/t/x".to_owned(), &uri).map(|link| link.to_string());
        assert_eq!(clean.as_deref(), Some("/t/x?stars=5.."));
        assert!(without_empty("/t/x".to_owned(), &Uri::from_static("/t/x?stars=5..")).is_none());
        assert!(without_empty("/t/x".to_owned(), &Uri::from_static("/t/x")).is_none());
    }
}
