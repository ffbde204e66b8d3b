//! The `Link` header (RFC 8288): the address of the next page.

use url::Url;

/// The page that a Link header names as the next one, at the base's origin. A gateway in front of
/// GitHub may not know its own name, so only the path and the query of an address count.
pub(super) fn next_page(header: &[u8], base: &Url) -> Option<Url> {
    own_address(base, next_target(&String::from_utf8_lossy(header))?)
}

/// The target of the first link whose relation is "next". Targets, and parameters in quotes, may
/// contain commas and semicolons.
fn next_target(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (parameters, others) = split_outside_quotes(after, ',');
        if is_next(parameters) {
            return Some(target);
        }
        rest = others;
    }
}

/// Whether the parameters of a link name the relation "next", which is compared without case.
fn is_next(parameters: &str) -> bool {
    let mut rest = parameters;
    while !rest.is_empty() {
        let (parameter, others) = split_outside_quotes(rest, ';');
        rest = others;
        let Some((key, value)) = parameter.split_once('=') else { continue };
        // mutant in link: relations are compared without case
        //     relation.eq_ignore_ascii_case("next") => relation == "next"
        let is_next = |relation: &str| relation.eq_ignore_ascii_case("next");
        if key.trim().eq_ignore_ascii_case("rel") {
            // Only the first relation of a link counts.
            return value.trim().trim_matches('"').split_whitespace().any(is_next);
        }
    }
    false
}

/// Splits a text at a separator that is not within quotes; the separator goes.
fn split_outside_quotes(text: &str, separator: char) -> (&str, &str) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_quoted,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                return (&text[..at], &text[at + separator.len_utf8()..]);
            }
            _ => {}
        }
    }
    (text, "")
}

/// The address's path and query at the base's origin, below the base's own path.
fn own_address(base: &Url, address: &str) -> Option<Url> {
    let address = base.join(address).ok().filter(|address| !address.cannot_be_a_base())?;
    let (own, path) = (base.path().trim_end_matches('/'), address.path());
    let is_below = path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'));
    // mutant in link: pages of another origin are not followed
    //     base.clone() => address.clone()
    let mut url = base.clone();
    if is_below {
        url.set_path(path);
    } else {
        url.set_path(&format!("{own}{path}"));
    }
    url.set_query(address.query());
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(base: &str, header: &str) -> Option<String> {
        let base = Url::parse(base).expect("an address");
        next_page(header.as_bytes(), &base).map(String::from)
    }

    #[test]
    fn next_page_is_found_at_any_place_in_the_header() {
        let page = |n| format!("https://api.github.com/search/repositories?q=a%2Cb,c;d&page={n}");
        for (header, expected) in [
            (format!(r#"<{}>; rel="next", <{}>; rel="last""#, page(2), page(5)), Some(2)),
            (format!(r#"<{}>; rel="prev",<{}>;rel=next"#, page(1), page(3)), Some(3)),
            (format!(r#"<{}>; REL="Next""#, page(3)), Some(3)),
            (format!(r#"<{}>; title="a, <b>; \" rel=next"; rel=last"#, page(3)), None),
            (format!(r#"<x>; title="rel=next", <{}>; rel="last  NEXT""#, page(4)), Some(4)),
            (
                format!(r#"<x>; rel="deprecation", <y>; rel=preload,<{}>;rel=next"#, page(2)),
                Some(2),
            ),
            (format!(r#"<{}>; rel=last; rel=next"#, page(9)), None),
            (format!(r#"<{}>; rel="prev", <{}>; rel="first""#, page(4), page(1)), None),
            ("<https://api.github.com/é>".to_owned(), None),
            ("<".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(next("https://api.github.com", &header), expected.map(page), "{header}");
        }
    }

    #[test]
    fn next_page_has_the_origin_of_the_base_and_its_path_once() {
        for (base, address, expected) in [
            ("https://gateway/", "http://api.github.com/s?page=2", "https://gateway/s?page=2"),
            ("https://gateway", "https://evil@evil.example:9/s#x", "https://gateway/s"),
            ("https://gw/github", "https://api.github.com/s?a=1", "https://gw/github/s?a=1"),
            ("https://gw/github/", "https://gw/github/s?a=1", "https://gw/github/s?a=1"),
            ("https://h/api/v3", "http://h:8080/api/v3/s?page=2", "https://h/api/v3/s?page=2"),
            ("https://h/api", "https://h/apiary/s", "https://h/api/apiary/s"),
            ("https://h/api/v3", "/api/v3/s?page=2", "https://h/api/v3/s?page=2"),
            ("https://h:8/v3", "https://h//evil.example/s", "https://h:8/v3//evil.example/s"),
        ] {
            let header = format!("<{address}>; rel=next");
            assert_eq!(next(base, &header).as_deref(), Some(expected), "{address} at {base}");
        }
        for address in ["javascript:alert(1)", "mailto:a@b", "https://[::"] {
            assert_eq!(next("https://h/api/v3", &format!("<{address}>; rel=next")), None);
        }
    }
}
