//! The lines of a chart as SVG paths.

use super::dates::DayAxis;
use super::series::Series;
use super::svg::{Px, write_tenths};
use super::values::ValueAxis;

/// The bytes that all paths of a chart may take, so that the chart stays under 20 KB.
const PATH_BYTES: usize = 11_500;

/// How a part of a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Style {
    Seen,
    Backfilled,
    /// Over days without a count.
    Gap,
}

/// The paths of a series; one that is empty draws nothing.
#[derive(Default)]
pub(super) struct Paths {
    pub(super) seen: String,
    pub(super) backfilled: String,
    pub(super) gaps: String,
}

impl Paths {
    fn of(&mut self, style: Style) -> &mut String {
        match style {
            Style::Seen => &mut self.seen,
            Style::Backfilled => &mut self.backfilled,
            Style::Gap => &mut self.gaps,
        }
    }

    fn bytes(&self) -> usize {
        self.seen.len() + self.backfilled.len() + self.gaps.len()
    }
}

/// A day on the picture, in tenths of a pixel.
#[derive(Clone, Copy)]
struct Point {
    x: i32,
    y: i32,
    /// How the part before it is drawn.
    style: Style,
    seen: bool,
}

/// A line for each series. Days are thinned only as far as the paths would take too many bytes.
pub(super) fn lines(series: &[Series], days: &DayAxis, values: &ValueAxis) -> Vec<Paths> {
    let points: Vec<_> = series.iter().map(|series| points(series, days, values)).collect();
    let mut column = 10;
    loop {
        let paths: Vec<_> = points.iter().map(|points| path(&thin(points, column))).collect();
        let bytes: usize = paths.iter().map(Paths::bytes).sum();
        if bytes <= PATH_BYTES {
            return paths;
        }
        // Wider columns have fewer points, but never more than four each.
        let more = (column / 5).max(column.saturating_mul(excess(bytes)) / 100);
        column = column.saturating_add(more);
    }
}

/// The bytes beyond [`PATH_BYTES`], in hundredths of it.
fn excess(bytes: usize) -> i32 {
    i32::try_from((bytes - PATH_BYTES) * 100 / PATH_BYTES).unwrap_or(i32::MAX)
}

/// A bar for each day of a series.
pub(super) fn bars(series: &Series, days: &DayAxis, values: &ValueAxis) -> Paths {
    let mut paths = Paths::default();
    let zero = Px(values.y(0)).tenths();
    for day in series.days.iter().filter(|day| day.value != 0) {
        let style = if day.seen { Style::Seen } else { Style::Backfilled };
        let path = paths.of(style);
        write_numbers(path, 'M', &[Px(days.x(series, day.day)).tenths(), zero]);
        write_numbers(path, 'V', &[Px(values.y(day.value)).tenths()]);
    }
    paths
}

fn points(series: &Series, days: &DayAxis, values: &ValueAxis) -> Vec<Point> {
    let mut before: Option<&super::series::Day> = None;
    let mut points = Vec::with_capacity(series.days.len());
    for day in &series.days {
        let style = match before {
            Some(before) if before.day.succ_opt() != Some(day.day) => Style::Gap,
            Some(before) if before.seen && day.seen => Style::Seen,
            _ => Style::Backfilled,
        };
        let (x, y) = (Px(days.x(series, day.day)).tenths(), Px(values.y(day.value)).tenths());
        points.push(Point { x, y, style, seen: day.seen });
        before = Some(day);
    }
    points
}

/// The first, lowest, highest and last point of each column, whose width is in tenths of a pixel:
/// the line that is drawn through them looks the same. A part over points that are left out has the
/// style of its worst.
fn thin(points: &[Point], column: i32) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    for chunk in points.chunk_by(|one, next| one.x / column == next.x / column) {
        let place = |point: Option<(usize, &Point)>| point.map_or(0, |(index, _)| index);
        let lowest = place(chunk.iter().enumerate().max_by_key(|(_, point)| point.y));
        let highest = place(chunk.iter().enumerate().min_by_key(|(_, point)| point.y));
        let mut places = [0, lowest, highest, chunk.len() - 1];
        places.sort_unstable();
        let mut next = 0;
        for place in places {
            let style =
                chunk.get(next..=place).unwrap_or_default().iter().map(|point| point.style).max();
            if let Some((style, point)) = style.zip(chunk.get(place)) {
                push(&mut kept, Point { style, ..*point });
            }
            next = place + 1;
        }
    }
    kept
}

/// Adds a point. It replaces the last one if that lies between others at the same height.
fn push(kept: &mut Vec<Point>, point: Point) {
    if let [.., before, last] = kept.as_mut_slice()
        && (before.y, last.y, last.style) == (last.y, point.y, point.style)
        && last.style != Style::Gap
    {
        *last = point;
    } else {
        kept.push(point);
    }
}

fn path(points: &[Point]) -> Paths {
    let mut paths = Paths::default();
    let mut drawn: Option<Style> = None;
    for (index, point) in points.iter().enumerate() {
        let next = points.get(index + 1).map(|next| next.style);
        if let Some(before) = index.checked_sub(1).and_then(|index| points.get(index)) {
            let path = paths.of(point.style);
            if drawn != Some(point.style) {
                write_numbers(path, 'M', &[before.x, before.y]);
                path.push('l');
            }
            write_step(path, point.x - before.x, point.y - before.y);
            drawn = Some(point.style);
        }
        // A day between gaps is a dot, which the round end of a line without length draws.
        let is_end = |style: Option<Style>| style.is_none_or(|style| style == Style::Gap);
        if is_end(next) && (index == 0 || point.style == Style::Gap) {
            let style = if point.seen { Style::Seen } else { Style::Backfilled };
            write_numbers(paths.of(style), 'M', &[point.x, point.y]);
            paths.of(style).push_str("h0");
        }
    }
    paths
}

/// Adds a relative step to the numbers behind an `l`.
fn write_step(path: &mut String, x: i32, y: i32) {
    for number in [x, y] {
        if number >= 0 && !path.ends_with('l') {
            path.push(' ');
        }
        // A string takes every write.
        let _ = write_tenths(path, number);
    }
}

fn write_numbers(path: &mut String, command: char, numbers: &[i32]) {
    path.push(command);
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 && *number >= 0 {
            path.push(' ');
        }
        let _ = write_tenths(path, *number);
    }
}
