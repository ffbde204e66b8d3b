//! Conditions and preferences of a request.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use chrono::DateTime;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::now;
use crate::arbitrary::{config, header_value, pattern};
use crate::http::conditional::{
    accepted_format, encoding, http_date, is_current, streamed_encoding, takes_html,
};
use crate::lists::bundle::Encoding;

const ENCODING_PIECES: &[&str] = &[
    "br",
    "gzip",
    "x-gzip",
    "identity",
    "*",
    "GZIP",
    "deflate",
    ";",
    "q",
    "=",
    "0",
    "1",
    ".",
    "5",
    ",",
    " ",
    "001",
    "4294967296",
];

const ACCEPT_PIECES: &[&str] = &[
    "text/html",
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "*/*",
    "application/*",
    "TEXT/CSV",
    ";",
    "q",
    "=",
    "0",
    "1",
    ".",
    "9",
    ",",
    " ",
    "-",
    "99999999999999999999",
];

const CONDITION_PIECES: &[&str] = &[
    "\"",
    "W/",
    "*",
    ",",
    " ",
    "0123456789abcdef0123456789abcdef",
    ".gzip",
    ".br",
    "-gzip",
    "-",
    "Tue",
    "Tuesday",
    ", ",
    "01 May 2018",
    "01-May-18",
    "May  1",
    "31 Feb 9999",
    "-0001",
    "17:01:50",
    "99:99:99",
    "2018",
    " GMT",
    "; length=1",
    "+14:00",
];

fn headers(lines: Vec<(HeaderName, Vec<u8>)>) -> HeaderMap {
    let lines = lines
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_bytes(&value).expect("a header's value")));
    lines.collect()
}

/// A header of a name, or several, with any values.
fn lines(
    name: HeaderName,
    pieces: &'static [&'static str],
) -> impl Strategy<Value = Vec<(HeaderName, Vec<u8>)>> {
    vec((Just(name), header_value(pieces)), 1..3)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn encoding_is_none_that_the_client_refuses(
        encodings in lines(header::ACCEPT_ENCODING, ENCODING_PIECES),
        weights in prop::array::uniform3(0..=1_000_u32),
    ) {
        let odd = headers(encodings);
        let _ = (encoding(&odd), streamed_encoding(&odd));
        let [brotli, gzip, identity] = weights;
        let weight = |weight: u32| format!("{}.{:03}", weight / 1_000, weight % 1_000);
        let accepted = format!(
            "br;q={}, gzip;q={}, identity;q={}", weight(brotli), weight(gzip), weight(identity),
        );
        let given = headers(vec![(header::ACCEPT_ENCODING, accepted.into_bytes())]);
        let best = brotli.max(gzip).max(identity);
        let chosen = match encoding(&given) {
            Encoding::Brotli => brotli,
            Encoding::Gzip => gzip,
            Encoding::Identity => identity,
        };
        prop_assert_eq!(chosen, best);
    }

    #[test]
    fn accept_chooses_a_format_whatever_it_says(
        lines in lines(header::ACCEPT, ACCEPT_PIECES),
    ) {
        let given = headers(lines);
        let _ = accepted_format(&given);
        let accept = &given[header::ACCEPT];
        let text = accept.to_str().unwrap_or_default().to_lowercase();
        let names_html = text.contains("text/html");
        prop_assert!(!takes_html(accept) || names_html);
    }

    #[test]
    fn condition_holds_for_our_etag_and_no_other(
        before in vec(header_value(&["\"a\"", "W/\"b\"", "\"\"", "x", "\"", " "]), 0..3),
        digest in pattern("[0-9a-f]{32}"),
        is_weak in any::<bool>(),
        suffix in select(&["", "-gzip", "-br", "--x"][..]),
        cut in 1..32_usize,
    ) {
        let own = HeaderValue::try_from(format!("\"{digest}.gzip\"")).expect("a header's value");
        let line = |tag: String| {
            let lines = before.iter().cloned().chain([tag.into_bytes()]);
            headers(lines.map(|line| (header::IF_NONE_MATCH, line)).collect())
        };
        let weak = if is_weak { "W/" } else { "" };
        let same = line(format!("{weak}\"{digest}.gzip{suffix}\""));
        prop_assert!(is_current(&same, std::iter::once(&own), None));
        let other = line(format!("{weak}\"{}.gzip\"", &digest[cut..]));
        prop_assert!(!is_current(&other, std::iter::once(&own), None));
    }

    #[test]
    fn condition_holds_for_dates_that_are_not_before(
        lines in lines(header::IF_MODIFIED_SINCE, CONDITION_PIECES),
        tags in lines(header::IF_NONE_MATCH, CONDITION_PIECES),
        second in 0..253_402_300_799_i64,
    ) {
        let time = |second| DateTime::from_timestamp(second, 0).expect("a time");
        let own = HeaderValue::from_static("\"a\"");
        let _ = is_current(&headers(lines), std::iter::once(&own), Some(now()));
        let _ = is_current(&headers(tags), std::iter::once(&own), Some(now()));
        let since = HeaderMap::from_iter([(header::IF_MODIFIED_SINCE, http_date(time(second)))]);
        prop_assert!(is_current(&since, std::iter::once(&own), Some(time(second))));
        prop_assert!(!is_current(&since, std::iter::once(&own), Some(time(second + 1))));
    }
}
