//! The vertical axis: values, linear or logarithmic, with ticks at numbers that people like.

use std::collections::VecDeque;

use super::options::{Kind, Scale};

/// The least distance between the ticks of a logarithmic axis.
const LOG_ROOM: f64 = 22.0;

/// A range of values over a range of pixels.
pub(super) struct ValueAxis {
    scale: Scale,
    /// The positions of the lowest and the highest value before they are spread over the pixels.
    ends: (f64, f64),
    top: f64,
    bottom: f64,
    /// The values of the ticks, lowest first.
    pub(super) ticks: Vec<i64>,
}

impl ValueAxis {
    /// An axis for values from `least` to `most`.
    pub(super) fn new(
        (least, most): (i64, i64),
        (scale, kind): (Scale, Kind),
        (top, bottom): (f64, f64),
    ) -> Self {
        // A day's gains are read against zero, and so are totals that have grown several times.
        let from_zero = kind == Kind::Daily || (scale == Scale::Linear && least <= most / 4);
        let (least, most) = if from_zero { (least.min(0), most.max(0)) } else { (least, most) };
        let height = bottom - top;
        // Within less than a power of ten, numbers in equal steps are the better ticks.
        if scale == Scale::Linear || (least > 0 && most / least < 8) {
            let ticks = even_ticks(least, most, height);
            return Self::over(&ticks, ticks.clone(), scale, (top, bottom));
        }
        let ticks = log_ticks(least, most, &[1, 2, 5]);
        let axis = Self::over(&ticks, ticks.clone(), scale, (top, bottom));
        let has_room = axis.with_room(&ticks).len() == ticks.len();
        let powers = || axis.with_room(&log_ticks(least, most, &[1]));
        Self { ticks: if has_room { ticks } else { powers() }, ..axis }
    }

    fn over(range: &[i64], ticks: Vec<i64>, scale: Scale, (top, bottom): (f64, f64)) -> Self {
        let end = |value: Option<&i64>| position(scale, value.copied().unwrap_or(0));
        Self { scale, ends: (end(range.first()), end(range.last())), top, bottom, ticks }
    }

    /// The place of a value in pixels.
    pub(super) fn y(&self, value: i64) -> f64 {
        let (low, high) = self.ends;
        let share = (position(self.scale, value) - low) / (high - low);
        self.bottom - share * (self.bottom - self.top)
    }

    /// The ticks that lie on the axis and are far enough from the one before, counted from zero.
    fn with_room(&self, ticks: &[i64]) -> Vec<i64> {
        let (below, above) = ticks.split_at(ticks.partition_point(|tick| *tick < 0));
        let is_inside = |tick: &&i64| (self.top..=self.bottom).contains(&self.y(**tick));
        let mut kept: VecDeque<i64> = VecDeque::new();
        for tick in above.iter().filter(is_inside) {
            if kept.back().is_none_or(|last| self.y(*last) - self.y(*tick) >= LOG_ROOM) {
                kept.push_back(*tick);
            }
        }
        for tick in below.iter().rev().filter(is_inside) {
            if kept.front().is_none_or(|last| self.y(*tick) - self.y(*last) >= LOG_ROOM) {
                kept.push_front(*tick);
            }
        }
        kept.into()
    }
}

fn position(scale: Scale, value: i64) -> f64 {
    let value = value as f64;
    match scale {
        Scale::Linear => value,
        Scale::Log => value.abs().ln_1p().copysign(value),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, from one not above `least` to one not below `most`.
fn even_ticks(least: i64, most: i64, height: f64) -> Vec<i64> {
    let count = match height {
        ..100.0 => 2,
        100.0..160.0 => 3,
        160.0..300.0 => 4,
        _ => 6,
    };
    let step = nice_step(most.saturating_sub(least) / count);
    let (mut low, mut high) = (least.div_euclid(step), most.div_euclid(step));
    if high.saturating_mul(step) < most {
        high += 1;
    }
    if low == high {
        // A flat line has its place in the middle, but counts are not negative.
        low -= i64::from(low != 0);
        high += 1;
    }
    (low..=high).map(|multiple| multiple.saturating_mul(step)).collect()
}

/// The lowest of 1, 2 and 5 times a power of ten that is above `size`.
fn nice_step(size: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step > size || step == i64::MAX {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// Zero, and the factors times powers of ten on both sides of it, as far as the values need.
fn log_ticks(least: i64, most: i64, factors: &[i64]) -> Vec<i64> {
    let powers = (0..18).map(|power| 10_i64.pow(power));
    let up: Vec<i64> =
        powers.flat_map(|power| factors.iter().map(move |factor| power * factor)).collect();
    let down = up.iter().rev().map(|value| -value);
    let mut ticks: Vec<i64> = down.chain([0]).chain(up.iter().copied()).collect();
    let first = ticks.iter().rposition(|tick| *tick <= least).unwrap_or(0);
    ticks.drain(..first);
    let last = ticks.iter().position(|tick| *tick >= most).unwrap_or(ticks.len() - 1);
    ticks.truncate(last.max(1) + 1);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(range: (i64, i64), scale: Scale, kind: Kind, height: f64) -> Vec<i64> {
        ValueAxis::new(range, (scale, kind), (0.0, height)).ticks
    }

    #[test]
    fn linear_ticks_are_nice_and_cover_the_values() {
        let total = |range| ticks(range, Scale::Linear, Kind::Total, 230.0);
        assert_eq!(total((0, 0)), [0, 1]);
        assert_eq!(total((7, 7)), [6, 7, 8]);
        assert_eq!(total((0, 35_412)), [0, 10_000, 20_000, 30_000, 40_000]);
        assert_eq!(total((120_343, 120_401)), [120_340, 120_360, 120_380, 120_400, 120_420]);
        let daily = |range| ticks(range, Scale::Linear, Kind::Daily, 100.0);
        assert_eq!(daily((3, 5)), [0, 2, 4, 6]);
        assert_eq!(daily((-30, 90)), [-50, 0, 50, 100]);
        assert_eq!(daily((-9, -3)), [-10, -5, 0]);
    }

    #[test]
    fn log_ticks_have_room_and_cover_the_values() {
        let log = |range, height| ticks(range, Scale::Log, Kind::Total, height);
        assert_eq!(log((0, 90), 300.0), [0, 1, 2, 5, 10, 20, 50, 100]);
        assert_eq!(log((0, 90_000), 120.0), [0, 10, 100, 1_000, 10_000, 100_000]);
        assert_eq!(log((1_000, 1_500), 200.0)[0], 1_000);
        assert_eq!(log((0, 0), 100.0), [0, 1]);
        let daily = ticks((-40, 3_000), Scale::Log, Kind::Daily, 200.0);
        assert!(daily.contains(&0) && daily[0] == -10, "{daily:?}");
    }

    #[test]
    fn axis_keeps_every_value_between_its_ends() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let size = 10_i64.pow(random.u32(..8));
            let (one, other) = (random.i64(-size / 9..=size), random.i64(-size / 9..=size));
            let range = (one.min(other), one.max(other));
            for scale in [Scale::Linear, Scale::Log] {
                let axis = ValueAxis::new(range, (scale, Kind::Daily), (10.0, 150.0));
                for value in [range.0, range.1, range.0.midpoint(range.1)] {
                    let y = axis.y(value);
                    assert!((9.9..=150.1).contains(&y), "{value} of {range:?} is at {y}");
                }
                assert!(axis.ticks.len() <= 12, "{range:?}: {:?}", axis.ticks);
            }
        }
    }
}
