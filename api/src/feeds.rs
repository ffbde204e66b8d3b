//! Feeds of a topic: what joined it, what happened to it, what grew most.
//!
//! Ids and dates of entries are made of their content alone. They are the same on every replica and
//! under every host, and never change.

mod atom;
mod event_entries;
mod feed;
mod json;
mod opml;
mod text;
mod trending_entries;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use event_entries::event_entries;
pub use feed::{Entry, Feed};
pub use json::JsonFeed;
pub use opml::opml;
pub use trending_entries::{MOST_TRENDING, TrendingRow, trending_entry};

use self::text::uuid;
use crate::model::event::EventKind;
use crate::model::filter::Filter;
use crate::model::topic::Topic;

/// The days that a feed looks back, with the present one.
const DAYS: u64 = 31;

/// The most entries of a feed.
pub const MOST_ENTRIES: usize = 100;

/// A period is finished this long after its end. A run may store an event some seconds after its
/// time, and the clocks of replicas differ.
const SETTLING: TimeDelta = TimeDelta::minutes(5);

#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FeedKind {
    /// Repositories that joined.
    New,
    Events,
    Trending,
}

#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FeedFormat {
    Atom,
    Json,
}

/// One entry a period.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum Digest {
    /// UTC days.
    Daily,
    /// ISO weeks, Monday to Sunday, UTC.
    Weekly,
}

/// The days of a digest's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestPeriod {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

/// A feed, apart from the format and the host.
#[derive(Clone, Debug)]
pub struct FeedQuery {
    pub topic: Topic,
    pub kind: FeedKind,
    pub digest: Option<Digest>,
    /// The repositories that the feed is about.
    pub filter: Filter,
    /// The filter as parameters of a query, always in the same order.
    pub filter_text: String,
}

impl FeedKind {
    /// The kinds of events that are entries.
    #[must_use]
    pub fn events(self) -> &'static [EventKind] {
        match self {
            Self::New => &[EventKind::Joined],
            Self::Events => EventKind::VARIANTS,
            Self::Trending => &[],
        }
    }
}

impl FeedFormat {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Atom => "application/atom+xml; charset=utf-8",
            Self::Json => "application/feed+json; charset=utf-8",
        }
    }

    /// # Errors
    /// Never: the writers' libraries declare errors for other destinations than memory.
    pub fn write(self, feed: &Feed) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Atom => atom::write(feed),
            Self::Json => json::write(feed),
        }
    }
}

impl Digest {
    #[must_use]
    pub fn period(self, day: NaiveDate) -> DigestPeriod {
        let (before, after) = match self {
            Self::Daily => (0, 0),
            Self::Weekly => {
                let monday = u64::from(day.weekday().num_days_from_monday());
                (monday, 6 - monday)
            }
        };
        DigestPeriod { first: day - Days::new(before), last: day + Days::new(after) }
    }

    /// The finished periods that a feed looks back at, newest first.
    pub fn finished(self, now: DateTime<Utc>) -> impl Iterator<Item = DigestPeriod> {
        let unfinished = self.period((now - SETTLING).date_naive());
        let newest = self.period(unfinished.first - Days::new(1));
        let earlier = move |period: &DigestPeriod| Some(self.period(period.first - Days::new(1)));
        let since = since(now);
        std::iter::successors(Some(newest), earlier).take_while(move |period| period.end() >= since)
    }
}

impl DigestPeriod {
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        midnight(self.first)
    }

    /// The first instant after it, which is the date of its entry.
    #[must_use]
    pub fn end(self) -> DateTime<Utc> {
        midnight(self.last + Days::new(1))
    }

    fn in_words(self) -> String {
        let Self { first, last } = self;
        if first == last { format!("on {first}") } else { format!("from {first} to {last}") }
    }
}

/// The first instant of the days that a feed looks back.
#[must_use]
pub fn since(now: DateTime<Utc>) -> DateTime<Utc> {
    midnight(now.date_naive() - Days::new(DAYS - 1))
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

impl FeedQuery {
    /// A feed without parameters.
    #[must_use]
    pub fn all(topic: Topic, kind: FeedKind) -> Self {
        let (filter, filter_text) = (Filter::default(), String::new());
        Self { topic, kind, digest: None, filter, filter_text }
    }

    /// The path and query under which the feed is found; a default is left out.
    #[must_use]
    pub fn path(&self, format: FeedFormat) -> String {
        let (kind, extension): (&str, &str) = (self.kind.into(), format.into());
        let default = (self.kind == FeedKind::Trending).then_some(Digest::Daily);
        let digest = self.digest.filter(|digest| Some(*digest) != default);
        let digest = digest.map(|digest| format!("digest={}", <&str>::from(digest)));
        let filter = (!self.filter_text.is_empty()).then(|| self.filter_text.clone());
        let query = digest.into_iter().chain(filter).collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/feeds/{}/{kind}.{extension}{mark}{query}", self.topic)
    }

    /// The feed of these entries, newest first, under the address of the service. A feed without
    /// entries was updated when the topic was first tracked.
    #[must_use]
    pub fn feed(
        &self,
        entries: Vec<Entry>,
        tracked_at: DateTime<Utc>,
        base: &str,
        format: FeedFormat,
    ) -> Feed {
        let kind: &str = self.kind.into();
        let digest = self.digest.map(<&str>::from);
        Feed {
            id: self.id(&["feed", self.topic.as_str(), kind, digest.unwrap_or_default()]),
            title: self.title(),
            page: format!("{base}/topics/{}", self.topic),
            address: format!("{base}{}", self.path(format)),
            updated: entries.first().map_or(tracked_at, |entry| entry.at),
            entries,
        }
    }

    /// The id of what these parts name, for the repositories that the feed is about.
    fn id(&self, parts: &[&str]) -> String {
        let filter = (!self.filter_text.is_empty()).then_some(&*self.filter_text);
        uuid(&parts.iter().copied().chain(filter).collect::<Vec<_>>())
    }

    fn title(&self) -> String {
        let topic = &self.topic;
        let title = match self.kind {
            FeedKind::New => format!("New in {topic}"),
            FeedKind::Events => format!("Events in {topic}"),
            FeedKind::Trending => format!("Trending in {topic}"),
        };
        match self.digest {
            None => title,
            Some(digest) => format!("{title}, {}", <&str>::from(digest)),
        }
    }

    /// The entry of a digest's period.
    fn digest_entry(
        &self,
        digest: Digest,
        period: DigestPeriod,
        title: &str,
        url: String,
        html: String,
    ) -> Entry {
        let (kind, digest): (&str, &str) = (self.kind.into(), digest.into());
        let first = period.first.to_string();
        Entry {
            id: self.id(&["digest", self.topic.as_str(), kind, digest, &first]),
            at: period.end(),
            title: format!("{title} {}", period.in_words()),
            url: Some(url),
            html,
        }
    }
}

fn count(number: i64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
