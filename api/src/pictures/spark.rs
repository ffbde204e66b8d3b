//! A sparkline: the shape of a few weeks of counts in the height of a line of text.

use super::svg::Px;

/// The size of the picture, in pixels. The line keeps this distance from the edges.
pub const SIZE: (u16, u16) = (96, 22);
const EDGE: f64 = 2.0;

/// The path of a line through values by their days, oldest first, over so many days; `None` for
/// fewer than two values.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "stars are fewer than 2^52")]
pub fn path(values: &[(u32, i64)], days: u32) -> Option<String> {
    let least = values.iter().map(|(_, value)| *value).min()?;
    let most = values.iter().map(|(_, value)| *value).max()?;
    if values.len() < 2 {
        return None;
    }
    let (width, height) = (f64::from(SIZE.0) - 2.0 * EDGE, f64::from(SIZE.1) - 2.0 * EDGE);
    let range = (most - least) as f64;
    let mut path = String::with_capacity(values.len() * 9);
    for (index, (day, value)) in values.iter().enumerate() {
        let x = EDGE + width * f64::from(*day) / f64::from(days.max(2) - 1);
        let part = if range > 0.0 { (value - least) as f64 / range } else { 0.5 };
        let y = EDGE + height * (1.0 - part);
        path.push_str(if index == 0 { "M" } else { "L" });
        path.push_str(&format!("{} {}", Px(x), Px(y)));
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_spans_the_days_and_the_range_of_values() {
        assert_eq!(path(&[(0, 10), (29, 20)], 30).as_deref(), Some("M2 20L94 2"));
        assert_eq!(path(&[(15, 7), (29, 7)], 30).as_deref(), Some("M49.6 11L94 11"));
        assert_eq!(path(&[(3, 7)], 30), None);
        assert_eq!(path(&[], 30), None);
    }
}
