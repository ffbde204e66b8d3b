//! The parameters of charts.

use crate::http::parameters::{Parameter, Parameters, Shape, parameters};
use crate::pictures::options::Options;

parameters! {
    pub(in crate::http) RANGE = "range", Shape::OneOf(&["30d", "90d", "1y", "all"]), such as "90d":
        "The days that the chart draws, all if it is absent.";

    pub(in crate::http) TYPE = "type", Shape::OneOf(&["total", "daily"]), such as "daily":
        "Counts, which is the default, or how much they grew each day.";

    pub(in crate::http) SCALE = "scale", Shape::OneOf(&["linear", "log"]), such as "log":
        "The scale of the counts, linear if it is absent.";

    pub(in crate::http) ALIGN = "align", Shape::OneOf(&["date", "start"]), such as "start":
        "The place of a day: by its date, which is the default, or from the first day on.";

    WIDTH = "width", Shape::Integer(320..=1_200), such as "800":
        "The width in CSS pixels, 640 if it is absent.";

    HEIGHT = "height", Shape::Integer(160..=800), such as "400":
        "The height in CSS pixels, 320 if it is absent.";

    THEME = "theme", Shape::OneOf(&["auto", "light", "dark"]), such as "dark":
        "The colours; auto, which is the default, goes by the reader's system.";
}

/// Every parameter that [`read`] reads.
pub(super) const OPTIONS: [&Parameter; 7] =
    [&RANGE, &TYPE, &SCALE, &ALIGN, &WIDTH, &HEIGHT, &THEME];

pub(super) fn read(parameters: &mut Parameters<'_>) -> Options {
    let default = read_days(parameters);
    Options {
        align: parameters.read(&ALIGN).unwrap_or_default(),
        width: parameters.read(&WIDTH).unwrap_or(default.width),
        height: parameters.read(&HEIGHT).unwrap_or(default.height),
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
