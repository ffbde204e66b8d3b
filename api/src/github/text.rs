//! The text of an answer: what is no Unicode in it becomes U+FFFD, so that one character costs no
//! page.

use std::borrow::Cow;

/// The length of an escape like `\ud83d`.
const ESCAPE: usize = 6;

/// The text of a JSON body, and the number of places that were replaced in it.
pub(super) fn decode(body: &[u8]) -> (Cow<'_, str>, usize) {
    let replaced = body.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    // mutant in github::text: bytes that are no UTF-8 are replaced
    //     String::from_utf8_lossy(body) => Cow::Borrowed(std::str::from_utf8(body).unwrap_or(""))
    let text = String::from_utf8_lossy(body);
    match without_lone_surrogates(&text) {
        Some((mended, lone)) => (Cow::Owned(mended), replaced + lone),
        None => (text, replaced),
    }
}

/// The text with U+FFFD for each escape of half a surrogate pair, which is no character; `None` if
/// there is none.
fn without_lone_surrogates(text: &str) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let unit_at = |at: usize| code_unit(bytes.get(at..).unwrap_or_default());
    let (mut mended, mut count, mut copied, mut at) = (String::new(), 0, 0, 0);
    while let Some(found) = bytes.get(at..)?.iter().position(|byte| *byte == b'\\') {
        let escape = at + found;
        at = match (unit_at(escape), unit_at(escape + ESCAPE)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => escape + 2 * ESCAPE,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str(&text[copied..escape]);
                mended.push('\u{fffd}');
                copied = escape + ESCAPE;
                count += 1;
                copied
            }
            (Some(_), _) => escape + ESCAPE,
            (None, _) => (escape + 2).min(bytes.len()),
        };
    }
    mended.push_str(&text[copied..]);
    (count > 0).then_some((mended, count))
}

/// The UTF-16 code unit of an escape at the beginning of the bytes.
fn code_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_if_nothing_is_wrong_with_it() {
        let whole =
            [r#""a\\ud83d""#, r#""\ud83d\ude80""#, r#""\u00e9\n\"""#, "\"é\u{fffd}\"", "\\"];
        for text in whole {
            let (decoded, replaced) = decode(text.as_bytes());
            assert!(matches!(decoded, Cow::Borrowed(same) if same == text), "{text}");
            assert_eq!(replaced, 0);
        }
    }

    #[test]
    fn what_is_no_unicode_becomes_u_fffd() {
        for (body, expected, count) in [
            (&b"\"a\xffb\""[..], "a\u{fffd}b", 1),
            (b"\"\xe9t\xe9\"", "\u{fffd}t\u{fffd}", 2),
            (b"\"\xf0\x9f\"", "\u{fffd}", 1),
            (br#""rocket \ud83d""#, "rocket \u{fffd}", 1),
            (br#""\ude80 rocket""#, "\u{fffd} rocket", 1),
            (br#""\uD83D\uD83D\uDE80""#, "\u{fffd}\u{1f680}", 1),
            ("\"\\ud83dé\"".as_bytes(), "\u{fffd}é", 1),
            (br#""\\\ud83d\n""#, "\\\u{fffd}\n", 1),
            (b"\"\xff\\ud83d\"", "\u{fffd}\u{fffd}", 2),
        ] {
            let (text, replaced) = decode(body);
            let read: String = serde_json::from_str(&text).expect("JSON");
            assert_eq!((&*read, replaced), (expected, count));
        }
    }
}
