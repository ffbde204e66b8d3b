//! A badge: a topic, and a repository's place in it, in the flat form of shields.io.

use serde::Serialize;

use super::svg::{Escaped, Px, Svg};
use super::text;

/// The size of the texts, in pixels.
const SIZE: f64 = 11.0;
/// The space on both sides of a text.
const BESIDE: f64 = 6.0;

/// A badge as shields.io's endpoint schema describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Badge {
    schema_version: u8,
    label: String,
    message: String,
    /// In hexadecimal without `#`, as shields.io accepts it.
    color: &'static str,
}

/// The list in which a repository has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceBy {
    Stars,
    /// By the stars gained in so many days.
    Trending {
        days: i64,
    },
}

impl Badge {
    /// The badge of a place, from 1.
    #[must_use]
    pub fn new(topic: &str, place: usize, by: PlaceBy) -> Self {
        let (message, color) = match by {
            PlaceBy::Stars => (format!("#{place} by stars"), "0969a8"),
            PlaceBy::Trending { days: 1 } => (format!("#{place} trending, 1 day"), "1a7f37"),
            PlaceBy::Trending { days } => (format!("#{place} trending, {days} days"), "1a7f37"),
        };
        Self { schema_version: 1, label: topic.to_owned(), message, color }
    }

    #[must_use]
    pub fn svg(&self) -> String {
        let widths = [&self.label, &self.message].map(|text| text::width(text, SIZE).ceil());
        let [left, right] = widths.map(|width| width + 2.0 * BESIDE);
        let whole = left + right;
        let title = format!("{}: {}", self.label, self.message);
        let mut svg = Svg::new((whole, 20.0), &title, "");
        let (start, end, color) = (Px(left), Px(right - 3.0), self.color);
        // Each half has its own round corners, which wants no clip path with an id.
        svg.add(format_args!(
            r##"<path fill="#555" d="M3 0H{start}V20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z"/>"##
        ));
        svg.add(format_args!(
            r##"<path fill="#{color}" d="M{start} 0h{end}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{start}z"/>"##
        ));
        svg.add(format_args!(
            r##"<g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">"##
        ));
        let texts = [(BESIDE, &self.label), (left + BESIDE, &self.message)];
        for ((x, content), width) in texts.into_iter().zip(widths) {
            let (x, width, content) = (Px(x), Px(width), Escaped(content));
            svg.add(format_args!(r#"<text x="{x}" y="14" textLength="{width}">{content}</text>"#));
        }
        svg.add(format_args!("</g>"));
        svg.finish()
    }
}
