//! A chart's heading, and what it shows in words.

use super::options::{Align, Kind, Options, Scale};
use super::series::{Day, Series, last_day};
use super::text;

/// The words of a chart.
pub(super) struct Heading {
    /// The name of the only line, or what the lines measure.
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    /// The picture in a sentence.
    pub(super) name: String,
    /// The numbers of each line, for people who do not see the picture.
    pub(super) description: String,
}

impl Heading {
    pub(super) fn new(measure: &str, series: &[Series], options: &Options) -> Self {
        let mut notes = Vec::new();
        let title = if let [only] = series {
            notes.push(measure.to_owned());
            only.label.clone()
        } else {
            measure.to_owned()
        };
        let labels: Vec<_> = series.iter().map(|series| series.label.as_str()).collect();
        let mut name = format!("{measure}: {}", labels.join(", "));
        match last_day(series) {
            Some(last) => {
                notes.push(format!("until {last}"));
                name.push_str(&format!(", until {last}"));
            }
            None => name.push_str(&format!(", {}", nothing(options.kind))),
        }
        if options.align == Align::Start {
            notes.push("from each first day".to_owned());
        }
        if options.scale == Scale::Log {
            notes.push("log scale".to_owned());
        }
        if series.iter().any(|series| series.days.iter().any(|day| !day.seen)) {
            notes.push("dashed: backfilled".to_owned());
        }
        if options.kind == Kind::Total && series.iter().any(has_gap) {
            notes.push("dotted: not seen".to_owned());
        }
        let described: Vec<_> =
            series.iter().map(|series| describe(series, options.kind)).collect();
        Self { title, notes, name, description: described.join(" ") }
    }
}

/// The words in place of numbers when there are none.
pub(super) fn nothing(kind: Kind) -> &'static str {
    match kind {
        Kind::Total => "no counts yet",
        Kind::Daily => "no two days yet",
    }
}

fn has_gap(series: &Series) -> bool {
    let mut pairs = series.days.windows(2);
    pairs.any(|pair| matches!(pair, [eve, day] if eve.day.succ_opt() != Some(day.day)))
}

/// A value as its kind is written.
pub(super) fn number(kind: Kind, value: i64) -> String {
    match kind {
        Kind::Total => text::grouped(value),
        Kind::Daily => text::signed(value),
    }
}

fn describe(series: &Series, kind: Kind) -> String {
    let label = &series.label;
    let (Some(first), Some(last)) = (series.first(), series.last()) else {
        return format!("{label}: {}.", nothing(kind));
    };
    let on = |day: &Day| format!("{} on {}", number(kind, day.value), day.day);
    let least = series.days.iter().min_by_key(|day| day.value).unwrap_or(first);
    let most = series.days.iter().max_by_key(|day| day.value).unwrap_or(last);
    let mut text = format!("{label}: {}", on(first));
    if first.day != last.day {
        text.push_str(&format!(", {}; least {}, most {}", on(last), on(least), on(most)));
        if kind == Kind::Daily {
            let sum = series.days.iter().fold(0, |sum: i64, day| sum.saturating_add(day.value));
            text.push_str(&format!("; {} in all", number(kind, sum)));
        }
    }
    let seen = series.days.iter().filter(|day| day.seen).count();
    text.push_str(&format!("; days seen {seen}, backfilled {}.", series.days.len() - seen));
    text
}
