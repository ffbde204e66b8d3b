//! The entries of feeds, from the database.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use chrono::{DateTime, Days, NaiveDate, Utc};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::documents::Documents;
use crate::error::Error;
use crate::feeds::{
    Digest, DigestPeriod, Entry, FeedKind, FeedQuery, MOST_ENTRIES, MOST_TRENDING, TrendingRow,
    event_entries, since, trending_entry,
};
use crate::lists::catalogue::Catalogue;
use crate::lists::document::Document;
use crate::lists::query::{first, matching};
use crate::model::event::{Event, EventQuery};
use crate::model::filter::Filter;
use crate::model::growth::{Measure, Period, Window};
use crate::model::list::{HistoryDays, ListMeta, Version};
use crate::model::ranking::Order;
use crate::model::repository::RepositoryId;
use crate::store::{Columns, SharedStore};

/// The most events that the digests of a feed count, and among which a filter looks.
const MOST_EVENTS: usize = 50_000;

/// How long a feed with a filter waits for the others.
const LONGEST_QUEUE: Duration = Duration::from_secs(2);

/// The most periods before the usual ones among which the last entry of a feed is looked for.
const MOST_EARLIER: usize = 31;

/// Reads what feeds have. Cheap to clone.
#[derive(Clone)]
pub struct FeedReader {
    store: SharedStore,
    documents: Documents,
    /// A feed with a filter reads all past events, or the topic on each past day.
    filtered: Arc<Semaphore>,
}

impl FeedReader {
    #[must_use]
    pub fn new(store: SharedStore, documents: Documents) -> Self {
        Self { store, documents, filtered: Arc::new(Semaphore::new(1)) }
    }

    /// The entries of a feed, newest first, of a topic with these facts that is tracked since
    /// `tracked_at`. `base` is the address of the service.
    ///
    /// # Errors
    /// When the topic is not tracked any more, or the database does not answer.
    pub async fn entries(
        &self,
        query: &FeedQuery,
        meta: &ListMeta,
        tracked_at: DateTime<Utc>,
        base: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Entry>, Error> {
        let _permit = if query.filter.is_empty() {
            None
        } else {
            let permit = timeout(LONGEST_QUEUE, self.filtered.acquire()).await;
            Some(permit.map_err(|_| Error::NotYet {
                detail: "other feeds with filters are being made".to_owned(),
                retry_after: LONGEST_QUEUE,
            })?)
        };
        match (query.kind, query.digest) {
            (FeedKind::Trending, digest) => {
                let digest = digest.unwrap_or(Digest::Daily);
                let since = tracked_at.date_naive();
                self.trending(query, digest, meta, since, base, now).await
            }
            (FeedKind::New | FeedKind::Events, _) => {
                Ok(event_entries(query, &self.events(query, now).await?, base))
            }
        }
    }

    /// The events of a feed: those of its days or, if there are none, of its last entry.
    async fn events(&self, query: &FeedQuery, now: DateTime<Utc>) -> Result<Vec<Event>, Error> {
        let read = async |since, until, limit: usize| {
            let kinds = query.kind.events().to_vec();
            let is_filtered = !query.filter.is_empty();
            let most = if is_filtered { MOST_EVENTS } else { limit };
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let wanted = EventQuery { kinds, since, until, offset: 0, limit: most };
            let page = self.store.events(&query.topic, &wanted).await?;
            let mut events = page.ok_or_else(|| Error::NotTracked(query.topic.clone()))?.events;
            if is_filtered {
                self.retain_matching(&mut events, query).await?;
                events.truncate(limit);
            }
            Ok::<_, Error>(events)
        };
        let Some(digest) = query.digest else {
            let events = read(Some(since(now)), None, MOST_ENTRIES).await?;
            return if events.is_empty() { read(None, None, 1).await } else { Ok(events) };
        };
        let periods: Vec<DigestPeriod> = digest.finished(now).collect();
        let until = periods.first().map(|newest| newest.end());
        let events = read(periods.last().map(|oldest| oldest.start()), until, MOST_EVENTS).await?;
        if !events.is_empty() {
            return Ok(events);
        }
        let last = read(None, until, 1).await?;
        let period = last.first().map(|event| digest.period(event.at.date_naive()));
        match period {
            Some(period) => read(Some(period.start()), until, MOST_EVENTS).await,
            None => Ok(Vec::new()),
        }
    }

    /// Keeps the events of repositories that match the filter now.
    async fn retain_matching(
        &self,
        events: &mut Vec<Event>,
        query: &FeedQuery,
    ) -> Result<(), Error> {
        let mut ids: Vec<RepositoryId> = events.iter().map(|event| event.repository).collect();
        ids.sort_unstable();
        ids.dedup();
        let catalogue = self.store.repositories(&query.topic, &ids).await?;
        let catalogue = catalogue.ok_or_else(|| Error::NotTracked(query.topic.clone()))?;
        let filter = query.filter.clone();
        let ids = move || matching(&catalogue, &filter).map(|row| row.id).collect();
        let ids: HashSet<RepositoryId> = self.documents.compute(ids).await;
        events.retain(|event| ids.contains(&event.repository));
        Ok(())
    }

    /// The entries of the periods that end after the day `since` which the topic is tracked: counts
    /// of earlier days, which an import brings, add none.
    async fn trending(
        &self,
        query: &FeedQuery,
        digest: Digest,
        meta: &ListMeta,
        since: NaiveDate,
        base: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Entry>, Error> {
        let Some(HistoryDays { first, last }) = meta.history else { return Ok(Vec::new()) };
        // The gains of the day `since` itself begin with the counts of the day before.
        let first = first.max(since + Days::new(1));
        let mut entries = Vec::new();
        let usual: Vec<DigestPeriod> = digest.finished(now).collect();
        for period in usual.iter().filter(|period| first <= period.last && period.first <= last) {
            entries.extend(self.trending_entry(query, digest, *period, meta, base).await?);
        }
        // An earlier period is not looked for with a filter: each would load the topic again.
        if entries.is_empty()
            && query.filter.is_empty()
            && usual.last().is_some_and(|oldest| first < oldest.first)
        {
            let days = self.store.topic_days(&query.topic).await?.unwrap_or_default();
            let mut earlier: Vec<DigestPeriod> =
                days.iter().rev().map(|day| digest.period(day.day)).collect();
            earlier.retain(|period| {
                let is_earlier = usual.last().is_some_and(|oldest| period.last < oldest.first);
                is_earlier && first <= period.last
            });
            earlier.dedup();
            for period in earlier.into_iter().take(MOST_EARLIER) {
                let entry = self.trending_entry(query, digest, period, meta, base).await?;
                if entry.is_some() {
                    return Ok(entry.into_iter().collect());
                }
            }
        }
        Ok(entries)
    }

    /// The entry of a finished period; `None` if no repository grew.
    async fn trending_entry(
        &self,
        query: &FeedQuery,
        digest: Digest,
        period: DigestPeriod,
        meta: &ListMeta,
        base: &str,
    ) -> Result<Option<Entry>, Error> {
        let rows = self.trending_rows(query, digest, period.last, meta.epoch).await?;
        let entry = || trending_entry(query, digest, period, &rows, base);
        Ok((!rows.is_empty()).then(entry))
    }

    /// The repositories that gained most within the window that ends with a past day. They are kept
    /// as a document: past days do not change, and a large topic's take a second.
    async fn trending_rows(
        &self,
        query: &FeedQuery,
        digest: Digest,
        day: NaiveDate,
        epoch: i64,
    ) -> Result<Vec<TrendingRow>, Error> {
        let period = Period { window: digest.window(), day: Some(day) };
        let (store, own, filter) =
            (Arc::clone(&self.store), query.topic.clone(), query.filter.clone());
        let gather = || async move {
            let columns = if filter.is_empty() { Columns::Listed } else { Columns::Stored };
            let catalogue = store.catalogue(&own, period, columns).await?;
            let catalogue = catalogue.ok_or(Error::NotTracked(own))?;
            Ok(move || {
                let rows = rows(&catalogue, period.window, &filter);
                let json = serde_json::to_vec(&rows).map_err(|_| Error::Internal)?;
                Ok(Document::new("application/json", HeaderValue::from_static("no-store"), json))
            })
        };
        let (key, forever) = (
            format!(
                "trending/{}/{}/{day}?{}",
                query.topic,
                <&str>::from(digest),
                query.filter_text
            ),
            Version { epoch, revision: 0 },
        );
        let kept = self.documents.get(key, Some(forever), gather).await?.document;
        serde_json::from_slice(&kept.bytes).map_err(|_| Error::Internal)
    }
}

fn rows(catalogue: &Catalogue, window: Window, filter: &Filter) -> Vec<TrendingRow> {
    let order = Order::Trending(window, Measure::Gained);
    let row = |row| {
        let growth = catalogue.growth(row, window)?;
        Some(TrendingRow {
            full_name: catalogue.full_name(row).to_owned(),
            html_url: catalogue.html_url(row).to_owned(),
            gained: growth.gained,
            stars: growth.stars_after,
        })
    };
    first(catalogue, order, filter, MOST_TRENDING).into_iter().filter_map(row).collect()
}
