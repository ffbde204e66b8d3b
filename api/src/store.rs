//! What the service keeps, behind one seam for both databases.
//!
//! Every method is one transaction, but `forget`, which goes on in small ones. Times come in as
//! parameters, so that both databases behave alike and tests set them.

mod postgres;
mod sqlite;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Serialize;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use strum::{EnumString, IntoStaticStr};

use crate::config::DatabaseUrl;
use crate::lists::{Ranking, Standing};
use crate::quota::{Bucket, Quota};
use crate::refresh::plan::{Covered, Slice};
use crate::refresh::report::{Cause, Outcome, Refresh, Report};
use crate::repository::{Repository, RepositoryId};
use crate::topic::Topic;

/// How long a lease lasts without a renewal: after that another process takes over a dead one's
/// refresh.
pub const LEASE_TIME: TimeDelta = TimeDelta::seconds(20);

/// How long the ledger keeps a finished refresh.
pub const LEDGER_TIME: TimeDelta = TimeDelta::days(30);

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or answers with an error.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be made.
    #[error("the schema could not be made: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process has the refresh now, or its topic was forgotten: nothing more of it may be
    /// stored.
    #[error("the refresh was taken over by another process, or its topic forgotten")]
    LeaseLost,
}

impl StoreError {
    /// The database answers, but its tables, or it itself, are not there yet.
    #[must_use]
    pub fn is_without_schema(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| {
            [postgres::UNDEFINED_TABLE, postgres::INVALID_CATALOG_NAME].contains(&&*code)
        })
    }
}

/// What store methods return.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a topic is tracked, which decides for how long.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    /// TOPICS names it.
    Configured,
    /// `POST /update_cache` asked for it.
    Requested,
    /// A reader asked for it; forgotten when unread.
    OnDemand,
}

/// What is known of a tracked topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicState {
    /// Its name.
    pub topic: Topic,
    /// Why it is tracked.
    pub origin: Origin,
    /// When it was last read, to the hour.
    pub last_read_at: DateTime<Utc>,
    /// Counts every change that its lists could show.
    pub revision: i64,
    /// Last-Modified of its lists; `None` while there is none to serve.
    pub modified_at: Option<DateTime<Utc>>,
    /// The last complete refresh.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// Whether the last refresh was complete.
    pub complete: bool,
    /// What GitHub counts.
    pub total_count: Option<i64>,
    /// How many repositories the last complete refresh found.
    pub found: Option<i64>,
    /// A result less than half as large, and when it was seen: it counts once a later one agrees.
    pub shrunk: Option<(i64, DateTime<Utc>)>,
    /// Repositories kept.
    pub stored: i64,
    /// What the next run may build on.
    pub covered: Covered,
}

/// How long it is remembered that GitHub knows nothing of a topic.
pub const UNKNOWN_TOPIC_TIME: TimeDelta = TimeDelta::hours(1);

impl TopicState {
    /// GitHub knows nothing of the topic: remembered for a while, but not refreshed.
    #[must_use]
    pub fn is_unknown_to_github(&self) -> bool {
        is_unknown_to_github(self.origin, self.total_count, self.stored > 0)
    }
}

fn is_unknown_to_github(origin: Origin, total_count: Option<i64>, has_stored: bool) -> bool {
    origin == Origin::OnDemand && total_count == Some(0) && !has_stored
}

/// How many topics strangers may have tracked.
#[derive(Clone, Copy, Debug)]
pub struct OnDemandLimits {
    /// At any time.
    pub topics: i64,
    /// New ones an hour.
    pub new_an_hour: i64,
}

/// The answer to a wish to track a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// It is, from now on or already.
    Yes,
    /// As many topics as strangers may have are tracked.
    Full,
    /// As many new ones as strangers may have in an hour; the next may come at this time.
    TooManyNew(DateTime<Utc>),
}

/// Lists as the database has them, with what their headers say: read in one transaction.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Whose lists these are.
    pub topic: Topic,
    /// What their headers say.
    pub standing: Standing,
    /// A topic that GitHub knows nothing of is asked for again at this time.
    pub valid_until: Option<DateTime<Utc>>,
    /// The JSON of each ranking asked for, in that order: compact, an array of objects.
    pub lists: Vec<Vec<u8>>,
}

/// The right to refresh, and the number that later holders have a higher one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The topic, or `*` for a run over all.
    pub name: String,
    /// The process that holds it.
    pub owner: String,
    /// Grows with each holder.
    pub fence: i64,
    /// The ledger's entry.
    pub refresh: i64,
}

/// The lease name of a run over every tracked topic; not a valid topic.
pub const ALL_TOPICS: &str = "*";

/// A wish to refresh.
#[derive(Clone, Debug)]
pub struct NewRefresh<'a> {
    /// The topic, or `None` for every tracked one.
    pub topic: Option<&'a Topic>,
    /// The run over several topics that this one is part of.
    pub parent: Option<i64>,
    /// Who rang.
    pub cause: Cause,
    /// The process.
    pub owner: &'a str,
}

/// The answer to a wish to refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Ours now.
    Started(Lease),
    /// Somebody's already: the ledger's entry to wait for.
    Running(i64),
}

/// What came of storing one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Rows that were not there.
    pub inserted: i64,
    /// Rows that differed.
    pub updated: i64,
    /// Rows left alone.
    pub unchanged: i64,
}

/// A page of a search, or what was asked for one by one.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What it showed, each id once.
    pub repositories: &'a [Repository],
    /// Ids of items that could not be read: where stored, they keep their rows and places.
    pub unreadable: &'a [RepositoryId],
}

/// What a run should have shown of a topic, by the numbers that are stored. A repository of it that
/// was not shown is in doubt: GitHub drops some now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The first so many by stars and by update. What is among neither was overtaken by others.
    First(i64),
    /// Every repository.
    All,
    /// Every one that was updated after a time, and those that were not confirmed since the last
    /// run over all of them.
    Since {
        /// By its `updated_at`.
        updated_at: DateTime<Utc>,
        /// That run's beginning.
        confirmed_at: DateTime<Utc>,
    },
}

impl Scope {
    /// The length of the rankings.
    fn depth(self) -> i64 {
        match self {
            Self::First(depth) => depth,
            Self::All | Self::Since { .. } => i64::MAX,
        }
    }

    fn since(self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        match self {
            Self::First(_) | Self::All => None,
            Self::Since { updated_at, confirmed_at } => Some((updated_at, confirmed_at)),
        }
    }
}

/// The last transaction of a topic's refresh.
#[derive(Clone, Debug)]
pub struct Finish<'a> {
    /// Its topic.
    pub topic: &'a Topic,
    /// Only of a complete run: GitHub's best match, and how far down the run looked.
    pub complete: Option<Confirmed<'a>>,
    /// A much smaller result, and when it was seen, to remember until a later one agrees.
    pub shrunk: Option<(i64, DateTime<Utc>)>,
    /// What the next run may build on.
    pub covered: Covered,
}

/// What a complete run has shown.
#[derive(Clone, Debug)]
pub struct Confirmed<'a> {
    /// Best match, first to last.
    pub best_match: &'a [RepositoryId],
    /// What GitHub counts.
    pub total_count: i64,
    /// How large the result is, to compare the next one with.
    pub found: i64,
    /// What was overtaken in it is out.
    pub scope: Scope,
}

/// The database behind the service.
#[async_trait]
pub trait Store: TopicStore + RefreshStore + QuotaStore {
    /// Makes the schema, or finds it there; true when it had to be made or brought up to date.
    async fn bootstrap(&self) -> Result<bool>;

    /// Whether the schema is there and up to date. An error when the database does not answer.
    async fn has_schema(&self) -> Result<bool>;

    /// Ends the connections.
    async fn close(&self);
}

/// A store that everyone who needs it holds.
pub type SharedStore = Arc<dyn Store>;

/// GitHub's limits, for every process.
#[async_trait]
pub trait QuotaStore: Send + Sync {
    /// What is known of a limit of GitHub's.
    async fn quota(&self, bucket: Bucket) -> Result<Quota>;

    /// Stores what is known now; false when somebody else has since stored something newer.
    async fn save_quota(&self, bucket: Bucket, quota: &Quota) -> Result<bool>;
}

/// Which topics are tracked, and their lists.
#[async_trait]
pub trait TopicStore: Send + Sync {
    /// Tracks exactly these topics as configured; ones that no longer are stay for as long as they
    /// are read.
    async fn configure(&self, topics: &[Topic], now: DateTime<Utc>) -> Result<()>;

    /// Tracks a topic; `limits` hold for topics that are not tracked yet.
    async fn track(
        &self,
        topic: &Topic,
        origin: Origin,
        limits: Option<OnDemandLimits>,
        now: DateTime<Utc>,
    ) -> Result<Tracked>;

    /// Every tracked topic: configured ones first, on-demand ones last, then by name.
    async fn topics(&self) -> Result<Vec<TopicState>>;

    /// One tracked topic.
    async fn topic(&self, topic: &Topic) -> Result<Option<TopicState>>;

    /// Remembers that the topic was read.
    async fn mark_read(&self, topic: &Topic, now: DateTime<Utc>) -> Result<()>;

    /// Forgets a topic and what only it kept; false when it was not tracked. A refresh of it loses
    /// its lease.
    async fn forget(&self, topic: &Topic, now: DateTime<Utc>) -> Result<bool>;

    /// The on-demand topics that were not read since `unread_since`, and those that GitHub knew
    /// nothing of before `unknown_since`.
    async fn stale(
        &self,
        unread_since: DateTime<Utc>,
        unknown_since: DateTime<Utc>,
    ) -> Result<Vec<Topic>>;

    /// The rows of lists, at most 500 each; `None` when the topic has no list to serve. Rows of a
    /// revision that no list was built of yet get a Last-Modified of their own.
    async fn rows(
        &self,
        topic: &Topic,
        rankings: &[Ranking],
        now: DateTime<Utc>,
    ) -> Result<Option<Rows>>;
}

/// Refreshes: the lease, what they store, the ledger.
#[async_trait]
pub trait RefreshStore: Send + Sync {
    /// Takes the lease and opens an entry in the ledger, or tells which one is running. Readers
    /// ring for a topic without a list; should it have got one since they looked, the refresh that
    /// brought it is the one they wait for.
    async fn begin(&self, refresh: &NewRefresh<'_>, now: DateTime<Utc>) -> Result<Begun>;

    /// Keeps the lease for another [`LEASE_TIME`].
    async fn renew(&self, lease: &Lease, now: DateTime<Utc>) -> Result<()>;

    /// Stores a page and the run's progress; returns what changed and the topics whose lists may
    /// differ now.
    async fn store_page(
        &self,
        lease: &Lease,
        topic: &Topic,
        page: &Page<'_>,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<(Stored, Vec<Topic>)>;

    /// The slices of a topic that were read whole since then, and when each reading began.
    async fn slices(
        &self,
        topic: &Topic,
        since: DateTime<Utc>,
    ) -> Result<Vec<(Slice, DateTime<Utc>)>>;

    /// Notes that the run has read a slice whole, beginning at this time.
    async fn keep_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        began: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Takes over a slice that an earlier run has read: what that one saw counts as shown by this
    /// one. Returns it.
    async fn take_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        now: DateTime<Utc>,
    ) -> Result<Vec<RepositoryId>>;

    /// Gives a topic that has no list yet its first one, of what is stored.
    async fn first_list(
        &self,
        lease: &Lease,
        topic: &Topic,
        best_match: &[RepositoryId],
        total_count: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Repositories of the scope that the run has not shown: longest unconfirmed first.
    async fn doubts(
        &self,
        lease: &Lease,
        topic: &Topic,
        scope: Scope,
        limit: i64,
    ) -> Result<Vec<RepositoryId>>;

    /// Takes repositories out of a topic.
    async fn remove(
        &self,
        lease: &Lease,
        topic: &Topic,
        ids: &[RepositoryId],
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// The last transaction of a topic's data: removals, ranks, today's star counts. Returns how
    /// many repositories were overtaken.
    async fn finish(&self, lease: &Lease, finish: &Finish<'_>, now: DateTime<Utc>) -> Result<i64>;

    /// Ends a refresh, whose lists are published by now: closes its entry in the ledger, gives the
    /// lease back, drops entries older than [`LEDGER_TIME`].
    async fn end(
        &self,
        lease: &Lease,
        outcome: Outcome,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// The ledger, newest first, without the children of runs over several topics.
    async fn refreshes(&self, limit: i64) -> Result<Vec<Refresh>>;

    /// An entry of the ledger, its children included.
    async fn refresh(&self, id: i64) -> Result<Option<Refresh>>;

    /// The newest refresh of a topic, running or not.
    async fn latest(&self, topic: &Topic) -> Result<Option<Refresh>>;
}

/// A migration's version, name and statements.
type MigrationText = (i64, &'static str, &'static str);

fn migrator(migrations: &[MigrationText]) -> Migrator {
    let migration = |&(version, description, sql): &MigrationText| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
    // While replicas are replaced one by one, the old ones find the new ones' schema.
    migrator.set_ignore_missing(true);
    migrator
}

/// A row of `repositories` that was written.
struct Written {
    id: RepositoryId,
    is_new: bool,
}

/// The head of the statement that stores repositories; the rows follow.
const UPSERT_INTO: &str =
    "INSERT INTO repositories (id, node_id, name, full_name, owner, html_url, description, homepage, language, license,
        topics, default_branch, fork, archived, disabled, is_template, size, stargazers_count, forks_count,
        open_issues_count, created_at, updated_at, pushed_at, stored_at)";

/// Its end: a row that did not change is not written, and not returned. The first version is a new
/// row's.
const UPSERT_CHANGED: &str =
    "ON CONFLICT (id) DO UPDATE SET node_id = excluded.node_id, name = excluded.name, full_name = excluded.full_name,
        owner = excluded.owner, html_url = excluded.html_url, description = excluded.description,
        homepage = excluded.homepage, language = excluded.language, license = excluded.license,
        topics = excluded.topics, default_branch = excluded.default_branch, fork = excluded.fork,
        archived = excluded.archived, disabled = excluded.disabled, is_template = excluded.is_template,
        size = excluded.size, stargazers_count = excluded.stargazers_count, forks_count = excluded.forks_count,
        open_issues_count = excluded.open_issues_count, created_at = excluded.created_at,
        updated_at = excluded.updated_at, pushed_at = excluded.pushed_at, stored_at = excluded.stored_at,
        version = repositories.version + 1
    WHERE (repositories.node_id, repositories.name, repositories.full_name, repositories.owner, repositories.html_url,
        repositories.description, repositories.homepage, repositories.language, repositories.license,
        repositories.topics, repositories.default_branch, repositories.fork, repositories.archived,
        repositories.disabled, repositories.is_template, repositories.size, repositories.stargazers_count,
        repositories.forks_count, repositories.open_issues_count, repositories.created_at, repositories.updated_at,
        repositories.pushed_at)
      IS DISTINCT FROM (excluded.node_id, excluded.name, excluded.full_name, excluded.owner, excluded.html_url,
        excluded.description, excluded.homepage, excluded.language, excluded.license, excluded.topics,
        excluded.default_branch, excluded.fork, excluded.archived, excluded.disabled, excluded.is_template,
        excluded.size, excluded.stargazers_count, excluded.forks_count, excluded.open_issues_count,
        excluded.created_at, excluded.updated_at, excluded.pushed_at)
    RETURNING id, version";

/// Grows from one tracking to the next, so that a topic forgotten and tracked anew never counts
/// lower than before.
pub(crate) fn first_revision(now: DateTime<Utc>) -> i64 {
    now.timestamp_millis()
}

/// Last-Modified counts in seconds, and different bytes never share one: now, or a second after the
/// last.
fn next_modified(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let now = now.trunc_subsecs(0);
    last.map_or(now, |last| now.max(last + TimeDelta::seconds(1)))
}

/// Opens the database that the address names.
///
/// # Errors
/// When it cannot be opened; a server that is merely down is no error here.
pub async fn open(url: &DatabaseUrl) -> Result<SharedStore> {
    match url {
        DatabaseUrl::Postgres(options) => Ok(Arc::new(postgres::SqlStore::open(options))),
        DatabaseUrl::Sqlite(path) => Ok(Arc::new(sqlite::SqlStore::open(path).await?)),
    }
}
