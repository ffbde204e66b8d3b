//! The address under which clients reach the service, for links that must be absolute.

use axum::http::{HeaderMap, HeaderValue, header};
use url::{Url, form_urlencoded};

use crate::error::Error;

/// PUBLIC_URL, or the scheme and Host of the request; without a slash at the end.
pub(super) fn base_url(public_url: Option<&Url>, request: &HeaderMap) -> Result<String, Error> {
    if let Some(url) = public_url {
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    let host = request.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    let host = std::str::from_utf8(host).ok();
    let host = host.filter(|host| !host.is_empty() && host.bytes().all(|byte| is_plain(&byte)));
    let host = host.ok_or(Error::InvalidHost)?.to_ascii_lowercase();
    let is_https = request.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    Ok(format!("{}://{host}", if is_https { "https" } else { "http" }))
}

/// `owner/name` as two segments of a path.
pub(super) fn path_of(full_name: &str) -> String {
    let segment = |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
    full_name.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        base_url(None, &headers.collect()).ok()
    }

    #[test]
    fn base_url_is_that_of_the_setting_or_of_the_request() {
        let url = Url::parse("https://mirror.example.org/github/").expect("a URL");
        let given = base_url(Some(&url), &HeaderMap::new()).expect("an address");
        assert_eq!(given, "https://mirror.example.org/github");
        assert_eq!(base(&[("host", "LocalHost:8081")]).as_deref(), Some("http://localhost:8081"));
        let proxied = [("host", "[::1]:80"), ("x-forwarded-proto", "https")];
        assert_eq!(base(&proxied).as_deref(), Some("https://[::1]:80"));
        for hostile in ["", "a\"><script>", "a/b", "user@host", "a&b"] {
            assert_eq!(base(&[("host", hostile)]), None, "{hostile}");
        }
        assert_eq!(base(&[]), None);
    }
}
