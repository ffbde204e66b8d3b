//! Pictures: charts of counts and badges of places as SVG, written by hand.
//!
//! A picture is a function of its data alone: the same data gives the same bytes. It holds all that
//! it needs, so that a page of any site can show it: no font, script or address of elsewhere.

pub mod badge;
pub mod chart;
pub mod colors;
mod dates;
mod heading;
mod labels;
mod lines;
pub mod numbers;
pub mod options;
pub mod series;
pub mod spark;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod values;
