//! The part of GitHub's search syntax that repository lists need.
//!
//! Source: GitHub's "Searching for repositories". By measurements of third parties, two ranges of
//! the same qualifier are a union.

use std::cmp::Reverse;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::repository::Repository;

/// GitHub's limit for the words of a query in characters; qualifiers do not count.
const MAX_WORDS_LENGTH: usize = 256;

/// A parsed `q` parameter.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    words: Vec<String>,
    topics: Vec<String>,
    stars: Vec<Range<i64>>,
    created: Vec<Range<DateTime<Utc>>>,
    pushed: Vec<Range<DateTime<Utc>>>,
    languages: Vec<String>,
    archived: Option<bool>,
    fork: Fork,
}

/// The `fork` qualifier: without it, a search leaves forks out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fork {
    #[default]
    Without,
    With,
    Only,
}

/// A range that includes both ends; an open end is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range<T> {
    from: Option<T>,
    to: Option<T>,
}

impl<T: PartialOrd + Copy> Range<T> {
    fn contains(&self, value: T) -> bool {
        self.from.is_none_or(|from| from <= value) && self.to.is_none_or(|to| value <= to)
    }
}

/// The reason of a 422.
#[derive(Debug, PartialEq)]
pub(crate) enum InvalidQuery {
    /// `q` is absent or blank.
    Missing,
    /// The words have more than [`MAX_WORDS_LENGTH`] characters.
    TooLong,
    /// The stub does not model this qualifier or value; to ignore it would make a test pass on
    /// wrong results.
    Unknown(String),
}

impl Query {
    pub(crate) fn parse(q: &str) -> Result<Self, InvalidQuery> {
        if q.trim().is_empty() {
            return Err(InvalidQuery::Missing);
        }
        let mut query = Self::default();
        for term in q.split_whitespace() {
            let unknown = || InvalidQuery::Unknown(term.to_owned());
            let Some((qualifier, value)) = term.split_once(':') else {
                query.words.push(term.to_lowercase());
                continue;
            };
            match qualifier {
                "topic" => query.topics.push(value.to_owned()),
                "stars" => query
                    .stars
                    .push(range(value, |text, _| text.parse().ok(), 1).ok_or_else(unknown)?),
                "created" => query.created.push(dates(value).ok_or_else(unknown)?),
                "pushed" => query.pushed.push(dates(value).ok_or_else(unknown)?),
                "language" => query.languages.push(value.to_lowercase()),
                "archived" => query.archived = Some(value.parse().map_err(|_| unknown())?),
                "fork" => {
                    query.fork = match value {
                        "true" => Fork::With,
                        "only" => Fork::Only,
                        "false" => Fork::Without,
                        _ => return Err(unknown()),
                    };
                }
                "is" if value == "public" => {}
                _ => return Err(unknown()),
            }
        }
        if query.words.join(" ").chars().count() > MAX_WORDS_LENGTH {
            return Err(InvalidQuery::TooLong);
        }
        Ok(query)
    }

    pub(crate) fn matches(&self, repository: &Repository) -> bool {
        fn any<T: PartialOrd + Copy>(ranges: &[Range<T>], value: T) -> bool {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(value))
        }
        let fork = match self.fork {
            Fork::Without => !repository.fork,
            Fork::With => true,
            Fork::Only => repository.fork,
        };
        fork && self.topics.iter().all(|topic| repository.topics.contains(topic))
            && self.archived.is_none_or(|archived| archived == repository.archived)
            && any(&self.stars, repository.stars)
            && any(&self.created, repository.created)
            && any(&self.pushed, repository.pushed)
            && (self.languages.is_empty()
                || repository.language.as_ref().is_some_and(|own| self.languages.contains(own)))
            && self.words.iter().all(|word| repository.path.contains(word))
    }
}

/// Parses `a..b`, `>=a`, `>a`, `<=a`, `<a`, `a`, with `*` as an open end. `parse` gets the end that
/// it parses; `step` is the distance from a value to the next one.
fn range<T, D>(text: &str, parse: impl Fn(&str, End) -> Option<T>, step: D) -> Option<Range<T>>
where
    T: Copy + std::ops::Add<D, Output = T> + std::ops::Sub<D, Output = T>,
    D: Copy,
{
    let end =
        |text: &str, end: End| if text == "*" { Some(None) } else { parse(text, end).map(Some) };
    if let Some((from, to)) = text.split_once("..") {
        return Some(Range { from: end(from, End::From)?, to: end(to, End::To)? });
    }
    if let Some(rest) = text.strip_prefix(">=") {
        Some(Range { from: end(rest, End::From)?, to: None })
    } else if let Some(rest) = text.strip_prefix("<=") {
        Some(Range { from: None, to: end(rest, End::To)? })
    } else if let Some(rest) = text.strip_prefix('>') {
        Some(Range { from: end(rest, End::To)?.map(|value| value + step), to: None })
    } else if let Some(rest) = text.strip_prefix('<') {
        Some(Range { from: None, to: end(rest, End::From)?.map(|value| value - step) })
    } else {
        Some(Range { from: end(text, End::From)?, to: end(text, End::To)? })
    }
}

/// An end of a range. A date without a time means its first second as `From`, its last as `To`.
#[derive(Clone, Copy)]
enum End {
    From,
    To,
}

fn dates(text: &str) -> Option<Range<DateTime<Utc>>> {
    let parse = |text: &str, end: End| {
        if let Ok(day) = text.parse::<NaiveDate>() {
            let time = match end {
                End::From => day.and_hms_opt(0, 0, 0),
                End::To => day.and_hms_opt(23, 59, 59),
            };
            return time.map(|time| time.and_utc());
        }
        DateTime::parse_from_rfc3339(text).ok().map(|date| date.with_timezone(&Utc))
    };
    range(text, parse, TimeDelta::seconds(1))
}

/// The `sort` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    BestMatch,
    Stars,
    Forks,
    Updated,
}

impl Sort {
    /// Like GitHub, takes an unknown `sort` for best match.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("stars") => Self::Stars,
            Some("forks") => Self::Forks,
            Some("updated") => Self::Updated,
            _ => Self::BestMatch,
        }
    }
}

/// Options of [`sort`]; [`crate::Settings`] explains the last two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub(crate) ascending: bool,
    pub(crate) updated_by_push: bool,
    pub(crate) shuffle: Option<u64>,
}

pub(crate) fn sort(repositories: &mut [&Repository], by: Sort, order: Order) {
    // Equal ranks: the lowest id first, or a pseudo-random order for each seed.
    let tie = |repository: &Repository| match order.shuffle {
        None => repository.id,
        Some(seed) => fastrand::Rng::with_seed(repository.id ^ seed).u64(..),
    };
    let rank = |repository: &Repository| match by {
        Sort::BestMatch => 0,
        Sort::Stars => repository.stars,
        Sort::Forks => repository.forks,
        Sort::Updated if order.updated_by_push => repository.pushed.timestamp(),
        Sort::Updated => repository.updated.timestamp(),
    };
    match by {
        Sort::BestMatch => repositories.sort_by_key(|repository| repository.best_match_key()),
        _ if order.ascending => {
            repositories.sort_by_key(|repository| (rank(repository), tie(repository)))
        }
        _ => repositories.sort_by_key(|repository| (Reverse(rank(repository)), tie(repository))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().expect("a date"))
    }

    #[test]
    fn query_parses_every_qualifier_that_the_mirror_uses() {
        let q = "topic:kubernetes stars:10..20 stars:>=99 \
                 created:2020-01-01..2020-01-02T03:04:05+00:00 \
                 archived:false fork:only language:Go is:public cli";
        let query = Query::parse(q).expect("valid");
        assert_eq!(query.topics, ["kubernetes"]);
        assert_eq!(
            query.stars,
            [Range { from: Some(10), to: Some(20) }, Range { from: Some(99), to: None }]
        );
        assert_eq!(
            query.created,
            [Range { from: date("2020-01-01T00:00:00Z"), to: date("2020-01-02T03:04:05Z") }]
        );
        assert_eq!((query.archived, query.fork), (Some(false), Fork::Only));
        assert_eq!((query.languages, query.words), (vec!["go".into()], vec!["cli".into()]));
    }

    #[test]
    fn range_excludes_the_value_of_a_strict_end() {
        assert_eq!(
            range("<5", |text, _| text.parse().ok(), 1),
            Some(Range { from: None, to: Some(4) })
        );
        assert_eq!(
            range("*..5", |text, _| text.parse().ok(), 1),
            Some(Range { from: None, to: Some(5) })
        );
        assert_eq!(
            dates(">2020-01-01"),
            Some(Range { from: date("2020-01-02T00:00:00Z"), to: None })
        );
    }

    #[test]
    fn query_returns_the_reason_when_it_does_not_parse() {
        assert_eq!(Query::parse("  "), Err(InvalidQuery::Missing));
        assert_eq!(Query::parse(&"x".repeat(257)), Err(InvalidQuery::TooLong));
        assert_eq!(Query::parse("topics:>3"), Err(InvalidQuery::Unknown("topics:>3".into())));
        assert_eq!(Query::parse("stars:many"), Err(InvalidQuery::Unknown("stars:many".into())));
    }
}
