//! Parsers of values that several settings have. Each fails with a line on what is accepted.

use secrecy::SecretString;
use url::Url;

use crate::Setting;

pub const MAINTENANCE_TOKEN: Setting = Setting::secret(
    "MAINTENANCE_TOKEN",
    "bearer token that maintenance wants; required when reachable from elsewhere",
);

/// The address of an HTTP service, to whose path others are appended; slashes at its end are cut.
///
/// # Errors
/// A description of the accepted values.
pub fn http_url(text: &str) -> Result<Url, String> {
    let accepted = || "an http or https address without user, query and fragment".to_owned();
    let url = Url::parse(text.trim_end_matches('/')).map_err(|_| accepted())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(accepted()) }
}

/// A token that fits into a header.
///
/// # Errors
/// A description of the accepted values.
pub fn header_token(text: &str) -> Result<SecretString, String> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(SecretString::from(text))
    } else {
        Err("visible ASCII characters without spaces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_url_accepts_only_plain_addresses() {
        assert_eq!(http_url("https://host/api/v3//").expect("plain").path(), "/api/v3");
        for text in [
            "",
            "host:8081",
            "ftp://host",
            "http://",
            "http://user@host",
            "http://:word@host",
            "http://host?query",
            "http://host#fragment",
        ] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn header_token_refuses_spaces_and_control_characters() {
        assert!(header_token("ghp_abc-123").is_ok());
        for text in ["two words", "line\nbreak", "naïve"] {
            assert!(header_token(text).is_err(), "{text}");
        }
    }
}
