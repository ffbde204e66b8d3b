//! The parameters of lists: one table from which they are read, refused and described.

use crate::http::parameters::{Parameter, Shape, parameters};
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

const NAMES: &str = concat!(name!(), "(,", name!(), "){0,49}");

const TOPICS: &str = "-?[A-Za-z0-9][A-Za-z0-9-]{0,49}(,-?[A-Za-z0-9][A-Za-z0-9-]{0,49}){0,49}";

const NUMBERS: Shape = Shape::Pattern(
    r"[0-9]{1,15}(\.\.([0-9]{1,15}|\*)?)?|\*?\.\.[0-9]{1,15}",
    "a number, or a range such as 100..500, 100.. or ..500",
);

const WORDS: Shape = Shape::Pattern(
    concat!(
        r"[\s\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f]+",
        r"([\s\u0000-\u001f\u007f-\u009f]+[^\s\u0000-\u001f\u007f-\u009f]+){0,9}",
        r"[\s\u0000-\u001f\u007f-\u009f]*"
    ),
    "1 to 10 words with spaces between them",
);

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
        concat!("(", $day, r")(\.\.(", $day, r"|\*)?)?|\*?\.\.(", $day, ")")
    };
}

const DAYS: Shape = Shape::Pattern(
    range!(day!()),
    "a day such as 2026-01-31 or 30d, which is 30 days ago, or a range such as 90d.. or ..90d",
);

const DATES: Shape = Shape::Pattern(
    range!(date!()),
    "a day such as 2026-01-31, or a range such as 2026-01-31.. or ..2026-01-31",
);

parameters! {
    pub(super) LANGUAGE = "language", Shape::Pattern(
        NAMES, "up to 50 languages with commas between them, -NAME to leave one out, or none"
    ), such as "Go,Rust":
        "Repositories in one of these languages, compared without case.";

    pub(super) LICENSE = "license", Shape::Pattern(
        NAMES, "up to 50 SPDX ids with commas between them, -ID to leave one out, or none"
    ), such as "-GPL-3.0,-none":
        "Repositories under one of these licenses, compared without case.";

    pub(super) OWNER = "owner", Shape::Pattern(
        NAMES, "up to 50 logins with commas between them, -LOGIN to leave one out, or none"
    ), such as "kubernetes,-kubernetes-sigs":
        "Repositories of one of these owners, compared without case.";

    pub(super) TOPIC = "topic", Shape::Pattern(
        TOPICS, "up to 50 topics with commas between them, -TOPIC to leave one out"
    ), such as "docker,-tutorial":
        "Repositories that have all of these topics besides the list's own.";

    pub(super) STARS = "stars", NUMBERS, such as "100..500":
        "Repositories with so many stars, both ends included.";

    pub(super) FORKS = "forks", NUMBERS, such as "10..":
        "Repositories with so many forks, both ends included.";

    pub(super) CREATED = "created", DAYS, such as "2015-01-01..2016-12-31":
        "Repositories created on these UTC days, both ends included.";

    pub(super) PUSHED = "pushed", DAYS, such as "365d..":
        "Repositories last pushed to on these UTC days, both ends included.";

    pub(super) UPDATED = "updated", DAYS, such as "..30d":
        "Repositories last updated on these UTC days, both ends included.";
}

pub(super) const CREATED_ON: Parameter =
    Parameter { example: "2015-01-01..", shape: DATES, ..CREATED };

pub(super) const PUSHED_ON: Parameter =
    Parameter { example: "2015-01-01..", shape: DATES, ..PUSHED };

pub(super) const UPDATED_ON: Parameter =
    Parameter { example: "2015-01-01..", shape: DATES, ..UPDATED };

parameters! {
    pub(super) ARCHIVED = "archived", Shape::Boolean, such as "false":
        "Only archived repositories, or none of them.";

    pub(super) TEMPLATE = "template", Shape::Boolean, such as "false":
        "Only template repositories, or none of them.";

    pub(super) Q = "q", WORDS, such as "service mesh":
        "Repositories with each word in their name, description or topics, without case.";

    pub(super) FIELDS = "fields", Shape::ListOf(Field::STORED_NAMES),
        such as "full_name,description,topics":
        "The fields of each row, in this order; those of a list without parameters if absent.";
}

pub(super) const TREND_FIELDS: Parameter =
    Parameter { shape: Shape::ListOf(Field::NAMES), ..FIELDS };

parameters! {
    pub(super) FORMAT = "format", Shape::OneOf(Format::NAMES), such as "csv":
        "The format of the answer; if it is absent, the header Accept chooses.";

    pub(in crate::http) WINDOW = "window", Shape::OneOf(&["1d", "7d", "30d", "90d"]), such as "30d":
        "The days within which growth is counted, 7d if it is absent.";

    pub(super) BY = "by", Shape::OneOf(&["gained", "percent", "velocity", "acceleration"]),
        such as "velocity":
        "The number by which repositories are ranked, gained if it is absent.";

    pub(super) DAY = "day", Shape::Date, such as "2026-09-21":
        "The last day of the window, the topic's last day with counts if it is absent.";
}

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
            let Parameter { name, doc, example, shape } = parameter;
            let accepted = shape.accepted();
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
