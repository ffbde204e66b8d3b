//! An SVG document as text.

use std::fmt::{self, Write};

/// A length in pixels, written in tenths with as few characters as it takes.
#[derive(Clone, Copy)]
pub(super) struct Px(pub(super) f64);

impl Px {
    /// The tenths of a pixel.
    #[expect(clippy::cast_possible_truncation, reason = "a picture has 1,200 pixels at most")]
    pub(super) fn tenths(self) -> i32 {
        (self.0 * 10.0).round() as i32
    }
}

impl fmt::Display for Px {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_tenths(formatter, self.tenths())
    }
}

/// Writes a number that is given in tenths: `-1.5`, `.5`, `3`. The digits are written here because
/// the formatting of numbers took most of the time of a chart.
pub(super) fn write_tenths(out: &mut impl Write, tenths: i32) -> fmt::Result {
    let (whole, tenth) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if tenths < 0 {
        out.write_char('-')?;
    }
    if whole > 0 || tenth == 0 {
        write_digits(out, whole)?;
    }
    if tenth > 0 {
        out.write_char('.')?;
        write_digits(out, tenth)?;
    }
    Ok(())
}

fn write_digits(out: &mut impl Write, number: u32) -> fmt::Result {
    if number >= 10 {
        write_digits(out, number / 10)?;
    }
    out.write_char(char::from_digit(number % 10, 10).unwrap_or('0'))
}

/// A text as XML's character data or attribute value. Characters that XML 1.0 does not have and
/// control characters are left out.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\u{fffe}' | '\u{ffff}' => {}
                _ if character.is_control() => {}
                _ => formatter.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// A document that grows element by element.
pub(super) struct Svg(String);

impl Svg {
    /// Begins a picture with its text for people who do not see it. One that is a part of a page
    /// has a class, which keeps its ids apart from those of others.
    pub(super) fn new(
        (width, height): (f64, f64),
        class: Option<&str>,
        title: &str,
        description: &str,
    ) -> Self {
        let mut svg = Self(String::new());
        let (width, height) = (Px(width), Px(height));
        let prefix = class.map(|class| format!("{class}-")).unwrap_or_default();
        svg.add(format_args!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" "#));
        svg.add(format_args!(r#"height="{height}" viewBox="0 0 {width} {height}" role="img" "#));
        if let Some(class) = class {
            svg.add(format_args!(r#"class="chart {class}" "#));
        }
        let described = format!(" {prefix}desc");
        let described = if description.is_empty() { "" } else { &described };
        svg.add(format_args!(r#"aria-labelledby="{prefix}title{described}">"#));
        svg.add(format_args!(r#"<title id="{prefix}title">{}</title>"#, Escaped(title)));
        if !description.is_empty() {
            svg.add(format_args!(r#"<desc id="{prefix}desc">{}</desc>"#, Escaped(description)));
        }
        svg
    }

    /// Adds markup.
    pub(super) fn add(&mut self, markup: fmt::Arguments<'_>) {
        // A string takes every write.
        let _ = self.0.write_fmt(markup);
    }

    /// Adds a text whose baseline begins, or by its class ends or has its middle, at a point.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let (x, y, text) = (Px(x), Px(y), Escaped(text));
        self.add(format_args!(r#"<text class="{class}" x="{x}" y="{y}">{text}</text>"#));
    }

    /// Adds a dot in the colour of a class.
    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64)) {
        let (x, y) = (Px(x), Px(y));
        self.add(format_args!(r#"<circle class="{class}" cx="{x}" cy="{y}" r="3"/>"#));
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn px_has_one_decimal_at_most() {
        let texts = [0.0, 3.04, 0.5, -0.46, -12.34, 100.0].map(|length| Px(length).to_string());
        assert_eq!(texts, ["0", "3", ".5", "-.5", "-12.3", "100"]);
    }

    #[test]
    fn escaped_leaves_out_what_xml_does_not_have() {
        let text = "<a href=\"x\">&\u{0}\u{1b}\u{7f}\u{85}\u{fffe}\n'é</a>";
        let escaped = Escaped(text).to_string();
        assert_eq!(escaped, "&lt;a href=&quot;x&quot;&gt;&amp;'é&lt;/a&gt;");
    }
}
