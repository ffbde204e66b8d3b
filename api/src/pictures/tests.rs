//! Draws every kind of picture in several sizes and checks each; they stay in `target/pictures`.

use std::fs;
use std::path::PathBuf;

use chrono::{NaiveDate, TimeDelta};
use roxmltree::{Document, Node};

use super::badge::{Badge, PlaceIn};
use super::chart::draw;
use super::options::{Align, Kind, Options, Range, Scale, Theme};
use super::series::{Series, cut};
use super::text;
use crate::model::growth::Window;

const SIZES: [(u16, u16); 4] = [(320, 160), (320, 240), (640, 320), (1200, 500)];

fn day(number: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2023, 11, 28).expect("a date") + TimeDelta::days(number)
}

/// A repository that grows by some stars a day, with noise, from a first day to a last one.
#[expect(clippy::cast_possible_truncation, reason = "some hundred stars a day")]
fn grown(label: &str, (first, last): (i64, i64), start: i64, rate: f64) -> Series {
    let mut random = fastrand::Rng::with_seed(label.len() as u64 + first.unsigned_abs());
    let mut stars = start;
    let seen = (first..=last).map(|number| {
        let wave = 1.0 + (number as f64 / 40.0).sin();
        let burst = if random.u32(..60) == 0 { 9.0 } else { 1.0 };
        stars += (rate * wave * burst * 2.0 * random.f64()).round() as i64;
        (day(number), stars)
    });
    Series::new(label.to_owned(), seen, [])
}

fn eight(last: i64) -> Vec<Series> {
    [
        ("kubernetes/kubernetes", 0, 104_000, 14.0),
        ("ollama/ollama", 30, 60_000, 60.0),
        ("helm/helm", 0, 25_000, 3.0),
        ("argoproj/argo-cd", 0, 15_000, 5.0),
        ("kubernetes-sigs/cluster-api-provider-openstack", 200, 200, 0.4),
        ("prometheus/prometheus", 0, 51_000, 7.0),
        ("grafana/k6", 0, 23_000, 4.0),
        ("k3s-io/k3s", 0, 25_500, 4.0),
    ]
    .map(|(label, first, start, rate)| grown(label, (first, last), start, rate))
    .to_vec()
}

fn flat(label: &str, value: i64) -> Series {
    Series::new(label.to_owned(), (0..60).map(|number| (day(number), value)), [])
}

fn fall() -> Series {
    let mut fall = grown("someone/bought-stars", (900, 1_094), 800, 12.0);
    for day in fall.days.iter_mut().skip(120) {
        day.value -= 1_300;
    }
    fall
}

fn with_gaps() -> Series {
    let mut series = grown("owner/gap", (1_000, 1_094), 400, 6.0);
    series.days.retain(|one| {
        let number = (one.day - day(1_000)).num_days();
        ![30, 33, 34].contains(&number) && !(50..70).contains(&number)
    });
    series
}

fn backfilled() -> Series {
    let past = grown("owner/backfilled", (0, 1_094), 10, 4.0);
    let all: Vec<_> = past.days.iter().map(|day| (day.day, day.value)).collect();
    let (backfilled, seen) = all.split_at(700);
    Series::new(past.label, seen.to_vec(), backfilled.to_vec())
}

/// Every third day was not seen.
fn eight_with_holes() -> Vec<Series> {
    let mut series = eight(1_094);
    for series in &mut series {
        series.days.retain(|one| (one.day - day(0)).num_days() % 3 != 1);
    }
    series
}

/// GitHub's longest names, with characters that it does not allow.
fn eight_with_long_names() -> Vec<Series> {
    let mut series = eight(1_094);
    for (index, series) in series.iter_mut().enumerate() {
        series.label = format!("{}{index}/{}", "o".repeat(38), "<&".repeat(50));
    }
    series
}

/// A scene's name, its series and how they are drawn.
type Scene = (&'static str, Vec<Series>, Options);

fn scenes_of_totals() -> Vec<Scene> {
    let plain = Options::default();
    let log = Options { scale: Scale::Log, ..plain };
    let start = Options { align: Align::Start, ..plain };
    let one = grown("kubernetes/kubernetes", (0, 1_094), 104_000, 14.0);
    let point = Series::new("owner/new".to_owned(), [(day(1_094), 42)], []);
    let none = Series::new("owner/none".to_owned(), [], []);
    let young = vec![
        grown("a/young", (1_040, 1_094), 0, 9.0),
        grown("b/older", (500, 1_094), 3, 3.0),
        grown("c/oldest", (0, 1_000), 0, 1.0),
    ];
    vec![
        ("one", vec![one.clone()], plain),
        ("one-year", vec![one], Options { range: Range::Year, ..plain }),
        ("fall", vec![fall()], plain),
        ("gap", vec![with_gaps()], plain),
        ("backfilled", vec![backfilled()], plain),
        ("backfilled-log", vec![backfilled()], log),
        ("flat", vec![flat("owner/flat", 7)], plain),
        ("zero", vec![flat("owner/zero", 0)], plain),
        ("zero-log", vec![flat("owner/zero", 0)], log),
        ("point", vec![point.clone()], plain),
        ("point-of-several", vec![point, flat("x/y", 3), none.clone()], plain),
        ("none", vec![none.clone()], plain),
        ("none-of-several", vec![none.clone(), none], plain),
        ("eight", eight(1_094), plain),
        ("eight-holes", eight_with_holes(), plain),
        ("eight-log", eight(1_094), log),
        ("eight-start", eight(1_094), start),
        ("eight-month", eight(1_094), Options { range: Range::Month, ..plain }),
        ("young", young.clone(), plain),
        ("young-start", young.clone(), start),
        ("young-log", young, Options { scale: Scale::Log, ..start }),
    ]
}

fn scenes_of_gains() -> Vec<Scene> {
    let daily = Options { kind: Kind::Daily, ..Options::default() };
    let log = Options { scale: Scale::Log, ..daily };
    let (month, quarter) = (Range::Month, Range::Quarter);
    let one = grown("kubernetes/kubernetes", (0, 1_094), 104_000, 14.0);
    let point = Series::new("owner/new".to_owned(), [(day(1_094), 42)], []);
    let scenes = vec![
        ("one-daily", vec![one.clone()], daily),
        ("one-daily-month", vec![one.clone()], Options { range: month, ..daily }),
        ("one-daily-quarter", vec![one], Options { range: quarter, ..daily }),
        ("fall-daily", vec![fall()], Options { range: quarter, ..daily }),
        ("gap-daily", vec![with_gaps()], daily),
        ("backfilled-daily", vec![backfilled()], daily),
        ("point-daily", vec![point], daily),
        ("eight-daily", eight(1_094), daily),
        ("eight-daily-log", eight(1_094), log),
        ("eight-long", eight_with_long_names(), log),
    ];
    let gains = |(name, series, options): Scene| {
        (name, series.iter().map(Series::gains).collect(), options)
    };
    scenes.into_iter().map(gains).collect()
}

fn keep(name: &str, svg: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/pictures");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), svg).expect("a file");
}

fn measure(kind: Kind) -> &'static str {
    match kind {
        Kind::Total => "Stars",
        Kind::Daily => "Stars gained each day",
    }
}

/// Checks what holds for all pictures, and returns the document.
fn check<'a>(name: &str, svg: &'a str) -> Document<'a> {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}"));
    // Each of the characters that are escaped here takes five, which no name of GitHub's has.
    let size = svg.replace("&lt;&amp;", "<&").len();
    assert!(size < 20_000, "{name} has {size} bytes");
    let addresses = svg.matches("://").count();
    assert!(addresses == 1 && svg.contains("http://www.w3.org/2000/svg"), "{name}");
    for word in ["NaN", "inf", "<script", "url(", "@import"] {
        assert!(!svg.contains(word), "{name} has {word}");
    }
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"), "{name}");
    for id in root.attribute("aria-labelledby").unwrap_or_default().split(' ') {
        let named = root.children().find(|node| node.attribute("id") == Some(id));
        assert!(named.and_then(|node| node.text()).is_some_and(|text| !text.is_empty()), "{name}");
    }
    document
}

/// The text of a node and its children.
fn whole(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// The left, right, upper and lower edge of a text.
fn edges(node: Node<'_, '_>) -> [f64; 4] {
    let number =
        |name| node.attribute(name).and_then(|value| value.parse().ok()).expect("a number");
    let (x, y): (f64, f64) = (number("x"), number("y"));
    let class = node.attribute("class").unwrap_or_default();
    let size = if class == "h" { 14.0 } else { 11.0 };
    let gaps = node.children().filter_map(|child| child.attribute("dx")?.parse::<f64>().ok());
    let width = text::width(&whole(node), size) + gaps.sum::<f64>();
    let left = match class {
        "e" => x - width,
        "m" => x - width / 2.0,
        _ => x,
    };
    [left, left + width, y - 0.75 * size, y + 0.2 * size]
}

fn check_texts(name: &str, document: &Document<'_>, (width, height): (u16, u16)) {
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let texts: Vec<_> = texts.map(|node| (whole(node), edges(node))).collect();
    for (index, (text, [left, right, top, bottom])) in texts.iter().enumerate() {
        let is_inside = *left >= 0.0 && *right <= f64::from(width);
        let is_inside = is_inside && *top >= 0.0 && *bottom <= f64::from(height);
        assert!(is_inside, "{name}: {text} is at {left} to {right}, {top} to {bottom}");
        for (other, [other_left, other_right, other_top, other_bottom]) in &texts[..index] {
            let overlaps = left < other_right && other_left < right;
            let overlaps = overlaps && top < other_bottom && other_top < bottom;
            assert!(!overlaps, "{name}: {text} overlaps {other}");
        }
    }
}

#[test]
fn charts_of_all_kinds_and_sizes_are_well_formed_small_and_without_overlaps() {
    for (scene, series, options) in scenes_of_totals().into_iter().chain(scenes_of_gains()) {
        for (width, height) in SIZES {
            let options = Options { width, height, ..options };
            let mut series = series.clone();
            cut(&mut series, options.range, options.align);
            for theme in [Theme::Auto, Theme::Light, Theme::Dark] {
                let options = Options { theme, ..options };
                let svg = draw(measure(options.kind), &series, &options);
                assert_eq!(svg, draw(measure(options.kind), &series, &options));
                let theme: &str = theme.into();
                let name = format!("{scene}-{width}x{height}-{theme}.svg");
                keep(&name, &svg);
                let document = check(&name, &svg);
                check_texts(&name, &document, (width, height));
            }
        }
    }
}

#[test]
fn badges_say_topic_place_and_window() {
    for (name, badge, message) in [
        ("stars", Badge::new("kubernetes", 3, PlaceIn::Popularity), "#3 by stars"),
        ("week", Badge::new("mcp", 120, PlaceIn::Trending(Window::Week)), "#120 trending, 7 days"),
        ("day", Badge::new("c", 1, PlaceIn::Trending(Window::Day)), "#1 trending, 1 day"),
    ] {
        let svg = badge.svg();
        keep(&format!("badge-{name}.svg"), &svg);
        let document = check(name, &svg);
        let title = document.root_element().first_element_child().and_then(|node| node.text());
        assert!(title.is_some_and(|title| title.ends_with(&format!(": {message}"))), "{svg}");
        let json = serde_json::to_value(&badge).expect("JSON");
        assert_eq!((&json["schemaVersion"], &json["message"]), (&1.into(), &message.into()));
    }
}
