//! The labels at the ends of lines: placed beside each other without overlap.

use std::collections::HashSet;

use super::heading::{nothing, number};
use super::options::Kind;
use super::series::Series;
use super::svg::{Escaped, Px, Svg};
use super::text;

/// The size of a label, in pixels.
const SIZE: f64 = 11.0;
/// The space between a name and its value.
const BETWEEN: f64 = 5.0;

pub(super) struct EndLabel {
    /// Empty for the only line of a chart, whose name is the title.
    name: String,
    /// The last value.
    value: String,
}

impl EndLabel {
    pub(super) fn width(&self) -> f64 {
        let name = if self.name.is_empty() { 0.0 } else { text::width(&self.name, SIZE) + BETWEEN };
        name + text::width(&self.value, SIZE)
    }

    pub(super) fn draw(&self, svg: &mut Svg, (x, y): (f64, f64)) {
        let (x, y, value) = (Px(x), Px(y), Escaped(&self.value));
        if self.name.is_empty() {
            svg.add(format_args!(r#"<text class="v" x="{x}" y="{y}">{value}</text>"#));
        } else {
            let (name, between) = (Escaped(&self.name), Px(BETWEEN));
            svg.add(format_args!(r#"<text x="{x}" y="{y}">{name}"#));
            svg.add(format_args!(r#"<tspan class="v" dx="{between}">{value}</tspan></text>"#));
        }
    }
}

/// A label for each series, no wider than `room`. If the names of repositories do not fit, they are
/// drawn without their owners as long as they stay different.
pub(super) fn end_labels(series: &[Series], kind: Kind, room: f64) -> Vec<EndLabel> {
    let label = |name: &str, series: &Series| EndLabel {
        name: name.to_owned(),
        value: series.last().map_or(nothing(kind).to_owned(), |day| number(kind, day.value)),
    };
    if let [only] = series {
        return vec![label("", only)];
    }
    let mut labels: Vec<_> = series.iter().map(|series| label(&series.label, series)).collect();
    if labels.iter().any(|label| label.width() > room) {
        let own = |series: &Series| series.label.rsplit('/').next().unwrap_or_default().to_owned();
        let own: Vec<String> = series.iter().map(own).collect();
        if own.iter().collect::<HashSet<_>>().len() == own.len() {
            labels.iter_mut().zip(own).for_each(|(label, own)| label.name = own);
        }
    }
    for label in &mut labels {
        let left = room - BETWEEN - text::width(&label.value, SIZE);
        label.name = text::shorten(&label.name, SIZE, left);
    }
    labels
}

/// The places of labels that would like to be at `wished`, at least `gap` apart and, if they all
/// have room there, from `top` to `bottom`. Labels keep the order of their wishes.
pub(super) fn place(wished: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wished.len()).collect();
    order.sort_by(|one, other| wished[*one].total_cmp(&wished[*other]));
    let room = (bottom - top) / (wished.len().saturating_sub(1).max(1) as f64);
    let gap = gap.min(room);
    let mut places = wished.to_vec();
    let mut least = top;
    for index in &order {
        places[*index] = places[*index].max(least);
        least = places[*index] + gap;
    }
    let mut most = bottom;
    for index in order.iter().rev() {
        places[*index] = places[*index].min(most);
        most = places[*index] - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_apart_and_near_their_wishes() {
        assert_eq!(place(&[50.0, 10.0], 13.0, 0.0, 100.0), [50.0, 10.0]);
        assert_eq!(place(&[50.0, 50.0, 52.0], 13.0, 0.0, 100.0), [50.0, 63.0, 76.0]);
        assert_eq!(place(&[98.0, 99.0, 5.0], 13.0, 0.0, 100.0), [87.0, 100.0, 5.0]);
        assert_eq!(place(&[70.0; 8], 13.0, 0.0, 70.0)[7], 70.0);
        assert_eq!(place(&[], 13.0, 0.0, 70.0), Vec::<f64>::new());
    }
}
