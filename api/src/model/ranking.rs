//! The lists of a topic: one table by which routes, caches and tests go.

use strum::VariantArray;

use super::growth::{Measure, Window};

/// An order in which the database lists a topic's repositories as well. Equal ranks: lowest id
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Ranking {
    /// GitHub's own best match; only repositories that it has ranked.
    BestMatch,
    /// By stargazers_count, most first.
    Popularity,
    /// By updated_at, newest first.
    Activity,
}

/// The repositories whose stars changed within a window, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trend {
    /// Those that gained stars.
    Trending,
    /// Those that lost stars.
    Falling,
}

/// A list that is kept ready for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    Ranked(Ranking),
    /// By created_at, newest first.
    Newest,
    /// Within the week that ends with the last day of counts, by stars.
    Trend(Trend),
}

impl Ranking {
    pub const ALL: &[Self] = Self::VARIANTS;
}

impl From<Ranking> for Listing {
    fn from(ranking: Ranking) -> Self {
        Self::Ranked(ranking)
    }
}

impl From<Trend> for Listing {
    fn from(trend: Trend) -> Self {
        Self::Trend(trend)
    }
}

/// The rows that a list has, and which come first. Equal ranks: lowest id first.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Order {
    Ranked(Ranking),
    /// By creation, newest first; those without a date last.
    Newest,
    /// Those that gained most by the measure, then by stars.
    Trending(Window, Measure),
    /// Those that lost most stars.
    Falling(Window),
}

impl From<Ranking> for Order {
    fn from(ranking: Ranking) -> Self {
        Self::Ranked(ranking)
    }
}

impl From<Listing> for Order {
    fn from(listing: Listing) -> Self {
        match listing {
            Listing::Ranked(ranking) => Self::Ranked(ranking),
            Listing::Newest => Self::Newest,
            Listing::Trend(Trend::Trending) => {
                Self::Trending(Window::default(), Measure::default())
            }
            Listing::Trend(Trend::Falling) => Self::Falling(Window::default()),
        }
    }
}

impl Order {
    /// The window of growth; `None` if the order is of none.
    #[must_use]
    pub fn window(self) -> Option<Window> {
        match self {
            Self::Ranked(_) | Self::Newest => None,
            Self::Trending(window, _) | Self::Falling(window) => Some(window),
        }
    }
}

impl Listing {
    /// Every list, in the order in which a bundle keeps them.
    pub const ALL: [Self; 6] = [
        Self::Ranked(Ranking::BestMatch),
        Self::Ranked(Ranking::Popularity),
        Self::Ranked(Ranking::Activity),
        Self::Newest,
        Self::Trend(Trend::Trending),
        Self::Trend(Trend::Falling),
    ];

    /// The name in caches and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ranked(Ranking::BestMatch) => "best_match",
            Self::Ranked(Ranking::Popularity) => "popularity",
            Self::Ranked(Ranking::Activity) => "activity",
            Self::Newest => "newest",
            Self::Trend(Trend::Trending) => "trending",
            Self::Trend(Trend::Falling) => "falling",
        }
    }

    /// The path under `/api`, for axum's router.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Ranked(Ranking::BestMatch) => "/{topic}".to_owned(),
            _ => format!("/{}/{{topic}}", self.name()),
        }
    }

    /// The order in words, for the index of routes.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Ranked(Ranking::BestMatch) => "in GitHub's own best-match order",
            Self::Ranked(Ranking::Popularity) => "by stars, most first",
            Self::Ranked(Ranking::Activity) => "by last update, newest first",
            Self::Newest => "by creation, newest first",
            Self::Trend(Trend::Trending) => "by stars gained within 7 days, most first",
            Self::Trend(Trend::Falling) => "by stars lost within 7 days, most first",
        }
    }
}
