//! The last segment of a picture's path, and a picture as a document.

use axum::http::{HeaderName, HeaderValue, Uri, header};
use strum::{EnumString, IntoStaticStr};
use url::form_urlencoded;

use crate::error::Error;
use crate::lists::document::Document;
use crate::model::repository::FullName;

/// Cache-Control of pictures: those who embed them ask often, and days change slowly.
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static(
    "public, max-age=3600, stale-while-revalidate=600, stale-if-error=86400",
);

/// A picture has its own style and needs nothing else. Opened by itself, it is a document, and the
/// sandbox keeps it apart from the pages of this origin.
const CONTENT_SECURITY_POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
    ),
);

/// The form of an answer, by the extension of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Format {
    Svg,
    Json,
    Csv,
}

impl Format {
    pub(super) fn document(self, text: String) -> Document {
        let content_type = match self {
            Self::Svg => "image/svg+xml",
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
        };
        let document = Document::new(content_type, FOR_AN_HOUR, text.into_bytes());
        let (name, policy) = CONTENT_SECURITY_POLICY;
        if self == Self::Svg { document.with(name, policy) } else { document }
    }
}

/// The name and the format of a file.
pub(super) fn split(file: &str) -> Result<(&str, Format), Error> {
    let parts = file.rsplit_once('.').filter(|(name, _)| !name.is_empty());
    let parsed = parts.and_then(|(name, extension)| Some((name, extension.parse().ok()?)));
    parsed.ok_or_else(|| Error::NoPicture(file.to_owned()))
}

pub(super) fn full_name(owner: &str, name: &str) -> Result<FullName, Error> {
    let name = format!("{owner}/{name}");
    name.parse().map_err(|_| Error::NoRepository(name))
}

/// The query of a request behind its question mark, or nothing.
pub(super) fn query_of(uri: &Uri) -> String {
    uri.query().map(|query| format!("?{query}")).unwrap_or_default()
}

/// A text as part of a path or query.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
