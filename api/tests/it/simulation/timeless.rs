//! A store whose calls take no simulated time.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use api::lists::catalogue::Catalogue;
use api::model::counts::{RepositoryDays, Span};
use api::model::event::{EventPage, EventQuery, LeftReason, RepositoryEvent};
use api::model::growth::Period;
use api::model::list::{CurrentVersions, ListMeta};
use api::model::on_demand::OnDemandLimits;
use api::model::quota::{Quota, Resource};
use api::model::ranking::Ranking;
use api::model::repository::{FullName, NameOwner, Places, RepositoryId, StoredRepository};
use api::model::run::{Outcome, RefreshRun, Report, RunState, UpsertCounts};
use api::model::slice::Slice;
use api::model::topic::{Origin, Topic, TopicState};
use api::model::topic_day::TopicDay;
use api::store::archive::{ArchiveRow, ArchiveSink, Table};
use api::store::{
    ArchiveStore, BackfillStore, BeginOutcome, Change, Columns, ConnectionCounts, CountsSink,
    DoubtStore, FailingWrites, FinishRun, HistoryStore, Lease, LedgerStore, ListStore, NewRefresh,
    Page, PurgeStore, QuotaStore, RefreshStore, RepositoryStore, Result, Scope, Share, SharedStore,
    SliceStore, StandbyStore, Store, TopicHistoryStore, TopicStore, TrackOutcome, Unfilled,
};
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

/// The complete refreshes: topics and times.
pub(super) type Refreshed = Arc<Mutex<Vec<(String, DateTime<Utc>)>>>;

/// The service's own store. Each call blocks the only thread until the database has answered:
/// tokio's paused time would pass while a task waits for the database's thread.
#[derive(Clone)]
pub(super) struct TimelessStore {
    inner: SharedStore,
    refreshed: Refreshed,
    /// Entries of the ledger that have not ended. Callers who wait look at them every 250 ms.
    running: Arc<Mutex<HashMap<i64, RefreshRun>>>,
}

impl TimelessStore {
    pub(super) fn over(inner: SharedStore) -> (SharedStore, Refreshed) {
        let refreshed = Refreshed::default();
        let store = Self { inner, refreshed: Arc::clone(&refreshed), running: Arc::default() };
        (Arc::new(store), refreshed)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // tokio makes a task wait after many calls without a pause, and would not be asked again here.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Implements a trait by the store within.
macro_rules! delegate {
    ($trait:ident { $(
        $name:ident($($argument:ident: $type:ty),*) -> $result:ty;
    )* }) => {
        #[async_trait]
        impl $trait for TimelessStore {
            $(async fn $name(&self, $($argument: $type),*) -> $result {
                block_on(self.inner.$name($($argument),*))
            })*
        }
    };
}

#[async_trait]
impl Store for TimelessStore {
    async fn bootstrap(&self) -> Result<bool> {
        block_on(self.inner.bootstrap())
    }

    async fn has_schema(&self) -> Result<bool> {
        block_on(self.inner.has_schema())
    }

    fn share(&self, share: Share) -> SharedStore {
        Arc::new(Self { inner: self.inner.share(share), ..self.clone() })
    }

    fn failing_writes(&self) -> Option<FailingWrites> {
        self.inner.failing_writes()
    }

    fn connection_counts(&self) -> ConnectionCounts {
        self.inner.connection_counts()
    }

    async fn try_write(&self, now: DateTime<Utc>) -> Result<()> {
        block_on(self.inner.try_write(now))
    }

    async fn close(&self) {
        block_on(self.inner.close());
    }
}

/// SQLite has no standby.
impl StandbyStore for TimelessStore {}

#[async_trait]
impl PurgeStore for TimelessStore {
    async fn unpurged(&self) -> Result<Vec<Change>> {
        block_on(self.inner.unpurged())
    }

    async fn note_purged(&self, changes: &[Change]) -> Result<()> {
        block_on(self.inner.note_purged(changes))
    }
}

#[async_trait]
impl RefreshStore for TimelessStore {
    async fn begin(&self, refresh: &NewRefresh<'_>, now: DateTime<Utc>) -> Result<BeginOutcome> {
        block_on(self.inner.begin(refresh, now))
    }

    async fn note_progress(
        &self,
        lease: &Lease,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()> {
        block_on(self.inner.note_progress(lease, report, now))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>) -> Result<()> {
        block_on(self.inner.renew(lease, now))
    }

    async fn store_page(
        &self,
        lease: &Lease,
        topic: &Topic,
        page: &Page<'_>,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<(UpsertCounts, Vec<Topic>)> {
        block_on(self.inner.store_page(lease, topic, page, report, now))
    }

    async fn first_list(
        &self,
        lease: &Lease,
        topic: &Topic,
        best_match: &[RepositoryId],
        total_count: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        block_on(self.inner.first_list(lease, topic, best_match, total_count, now))
    }

    async fn finish(
        &self,
        lease: &Lease,
        finish: &FinishRun<'_>,
        now: DateTime<Utc>,
    ) -> Result<(i64, Vec<Topic>)> {
        if finish.complete.is_some() {
            let refresh = (finish.topic.to_string(), now);
            self.refreshed.lock().expect("no panic").push(refresh);
        }
        block_on(self.inner.finish(lease, finish, now))
    }

    async fn end(
        &self,
        lease: &Lease,
        outcome: Outcome,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.running.lock().expect("no panic").remove(&lease.refresh);
        block_on(self.inner.end(lease, outcome, report, now))
    }
}

#[async_trait]
impl LedgerStore for TimelessStore {
    async fn refreshes(&self, limit: i64) -> Result<Vec<RefreshRun>> {
        block_on(self.inner.refreshes(limit))
    }

    async fn refresh(&self, id: i64) -> Result<Option<RefreshRun>> {
        if let Some(run) = self.running.lock().expect("no panic").get(&id) {
            return Ok(Some(run.clone()));
        }
        let entry = block_on(self.inner.refresh(id))?;
        if let Some(run) = entry.iter().find(|run| run.state == RunState::Running) {
            self.running.lock().expect("no panic").insert(id, run.clone());
        }
        Ok(entry)
    }

    async fn latest(&self, topic: &Topic) -> Result<Option<RefreshRun>> {
        block_on(self.inner.latest(topic))
    }
}

delegate! { TopicStore {
    configure(topics: &[Topic], now: DateTime<Utc>) -> Result<()>;
    track(topic: &Topic, origin: Origin, limits: Option<OnDemandLimits>, now: DateTime<Utc>)
        -> Result<TrackOutcome>;
    topics() -> Result<Vec<TopicState>>;
    topic(topic: &Topic) -> Result<Option<TopicState>>;
    mark_read(topic: &Topic, now: DateTime<Utc>) -> Result<()>;
    note_unread(since: DateTime<Utc>, now: DateTime<Utc>) -> Result<()>;
    delete_topic(topic: &Topic, keep_history: bool, now: DateTime<Utc>) -> Result<bool>;
} }

delegate! { HistoryStore {
    delete_topic_history(topic: &Topic) -> Result<()>;
    delete_unkept(now: DateTime<Utc>) -> Result<()>;
} }

delegate! { ArchiveStore {
    export(sink: &mut dyn ArchiveSink) -> Result<()>;
    import(table: &'static Table, rows: &[ArchiveRow], now: DateTime<Utc>) -> Result<()>;
    import_topic(row: &ArchiveRow, members: &[ArchiveRow], now: DateTime<Utc>) -> Result<()>;
} }

delegate! { ListStore {
    list(topic: &Topic, ranking: Ranking) -> Result<Option<(ListMeta, Vec<u8>)>>;
    catalogue(topic: &Topic, period: Period, columns: Columns) -> Result<Option<Catalogue>>;
    repositories(topic: &Topic, ids: &[RepositoryId]) -> Result<Option<Catalogue>>;
    current_versions(topic: &Topic) -> Result<Option<CurrentVersions>>;
    epoch() -> Result<i64>;
    allot_modified(topic: &Topic, now: DateTime<Utc>) -> Result<()>;
} }

delegate! { SliceStore {
    slices(topic: &Topic, since: DateTime<Utc>) -> Result<Vec<(Slice, DateTime<Utc>)>>;
    keep_slice(
        lease: &Lease, topic: &Topic, slice: Slice, began: DateTime<Utc>, now: DateTime<Utc>
    ) -> Result<()>;
    take_slice(
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        sizes: Option<RangeInclusive<i64>>,
        now: DateTime<Utc>
    ) -> Result<Option<Vec<RepositoryId>>>;
} }

delegate! { DoubtStore {
    unconfirmed(lease: &Lease, topic: &Topic, scope: Scope) -> Result<Vec<RepositoryId>>;
    note_unanswered(lease: &Lease, topic: &Topic, ids: &[RepositoryId], now: DateTime<Utc>)
        -> Result<()>;
    remove(lease: &Lease, topic: &Topic, gone: &[(RepositoryId, LeftReason)], now: DateTime<Utc>)
        -> Result<()>;
} }

delegate! { RepositoryStore {
    name_owner(name: &FullName) -> Result<Option<NameOwner>>;
    repository(id: RepositoryId) -> Result<Option<StoredRepository>>;
    places(id: RepositoryId, topic: &Topic) -> Result<Option<Places>>;
    repository_days(id: RepositoryId, from: Option<NaiveDate>, to: Option<NaiveDate>)
        -> Result<Option<RepositoryDays>>;
    repository_events(id: RepositoryId, limit: i64) -> Result<Vec<RepositoryEvent>>;
} }

delegate! { TopicHistoryStore {
    topic_days(topic: &Topic) -> Result<Option<Vec<TopicDay>>>;
    events(topic: &Topic, query: &EventQuery) -> Result<Option<EventPage>>;
    counts(topic: &Topic, sink: &mut dyn CountsSink) -> Result<bool>;
} }

delegate! { BackfillStore {
    unfilled(topic: &Topic, day: NaiveDate) -> Result<Vec<Unfilled>>;
    backfill(repository: RepositoryId, spans: &[Span], day: NaiveDate) -> Result<()>;
} }

delegate! { QuotaStore {
    quota(resource: Resource) -> Result<Quota>;
    save_quota(resource: Resource, quota: &Quota) -> Result<bool>;
} }
