//! The frame of every page, and a page as a document.

use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use url::Url;

use super::assets::{ICON, SCRIPT, STYLE};
use crate::app::App;
use crate::error::Error;
use crate::http::address::base_url;
use crate::lists::document::Document;

const HTML: &str = "text/html; charset=utf-8";

/// Pages ask nobody else for anything, and no other page can frame them. No script connects to the
/// service; Lighthouse does, for `/robots.txt`.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
);

/// A part of the site, which the navigation names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Topics,
    Compare,
    Status,
    Api,
    /// Of a page that the navigation does not name.
    None,
}

/// The facts about a page that the frame shows.
pub(super) struct Layout {
    pub(super) title: String,
    /// For search engines and previews.
    pub(super) description: String,
    pub(super) section: Section,
    /// The path of the service, with a slash at its end.
    pub(super) root: String,
    /// The address of the page; `None` if it is no page to remember.
    pub(super) address: Option<String>,
    /// The address of a picture for previews.
    pub(super) picture: Option<String>,
    pub(super) alternates: Vec<Alternate>,
    /// The address of the JSON that the page shows.
    pub(super) json: Option<String>,
    /// The topic in the field that opens one.
    pub(super) topic: String,
    /// Seconds until the browser loads the page again.
    pub(super) reload_after: Option<u64>,
}

/// The same in another form.
pub(super) struct Alternate {
    pub(super) content_type: &'static str,
    pub(super) title: &'static str,
    pub(super) href: String,
}

/// A link of a row of links, of which one leads to the present page.
pub(super) struct Tab {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) is_current: bool,
    /// Whether it begins another group.
    pub(super) is_apart: bool,
}

/// The addresses of the service, for the links of a page.
#[derive(Clone)]
pub(super) struct Site {
    /// As in [`Layout::root`].
    pub(super) root: String,
    /// Scheme, host and path, without a slash at the end; empty without a PUBLIC_URL: addresses are
    /// relative then, and a page is the same for every Host of a request.
    pub(super) base: String,
}

impl Site {
    pub(super) fn of(app: &App) -> Self {
        let public_url = app.config.public_url.as_ref();
        let base = public_url.map_or("", |url| url.as_str().trim_end_matches('/')).to_owned();
        Self { root: root(public_url), base }
    }

    /// With the Host of the request if there is no PUBLIC_URL, for addresses to be copied.
    ///
    /// # Errors
    /// When neither names the service's address.
    pub(super) fn absolute(app: &App, request: &HeaderMap) -> Result<Self, Error> {
        let base = base_url(app.config.public_url.as_ref(), request)?;
        Ok(Self { base, ..Self::of(app) })
    }
}

/// The path of the service, with a slash at its end.
pub(in crate::http) fn root(public_url: Option<&Url>) -> String {
    let path = public_url.map_or("", Url::path);
    format!("{}/", path.trim_end_matches('/'))
}

impl Layout {
    /// The frame of a page at this path, which begins without a slash.
    pub(super) fn new(site: &Site, section: Section, title: String, path: &str) -> Self {
        let mut layout = Self::without_address(site.root.clone(), section, title);
        layout.address = Some(format!("{}/{path}", site.base));
        layout
    }

    /// The frame of a page that is not to be remembered.
    pub(super) fn without_address(root: String, section: Section, title: String) -> Self {
        Self {
            description: title.clone(),
            title: format!("{title} · topic mirror"),
            section,
            root,
            address: None,
            picture: None,
            alternates: Vec::new(),
            json: None,
            topic: String::new(),
            reload_after: None,
        }
    }

    /// Names the JSON that the page shows.
    pub(super) fn with_json(mut self, href: String) -> Self {
        self.alternates.push(Alternate {
            content_type: "application/json",
            title: "JSON",
            href: href.clone(),
        });
        self.json = Some(href);
        self
    }

    pub(super) fn sections(&self) -> &'static [(Section, &'static str, &'static str)] {
        &[
            (Section::Topics, "", "topics"),
            (Section::Compare, "compare", "compare"),
            (Section::Status, "status", "status"),
            (Section::Api, "docs", "API"),
        ]
    }

    pub(super) fn style(&self) -> &'static str {
        &STYLE.path
    }

    pub(super) fn script(&self) -> &'static str {
        &SCRIPT.path
    }

    pub(super) fn icon(&self) -> &'static str {
        &ICON.path
    }
}

/// A page as a document. One that tells ages is to be made again after a minute.
pub(super) fn document(
    page: &impl Template,
    cache_control: HeaderValue,
    tells_ages: bool,
) -> Result<Document, Error> {
    let html = page.render().map_err(|_| Error::Internal)?;
    let (name, policy) = POLICY;
    let mut document = Document::new(HTML, cache_control, html.into_bytes()).with(name, policy);
    document.is_provisional = tells_ages;
    Ok(document)
}

/// A page that is made for one request and not kept.
pub(super) fn passing(page: &impl Template) -> Response {
    let Ok(html) = page.render() else { return Error::Internal.into_response() };
    let mut response = html.into_response();
    put_headers(response.headers_mut());
    response
}

/// The headers of a page that nobody is to keep.
pub(super) fn put_headers(headers: &mut HeaderMap) {
    let (name, policy) = POLICY;
    headers.insert(name, policy);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
