//! The rankings: one table by which routes, caches, load test and tests go.

use strum::VariantArray;

/// An order in which a topic's repositories are listed. Equal ranks: lowest id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Ranking {
    /// GitHub's own best match; only repositories that it has ranked.
    BestMatch,
    /// By stargazers_count, most first.
    Popularity,
    /// By updated_at, newest first.
    Activity,
}

impl Ranking {
    /// Every ranking, in the order in which a bundle of lists keeps them.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name in caches and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BestMatch => "best_match",
            Self::Popularity => "popularity",
            Self::Activity => "activity",
        }
    }

    /// The part of the path before the topic: `/api/{topic}`, `/api/popularity/{topic}`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::BestMatch => "",
            Self::Popularity => "popularity/",
            Self::Activity => "activity/",
        }
    }

    /// The order in words, for the index of routes.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::BestMatch => "in GitHub's own best-match order",
            Self::Popularity => "by stars, most first",
            Self::Activity => "by last update, newest first",
        }
    }
}
