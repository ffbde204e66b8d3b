//! The traits that both databases implement.

mod backfill;
mod purge;
mod quota;
mod repository;
mod slice;
mod standby;
mod topic_history;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::archive::{ArchiveRow, ArchiveSink, Table};
use super::{
    BeginOutcome, ConnectionCounts, FailingWrites, FinishRun, Lease, NewRefresh, Page, Result,
    Scope,
};
use crate::lists::catalogue::Catalogue;
use crate::model::event::LeftReason;
use crate::model::growth::Period;
use crate::model::list::{CurrentVersions, ListMeta};
use crate::model::on_demand::OnDemandLimits;
use crate::model::ranking::Ranking;
use crate::model::repository::RepositoryId;
use crate::model::run::{Outcome, RefreshRun, Report, UpsertCounts};
use crate::model::topic::{Origin, Topic, TopicState};

pub use backfill::{BackfillStore, Unfilled};
pub use purge::{Change, PurgeStore};
pub use quota::QuotaStore;
pub use repository::RepositoryStore;
pub use slice::SliceStore;
pub use standby::StandbyStore;
pub use topic_history::{CountsSink, TopicHistoryStore};

/// A store shared by all parts of the service.
pub type SharedStore = Arc<dyn Store>;

/// The database behind the service.
#[async_trait]
pub trait Store:
    TopicStore
    + ListStore
    + RefreshStore
    + SliceStore
    + DoubtStore
    + LedgerStore
    + HistoryStore
    + RepositoryStore
    + TopicHistoryStore
    + BackfillStore
    + ArchiveStore
    + QuotaStore
    + PurgeStore
    + StandbyStore
{
    /// Makes the schema, or finds it there; true if it was made or brought up to date.
    async fn bootstrap(&self) -> Result<bool>;

    /// Whether the schema is there and up to date.
    async fn has_schema(&self) -> Result<bool>;

    /// The same database by the connections of callers of this kind.
    fn share(&self, share: Share) -> SharedStore;

    /// The failures since the last write that succeeded, if the last one failed.
    fn failing_writes(&self) -> Option<FailingWrites>;

    /// The connections of all callers together.
    fn connection_counts(&self) -> ConnectionCounts;

    /// Writes a row and takes it back. [`Self::failing_writes`] then tells whether the database
    /// takes writes.
    async fn try_write(&self, now: DateTime<Utc>) -> Result<()>;

    async fn close(&self);
}

/// A kind of callers, which has connections of its own: many callers of one kind cannot keep those
/// of another waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Refreshes.
    Refreshes,
    /// The lists of the caches, new topics, and `/ready`.
    Lists,
    /// Every other read: `/db`, `/topics`, `/refreshes`.
    Public,
}

/// Whether a topic was tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackOutcome {
    /// It is tracked, from now on or already.
    Tracked,
    /// As many topics as allowed are tracked on demand.
    Full,
    /// As many new topics as allowed within an hour; the next one may come at this time.
    TooManyNew(DateTime<Utc>),
}

/// The tracked topics.
#[async_trait]
pub trait TopicStore: Send + Sync {
    /// Tracks exactly these topics as configured. A topic that is no longer among them becomes an
    /// on-demand one.
    async fn configure(&self, topics: &[Topic], now: DateTime<Utc>) -> Result<()>;

    /// Tracks a topic; `limits` apply only if it is not tracked yet.
    async fn track(
        &self,
        topic: &Topic,
        origin: Origin,
        limits: Option<OnDemandLimits>,
        now: DateTime<Utc>,
    ) -> Result<TrackOutcome>;

    /// Every tracked topic: configured ones first, on-demand ones last, then by name.
    async fn topics(&self) -> Result<Vec<TopicState>>;

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicState>>;

    async fn mark_read(&self, topic: &Topic, now: DateTime<Utc>) -> Result<()>;

    /// Notes which on-demand topics were last read before `since`, and that the others were read.
    /// The time of the first of such looks in a row stays.
    async fn note_unread(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<()>;

    /// Deletes a topic; false if it was not tracked. A refresh of the topic loses its lease. Its
    /// history is kept for 90 days, or deleted with it, also if only that is left.
    async fn delete_topic(
        &self,
        topic: &Topic,
        keep_history: bool,
        now: DateTime<Utc>,
    ) -> Result<bool>;
}

/// History: counts, days of topics, events, former names and members. It outlives lists.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Deletes the days and events of a topic that is not tracked.
    async fn delete_topic_history(&self, topic: &Topic) -> Result<()>;

    /// Deletes history that nothing has kept for 90 days, and old events.
    async fn delete_unkept(&self, now: DateTime<Utc>) -> Result<()>;
}

/// The archive: everything that is kept, in a form that both databases read and write.
#[async_trait]
pub trait ArchiveStore: Send + Sync {
    /// Gives every row to the sink, table by table, as of one instant.
    async fn export(&self, sink: &mut dyn ArchiveSink) -> Result<()>;

    /// Merges rows of a table other than topics and members. Counts of a day that are there already
    /// stay, and of two rows of a repository the newer one wins.
    async fn import(
        &self,
        table: &'static Table,
        rows: &[ArchiveRow],
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Merges a topic with its members. A topic that was refreshed since the archive was written
    /// stays as it is.
    async fn import_topic(
        &self,
        row: &ArchiveRow,
        members: &[ArchiveRow],
        now: DateTime<Utc>,
    ) -> Result<()>;
}

/// The fields of repositories that a catalogue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Those of lists without parameters.
    Listed,
    /// All that are stored.
    Stored,
}

/// The rows of lists. Both reads see one instant, and neither writes.
#[async_trait]
pub trait ListStore: Send + Sync {
    /// The first rows of a ranking, at most as many as a list has, as a JSON array; `None` when the
    /// topic has no list to serve.
    async fn list(&self, topic: &Topic, ranking: Ranking) -> Result<Option<(ListMeta, Vec<u8>)>>;

    /// Every repository of the topic, with the counts that growth within the period and shorter
    /// windows needs; `None` when the topic has no list to serve. As of a past day, the topic has
    /// the repositories that it had on that day, with the names and the counts that they had then.
    async fn catalogue(
        &self,
        topic: &Topic,
        period: Period,
        columns: Columns,
    ) -> Result<Option<Catalogue>>;

    /// The repositories with these ids, whether or not the topic has them; `None` when the topic
    /// has no list to serve.
    async fn repositories(&self, topic: &Topic, ids: &[RepositoryId]) -> Result<Option<Catalogue>>;

    /// The versions of which a cached copy is current; `None` when the topic has no list.
    async fn current_versions(&self, topic: &Topic) -> Result<Option<CurrentVersions>>;

    /// The identity of the database's life: a new database and a restored one have others.
    async fn epoch(&self) -> Result<i64>;

    /// Allots a Last-Modified to the topic's changes since the last one, if there are any.
    async fn allot_modified(&self, topic: &Topic, now: DateTime<Utc>) -> Result<()>;
}

/// Refreshes: the lease, and the changes that they bring. A method that takes a lease also
/// renews it, and fails with [`LeaseLost`](super::StoreError::LeaseLost) when another process
/// holds it.
#[async_trait]
pub trait RefreshStore: Send + Sync {
    /// Takes the lease and opens an entry in the ledger, or tells which refresh is running. If a
    /// reader asked for a topic that has got a list since, the refresh that brought the list is
    /// returned.
    async fn begin(&self, refresh: &NewRefresh<'_>, now: DateTime<Utc>) -> Result<BeginOutcome>;

    /// Stores the run's report, for those who wait for its end.
    async fn note_progress(&self, lease: &Lease, report: &Report, now: DateTime<Utc>)
    -> Result<()>;

    /// Keeps the lease for another [`LEASE_TIME`](super::LEASE_TIME).
    async fn renew(&self, lease: &Lease, now: DateTime<Utc>) -> Result<()>;

    /// Stores a page and the run's report; returns the row counts and the topics whose lists may
    /// differ now.
    async fn store_page(
        &self,
        lease: &Lease,
        topic: &Topic,
        page: &Page<'_>,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<(UpsertCounts, Vec<Topic>)>;

    /// Gives a topic without a list its first one, of the rows stored so far.
    async fn first_list(
        &self,
        lease: &Lease,
        topic: &Topic,
        best_match: &[RepositoryId],
        total_count: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// The last transaction of a topic's data: removals, best-match ranks, the topic's day.
    /// Returns the number of displaced repositories, and the topics whose lists may differ now.
    async fn finish(
        &self,
        lease: &Lease,
        finish: &FinishRun<'_>,
        now: DateTime<Utc>,
    ) -> Result<(i64, Vec<Topic>)>;

    /// Ends a refresh: closes its entry in the ledger, gives the lease back, and drops entries
    /// older than [`LEDGER_TIME`](super::LEDGER_TIME). The caller has published the lists.
    async fn end(
        &self,
        lease: &Lease,
        outcome: Outcome,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()>;
}

/// Members of a topic that a run should have shown, and did not.
#[async_trait]
pub trait DoubtStore: Send + Sync {
    /// The repositories of the scope that the run has not shown: first those that were confirmed,
    /// or asked for without an answer, longest ago.
    async fn unconfirmed(
        &self,
        lease: &Lease,
        topic: &Topic,
        scope: Scope,
    ) -> Result<Vec<RepositoryId>>;

    /// Notes that GitHub gave no answer about these repositories.
    async fn note_unanswered(
        &self,
        lease: &Lease,
        topic: &Topic,
        ids: &[RepositoryId],
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Takes repositories out of a topic that they have left.
    async fn remove(
        &self,
        lease: &Lease,
        topic: &Topic,
        gone: &[(RepositoryId, LeftReason)],
        now: DateTime<Utc>,
    ) -> Result<()>;
}

/// The ledger of refreshes.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// The ledger, newest first, without the children of runs over several topics.
    async fn refreshes(&self, limit: i64) -> Result<Vec<RefreshRun>>;

    /// An entry of the ledger with its children.
    async fn refresh(&self, id: i64) -> Result<Option<RefreshRun>>;

    /// The newest refresh of a topic, running or not.
    async fn latest(&self, topic: &Topic) -> Result<Option<RefreshRun>>;
}
