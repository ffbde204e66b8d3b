//! A badge: a topic, and a repository's place in it, in the flat form of shields.io.

use serde::Serialize;
use utoipa::ToSchema;

use super::colors::{BLUE, GRAY, GREEN};
use super::svg::{Escaped, Px, Svg};
use super::text;
use crate::model::growth::Window;

/// The size of the texts, in pixels.
const SIZE: f64 = 11.0;
/// The space on both sides of a text.
const BESIDE: f64 = 6.0;

/// A badge as shields.io's endpoint schema describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
pub enum PlaceIn {
    Popularity,
    Trending(Window),
}

impl Badge {
    /// The badge of a place, from 1.
    #[must_use]
    pub fn new(topic: &str, place: usize, list: PlaceIn) -> Self {
        let (list, color) = match list {
            PlaceIn::Popularity => ("by stars", BLUE),
            PlaceIn::Trending(Window::Day) => ("trending, 1 day", GREEN),
            PlaceIn::Trending(Window::Week) => ("trending, 7 days", GREEN),
            PlaceIn::Trending(Window::Month) => ("trending, 30 days", GREEN),
            PlaceIn::Trending(Window::Quarter) => ("trending, 90 days", GREEN),
        };
        let message = format!("#{place} {list}");
        Self { schema_version: 1, label: topic.to_owned(), message, color }
    }

    #[must_use]
    pub fn svg(&self) -> String {
        let widths = [&self.label, &self.message].map(|text| text::width(text, SIZE).ceil());
        let [left, right] = widths.map(|width| width + 2.0 * BESIDE);
        let whole = left + right;
        let title = format!("{}: {}", self.label, self.message);
        let mut svg = Svg::new((whole, 20.0), None, &title, "");
        let (start, end) = (Px(left), Px(right - 3.0));
        // Each half has its own round corners, which wants no clip path with an id.
        let halves = [
            (GRAY, format!("M3 0H{start}V20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z")),
            (self.color, format!("M{start} 0h{end}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{start}z")),
        ];
        for (color, path) in halves {
            svg.add(format_args!(r##"<path fill="#{color}" d="{path}"/>"##));
        }
        let font = "Verdana,Geneva,DejaVu Sans,sans-serif";
        svg.add(format_args!(r##"<g fill="#fff" font-family="{font}" font-size="11">"##));
        let texts = [(BESIDE, &self.label), (left + BESIDE, &self.message)];
        for ((x, content), width) in texts.into_iter().zip(widths) {
            let (x, width, content) = (Px(x), Px(width), Escaped(content));
            svg.add(format_args!(r#"<text x="{x}" y="14" textLength="{width}">{content}</text>"#));
        }
        svg.add(format_args!("</g>"));
        svg.finish()
    }
}
