//! The parameters of charts.

use std::ops::RangeInclusive;

use crate::http::parameters::{Parameter, Parameters, Shape};
use crate::pictures::options::Options;

pub(in crate::http) const RANGE: Parameter = Parameter {
    name: "range",
    accepted: "30d, 90d, 1y or all",
    doc: "The days that the chart draws, all if it is absent.",
    example: "90d",
    shape: Shape::OneOf(&["30d", "90d", "1y", "all"]),
};

pub(in crate::http) const TYPE: Parameter = Parameter {
    name: "type",
    accepted: "total or daily",
    doc: "Counts, which is the default, or how much they grew each day.",
    example: "daily",
    shape: Shape::OneOf(&["total", "daily"]),
};

pub(in crate::http) const SCALE: Parameter = Parameter {
    name: "scale",
    accepted: "linear or log",
    doc: "The scale of the counts, linear if it is absent.",
    example: "log",
    shape: Shape::OneOf(&["linear", "log"]),
};

pub(in crate::http) const ALIGN: Parameter = Parameter {
    name: "align",
    accepted: "date or start",
    doc: "The place of a day: by its date, which is the default, or from the first day on.",
    example: "start",
    shape: Shape::OneOf(&["date", "start"]),
};

const WIDTH: Parameter = Parameter {
    name: "width",
    accepted: "a whole number from 320 to 1200",
    doc: "The width in CSS pixels, 640 if it is absent.",
    example: "800",
    shape: Shape::Integer { minimum: 320, maximum: 1_200 },
};

const HEIGHT: Parameter = Parameter {
    name: "height",
    accepted: "a whole number from 160 to 800",
    doc: "The height in CSS pixels, 320 if it is absent.",
    example: "400",
    shape: Shape::Integer { minimum: 160, maximum: 800 },
};

const THEME: Parameter = Parameter {
    name: "theme",
    accepted: "auto, light or dark",
    doc: "The colours; auto, which is the default, goes by the reader's system.",
    example: "dark",
    shape: Shape::OneOf(&["auto", "light", "dark"]),
};

/// Every parameter that [`read`] reads.
pub(super) const OPTIONS: [&Parameter; 7] =
    [&RANGE, &TYPE, &SCALE, &ALIGN, &WIDTH, &HEIGHT, &THEME];

pub(super) fn read(parameters: &mut Parameters<'_>) -> Options {
    let default = read_days(parameters);
    let size = |text: &str, sizes: RangeInclusive<u16>| {
        text.parse().ok().filter(|size| sizes.contains(size))
    };
    Options {
        align: parameters.read(&ALIGN).unwrap_or_default(),
        width: parameters.read_by(&WIDTH, |text| size(text, 320..=1_200)).unwrap_or(default.width),
        height: parameters.read_by(&HEIGHT, |text| size(text, 160..=800)).unwrap_or(default.height),
        theme: parameters.read(&THEME).unwrap_or_default(),
        ..default
    }
}

/// The days and their values: what [`RANGE`], [`TYPE`] and [`SCALE`] say.
pub(in crate::http) fn read_days(parameters: &mut Parameters<'_>) -> Options {
    Options {
        range: parameters.read(&RANGE).unwrap_or_default(),
        kind: parameters.read(&TYPE).unwrap_or_default(),
        scale: parameters.read(&SCALE).unwrap_or_default(),
        ..Options::default()
    }
}
