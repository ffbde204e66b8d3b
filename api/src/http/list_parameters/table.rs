//! The parameters of lists: one table from which they are read, refused and described.

use crate::http::parameters::{Parameter, Shape};
use crate::lists::field::Field;
use crate::lists::table::Format;

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

macro_rules! date {
    () => {
        concat!(
            "[0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)",
            "|(0[13578]|1[02])-31)",
            "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
        )
    };
}

/// A date or an age.
macro_rules! day {
    () => {
        concat!(date!(), "|[0-9]{1,5}d")
    };
}

macro_rules! range {
    ($day:expr) => {
        Shape::Pattern(concat!("(", $day, r")(\.\.(", $day, r"|\*)?)?|\*?\.\.(", $day, ")"))
    };
}

const DAYS: Shape = range!(day!());
const DATES: Shape = range!(date!());

const A_RANGE_OF_NUMBERS: &str = "a number, or a range such as 100..500, 100.. or ..500";
const A_RANGE_OF_DATES: &str =
    "a day such as 2026-01-31, or a range such as 2026-01-31.. or ..2026-01-31";
const A_RANGE_OF_DAYS: &str =
    "a day such as 2026-01-31 or 30d, which is 30 days ago, or a range such as 90d.. or ..90d";

pub(super) const LANGUAGE: Parameter = Parameter {
    name: "language",
    accepted: "up to 50 languages with commas between them, -NAME to leave one out, or none",
    doc: "Repositories in one of these languages, compared without case.",
    example: "Go,Rust",
    shape: NAMES,
};

pub(super) const LICENSE: Parameter = Parameter {
    name: "license",
    accepted: "up to 50 SPDX ids with commas between them, -ID to leave one out, or none",
    doc: "Repositories under one of these licenses, compared without case.",
    example: "-GPL-3.0,-none",
    shape: NAMES,
};

pub(super) const OWNER: Parameter = Parameter {
    name: "owner",
    accepted: "up to 50 logins with commas between them, -LOGIN to leave one out, or none",
    doc: "Repositories of one of these owners, compared without case.",
    example: "kubernetes,-kubernetes-sigs",
    shape: NAMES,
};

pub(super) const TOPIC: Parameter = Parameter {
    name: "topic",
    accepted: "up to 50 topics with commas between them, -TOPIC to leave one out",
    doc: "Repositories that have all of these topics besides the list's own.",
    example: "docker,-tutorial",
    shape: TOPICS,
};

pub(super) const STARS: Parameter = Parameter {
    name: "stars",
    accepted: A_RANGE_OF_NUMBERS,
    doc: "Repositories with so many stars, both ends included.",
    example: "100..500",
    shape: NUMBERS,
};

pub(super) const FORKS: Parameter = Parameter {
    name: "forks",
    accepted: A_RANGE_OF_NUMBERS,
    doc: "Repositories with so many forks, both ends included.",
    example: "10..",
    shape: NUMBERS,
};

pub(super) const CREATED: Parameter = Parameter {
    name: "created",
    accepted: A_RANGE_OF_DAYS,
    doc: "Repositories created on these UTC days, both ends included.",
    example: "2015-01-01..2016-12-31",
    shape: DAYS,
};

pub(super) const PUSHED: Parameter = Parameter {
    name: "pushed",
    accepted: A_RANGE_OF_DAYS,
    doc: "Repositories last pushed to on these UTC days, both ends included.",
    example: "365d..",
    shape: DAYS,
};

pub(super) const UPDATED: Parameter = Parameter {
    name: "updated",
    accepted: A_RANGE_OF_DAYS,
    doc: "Repositories last updated on these UTC days, both ends included.",
    example: "..30d",
    shape: DAYS,
};

pub(super) const CREATED_ON: Parameter =
    Parameter { accepted: A_RANGE_OF_DATES, example: "2015-01-01..", shape: DATES, ..CREATED };

pub(super) const PUSHED_ON: Parameter =
    Parameter { accepted: A_RANGE_OF_DATES, example: "2015-01-01..", shape: DATES, ..PUSHED };

pub(super) const UPDATED_ON: Parameter =
    Parameter { accepted: A_RANGE_OF_DATES, example: "2015-01-01..", shape: DATES, ..UPDATED };

pub(super) const ARCHIVED: Parameter = Parameter {
    name: "archived",
    accepted: "true or false",
    doc: "Only archived repositories, or none of them.",
    example: "false",
    shape: Shape::Boolean,
};

pub(super) const TEMPLATE: Parameter = Parameter {
    name: "template",
    accepted: "true or false",
    doc: "Only template repositories, or none of them.",
    example: "false",
    shape: Shape::Boolean,
};

pub(super) const Q: Parameter = Parameter {
    name: "q",
    accepted: "1 to 10 words with spaces between them",
    doc: "Repositories with each word in their name, description or topics, without case.",
    example: "service mesh",
    shape: Shape::Pattern(concat!(
        r"[\s\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f]+",
        r"([\s\u0000-\u001f\u007f-\u009f]+[^\s\u0000-\u001f\u007f-\u009f]+){0,9}",
        r"[\s\u0000-\u001f\u007f-\u009f]*"
    )),
};

pub(super) const FIELDS: Parameter = Parameter {
    name: "fields",
    accepted: "all, or names of fields with commas between them",
    doc: "The fields of each row, in this order; those of a list without parameters if absent.",
    example: "full_name,description,topics",
    shape: Shape::ListOf(Field::STORED_NAMES),
};

pub(super) const TREND_FIELDS: Parameter =
    Parameter { shape: Shape::ListOf(Field::NAMES), ..FIELDS };

pub(super) const FORMAT: Parameter = Parameter {
    name: "format",
    accepted: "json, ndjson or csv",
    doc: "The format of the answer; if it is absent, the header Accept chooses.",
    example: "csv",
    shape: Shape::OneOf(Format::NAMES),
};

pub(in crate::http) const WINDOW: Parameter = Parameter {
    name: "window",
    accepted: "1d, 7d, 30d or 90d",
    doc: "The days within which growth is counted, 7d if it is absent.",
    example: "30d",
    shape: Shape::OneOf(&["1d", "7d", "30d", "90d"]),
};

pub(super) const BY: Parameter = Parameter {
    name: "by",
    accepted: "gained, percent, velocity or acceleration",
    doc: "The number by which repositories are ranked, gained if it is absent.",
    example: "velocity",
    shape: Shape::OneOf(&["gained", "percent", "velocity", "acceleration"]),
};

pub(super) const DAY: Parameter = Parameter {
    name: "day",
    accepted: "a day such as 2026-01-31",
    doc: "The last day of the window, the topic's last day with counts if it is absent.",
    example: "2026-09-21",
    shape: Shape::Date,
};

/// The parameters of filters.
pub(in crate::http) const FILTERS: [&Parameter; 12] = [
    &LANGUAGE, &LICENSE, &OWNER, &TOPIC, &STARS, &FORKS, &CREATED, &PUSHED, &UPDATED, &ARCHIVED,
    &TEMPLATE, &Q,
];

/// The same without ages, for answers that do not change with the day.
pub(in crate::http) const DATED_FILTERS: [&Parameter; 12] = [
    &LANGUAGE,
    &LICENSE,
    &OWNER,
    &TOPIC,
    &STARS,
    &FORKS,
    &CREATED_ON,
    &PUSHED_ON,
    &UPDATED_ON,
    &ARCHIVED,
    &TEMPLATE,
    &Q,
];

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use super::*;
    use crate::http::pages::{PAGE, PER_PAGE};

    /// `WRITE_DOCS=1` writes the table into the docs.
    #[test]
    fn docs_have_the_table() {
        let mut table =
            "| parameter | accepts | meaning | example |\n| --- | --- | --- | --- |\n".to_owned();
        let growth = [&WINDOW, &BY, &DAY];
        for parameter in
            FILTERS.into_iter().chain(growth).chain([&FIELDS, &FORMAT, &PAGE, &PER_PAGE])
        {
            let Parameter { name, accepted, doc, example, .. } = parameter;
            writeln!(table, "| `{name}` | {accepted} | {doc} | `{example}` |").expect("a string");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
        let docs = std::fs::read_to_string(&path).expect("the docs");
        let (before, rest) = docs.split_once("table.rs: begin -->\n").expect("the table's begin");
        let (present, after) = rest.split_once("<!-- end -->").expect("the table's end");
        if std::env::var_os("WRITE_DOCS").is_some() {
            let docs = format!("{before}table.rs: begin -->\n{table}<!-- end -->{after}");
            std::fs::write(path, docs).expect("the docs");
        } else {
            assert_eq!(present, table, "WRITE_DOCS=1 writes the table");
        }
    }
}
