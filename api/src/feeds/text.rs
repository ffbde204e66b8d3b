//! Text of strangers in feeds, and ids.

use sha2::{Digest as _, Sha256};
use url::Url;

use crate::model::repository::is_http;

/// The text in one line, without control characters and others that XML 1.0 does not allow.
pub(super) fn plain(text: &str) -> String {
    let in_one_line = text.chars().map(|char| if char.is_whitespace() { ' ' } else { char });
    let is_allowed = |char: &char| !char.is_control() && !matches!(char, '\u{fffe}' | '\u{ffff}');
    in_one_line.filter(is_allowed).collect()
}

/// [`plain`] for HTML, also within the quotes of an attribute; and for XML, since HTML's numbers of
/// characters are XML's.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in plain(text).chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The address of a repository if it is one that pages may link, of characters that URLs have.
pub(super) fn address(text: &str) -> Option<String> {
    Url::parse(text).ok().map(String::from).filter(|address| is_http(address))
}

/// The id of a content that these parts name: a UUID of version 8 (RFC 9562), of a SHA-256.
pub(super) fn uuid(parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("\n"));
    let mut bytes: [u8; 16] = std::array::from_fn(|at| hash[at]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("urn:uuid:{}", groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_is_neither_markup_nor_unfit_for_xml() {
        let hostile = "a\u{0}b\u{1b}[31m\n\u{fffe}<script>&amp;\"'\u{1f980}";
        assert_eq!(plain(hostile), "ab[31m <script>&amp;\"'\u{1f980}");
        let expected = "ab[31m &lt;script&gt;&amp;amp;&#34;&#39;\u{1f980}";
        assert_eq!(escaped(hostile), expected);
        assert_eq!(address("javascript:alert(1)"), None);
        let odd = address("https://github.com/a b/\"><script>");
        assert_eq!(odd.as_deref(), Some("https://github.com/a%20b/%22%3E%3Cscript%3E"));
    }

    #[test]
    fn uuid_is_of_version_8_and_made_of_the_content() {
        let id = uuid(&["event", "kubernetes", "x"]);
        assert_eq!(id, uuid(&["event", "kubernetes", "x"]));
        assert_ne!(id, uuid(&["event", "kubernetes", "y"]));
        let parts: Vec<&str> = id.trim_start_matches("urn:uuid:").split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('8') && "89ab".contains(&parts[3][..1]), "{id}");
    }
}
