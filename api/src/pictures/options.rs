//! The options of a chart.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// The days that a chart draws: the last ones, or each series' first ones under [`Align::Start`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Range {
    #[strum(serialize = "30d")]
    Month,
    #[strum(serialize = "90d")]
    Quarter,
    #[strum(serialize = "1y")]
    Year,
    #[default]
    #[strum(serialize = "all")]
    All,
}

impl Range {
    /// The number of days, if it is bounded.
    #[must_use]
    pub const fn days(self) -> Option<i64> {
        match self {
            Self::Month => Some(30),
            Self::Quarter => Some(90),
            Self::Year => Some(365),
            Self::All => None,
        }
    }
}

/// Whether a chart draws counts or how much they grew each day.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    #[default]
    Total,
    Daily,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Scale {
    #[default]
    Linear,
    /// By log(1 + n), and −log(1 − n) below zero, so that zero and falls have a place.
    Log,
}

/// The place of a day on the horizontal axis.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Align {
    #[default]
    Date,
    /// By the days since the first day of its series.
    Start,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Theme {
    /// Light or dark, as the reader's system asks by `prefers-color-scheme`.
    #[default]
    Auto,
    Light,
    Dark,
}

/// The parameters of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub range: Range,
    pub kind: Kind,
    pub scale: Scale,
    pub align: Align,
    pub theme: Theme,
    /// In CSS pixels, from 320 to 1,200.
    pub width: u16,
    /// In CSS pixels, from 160 to 800.
    pub height: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            range: Range::default(),
            kind: Kind::default(),
            scale: Scale::default(),
            align: Align::default(),
            theme: Theme::default(),
            width: 640,
            height: 320,
        }
    }
}
