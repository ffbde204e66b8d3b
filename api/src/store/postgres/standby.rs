//! The standby that DATABASE_READ_URL names: it answers reads while it is close behind the primary.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::dialect::EPOCH;
use super::servers::{BEGIN_READ, PostgresServers};
use super::statements::{Checkout, Pools};
use crate::model::list::Version;
use crate::model::topic::Topic;
use crate::store::health::StandbyState;
use crate::store::{Result, Share};
use crate::telemetry::left_out;

/// The longest lag at which the standby is read.
const LONGEST_LAG: Duration = Duration::from_mins(1);

/// The longest wait for the standby before the primary is asked: a read of `/db` waits 0.75 s.
const BEGIN_TIME: Duration = Duration::from_millis(300);

/// The longest wait for the position of a server.
const POSITION_TIME: Duration = Duration::from_secs(1);

/// The most positions of the primary that are kept. The first one tells the lag.
const POSITIONS: usize = 600;

/// A server's position in the log in bytes: what it has written, or replayed as a standby.
const POSITION: &str = "
    SELECT ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_flush_lsn() END) - '0/0'::pg_lsn)::int8";

/// The standby. Cheap to clone.
#[derive(Clone)]
pub(super) struct Standby {
    pools: Pools,
    progress: Arc<Mutex<Progress>>,
    /// The newest version of each topic's lists that this process has seen at the primary.
    seen: Arc<Mutex<HashMap<Topic, Version>>>,
}

impl Standby {
    pub(super) fn new(servers: &PostgresServers) -> Self {
        let pools = Pools::new(servers.with_session(), None).share(Share::Public);
        Self { pools, progress: Arc::default(), seen: Arc::default() }
    }

    pub(super) fn state(&self) -> StandbyState {
        let progress = lock(&self.progress);
        let lag = progress.lag(Instant::now());
        StandbyState { is_read: progress.answers && lag <= LONGEST_LAG, lag }
    }

    /// Compares the positions of both servers.
    pub(super) async fn measure(&self, primary: &Pools) {
        let (primary, standby) = tokio::join!(position(primary), position(&self.pools));
        lock(&self.progress).note(primary, standby, Instant::now());
    }

    pub(super) fn note_version(&self, topic: &Topic, version: Version) {
        let mut seen = lock(&self.seen);
        let known = seen.entry(topic.clone()).or_insert(version);
        if known.is_behind(version) {
            *known = version;
        }
    }

    /// A read transaction that sees the topic's lists as this process knows them, or newer ones;
    /// `None` if the primary has to answer.
    pub(super) async fn read(&self, topic: Option<&Topic>) -> Option<Checkout> {
        if !self.state().is_read {
            return None;
        }
        let transaction = timeout(BEGIN_TIME, self.begin(topic)).await;
        let reason = match transaction {
            Ok(Ok(transaction)) => return transaction,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer in time".to_owned(),
        };
        if let Some(left_out) = left_out("the standby cannot be read") {
            warn!(reason, left_out, "the standby cannot be read; the primary answers");
        }
        None
    }

    async fn begin(&self, topic: Option<&Topic>) -> Result<Option<Checkout>> {
        let mut transaction = self.pools.reader().acquire().await?;
        transaction.begin(BEGIN_READ).await?;
        let Some(topic) = topic else { return Ok(Some(transaction)) };
        let version = format!(
            "SELECT {EPOCH}, revision FROM topics WHERE name = $1 AND modified_at IS NOT NULL"
        );
        let version = sqlx::query_as(AssertSqlSafe(version)).bind(topic.as_str());
        let version: Option<(i64, i64)> = version.fetch_optional(&mut transaction).await?;
        let seen = lock(&self.seen).get(topic).copied();
        let is_current = version.is_some_and(|(epoch, revision)| {
            seen.is_none_or(|seen| !Version { epoch, revision }.is_behind(seen))
        });
        if is_current {
            return Ok(Some(transaction));
        }
        transaction.rollback().await?;
        Ok(None)
    }

    pub(super) async fn close(&self) {
        self.pools.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The position of a server; `None` if it does not answer.
async fn position(pools: &Pools) -> Option<i64> {
    let position = async {
        let mut connection = pools.reader().acquire().await.ok()?;
        sqlx::query_scalar(POSITION).fetch_one(&mut connection).await.ok()
    };
    timeout(POSITION_TIME, position).await.ok().flatten()
}

/// How far the standby is behind.
#[derive(Default)]
struct Progress {
    /// The positions of the primary that the standby has not reached, and when they were measured.
    ahead: VecDeque<(i64, Instant)>,
    /// Whether the standby answered when it was last asked.
    answers: bool,
}

impl Progress {
    fn note(&mut self, primary: Option<i64>, standby: Option<i64>, now: Instant) {
        self.answers = standby.is_some();
        if let Some(position) = primary {
            let last = self.ahead.back().map(|(last, _)| *last);
            // A promoted standby may lack what the primary before it had written.
            if last.is_some_and(|last| last > position) {
                self.ahead.clear();
            }
            if last != Some(position) && self.ahead.len() < POSITIONS {
                self.ahead.push_back((position, now));
            }
        }
        while let Some((first, _)) = self.ahead.front()
            && standby.is_some_and(|position| *first <= position)
        {
            self.ahead.pop_front();
        }
    }

    /// The time since the primary was at a position that the standby has not reached.
    fn lag(&self, now: Instant) -> Duration {
        self.ahead.front().map_or(Duration::ZERO, |(_, at)| now - *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_first_position_that_the_standby_lacks() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, primary, standby, lag) in [
            (0, Some(100), Some(100), 0),
            (1, Some(200), Some(100), 0),
            (2, Some(300), Some(150), 1),
            (3, Some(300), Some(200), 1),
            (4, Some(400), None, 2),
            // Without a primary, the standby reaches what the primary had last.
            (9, None, Some(399), 5),
            (10, None, Some(400), 0),
            (90, None, Some(400), 0),
            (91, Some(500), Some(400), 0),
            (92, Some(500), Some(400), 1),
            // The new primary lacks what the old one had written.
            (93, Some(450), Some(450), 0),
        ] {
            progress.note(primary, standby, at(second));
            assert_eq!(progress.lag(at(second)).as_secs(), lag, "after {second} s");
            assert_eq!(progress.answers, standby.is_some(), "after {second} s");
        }
    }
}
