//! A chart: a line or bars for each series over days.

use super::colors::style;
use super::dates::DayAxis;
use super::heading::{Heading, nothing};
use super::labels::{EndLabel, end_labels, place};
use super::lines::{Paths, bars, lines};
use super::options::{Kind, Options};
use super::series::Series;
use super::svg::{Px, Svg};
use super::text;
use super::values::ValueAxis;

/// The space at the edges of the picture, in pixels.
const EDGE: f64 = 14.0;
/// The size of all texts but the title, in pixels.
const SIZE: f64 = 11.0;
const TITLE_SIZE: f64 = 14.0;
/// The distance between lines of text.
const LINE: f64 = 14.0;
/// The least width of a day that is drawn as a bar.
const BAR: f64 = 2.5;
/// The distance between the end of a line and its label.
const BESIDE: f64 = 9.0;

/// Draws what `measure` names, such as `Stars`, for up to eight series.
#[must_use]
pub fn draw(measure: &str, series: &[Series], options: &Options) -> String {
    let style = format!("<style>{}</style>", style(options.theme, series.len()));
    picture(measure, series, options, None, &style)
}

/// The same as a part of a page, whose style sheet has the rules. A page has one chart of a
/// class.
#[must_use]
pub fn embed(measure: &str, series: &[Series], options: &Options, class: &str) -> String {
    picture(measure, series, options, Some(class), "")
}

fn picture(
    measure: &str,
    series: &[Series],
    options: &Options,
    class: Option<&str>,
    style: &str,
) -> String {
    let heading = Heading::new(measure, series, options);
    let (width, height) = (f64::from(options.width), f64::from(options.height));
    let mut svg = Svg::new((width, height), class, &heading.name, &heading.description);
    svg.add(format_args!("{style}"));
    if class.is_none() {
        svg.add(format_args!(r#"<rect class="p" width="100%" height="100%" rx="6"/>"#));
    }
    let room = width - 2.0 * EDGE;
    svg.text("h", (EDGE, 25.0), &text::shorten(&heading.title, TITLE_SIZE * 1.1, room));
    let mut top = 28.0;
    for line in text::wrap(&heading.notes, SIZE, room) {
        top += LINE;
        svg.text("n", (EDGE, top), &line);
    }
    let plot = Plot { top: top + 16.0, bottom: height - 26.0, width, height };
    match plot.axes(series, options) {
        Some(axes) => axes.draw(&mut svg, &plot, series, options),
        None => {
            let middle = (width / 2.0, f64::midpoint(plot.top, plot.bottom));
            svg.text("m", middle, nothing(options.kind));
        }
    }
    svg.finish()
}

/// The part of the picture below the heading.
struct Plot {
    top: f64,
    bottom: f64,
    /// Those of the whole picture.
    width: f64,
    height: f64,
}

/// The axes of a plot, and what stands at the ends of its lines.
struct Axes {
    days: DayAxis,
    values: ValueAxis,
    left: f64,
    right: f64,
    labels: Vec<EndLabel>,
    has_bars: bool,
}

impl Plot {
    /// None without a day to draw.
    fn axes(&self, series: &[Series], options: &Options) -> Option<Axes> {
        let all = || series.iter().flat_map(|series| &series.days).map(|day| day.value);
        let range = (all().min()?, all().max()?);
        let kind = (options.scale, options.kind);
        let values = ValueAxis::new(range, kind, (self.top, self.bottom));
        let ticks = text::short(&values.ticks);
        let left = EDGE + widest(ticks.iter().map(|tick| text::width(tick, SIZE))) + 8.0;
        let labels = end_labels(series, options.kind, 0.4 * self.width);
        let right = self.width - EDGE - widest(labels.iter().map(EndLabel::width)) - BESIDE;
        // Several lines lead on to a column of labels.
        let right = if series.len() > 1 { right - 2.0 * BESIDE } else { right };
        let axis = |has_bars| DayAxis::new(series, options.align, has_bars, (left, right));
        let with_bars = axis(true)?;
        let has_bars =
            options.kind == Kind::Daily && series.len() == 1 && with_bars.day_width() >= BAR;
        let days = if has_bars { with_bars } else { axis(false)? };
        Some(Axes { days, values, left, right, labels, has_bars })
    }
}

fn widest(widths: impl Iterator<Item = f64>) -> f64 {
    widths.fold(0.0, f64::max)
}

impl Axes {
    fn draw(&self, svg: &mut Svg, plot: &Plot, series: &[Series], options: &Options) {
        self.draw_grid(svg, plot);
        let paths = if let (true, [only]) = (self.has_bars, series) {
            vec![bars(only, &self.days, &self.values)]
        } else {
            lines(series, &self.days, &self.values)
        };
        for (index, paths) in paths.iter().enumerate() {
            self.draw_paths(svg, index, paths, options.kind);
        }
        self.draw_ends(svg, plot, series);
    }

    /// A horizontal line and a number for each tick of values, and the dates below.
    fn draw_grid(&self, svg: &mut Svg, plot: &Plot) {
        let (left, right) = (Px(self.left), Px(self.right));
        let (mut grid, mut marks) = (String::new(), String::new());
        for (value, label) in self.values.ticks.iter().zip(text::short(&self.values.ticks)) {
            let y = self.values.y(*value);
            grid.push_str(&format!("M{left} {}H{right}", Px(y)));
            svg.text("e", (self.left - 8.0, y + 4.0), &label);
        }
        for (x, label) in self.days.ticks() {
            let half = text::width(&label, SIZE) / 2.0;
            if x - half >= 2.0 && x + half <= plot.width - 2.0 {
                marks.push_str(&format!("M{} {}v4", Px(x), Px(plot.bottom)));
                svg.text("m", (x, plot.bottom + 17.0), &label);
            }
        }
        let base = if self.values.ticks.contains(&0) { self.values.y(0) } else { plot.bottom };
        svg.add(format_args!(r#"<path class="a g" d="{grid}"/>"#));
        svg.add(format_args!(r#"<path class="a z" d="{marks}M{left} {}H{right}"/>"#, Px(base)));
    }

    fn draw_paths(&self, svg: &mut Svg, index: usize, paths: &Paths, kind: Kind) {
        let (fine, gaps) = match kind {
            Kind::Total => ("", paths.gaps.as_str()),
            // A day's gain says nothing of the days between.
            Kind::Daily => (" f", ""),
        };
        // A page's policy forbids styles of single elements.
        let width = Px((self.days.day_width() * 0.7).min(24.0));
        match self.has_bars {
            true => svg.add(format_args!(r#"<g class="c{index} w" stroke-width="{width}">"#)),
            false => svg.add(format_args!(r#"<g class="c{index}{fine}">"#)),
        }
        let parts = [("u", gaps), ("b", &paths.backfilled), ("s", &paths.seen)];
        for (class, path) in parts.into_iter().filter(|(_, path)| !path.is_empty()) {
            svg.add(format_args!(r#"<path class="{class}" d="{path}"/>"#));
        }
        svg.add(format_args!("</g>"));
    }

    /// The place of a series' last day.
    fn end(&self, series: &Series) -> Option<(f64, f64)> {
        let last = series.last()?;
        Some((self.days.x(series, last.day), self.values.y(last.value)))
    }

    /// A dot at the end of each line, and its label beside it or in the column of labels.
    fn draw_ends(&self, svg: &mut Svg, plot: &Plot, series: &[Series]) {
        let ends: Vec<_> = series.iter().map(|series| self.end(series)).collect();
        if let ([Some((x, y))], [label]) = (ends.as_slice(), self.labels.as_slice()) {
            let half = if self.has_bars { self.days.day_width() / 2.0 } else { 0.0 };
            if !self.has_bars {
                svg.dot("c0", (*x, *y));
            }
            label.draw(svg, (x + half + BESIDE, y + 4.0));
            return;
        }
        let wished: Vec<f64> = ends.iter().map(|end| end.map_or(plot.bottom, |(_, y)| y)).collect();
        let places = place(&wished, LINE, plot.top - 6.0, plot.height - 12.0);
        let column = self.right + 3.0 * BESIDE;
        for (index, (end, place)) in ends.iter().zip(places).enumerate() {
            let class = format!("c{index}");
            if let Some(end) = end {
                svg.dot(&class, *end);
            }
            match end {
                Some((x, y)) if *x + 1.0 >= self.right => {
                    let (x, y, place) = (Px(*x), Px(*y), Px(place));
                    let (bend, to) = (Px(column - 7.0), Px(column - 4.0));
                    svg.add(format_args!(r#"<path class="{class} t" d="M{x} {y}"#));
                    svg.add(format_args!(r#"L{bend} {place}H{to}"/>"#));
                }
                // A line that ends before the others does not reach its label.
                _ => svg.dot(&class, (column - 7.0, place)),
            }
            if let Some(label) = self.labels.get(index) {
                label.draw(svg, (column, place + 4.0));
            }
        }
    }
}
