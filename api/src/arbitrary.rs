//! Inputs of the property tests. A module of such tests is named `properties`: `make fuzz` runs
//! them by that name.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use proptest::test_runner::RngSeed;

/// As many random cases as PROPTEST_CASES says. Without it they are few and always the same.
pub(crate) fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(1), ..config },
    }
}

/// Texts that a regular expression without anchors matches. A text as a strategy would compile it
/// anew for each case.
pub(crate) fn pattern(expression: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(expression).expect("a regular expression")
}

/// Characters that some program takes for more than a character: controls, marks that turn the
/// direction of a text, separators of lists and addresses, letters whose cases differ in length.
const ODD: &str = "\0\u{7}\t\r\n\u{7f}\u{85}\u{a0}\u{200f}\u{202e}\u{2028}\u{feff}\u{fffd}\
                   \u{10ffff}İßΣſ \"'\\<>&%+,;:.-_=#?/*()[]{}";

/// Texts of every kind, a few of them long.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let odd = || select(ODD.chars().collect::<Vec<_>>());
    let character = || prop_oneof![any::<char>(), prop::char::range('!', '~'), odd()];
    let short = vec(character(), 0..30).prop_map(String::from_iter);
    let long = (character(), 300..3_000_usize)
        .prop_map(|(character, times)| std::iter::repeat_n(character, times).collect());
    prop_oneof![60 => short, 1 => long]
}

/// Times as JSON has them, of years that no program expects as well.
pub(crate) fn time_text() -> impl Strategy<Value = String> {
    let year = prop_oneof![1_960..2_040_i32, -20_000..300_000_i32];
    let end = select(&["Z", "+00:00", "-23:59", "+14:00", "", " UTC", ".999999999Z"][..]);
    let clock = (0..25_u32, 0..61_u32, 0..62_u32);
    (year, 0..14_u32, 0..33_u32, clock, end).prop_map(
        |(year, month, day, (hour, minute, second), end)| {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{end}")
        },
    )
}

/// A value of JSON, as text: numbers beyond 64 bits, halves of characters, lists in lists.
pub(crate) fn json() -> impl Strategy<Value = String> {
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "1",
        "-1",
        "0.5",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890123456789012345678901234567890",
        "1e5",
        "1e308",
        "1e400",
    ];
    let quoted = |text: String| serde_json::to_string(&text).expect("text is JSON");
    let leaf = prop_oneof![
        select(&["null", "true", "false", r#""\ud83d""#, r#""\u0000""#, r#""\q""#][..])
            .prop_map(str::to_owned),
        select(NUMBERS).prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        text().prop_map(quoted),
        time_text().prop_map(quoted),
        text().prop_map(move |text| quoted(format!("https://{text}"))),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let member = (text(), inner.clone())
            .prop_map(move |(name, value)| format!("{}:{value}", quoted(name)));
        prop_oneof![
            vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(","))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// The value of a header: pieces that mean something there, beside any bytes that one may have.
pub(crate) fn header_value(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8];
    let piece = select(pieces).prop_map(|piece| piece.as_bytes().to_vec());
    let part = prop_oneof![5 => piece, 1 => vec(byte, 0..6)];
    vec(part, 0..10).prop_map(|parts| parts.concat())
}
