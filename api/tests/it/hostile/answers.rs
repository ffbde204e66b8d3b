//! The answers that a hostile GitHub gives.

use std::io::Write;
use std::sync::Arc;

use flate2::write::GzEncoder;
use flate2::{Compression, FlushCompress};
use serde_json::{Value, json};

/// The bytes of an answer, with its head.
pub(super) enum Reply {
    Bytes(Vec<u8>),
    /// Repeats a part until the client closes the connection.
    Endless {
        head: Vec<u8>,
        repeated: Vec<u8>,
    },
}

#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// The odd item is stored, within bounds.
    Kept,
    /// The odd item is skipped, and the good one beside it stored.
    Skipped,
    /// The answer is refused, and the next one is good.
    Retried,
    /// Every answer is refused.
    Refused,
}

pub(super) struct Case {
    /// Names the case.
    pub(super) topic: &'static str,
    pub(super) reply: Arc<Reply>,
    /// The number of requests that get the reply.
    pub(super) times: usize,
    pub(super) expected: Expected,
}

const JSON: &str = "content-type: application/json\r\n";

/// The id of the first good item of each topic.
fn good_id(topic: &str) -> u64 {
    topic.bytes().fold(7, |id, byte| id * 31 % 1_000_003 + u64::from(byte)) * 1_000
}

fn item(topic: &str, id: u64) -> Value {
    json!({
        "id": id, "name": "b", "full_name": format!("{topic}/{id}"), "topics": [topic],
        "html_url": format!("https://github.com/{topic}/{id}"), "stargazers_count": 3,
        "updated_at": "2018-05-01T17:01:50Z", "created_at": "2017-05-01T17:01:50Z",
    })
}

fn page(items: &[String]) -> String {
    let (count, items) = (items.len(), items.join(","));
    format!("{{\"total_count\":{count},\"incomplete_results\":false,\"items\":[{items}]}}")
}

pub(super) fn good_page(topic: &str) -> String {
    page(&[item(topic, good_id(topic)).to_string()])
}

pub(super) fn page_answer(body: &str) -> Vec<u8> {
    answer("200 OK", JSON, body.as_bytes())
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The good items beside an odd one: one skipped item in a hundred leaves a refresh complete.
pub(super) const GOOD: usize = 99;

/// A page with good items and one some of whose fields are odd, as JSON texts.
fn odd_item(topic: &'static str, expected: Expected, fields: &[(&str, String)]) -> Case {
    let good = (1..).take(GOOD).map(|number| item(topic, good_id(topic) + number).to_string());
    let mut odd = item(topic, good_id(topic));
    let others = odd.as_object_mut().expect("an object");
    for (name, _) in fields {
        others.remove(*name);
    }
    let own = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    let others = others.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    let odd = format!("{{{}}}", own.chain(others).collect::<Vec<_>>().join(","));
    let body = page(&good.chain([odd]).collect::<Vec<_>>());
    Case { topic, reply: Arc::new(Reply::Bytes(page_answer(&body))), times: usize::MAX, expected }
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

/// Items that are odd.
fn items() -> Vec<Case> {
    use Expected::{Kept, Skipped};

    const MB: usize = 1_000_000;
    let beyond = || "9".repeat(60);
    let keys = (0..300_000).map(|number| (format!("k{number}"), "0".to_owned()));
    let keys: Vec<(String, String)> = keys.collect();
    let keys: Vec<(&str, String)> =
        keys.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    let marks = "\u{202e}evil\u{202c}\u{200f}\u{feff}\u{7}\u{1b}[31m\r\n\u{85}\u{2028}\u{0}";
    let script = format!("{marks}<img src=x onerror=alert(1)>\"'&]]>");
    let time = |text: &str| quoted(text);
    vec![
        odd_item("ten-mb-description", Kept, &[("description", quoted(&"é".repeat(5 * MB)))]),
        odd_item("ten-mb-name", Skipped, &[("full_name", quoted(&"n".repeat(10 * MB)))]),
        odd_item(
            "ten-mb-license",
            Kept,
            &[("license", format!("{{\"spdx_id\":{}}}", quoted(&"l".repeat(10 * MB))))],
        ),
        odd_item("million-topics", Kept, &[("topics", format!("[{}0]", "\"t\",".repeat(MB)))]),
        odd_item("many-keys", Kept, &keys),
        odd_item("deep", Kept, &[("other", deep.clone()), ("homepage", deep)]),
        odd_item(
            "counts-beyond-64-bits",
            Kept,
            &[
                ("forks_count", beyond()),
                ("open_issues_count", format!("-{}", beyond())),
                ("size", "1e300".to_owned()),
            ],
        ),
        odd_item("stars-beyond-64-bits", Skipped, &[("stargazers_count", beyond())]),
        odd_item("most-stars", Skipped, &[("stargazers_count", i64::MAX.to_string())]),
        odd_item("negative-stars", Skipped, &[("stargazers_count", "-1".to_owned())]),
        odd_item(
            "negative-counts",
            Kept,
            &[("forks_count", "-7".to_owned()), ("open_issues_count", i64::MIN.to_string())],
        ),
        odd_item("year-0000", Skipped, &[("updated_at", time("0000-01-01T00:00:00Z"))]),
        odd_item(
            "year-9999",
            Kept,
            &[
                ("updated_at", time("9999-12-31T23:59:59Z")),
                ("pushed_at", time("9999-12-31T23:59:60Z")),
                ("created_at", time("0000-01-01T00:00:00Z")),
            ],
        ),
        odd_item("leap-second", Kept, &[("updated_at", time("2016-12-31T23:59:60Z"))]),
        odd_item(
            "marks",
            Kept,
            &[
                ("name", quoted(&script)),
                ("full_name", quoted(&format!("a/{script}"))),
                ("description", quoted(&script)),
                ("topics", json!([script, "../../x", "\u{202e}"]).to_string()),
                ("language", quoted(&script)),
                ("owner", json!({ "login": script }).to_string()),
            ],
        ),
        odd_item("script-address", Skipped, &[("html_url", quoted("javascript:alert(1)"))]),
        odd_item("script-homepage", Kept, &[("homepage", quoted("javascript:alert(1)"))]),
    ]
}

/// Whole answers that no client can use.
fn replies() -> Vec<(&'static str, Reply)> {
    let json = |body: String| Reply::Bytes(page_answer(&body));
    let raw = |bytes: &[u8]| Reply::Bytes(bytes.to_vec());
    let ok = |headers: &str| format!("HTTP/1.1 200 OK\r\n{JSON}{headers}\r\n").into_bytes();
    let chunk = [b"10000\r\n", &[b' '; 0x1_0000][..], b"\r\n"].concat();
    let flood = (0..5_000).map(|number| format!("x-{number}: {}\r\n", "a".repeat(50)));
    vec![
        ("gzip-bomb", gzip_bomb()),
        (
            "endless-body",
            Reply::Endless { head: ok("transfer-encoding: chunked\r\n"), repeated: chunk },
        ),
        ("endless-without-length", Reply::Endless { head: ok(""), repeated: vec![b' '; 65_536] }),
        (
            "endless-header",
            Reply::Endless {
                head: b"HTTP/1.1 200 OK\r\nx: ".to_vec(),
                repeated: vec![b'a'; 4_096],
            },
        ),
        ("header-flood", raw(&answer("200 OK", &flood.collect::<String>(), b"{}"))),
        ("no-http", raw(&[b'\0'; 100_000])),
        ("no-body", raw(&answer("200 OK", JSON, b""))),
        ("false-gzip", raw(&answer("200 OK", &format!("{JSON}content-encoding: gzip\r\n"), b"{}"))),
        ("too-long-length", raw(&ok("content-length: 99999999999999999999999\r\n"))),
        ("million-items", json(page(&vec!["{}".to_owned(); 1_000_000]))),
        (
            "count-beyond-64-bits",
            json(format!("{{\"total_count\":{},\"items\":[]}}", "9".repeat(60))),
        ),
        ("deep-page", json("[".repeat(1_000_000))),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let retried = replies().into_iter().map(|(topic, reply)| Case {
        topic,
        reply: Arc::new(reply),
        times: 1,
        expected: Expected::Retried,
    });
    let location = "location: /search/repositories?q=topic:redirect-loop\r\n";
    let redirect = Case {
        topic: "redirect-loop",
        reply: Arc::new(Reply::Bytes(answer("302 Found", location, b""))),
        times: usize::MAX,
        expected: Expected::Refused,
    };
    items().into_iter().chain(retried).chain([redirect]).collect()
}

/// A gigabyte of spaces in a megabyte: the same compressed block over and over.
fn gzip_bomb() -> Reply {
    let head = {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.flush().expect("memory takes it");
        gzip.get_ref().clone()
    };
    let mut block = Vec::with_capacity(1 << 16);
    let mut deflate = flate2::Compress::new(Compression::best(), false);
    deflate
        .compress_vec(&vec![b' '; 1 << 20], &mut block, FlushCompress::Full)
        .expect("memory takes it");
    let body = [head, block.repeat(1_024)].concat();
    Reply::Bytes(answer("200 OK", &format!("{JSON}content-encoding: gzip\r\n"), &body))
}
