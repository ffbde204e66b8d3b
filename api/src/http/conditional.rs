//! Content negotiation and conditional requests (RFC 9110, sections 12.5.3 and 13).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use chrono::{DateTime, NaiveDateTime, Utc};

use crate::lists::bundle::Encoding;
use crate::lists::table::Format;

/// The weights of the encodings for a client, in thousandths.
struct Weights {
    brotli: u32,
    gzip: u32,
    identity: u32,
}

/// The encoding of the answer: br before gzip if the client likes both equally.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    let Weights { brotli, gzip, identity } = weights(headers);
    if brotli > 0 && brotli >= gzip && brotli >= identity {
        Encoding::Brotli
    } else {
        streamed_encoding(headers)
    }
}

/// The encoding of an answer that is compressed while it is sent: gzip costs a fraction of br.
pub(super) fn streamed_encoding(headers: &HeaderMap) -> Encoding {
    let Weights { gzip, identity, .. } = weights(headers);
    if gzip > 0 && gzip >= identity { Encoding::Gzip } else { Encoding::Identity }
}

fn weights(headers: &HeaderMap) -> Weights {
    let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
    for part in members(headers, &header::ACCEPT_ENCODING) {
        let (coding, quality) = weighted(part);
        let slot = match coding.to_ascii_lowercase().as_str() {
            "br" => &mut brotli,
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *slot = Some(quality);
    }
    let any = any.unwrap_or(0);
    Weights {
        brotli: brotli.unwrap_or(any),
        gzip: gzip.unwrap_or(any),
        // An identity that the client does not name is acceptable, but any named coding goes before
        // it.
        identity: identity.unwrap_or(0),
    }
}

/// The format that the client likes best. One that it names goes before one that a `*` stands for,
/// and JSON before the others.
pub(super) fn accepted_format(headers: &HeaderMap) -> Format {
    let mut best = (0, false, Format::default());
    for member in members(headers, &header::ACCEPT) {
        let (media_type, quality) = weighted(member);
        let (is_named, format) = match media_type.to_ascii_lowercase().as_str() {
            "application/json" => (true, Format::Json),
            "application/x-ndjson" => (true, Format::Ndjson),
            "text/csv" => (true, Format::Csv),
            "application/*" | "*/*" => (false, Format::Json),
            _ => continue,
        };
        if quality == 0 {
            continue;
        }
        let is_json = |format| format == Format::Json;
        let (best_quality, best_named, best_format) = best;
        let rank = (quality, is_named, is_json(format));
        if rank > (best_quality, best_named, is_json(best_format)) {
            best = (quality, is_named, format);
        }
    }
    let (.., format) = best;
    format
}

/// Whether the client names HTML and likes it at least as much as JSON, as browsers do.
pub(super) fn takes_html(accept: &HeaderValue) -> bool {
    let (mut html, mut json) = (0, 0);
    for member in accept.to_str().unwrap_or_default().split(',').map(str::trim) {
        let (media_type, quality) = weighted(member);
        match media_type.to_ascii_lowercase().as_str() {
            "text/html" => html = html.max(quality),
            "application/json" | "application/problem+json" => json = json.max(quality),
            _ => {}
        }
    }
    html > 0 && html >= json
}

/// Whether the client's copy is current. If-None-Match goes before If-Modified-Since. Without a
/// Last-Modified no date is current.
pub(super) fn is_current<'a>(
    headers: &HeaderMap,
    etags: impl Iterator<Item = &'a HeaderValue> + Clone,
    modified_at: Option<DateTime<Utc>>,
) -> bool {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return members(headers, &header::IF_NONE_MATCH).any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || etags.clone().any(|own| names(tag, own))
        });
    }
    let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(parse_date);
    since.zip(modified_at).is_some_and(|(since, modified_at)| modified_at <= since)
}

/// Whether a client's ETag is one of ours. Proxies that compress add a suffix to it, such as
/// `-gzip` or `-zstd`, and send the client's back to us with it. Our own suffixes begin with a dot.
fn names(tag: &str, own: &HeaderValue) -> bool {
    let own = own.as_bytes().strip_suffix(b"\"").unwrap_or_default();
    let rest = tag.as_bytes().strip_prefix(own).unwrap_or_default();
    rest == b"\"" || (rest.starts_with(b"-") && rest.ends_with(b"\""))
}

/// The three forms of a date behind its weekday (RFC 9110, section 5.6.7).
const DATE_FORMS: [&str; 3] = ["%d %b %Y %T", "%d-%b-%y %T", "%b %e %T %Y"];

/// A date of a client's, which nginx reads in the same way: neither the weekday counts, which some
/// get wrong, nor what follows, such as GMT or `; length=`.
fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim_start_matches(|char: char| char.is_ascii_alphabetic());
    let text = text.trim_start_matches([',', ' ']);
    let parse = |form: &&str| NaiveDateTime::parse_and_remainder(text, form).ok();
    DATE_FORMS.iter().find_map(parse).map(|(date, _)| date.and_utc())
}

/// A time in HTTP's form: `Tue, 01 May 2018 17:01:50 GMT`.
pub(super) fn http_date(time: DateTime<Utc>) -> HeaderValue {
    let text = time.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// The members of a header's list, which may be spread over several lines.
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

/// A member and its weight in thousandths; a weight that cannot be read counts as 0.
fn weighted(member: &str) -> (&str, u32) {
    let mut parameters = member.split(';').map(str::trim);
    let name = parameters.next().unwrap_or_default();
    let weight = parameters.find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()).unwrap_or(0))
    });
    (name, weight.unwrap_or(1_000))
}

fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 {
        return None;
    }
    let fraction: u32 = format!("{fraction:0<3}").parse().ok()?;
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(fraction).filter(|weight| *weight <= 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().expect("a header"))).collect()
    }

    #[test]
    fn encoding_is_the_one_that_the_client_likes_best() {
        let chosen = |values: &[&str]| encoding(&headers(header::ACCEPT_ENCODING, values));
        for (accept, expected) in [
            ("gzip, br", Encoding::Brotli),
            ("gzip, deflate, br, zstd", Encoding::Brotli),
            ("gzip", Encoding::Gzip),
            ("gzip;q=4294968", Encoding::Identity),
            ("GZIP;Q=1.0", Encoding::Gzip),
            ("gzip;q=0, br", Encoding::Brotli),
            ("br;q=0, gzip", Encoding::Gzip),
            ("br;q=0.8, gzip;q=0.9", Encoding::Gzip),
            ("br;q=0.001", Encoding::Brotli),
            ("*", Encoding::Brotli),
            ("*;q=0", Encoding::Identity),
            ("br;q=0, *;q=0.5", Encoding::Gzip),
            ("identity, gzip;q=0.5", Encoding::Identity),
            ("identity;q=0, gzip", Encoding::Gzip),
            ("deflate", Encoding::Identity),
            ("gzip;q=nonsense", Encoding::Identity),
            ("gzip;q=0.0000001", Encoding::Identity),
            ("", Encoding::Identity),
        ] {
            assert_eq!(chosen(&[accept]), expected, "{accept}");
        }
        assert_eq!(chosen(&["gzip;q=0.2", "br;q=0.1"]), Encoding::Gzip);
        let streamed = |accept| streamed_encoding(&headers(header::ACCEPT_ENCODING, &[accept]));
        assert_eq!(streamed("gzip, br"), Encoding::Gzip);
        assert_eq!(streamed("br"), Encoding::Identity);
        assert_eq!(encoding(&HeaderMap::new()), Encoding::Identity);
    }

    #[test]
    fn html_is_for_clients_that_name_it_and_like_nothing_better() {
        let takes = |accept| takes_html(&HeaderValue::from_static(accept));
        assert!(takes("text/html,application/xhtml+xml,*/*;q=0.8") && takes("Text/HTML"));
        assert!(takes("application/json;q=0.5, text/html"));
        for other in ["*/*", "", "application/json", "text/html;q=0", "text/*", "image/png"] {
            assert!(!takes(other), "{other}");
        }
        assert!(!takes("application/json, text/html;q=0.9"));
    }

    #[test]
    fn copy_is_current_by_any_etag_or_by_any_date_not_before() {
        let etags = [HeaderValue::from_static("\"a\""), HeaderValue::from_static("\"b\"")];
        let modified: DateTime<Utc> = "2018-05-01T17:01:50Z".parse().expect("a date");
        let matches = |value: &str| {
            is_current(&headers(header::IF_NONE_MATCH, &[value]), etags.iter(), Some(modified))
        };
        assert!(matches("\"a\"") && matches("\"x\", \"b\"") && matches("W/\"a\"") && matches("*"));
        assert!(matches("\"a-gzip\"") && matches("W/\"b-zstd\"") && matches("\"a--gzip\""));
        assert!(!matches("\"c\"") && !matches("a") && !matches("") && !matches("\""));
        assert!(!matches("\"ab\"") && !matches("\"a-gzip") && !matches("\"-gzip\""));
        let since = |value: &str| {
            is_current(&headers(header::IF_MODIFIED_SINCE, &[value]), etags.iter(), Some(modified))
        };
        assert_eq!(http_date(modified), "Tue, 01 May 2018 17:01:50 GMT");
        assert!(since("Tue, 01 May 2018 17:01:50 GMT") && since("Tue, 01 May 2018 17:01:51 GMT"));
        assert!(!since("Tue, 01 May 2018 17:01:49 GMT") && !since("yesterday"));
        for (current, old) in [
            ("Tuesday, 01-May-18 17:01:50 GMT", "Tuesday, 01-May-18 17:01:49 GMT"),
            ("Sunday, 01-May-69 17:01:50 GMT", "Monday, 01-May-70 17:01:50 GMT"),
            ("Tue May  1 17:01:50 2018", "Tue May  1 17:01:49 2018"),
            ("Thu May 31 00:00:00 2018", "Mon Apr 30 23:59:59 2018"),
            // The weekday is wrong.
            ("Sun, 01 May 2018 17:01:50 GMT", "Sun, 01 May 2018 17:01:49 GMT"),
            ("Friday, 01-May-18 17:01:50 GMT", "Friday, 01-May-18 17:01:49 GMT"),
            (
                "Tue, 01 May 2018 17:01:50 GMT; length=20480",
                "Tue, 01 May 2018 17:01:49 GMT; length=20480",
            ),
            ("Tue, 01 May 2018 17:01:51", "Tue, 31 Feb 2099 17:01:50 GMT"),
        ] {
            assert!(since(current) && !since(old), "{current}, {old}");
        }
        let mut both = headers(header::IF_NONE_MATCH, &["\"c\""]);
        both.extend(headers(header::IF_MODIFIED_SINCE, &["Tue, 01 May 2030 17:01:50 GMT"]));
        assert!(!is_current(&both, etags.iter(), Some(modified)), "If-None-Match rules");
    }
}
