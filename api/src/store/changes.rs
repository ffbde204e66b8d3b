//! The changes that a refresh brings to the store.

use chrono::{DateTime, Utc};

use crate::model::repository::{Repository, RepositoryId};
use crate::model::topic::{Coverage, SyncCursor, Topic};

/// A page of a search, or repositories that were asked for by id.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Each id once.
    pub repositories: &'a [Repository],
    /// The ids of items that could not be read. Stored ones keep their rows and places.
    pub unreadable: &'a [RepositoryId],
    /// The run's coverage of its topic.
    pub coverage: Coverage,
}

/// The part of a topic that a run should have shown, by the stored numbers. A stored repository in
/// it that the run did not show is unconfirmed: GitHub drops some now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The first so many by stars and by update. A repository among neither is displaced.
    First(i64),
    /// Every repository.
    All,
    /// Every repository updated after a time, and those that no run confirmed since the last one
    /// over all of them.
    Since {
        /// Compared with `updated_at`.
        updated_at: DateTime<Utc>,
        /// The beginning of the last run over all repositories.
        confirmed_at: DateTime<Utc>,
    },
}

impl Scope {
    /// The number of places, in each ranking, that the scope covers.
    pub(super) fn depth(self) -> i64 {
        match self {
            Self::First(depth) => depth,
            // mutant in coverage: every repository of a whole topic may be unconfirmed
            //     i64::MAX => 500
            Self::All | Self::Since { .. } => i64::MAX,
        }
    }

    /// The coverage of a run with this scope.
    pub(super) fn coverage(self) -> Coverage {
        match self {
            Self::First(_) => Coverage::Top,
            Self::All | Self::Since { .. } => Coverage::Complete,
        }
    }

    pub(super) fn since(self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        match self {
            Self::First(_) | Self::All => None,
            Self::Since { updated_at, confirmed_at } => Some((updated_at, confirmed_at)),
        }
    }
}

/// The last transaction of a topic's refresh.
#[derive(Clone, Debug)]
pub struct FinishRun<'a> {
    pub topic: &'a Topic,
    /// `None` for a run that was not complete.
    pub complete: Option<CompleteRun<'a>>,
    /// GitHub's count, if the run has seen it.
    pub total_count: Option<i64>,
    /// A much smaller result and when it was seen, to be remembered until a later run agrees.
    pub shrunk: Option<(i64, DateTime<Utc>)>,
    pub cursor: SyncCursor,
    /// The slices that were read are for the next run, because the reading did not end.
    pub keeps_slices: bool,
}

/// The facts that only a complete run establishes.
#[derive(Clone, Debug)]
pub struct CompleteRun<'a> {
    /// GitHub's order, first to last.
    pub best_match: &'a [RepositoryId],
    /// The size of the result, with which the next run's is compared.
    pub found: i64,
    /// Repositories displaced in it leave the topic.
    pub scope: Scope,
}
