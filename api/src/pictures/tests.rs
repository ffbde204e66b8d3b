//! Draws every kind of picture in several sizes and checks each; they stay in `target/pictures`.

use std::fs;
use std::path::PathBuf;

use chrono::{NaiveDate, TimeDelta};
use roxmltree::{Document, Node};

use super::badge::{Badge, PlaceBy};
use super::chart::draw;
use super::options::{Align, Kind, Options, Range, Scale, Theme};
use super::series::{Series, cut};
use super::text;

const SIZES: [(u16, u16); 4] = [(320, 160), (320, 240), (640, 320), (1200, 500)];

fn day(number: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2023, 11, 28).expect("a date") + TimeDelta::days(number)
}

/// A repository that grows by some stars a day, with noise, from a first day to a last one.
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

/// The series of each kind of chart.
fn scenes() -> Vec<(&'static str, Vec<Series>, Options)> {
    let plain = Options::default();
    let daily = Options { kind: Kind::Daily, ..plain };
    let log = Options { scale: Scale::Log, ..plain };
    let year = Options { range: Range::Year, ..plain };
    let one = grown("kubernetes/kubernetes", (0, 1_094), 104_000, 14.0);
    let mut fall = grown("someone/bought-stars", (900, 1_094), 800, 12.0);
    for day in fall.days.iter_mut().skip(120) {
        day.value -= 1_300;
    }
    let mut gap = grown("owner/gap", (1_000, 1_094), 400, 6.0);
    gap.days.retain(|one| ![30, 33, 34].contains(&(one.day - day(1_000)).num_days()));
    gap.days.retain(|one| !(50..70).contains(&(one.day - day(1_000)).num_days()));
    let past = grown("owner/backfilled", (0, 1_094), 10, 4.0);
    let all: Vec<_> = past.days.iter().map(|day| (day.day, day.value)).collect();
    let split =
        Series::new("owner/backfilled".to_owned(), all[700..].to_vec(), all[..700].to_vec());
    let flat = |label: &str, value| {
        Series::new(label.to_owned(), (0..60).map(|number| (day(number), value)), [])
    };
    let point = Series::new("owner/new".to_owned(), [(day(1_094), 42)], []);
    let none = Series::new("owner/none".to_owned(), [], []);
    let gains = |series: &[Series]| series.iter().map(Series::gains).collect::<Vec<_>>();
    let young = [
        grown("a/young", (1_040, 1_094), 0, 9.0),
        grown("b/older", (500, 1_094), 3, 3.0),
        grown("c/oldest", (0, 1_000), 0, 1.0),
    ];
    // GitHub's longest names.
    let mut long = eight(1_094);
    for (index, series) in long.iter_mut().enumerate() {
        series.label = format!("{}{index}/{}", "o".repeat(38), "<&".repeat(50));
    }
    vec![
        ("eight-long", gains(&long), Options { scale: Scale::Log, ..daily }),
        ("one", vec![one.clone()], plain),
        ("one-year", vec![one.clone()], year),
        ("one-daily", gains(&[one.clone()]), daily),
        ("one-daily-30", gains(&[one.clone()]), Options { range: Range::Month, ..daily }),
        ("one-daily-90", gains(&[one]), Options { range: Range::Quarter, ..daily }),
        ("fall", vec![fall.clone()], plain),
        ("fall-daily", gains(&[fall]), Options { range: Range::Quarter, ..daily }),
        ("gap", vec![gap.clone()], plain),
        ("gap-daily", gains(&[gap]), daily),
        ("backfilled", vec![split.clone()], plain),
        ("backfilled-log", vec![split.clone()], log),
        ("backfilled-daily", gains(&[split]), daily),
        ("flat", vec![flat("owner/flat", 7)], plain),
        ("zero", vec![flat("owner/zero", 0)], plain),
        ("zero-log", vec![flat("owner/zero", 0)], log),
        ("point", vec![point.clone()], plain),
        ("point-in-compare", vec![point, flat("x/y", 3), none.clone()], plain),
        ("none", vec![none.clone()], plain),
        ("none-in-compare", vec![none.clone(), none], plain),
        ("eight", eight(1_094), plain),
        ("eight-log", eight(1_094), log),
        ("eight-start", eight(1_094), Options { align: Align::Start, ..plain }),
        ("eight-daily", gains(&eight(1_094)), daily),
        ("eight-daily-log", gains(&eight(1_094)), Options { scale: Scale::Log, ..daily }),
        ("eight-30", eight(1_094), Options { range: Range::Month, ..plain }),
        ("young", young.to_vec(), plain),
        ("young-start", young.to_vec(), Options { align: Align::Start, ..plain }),
        ("young-log", young.to_vec(), Options { align: Align::Start, scale: Scale::Log, ..plain }),
    ]
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
    for (scene, series, options) in scenes() {
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
        ("stars", Badge::new("kubernetes", 3, PlaceBy::Stars), "#3 by stars"),
        ("week", Badge::new("mcp", 120, PlaceBy::Trending { days: 7 }), "#120 trending, 7 days"),
        ("day", Badge::new("c", 1, PlaceBy::Trending { days: 1 }), "#1 trending, 1 day"),
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
