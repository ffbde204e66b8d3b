//! An item is kept within its bounds or skipped, and nothing panics, whatever GitHub sends.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use url::Url;

use super::item::{Item, KEPT, MAX_NAME, MAX_TEXT, MAX_TOPICS, YEARS};
use super::link::next_page;
use super::response::{Response, classify};
use super::search::read_page;
use super::text::decode;
use super::{PER_PAGE, stars};
use crate::arbitrary::{config, header_value, json, text, time_text};
use crate::model::quota::{Quota, Resource};
use crate::model::repository::{MAX_COUNT, Repository, is_http};

/// A value with which an item can be read, or `None` for a field that is always arbitrary here.
fn usual(field: &str) -> Option<&'static str> {
    Some(match field {
        "id" | "stargazers_count" | "forks_count" | "size" => "7",
        "name" => "\"b\"",
        "full_name" => "\"a/b\"",
        "html_url" => "\"https://github.com/a/b\"",
        "updated_at" => "\"2018-05-01T17:01:50Z\"",
        "description" | "language" => "null",
        "owner" => r#"{"login":"a"}"#,
        "license" => r#"{"spdx_id":"MIT"}"#,
        "topics" => r#"["mcp","go"]"#,
        _ => return None,
    })
}

/// An item, some of whose fields are arbitrary, absent or there twice.
fn item() -> impl Strategy<Value = String> {
    let value = prop_oneof![4 => json(), 1 => text_value(), 1 => time_text().prop_map(quoted)];
    let odd = vec((select(&KEPT[..]), value), 0..4);
    let absent = prop_oneof![9 => Just(None), 1 => select(&KEPT[..]).prop_map(Some)];
    (odd, absent, any::<bool>()).prop_map(|(odd, absent, is_first)| {
        let usual = KEPT.iter().filter_map(|field| Some((*field, usual(field)?.to_owned())));
        let usual: Vec<_> = usual.filter(|(field, _)| Some(*field) != absent).collect();
        let fields = if is_first { [odd, usual].concat() } else { [usual, odd].concat() };
        let fields = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    })
}

fn quoted(text: String) -> String {
    serde_json::to_string(&text).expect("text is JSON")
}

/// A text, or an object or a list that has texts where GitHub has them.
fn text_value() -> impl Strategy<Value = String> {
    prop_oneof![
        text().prop_map(quoted),
        text().prop_map(|text| format!("{{\"login\":{0},\"spdx_id\":{0}}}", quoted(text))),
        vec(text().prop_map(quoted), 0..30).prop_map(|texts| format!("[{}]", texts.join(","))),
    ]
}

fn assert_bounded(repository: &Repository) -> Result<(), TestCaseError> {
    let Repository { name, full_name, html_url, topics, .. } = repository;
    let short = [&repository.owner, &repository.language, &repository.license]
        .into_iter()
        .chain([&repository.node_id, &repository.default_branch])
        .flatten()
        .chain([name, full_name, html_url])
        .chain(topics.iter().flatten());
    for text in short {
        prop_assert!(text.chars().count() <= MAX_NAME && !text.contains('\0'), "{text:?}");
    }
    for text in [&repository.description, &repository.homepage].into_iter().flatten() {
        prop_assert!(text.chars().count() <= MAX_TEXT && !text.contains('\0'), "{text:?}");
    }
    prop_assert!(topics.as_ref().is_none_or(|topics| topics.len() <= MAX_TOPICS));
    prop_assert!(is_http(html_url));
    prop_assert!(repository.homepage.as_ref().is_none_or(|url| url.is_empty() || is_http(url)));
    for number in [
        repository.id,
        repository.stargazers_count,
        repository.forks_count,
        repository.open_issues_count,
        repository.size,
    ] {
        prop_assert!((0..=MAX_COUNT).contains(&number), "{number}");
    }
    let times = [repository.created_at, Some(repository.updated_at), repository.pushed_at];
    prop_assert!(times.into_iter().flatten().all(|time| YEARS.contains(&time.year())));
    Ok(())
}

fn base() -> Url {
    Url::parse("https://gateway.example:8443/api/v3").expect("an address")
}

const LINK_PIECES: &[&str] = &[
    "<",
    ">",
    ";",
    ",",
    "\"",
    "\\",
    "=",
    " ",
    "rel",
    "REL",
    "next",
    "\"next\"",
    "last",
    "title",
    "https://api.github.com/search?page=2",
    "//evil.example/x",
    "/api/v3/search",
    "../..",
    "?a=b",
    "http://user@evil.example:9",
    "javascript:alert(1)",
    "https://[::",
    "#x",
    "%2e%2e/",
    "é",
];

const RESPONSE_PIECES: &[&str] = &[
    "0",
    "1",
    "30",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1790000020",
    ".",
    " ",
    "Mon, 21 Sep 2026 14:13:30 GMT",
    "01 Jan 0000 00:00:00 +0000",
    "31 Dec 9999 23:59:60 GMT",
    "Thu, 01 Jan 262142 00:00:00 +0000",
    "application/json",
    "text/html",
    ":",
    "GMT",
];

const RESPONSE_HEADERS: &[&str] = &[
    "retry-after",
    "date",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "content-type",
];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn item_is_within_its_bounds_or_skipped_with_a_short_reason(
        text in prop_oneof![9 => item(), 1 => json()],
    ) {
        match Item::read(&text) {
            Ok(item) => assert_bounded(&item.repository)?,
            Err(skipped) => prop_assert!(skipped.reason.len() <= 100, "{}", skipped.reason),
        }
    }

    #[test]
    fn page_counts_every_item_as_read_or_skipped(
        items in vec(prop_oneof![item(), json()], 0..6),
        total in prop_oneof![1 => json(), 3 => (0..2_000_i64).prop_map(|count| count.to_string())],
    ) {
        // A value that is no JSON makes the whole page unreadable.
        let is_json = |item: &String| serde_json::from_str::<&RawValue>(item).is_ok();
        let are_json = items.iter().all(is_json);
        let body = format!("{{\"total_count\":{total},\"items\":[{}]}}", items.join(","));
        let page = read_page(body.as_bytes(), std::iter::empty(), &base());
        if let Ok(page) = page {
            prop_assert_eq!(page.items(), items.len());
            prop_assert!(page.order.len() <= items.len() && items.len() <= PER_PAGE);
            prop_assert!((0..=MAX_COUNT).contains(&page.total_count));
        } else {
            prop_assert!(!are_json || total.parse::<u32>().is_err(), "{body}");
        }
    }

    #[test]
    fn bytes_that_are_no_page_are_refused(body in vec(any::<u8>(), 0..200)) {
        prop_assert!(read_page(&body, std::iter::empty(), &base()).is_err());
        let _ = Item::read(&decode(&body).0);
    }

    #[test]
    fn next_page_is_below_the_base(header in header_value(LINK_PIECES)) {
        let base = base();
        if let Some(page) = next_page(&header, &base) {
            prop_assert_eq!(page.origin(), base.origin());
            prop_assert!(page.path().starts_with("/api/v3/"), "{page}");
            prop_assert!(page.username().is_empty() && page.password().is_none());
        }
    }

    #[test]
    fn text_is_repaired_to_json_that_is_not_repaired_again(
        body in prop_oneof![vec(any::<u8>(), 0..60), header_value(&[
            "\\", "\\u", "\\ud83d", "\\ude80", "\\uD83D", "d83d", "\\\\", "\"", "\u{e9}", "\\n",
        ])],
    ) {
        let (text, replaced) = decode(&body);
        prop_assert_eq!(decode(text.as_bytes()), (text.clone(), 0));
        prop_assert_eq!(replaced == 0, &*body == text.as_bytes());
    }

    #[test]
    fn response_never_pauses_for_more_than_an_hour(
        status in 100..600_u16,
        headers in vec((select(RESPONSE_HEADERS), header_value(RESPONSE_PIECES)), 0..6),
        body in prop_oneof![json(), Just(r#"{"message":"secondary"}"#.to_owned()), text()],
        resource in select(Resource::ALL.to_vec()),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(&value).expect("a header's value");
            map.append(HeaderName::from_static(name), value);
        }
        let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a time");
        let response = Response { status, headers: map, body: body.into_bytes() };
        let mut quota = Quota::default();
        for _ in 0..3 {
            let (_, pause) = classify(&response, resource, &mut quota, now);
            let hour = now + TimeDelta::hours(1);
            prop_assert!(pause.is_none_or(|until| until <= hour), "{pause:?}");
            prop_assert!(quota.paused_until.is_none_or(|until| until <= hour));
            prop_assert!(quota.reset_at.is_none_or(|until| until <= hour));
        }
    }

    #[test]
    fn star_history_is_whole_and_in_order_or_refused(
        weeks in vec((-2..30_i64, vec(-1..5_i64, 7)), 0..8),
        odd in prop::option::of(json()),
    ) {
        let week = |(number, days): &(i64, Vec<i64>)| {
            format!("{{\"week\":{},\"days\":{days:?}}}", 1_789_862_400 - number * 604_800)
        };
        let weeks: Vec<String> = weeks.iter().map(week).chain(odd).collect();
        let body = format!("[{}]", weeks.join(","));
        let before = NaiveDate::from_ymd_opt(2_026, 9, 28).expect("a day");
        if let Ok(page) = stars::read_page(body.as_bytes(), std::iter::empty(), &base(), before) {
            let mut limit = before;
            for week in page.weeks {
                prop_assert!(week.first + chrono::Days::new(7) <= limit);
                prop_assert!(week.days.iter().all(|stars| (0..=MAX_COUNT).contains(stars)));
                limit = week.first;
            }
        }
    }
}
