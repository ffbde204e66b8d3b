//! The numbers of a chart, as JSON and CSV.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::options::Options;
use super::series::Series;

/// The drawn days of each series, those that were seen apart from those that were backfilled.
#[derive(Serialize, ToSchema)]
#[schema(as = ChartNumbers)]
pub struct Numbers<'a> {
    measure: &'a str,
    range: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    series: Vec<Line<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ChartLine)]
struct Line<'a> {
    name: &'a str,
    days: Vec<Row>,
    backfilled: Vec<Row>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ChartDay)]
struct Row {
    day: NaiveDate,
    value: i64,
}

impl<'a> Numbers<'a> {
    #[must_use]
    pub fn new(measure: &'a str, series: &'a [Series], options: &Options) -> Self {
        let rows = |series: &Series, seen: bool| {
            let days = series.days.iter().filter(|day| day.seen == seen);
            days.map(|day| Row { day: day.day, value: day.value }).collect()
        };
        let line = |series: &'a Series| Line {
            name: &series.label,
            days: rows(series, true),
            backfilled: rows(series, false),
        };
        let (range, kind) = (options.range.into(), options.kind.into());
        Self { measure, range, kind, series: series.iter().map(line).collect() }
    }
}

/// A row for each drawn day, with a header. The names of repositories and topics need no quotes.
#[must_use]
pub fn csv(series: &[Series]) -> String {
    let mut csv = String::from("name,day,value,source\r\n");
    for series in series {
        for day in &series.days {
            let source = if day.seen { "seen" } else { "backfilled" };
            csv.push_str(&format!("{},{},{},{source}\r\n", series.label, day.day, day.value));
        }
    }
    csv
}
