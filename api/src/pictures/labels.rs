//! The labels at the ends of lines: placed beside each other without overlap.

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
