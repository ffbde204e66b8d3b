//! The parameters of lists: one table from which they are read, refused and described.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::http::{HeaderMap, Uri};
use chrono::{DateTime, Days, NaiveDate, Utc};
use url::form_urlencoded;

use super::conditional::accepted_format;
use super::pages::{PAGE, PER_PAGE, Page};
use super::parameters::{Parameter, Parameters, Shape};
use crate::error::Error;
use crate::lists::field::Field;
use crate::lists::filter::{Choice, Filter};
use crate::lists::query::{Query, all_fields, default_fields};
use crate::lists::table::Format;
use crate::model::growth::{Measure, Window};
use crate::model::ranking::{Listing, Order, Trend};
use crate::model::time::parse_day;
use crate::model::topic::Topic;

/// The most values of a parameter. Each is compared with every name that the topic has.
const MOST_VALUES: usize = 50;

/// The most words of a search, each of which takes a scan of all texts.
const MOST_WORDS: usize = 10;

/// The most digits of a number that a client writes.
const MOST_DIGITS: usize = 15;

/// The most digits of a number of days, which lead back 270 years.
const MOST_DAY_DIGITS: usize = 5;

/// A name without control characters, commas, and white space around it.
macro_rules! name {
    () => {
        concat!(
            r"-?[^\s,\u0000-\u001f\u007f-\u009f-]",
            r"([^,\u0000-\u001f\u007f-\u009f]*[^\s,\u0000-\u001f\u007f-\u009f])?"
        )
    };
}

const NAMES: Shape = Shape::Pattern(concat!(name!(), "(,", name!(), "){0,49}"));

const TOPICS: Shape =
    Shape::Pattern("-?[A-Za-z0-9][A-Za-z0-9-]{0,49}(,-?[A-Za-z0-9][A-Za-z0-9-]{0,49}){0,49}");

const NUMBERS: Shape = Shape::Pattern(r"[0-9]{1,15}(\.\.([0-9]{1,15}|\*)?)?|\*?\.\.[0-9]{1,15}");

macro_rules! day {
    () => {
        concat!(
            "([0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)",
            "|(0[13578]|1[02])-31)",
            "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29",
            "|[0-9]{1,5}d)"
        )
    };
}

const DAYS: Shape = Shape::Pattern(concat!(day!(), r"(\.\.(", day!(), r"|\*)?)?|\*?\.\.", day!()));

const A_RANGE_OF_NUMBERS: &str = "a number, or a range such as 100..500, 100.. or ..500";
const A_RANGE_OF_DAYS: &str =
    "a day such as 2026-01-31 or 30d, which is 30 days ago, or a range of days such as 90d..";

const LANGUAGE: Parameter = Parameter {
    name: "language",
    accepted: "up to 50 languages with commas between them, -NAME to leave one out, or none",
    doc: "Repositories in one of these languages, in upper or lower case.",
    example: "Go,Rust",
    shape: NAMES,
};

const LICENSE: Parameter = Parameter {
    name: "license",
    accepted: "up to 50 SPDX ids with commas between them, -ID to leave one out, or none",
    doc: "Repositories under one of these licenses, in upper or lower case.",
    example: "-GPL-3.0,-none",
    shape: NAMES,
};

const OWNER: Parameter = Parameter {
    name: "owner",
    accepted: "up to 50 logins with commas between them, -LOGIN to leave one out, or none",
    doc: "Repositories of one of these owners, in upper or lower case.",
    example: "kubernetes,-kubernetes-sigs",
    shape: NAMES,
};

const TOPIC: Parameter = Parameter {
    name: "topic",
    accepted: "up to 50 topics with commas between them, -TOPIC to leave one out",
    doc: "Repositories that have all of these topics besides the list's own.",
    example: "docker,-tutorial",
    shape: TOPICS,
};

const STARS: Parameter = Parameter {
    name: "stars",
    accepted: A_RANGE_OF_NUMBERS,
    doc: "Repositories with so many stars, both ends included.",
    example: "100..500",
    shape: NUMBERS,
};

const FORKS: Parameter = Parameter {
    name: "forks",
    accepted: A_RANGE_OF_NUMBERS,
    doc: "Repositories with so many forks, both ends included.",
    example: "10..",
    shape: NUMBERS,
};

const CREATED: Parameter = Parameter {
    name: "created",
    accepted: A_RANGE_OF_DAYS,
    doc: "Repositories created on these UTC days, both ends included.",
    example: "2015-01-01..2016-12-31",
    shape: DAYS,
};

const PUSHED: Parameter = Parameter {
    name: "pushed",
    accepted: A_RANGE_OF_DAYS,
    doc: "Repositories last pushed to on these UTC days, both ends included.",
    example: "365d..",
    shape: DAYS,
};

const UPDATED: Parameter = Parameter {
    name: "updated",
    accepted: A_RANGE_OF_DAYS,
    doc: "Repositories last updated on these UTC days, both ends included.",
    example: "..30d",
    shape: DAYS,
};

const ARCHIVED: Parameter = Parameter {
    name: "archived",
    accepted: "true or false",
    doc: "Only archived repositories, or none of them.",
    example: "false",
    shape: Shape::Boolean,
};

const TEMPLATE: Parameter = Parameter {
    name: "template",
    accepted: "true or false",
    doc: "Only template repositories, or none of them.",
    example: "false",
    shape: Shape::Boolean,
};

const Q: Parameter = Parameter {
    name: "q",
    accepted: "1 to 10 words with spaces between them",
    doc: "Repositories with each word in their name, description or topics, \
          in upper or lower case.",
    example: "service mesh",
    shape: Shape::Pattern(concat!(
        r"[\s\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f]+",
        r"([\s\u0000-\u001f\u007f-\u009f]+[^\s\u0000-\u001f\u007f-\u009f]+){0,9}",
        r"[\s\u0000-\u001f\u007f-\u009f]*"
    )),
};

const FIELDS: Parameter = Parameter {
    name: "fields",
    accepted: "all, or names of fields with commas between them",
    doc: "The fields of each row, in this order; those of a list without parameters if absent.",
    example: "full_name,description,topics",
    shape: Shape::ListOf(Field::STORED_NAMES),
};

const TREND_FIELDS: Parameter = Parameter { shape: Shape::ListOf(Field::NAMES), ..FIELDS };

const FORMAT: Parameter = Parameter {
    name: "format",
    accepted: "json, ndjson or csv",
    doc: "The format of the answer; if it is absent, the header Accept chooses.",
    example: "csv",
    shape: Shape::OneOf(Format::NAMES),
};

pub(super) const WINDOW: Parameter = Parameter {
    name: "window",
    accepted: "1d, 7d, 30d or 90d",
    doc: "The days within which growth is counted, 7d if it is absent.",
    example: "30d",
    shape: Shape::OneOf(&["1d", "7d", "30d", "90d"]),
};

const BY: Parameter = Parameter {
    name: "by",
    accepted: "gained, percent, velocity or acceleration",
    doc: "The number by which repositories are ranked, gained if it is absent.",
    example: "velocity",
    shape: Shape::OneOf(&["gained", "percent", "velocity", "acceleration"]),
};

const DAY: Parameter = Parameter {
    name: "day",
    accepted: "a day such as 2026-01-31",
    doc: "The last day of the window, the topic's last day with counts if it is absent.",
    example: "2026-01-31",
    shape: Shape::Date,
};

/// The parameters of filters.
pub(super) const FILTERS: [&Parameter; 12] = [
    &LANGUAGE, &LICENSE, &OWNER, &TOPIC, &STARS, &FORKS, &CREATED, &PUSHED, &UPDATED, &ARCHIVED,
    &TEMPLATE, &Q,
];

/// The parameters that a list accepts.
#[expect(dead_code, reason = "the description of the routes will read it")]
pub(super) fn parameters_of(listing: Listing) -> Vec<&'static Parameter> {
    let growth: &[&Parameter] = match listing {
        Listing::Trend(Trend::Trending) => &[&WINDOW, &BY, &DAY, &TREND_FIELDS],
        Listing::Trend(Trend::Falling) => &[&WINDOW, &DAY, &TREND_FIELDS],
        Listing::Ranked(_) | Listing::Newest => &[&FIELDS],
    };
    [growth, &FILTERS, &[&PAGE, &PER_PAGE, &FORMAT]].concat()
}

/// The parameters of a list, read.
#[derive(Clone, Debug)]
pub(super) struct ListParameters {
    pub(super) query: Query,
    /// The last day of the window.
    pub(super) day: Option<NaiveDate>,
    pub(super) page: Page,
    /// The UTC day of the request if the ages of repositories decide which rows match.
    pub(super) today: Option<NaiveDate>,
}

impl ListParameters {
    pub(super) fn read(
        listing: Listing,
        uri: &Uri,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut parameters = Parameters::of(uri);
        let Growth { order, day } = growth(&mut parameters, listing);
        let fields = fields(&mut parameters, listing);
        let (filter, ages) = filter(&mut parameters, now);
        let page = Page::read(&mut parameters).unwrap_or(Page::FIRST_ROWS);
        let format = parameters.read(&FORMAT).unwrap_or_else(|| accepted_format(headers));
        parameters.finish()?;
        let fields = fields.unwrap_or_else(|| default_fields(listing));
        let (offset, limit) = (page.offset(), page.limit());
        let query = Query { order, filter, offset, limit, fields, format };
        let today = (!ages.is_empty()).then(|| now.date_naive());
        Ok(Self { query, day, page, today })
    }
}

/// The parameters of growth, read.
struct Growth {
    order: Order,
    day: Option<NaiveDate>,
}

fn growth(parameters: &mut Parameters<'_>, listing: Listing) -> Growth {
    let Listing::Trend(trend) = listing else {
        return Growth { order: listing.into(), day: None };
    };
    let window: Window = parameters.read(&WINDOW).unwrap_or_default();
    let order = match trend {
        Trend::Trending => {
            let measure: Option<Measure> = parameters.read(&BY);
            Order::Trending(window, measure.unwrap_or_default())
        }
        Trend::Falling => Order::Falling(window),
    };
    Growth { order, day: parameters.read_by(&DAY, parse_day) }
}

fn fields(parameters: &mut Parameters<'_>, listing: Listing) -> Option<Vec<Field>> {
    let all = all_fields(listing);
    let mut unknown = None;
    let fields = parameters.read_by(&FIELDS, |text| {
        if text == "all" {
            return Some(all.clone());
        }
        let mut fields: Vec<Field> = Vec::new();
        for name in text.split(',') {
            match name.parse().ok().filter(|field| all.contains(field)) {
                Some(field) if !fields.contains(&field) => fields.push(field),
                Some(_) => {}
                None => unknown = Some(name.to_owned()),
            }
        }
        Some(fields)
    });
    if unknown.is_some() {
        let names: Vec<&str> = all.iter().map(|field| field.name()).collect();
        parameters.refuse(
            "fields",
            format!("accepts all, or, with commas between them, {}", names.join(", ")),
        );
    }
    fields
}

/// The filter, and the names of the parameters that count days before today.
pub(super) fn filter(
    parameters: &mut Parameters<'_>,
    now: DateTime<Utc>,
) -> (Filter, Vec<&'static str>) {
    let today = now.date_naive();
    let mut ages = Vec::new();
    let mut days = |parameters: &mut Parameters<'_>, parameter: &Parameter| {
        let day = |text: &str| match text.strip_suffix('d') {
            Some(number) => {
                ages.push(parameter.name);
                today.checked_sub_days(Days::new(digits(number, MOST_DAY_DIGITS)?))
            }
            None => parse_day(text),
        };
        parameters.read_by(parameter, |text| range(text, NaiveDate::MIN, NaiveDate::MAX, day))
    };
    let filter = Filter {
        language: parameters.read_by(&LANGUAGE, choice).unwrap_or_default(),
        license: parameters.read_by(&LICENSE, choice).unwrap_or_default(),
        owner: parameters.read_by(&OWNER, choice).unwrap_or_default(),
        topics: parameters.read_by(&TOPIC, topics).unwrap_or_default(),
        stars: parameters.read_by(&STARS, numbers),
        forks: parameters.read_by(&FORKS, numbers),
        created: days(parameters, &CREATED),
        pushed: days(parameters, &PUSHED),
        updated: days(parameters, &UPDATED),
        archived: parameters.read(&ARCHIVED),
        template: parameters.read(&TEMPLATE),
        words: parameters.read_by(&Q, words).unwrap_or_default(),
    };
    ages.dedup();
    (filter, ages)
}

/// Values with commas between them, and those of them with a hyphen before them.
fn values<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<(Vec<T>, Vec<T>)> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for value in text.split(',') {
        match value.strip_prefix('-') {
            Some(value) => unwanted.push(parse(value)?),
            None => wanted.push(parse(value)?),
        }
    }
    (wanted.len() + unwanted.len() <= MOST_VALUES).then_some((wanted, unwanted))
}

fn choice(text: &str) -> Option<Choice> {
    let name = |name: &str| {
        // A plus sign that is not encoded stands for a space: `C++` is written `C%2B%2B`.
        let is_name = name.trim() == name
            && !name.is_empty()
            && !name.starts_with('-')
            && !name.contains(char::is_control);
        let name = name.to_lowercase();
        is_name.then(|| (name != "none").then_some(name))
    };
    values(text, name).map(|(wanted, unwanted)| Choice { wanted, unwanted })
}

fn topics(text: &str) -> Option<(Vec<Topic>, Vec<Topic>)> {
    values(text, |topic| topic.parse().ok())
}

fn words(text: &str) -> Option<Vec<String>> {
    let words = text.split(|char: char| char.is_whitespace() || char.is_control());
    let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    (1..=MOST_WORDS).contains(&words.len()).then_some(words)
}

fn numbers(text: &str) -> Option<RangeInclusive<i64>> {
    range(text, 0, i64::MAX, |text| digits(text, MOST_DIGITS))
}

fn digits<T: FromStr>(text: &str, most: usize) -> Option<T> {
    let is_number = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// One value, or a range with an end that is open, which `*` may stand for as well.
fn range<T: Clone>(
    text: &str,
    least: T,
    most: T,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> Option<RangeInclusive<T>> {
    let Some((from, to)) = text.split_once("..") else {
        return parse(text).map(|value| value.clone()..=value);
    };
    let is_open = |end: &str| end.is_empty() || end == "*";
    match (is_open(from), is_open(to)) {
        (true, true) => None,
        (true, false) => Some(least..=parse(to)?),
        (false, true) => Some(parse(from)?..=most),
        (false, false) => Some(parse(from)?..=parse(to)?),
    }
}

/// The parameters of a filter as a client sends them, always in the same order.
pub(super) fn filter_text(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default().as_bytes();
    let given: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(query).collect();
    let mut text = form_urlencoded::Serializer::new(String::new());
    for parameter in FILTERS {
        text.extend_pairs(given.iter().filter(|(name, _)| name == parameter.name));
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_both_ends_one_of_them_or_one_value() {
        assert_eq!(numbers("100"), Some(100..=100));
        assert_eq!(numbers("100..500"), Some(100..=500));
        for open in ["100..", "100..*"] {
            assert_eq!(numbers(open), Some(100..=i64::MAX), "{open}");
        }
        for open in ["..500", "*..500"] {
            assert_eq!(numbers(open), Some(0..=500), "{open}");
        }
        for wrong in ["", "..", "*..*", "-1", "+1", "1..2..3", "1e3", " 1", "1234567890123456"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn choices_have_names_to_take_and_names_to_leave_out() {
        let choice = choice("Go,-C++,none,-none,Jupyter Notebook").expect("names");
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(choice.wanted, [name("go"), None, name("jupyter notebook")]);
        assert_eq!(choice.unwanted, [name("c++"), None]);
        for wrong in ["", ",", "Go,", "-", "--x", " Go", "C  ", "a\u{7}b", &"a,".repeat(50)] {
            assert_eq!(super::choice(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_before_today_are_read_as_dates() {
        let now = "2026-03-01T23:59:59Z".parse().expect("a time");
        let read = |query: &str| {
            let uri = Uri::try_from(format!("/list?{query}")).expect("a URI");
            let mut parameters = Parameters::of(&uri);
            let (filter, ages) = filter(&mut parameters, now);
            parameters.finish().map(|()| (filter.pushed, ages)).ok()
        };
        let day = |text: &str| -> NaiveDate { text.parse().expect("a day") };
        let today = day("2026-03-01");
        let since = |first: &str| Some(day(first)..=NaiveDate::MAX);
        assert_eq!(read("pushed=1d.."), Some((since("2026-02-28"), vec!["pushed"])));
        assert_eq!(read("pushed=2026-02-28.."), Some((since("2026-02-28"), vec![])));
        assert_eq!(read("pushed=0d"), Some((Some(today..=today), vec!["pushed"])));
        for wrong in ["2026-02-30", "d", "-1d", "100000d", "2026-2-3", "20260203"] {
            assert_eq!(read(&format!("pushed={wrong}")), None, "{wrong}");
        }
    }
}
