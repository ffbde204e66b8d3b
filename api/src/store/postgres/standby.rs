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

/// The most positions of the primary that are kept.
const POSITIONS: usize = 600;

/// A server's position in the log in bytes: what it has written, or replayed as a standby.
const POSITION: &str = "
    ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
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
        let (progress, now) = (lock(&self.progress), Instant::now());
        let is_close = progress.is_close(progress.replayed, now);
        StandbyState { is_read: progress.answers && is_close, lag: progress.lag(now) }
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

    /// The URL may lead to several servers, so the one of this connection is asked how far it is.
    async fn begin(&self, topic: Option<&Topic>) -> Result<Option<Checkout>> {
        let mut transaction = self.pools.reader().acquire().await?;
        transaction.begin(BEGIN_READ).await?;
        let select = format!(
            "SELECT {POSITION}, {EPOCH}, revision FROM (SELECT $1 AS name) AS asked
             LEFT JOIN topics ON topics.name = asked.name AND modified_at IS NOT NULL"
        );
        let select = sqlx::query_as(AssertSqlSafe(select)).bind(topic.map(Topic::as_str));
        let row: (i64, i64, Option<i64>) = select.fetch_one(&mut transaction).await?;
        let (position, epoch, revision) = row;
        let has_lists = topic.is_none_or(|topic| {
            let version = revision.map(|revision| Version { epoch, revision });
            let seen = lock(&self.seen).get(topic).copied();
            version.is_some_and(|version| seen.is_none_or(|seen| !version.is_behind(seen)))
        });
        if has_lists && lock(&self.progress).is_close(Some(position), Instant::now()) {
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
        let select = AssertSqlSafe(format!("SELECT {POSITION}"));
        sqlx::query_scalar(select).fetch_one(&mut connection).await.ok()
    };
    timeout(POSITION_TIME, position).await.ok().flatten()
}

/// How far the standby is behind.
#[derive(Default)]
struct Progress {
    /// The positions of the primary and when they were measured, the oldest first: those that the
    /// standby has not replayed, and those of the last [`LONGEST_LAG`] with the one before them.
    written: VecDeque<(i64, Instant)>,
    /// The last known position of the standby.
    replayed: Option<i64>,
    /// Whether the standby answered when it was last asked.
    answers: bool,
}

impl Progress {
    fn note(&mut self, primary: Option<i64>, standby: Option<i64>, now: Instant) {
        self.answers = standby.is_some();
        self.replayed = standby.or(self.replayed);
        if let Some(position) = primary {
            // A promoted standby may lack what the primary before it had written.
            if self.written.back().is_some_and(|(last, _)| *last > position) {
                self.written.clear();
            }
            let is_full = self.written.len() == POSITIONS;
            match self.written.back_mut() {
                // With its older time, the last position makes the lag too long, never too short.
                Some((last, _)) if is_full || *last == position => *last = position,
                _ => self.written.push_back((position, now)),
            }
        }
        while let Some((second, at)) = self.written.get(1)
            && now - *at > LONGEST_LAG
            && self.replayed >= Some(*second)
        {
            self.written.pop_front();
        }
    }

    /// The time since the primary was at a position that the standby has not reached.
    fn lag(&self, now: Instant) -> Duration {
        let first = self.written.iter().find(|(position, _)| self.replayed < Some(*position));
        first.map_or(Duration::ZERO, |(_, at)| now - *at)
    }

    /// Whether a server at this position has all that the primary had written a minute ago. After a
    /// start it must have the first position that was measured, because its lag is not known.
    fn is_close(&self, position: Option<i64>, now: Instant) -> bool {
        let mut latest_first = self.written.iter().rev();
        let needed = latest_first.find(|(_, at)| now - *at > LONGEST_LAG);
        needed.or(self.written.front()).is_none_or(|(needed, _)| position >= Some(*needed))
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

    #[test]
    fn server_is_close_if_it_has_what_the_primary_had_a_minute_ago() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(progress.is_close(Some(1), at(0)), "no primary was seen");
        for second in 0..=200 {
            progress.note(
                Some(1_000 + i64::try_from(second).expect("few")),
                Some(2_000),
                at(second),
            );
        }
        let kept = progress.written.len();
        assert!(kept < 70, "{kept} positions are kept of a standby that is not behind");
        for (position, is_close) in [(1_138, false), (1_139, true), (1_200, true)] {
            assert_eq!(progress.is_close(Some(position), at(200)), is_close, "{position}");
        }
        // Nothing more is written.
        assert!(
            !progress.is_close(Some(1_199), at(261)) && progress.is_close(Some(1_200), at(900))
        );

        let mut progress = Progress::default();
        progress.note(Some(1_000), Some(999), at(0));
        assert!(!progress.is_close(Some(999), at(0)), "it may have been behind for an hour");
        progress.note(Some(1_001), Some(1_000), at(1));
        assert!(progress.is_close(Some(1_000), at(1)));
    }

    #[test]
    fn lag_is_not_cut_short_by_the_number_of_positions() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..3_600 {
            progress.note(Some(i64::try_from(second).expect("few")), Some(0), at(second));
        }
        assert_eq!(progress.written.len(), POSITIONS);
        for (second, replayed) in [(3_600, 598), (3_601, 610), (3_602, 3_598)] {
            progress.note(Some(3_600), Some(replayed), at(second));
            let lag = progress.lag(at(second)).as_secs();
            assert!(lag >= 3_599 - replayed.unsigned_abs(), "{lag} s at {replayed}");
            assert!(!progress.is_close(Some(replayed), at(second)), "{replayed}");
        }
        progress.note(Some(3_601), Some(3_600), at(3_603));
        progress.note(Some(3_602), Some(3_602), at(3_604));
        assert_eq!(progress.lag(at(3_604)), Duration::ZERO);
        assert!(progress.is_close(Some(3_602), at(3_604)));
    }
}
