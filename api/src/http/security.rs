//! Headers that keep browsers from taking an answer for more than it is. They are on every answer;
//! nginx has the same ones on its own.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Sites and scripts of every origin may embed and read what is open to all.
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The policy of an answer that has none of its own: data, which loads and runs nothing.
const DATA_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Browsers must not guess the content type, send a Referer, or frame an answer. X-Frame-Options
/// says the last to browsers that do not know the policy.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Adds the headers to an answer that scripts of other origins may read, or may not.
pub(super) fn harden(headers: &mut HeaderMap, is_open: bool) {
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    headers.insert(RESOURCE_POLICY, if is_open { CROSS_ORIGIN } else { SAME_ORIGIN });
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(DATA_POLICY);
}
