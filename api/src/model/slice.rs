//! Slices of a topic by date of creation, for topics larger than one search shows.

use chrono::{DateTime, Utc};

/// Repositories created in a range of seconds, both ends included. Slices are nodes of one fixed
/// binary tree, so that a run finds the slices of the run before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The first second, in seconds since 1970.
    from: i64,
    /// The number of seconds, a power of two.
    length: i64,
}

impl Slice {
    /// Every date of creation from 2007-10-01, when GitHub was made, to 2041.
    pub const ROOT: Self = Self { from: 1_191_196_800, length: 1 << 30 };

    /// The slice from one second to another, both included.
    #[must_use]
    pub fn between(first: DateTime<Utc>, last: DateTime<Utc>) -> Self {
        Self { from: first.timestamp(), length: last.timestamp() - first.timestamp() + 1 }
    }

    /// The first second.
    #[must_use]
    pub fn first(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.from, 0).unwrap_or_default()
    }

    /// The last second.
    #[must_use]
    pub fn last(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.from + self.length - 1, 0).unwrap_or_default()
    }

    /// Whether the other slice lies within this one.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.from <= other.from && other.from + other.length <= self.from + self.length
    }

    /// The older half and the younger half; a slice of one second has none.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let length = self.length / 2;
        let younger = Self { from: self.from + length, length };
        (length > 0).then_some([Self { length, ..self }, younger])
    }

    /// The slice in GitHub's search syntax. It is one `created:` range: GitHub joins two of them
    /// by "or".
    #[must_use]
    pub fn qualifier(self) -> String {
        let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
        format!("created:{}..{}", time(self.first()), time(self.last()))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn halves_hold_every_second_exactly_once() {
        let mut slice = Slice::ROOT;
        while let Some([older, younger]) = slice.halves() {
            assert_eq!((older.first(), younger.last()), (slice.first(), slice.last()));
            assert_eq!(younger.first() - older.last(), TimeDelta::seconds(1));
            slice = if slice.length % 3 == 1 { older } else { younger };
        }
        assert_eq!(slice.first(), slice.last());
    }

    #[test]
    fn qualifier_names_both_ends_to_the_second() {
        let expected = "created:2007-10-01T00:00:00+00:00..2041-10-09T13:37:03+00:00";
        assert_eq!(Slice::ROOT.qualifier(), expected);
    }
}
