//! Widths of texts, and numbers as text.

/// The advance widths of Verdana's printable ASCII characters from the space on, in thousandths of
/// the font size. Verdana is wider than the fonts that systems use for `system-ui`, so a text that
/// fits by this table fits in those as well.
const WIDTHS: [u16; 95] = [
    352, 394, 459, 818, 636, 1076, 727, 269, 454, 454, 636, 818, 364, 454, 364, 454, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 454, 454, 818, 818, 818, 545, 1000, 684, 686, 698, 771, 632,
    575, 775, 751, 421, 455, 693, 557, 843, 748, 787, 603, 787, 695, 684, 616, 732, 684, 989, 685,
    615, 685, 454, 454, 454, 818, 636, 636, 601, 623, 521, 623, 596, 352, 623, 633, 274, 344, 592,
    274, 973, 633, 607, 623, 623, 427, 521, 394, 633, 592, 818, 592, 592, 525, 635, 454, 635, 818,
];

/// The width of other characters, which is that of the widest common ones.
const OTHER: u16 = 1_000;

/// The width of a text in a font of `size` pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|character| advance(character) * size).sum()
}

/// The advance width of a character in a font of one pixel.
fn advance(character: char) -> f64 {
    let index = (character as usize).checked_sub(' ' as usize);
    let width = match character {
        '−' | '…' => 818,
        '·' => 364,
        _ => index.and_then(|index| WIDTHS.get(index)).copied().unwrap_or(OTHER),
    };
    f64::from(width) / 1_000.0
}

/// The text, or its beginning with an ellipsis if it is wider than `room`.
pub(super) fn shorten(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let kept = text.chars().take_while(|character| {
        left -= advance(*character) * size;
        left >= 0.0
    });
    let mut kept: String = kept.collect();
    kept.push('…');
    kept
}

/// The pieces in lines no wider than `room`, joined by middle dots.
pub(super) fn wrap(pieces: &[String], size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        let joined = lines.last().map(|line| format!("{line} · {piece}"));
        match (joined.filter(|line| width(line, size) <= room), lines.last_mut()) {
            (Some(joined), Some(line)) => *line = joined,
            _ => lines.push(shorten(piece, size, room)),
        }
    }
    lines
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "−" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A change with its sign.
pub(super) fn signed(number: i64) -> String {
    let sign = if number > 0 { "+" } else { "" };
    format!("{sign}{}", grouped(number))
}

/// Numbers for an axis, as short as they can be without loss: `500`, `1.5k`, `2M`; with all their
/// digits if one needs them.
pub(super) fn short(numbers: &[i64]) -> Vec<String> {
    let fits = |number: &i64| number.unsigned_abs() < 1_000 || number % 100 == 0;
    if !numbers.iter().all(fits) {
        return numbers.iter().map(|number| grouped(*number)).collect();
    }
    numbers.iter().map(|number| short_number(*number)).collect()
}

fn short_number(number: i64) -> String {
    let sign = if number < 0 { "−" } else { "" };
    let size = number.unsigned_abs();
    let (unit, letter) = match size {
        1_000_000.. if size.is_multiple_of(10_000) => (1_000_000, "M"),
        1_000.. => (1_000, "k"),
        _ => return format!("{sign}{size}"),
    };
    let fraction = format!("{:03}", size % unit * 1_000 / unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let whole = i64::try_from(size / unit).unwrap_or(i64::MAX);
    format!("{sign}{}{point}{fraction}{letter}", grouped(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorten_keeps_what_fits_beside_an_ellipsis() {
        for room in [20.0, 50.0, 100.0, 400.0] {
            let name = "kubernetes-sigs/cluster-api-provider";
            let short = shorten(name, 11.0, room);
            assert!(width(&short, 11.0) <= room, "{short}");
            let kept = short.trim_end_matches('…');
            assert!(name.starts_with(kept) && (short == name) == (room > 300.0), "{short}");
        }
    }

    #[test]
    fn wrap_breaks_lines_between_pieces() {
        let pieces = ["Stars", "until 2026-11-26", "log scale"].map(str::to_owned);
        assert_eq!(wrap(&pieces, 11.0, 400.0), ["Stars · until 2026-11-26 · log scale"]);
        assert_eq!(wrap(&pieces, 11.0, 160.0), ["Stars · until 2026-11-26", "log scale"]);
    }

    #[test]
    fn numbers_have_commas_signs_and_units() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!([signed(0), signed(5), signed(-1_000)], ["0", "+5", "−1,000"]);
        assert_eq!(short(&[0, 500, 1_000, 1_500]), ["0", "500", "1k", "1.5k"]);
        assert_eq!(short(&[120_340, 120_360]), ["120,340", "120,360"]);
        assert_eq!(short(&[-35_000, 500_000, 1_000_000]), ["−35k", "500k", "1M"]);
        assert_eq!(short(&[1_250_000, 1_255_000]), ["1.25M", "1,255k"]);
        assert_eq!(short(&[2, 20, 200, 2_000]), ["2", "20", "200", "2k"]);
    }
}
