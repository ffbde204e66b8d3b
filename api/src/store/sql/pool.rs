//! The shares of the connections that kinds of callers have.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::checkout::Checkout;
use super::connections::Connections;
use super::dialect::ConnectOptions;
use crate::store::health::{ConnectionCounts, FailingWrites, WriteHealth, errors};
use crate::store::{Result, Share, StoreError};

/// The connections that refreshes read by, that the lists of `/api` are built by, and that all
/// other requests read by. Reads are short: more connections would only queue for the database's
/// own cores.
const REFRESH_READERS: usize = 3;
const LIST_READERS: usize = 3;
const PUBLIC_READERS: usize = 5;

/// The connections that refreshes write by, and that reads of new topics write by. Writers wait for
/// one lock, so a few are enough.
const REFRESH_WRITERS: usize = 3;
const OTHER_WRITERS: usize = 1;

/// Every connection of a process that reads, and every one that writes.
const READERS: usize = REFRESH_READERS + LIST_READERS + PUBLIC_READERS;
const WRITERS: usize = REFRESH_WRITERS + OTHER_WRITERS;

/// How long a reader waits for a connection before it fails. It is short, because a client that is
/// told to ask again is better off than one in a long queue.
const READ_WAIT: Duration = Duration::from_secs(1);

/// Readers that have a connection or wait for one, at a time. The next ones would hardly get theirs
/// in time. After a start, the lists of many topics may be loaded at once. Refreshes are as many as
/// the topics.
const LIST_CALLERS: usize = 256;
const PUBLIC_CALLERS: usize = 40;
const UNBOUNDED: usize = Semaphore::MAX_PERMITS;

/// How long a writer waits for the writers before it, each of which may wait for another process.
const WRITE_WAIT: Duration = Duration::from_secs(15);

/// The longest time to test an idle connection and, if it fails, to open another one.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// The pools of a store, for callers of one kind.
#[derive(Clone)]
pub(in crate::store) struct Pools {
    connections: [Arc<Connections>; 2],
    readers: [Pool; 3],
    writers: [Pool; 2],
    health: Arc<WriteHealth>,
    share: Share,
}

impl Pools {
    /// Pools over connections with these options. If writers have other options, there is one of
    /// them at a time.
    pub(in crate::store) fn new(options: ConnectOptions, writers: Option<ConnectOptions>) -> Self {
        let (readers, writers) = if let Some(writers) = writers {
            (Connections::new(options, READERS), Connections::new(writers, 1))
        } else {
            let all = Connections::new(options, READERS + WRITERS);
            (Arc::clone(&all), all)
        };
        // Prometheus sees the first error only if it has seen the counter without one.
        errors().increment(0);
        let health = Arc::<WriteHealth>::default();
        let reading = |(share, callers)| Pool::new(&readers, share, callers, READ_WAIT, None);
        let writing = |share| Pool::new(&writers, share, UNBOUNDED, WRITE_WAIT, Some(&health));
        Self {
            readers: [
                (REFRESH_READERS, UNBOUNDED),
                (LIST_READERS, LIST_CALLERS),
                (PUBLIC_READERS, PUBLIC_CALLERS),
            ]
            .map(reading),
            writers: [writing(REFRESH_WRITERS), writing(OTHER_WRITERS)],
            connections: [readers, writers],
            health,
            share: Share::Refreshes,
        }
    }

    /// The same pools for callers of another kind.
    pub(in crate::store) fn share(&self, share: Share) -> Self {
        Self { share, ..self.clone() }
    }

    pub(in crate::store) fn reader(&self) -> &Pool {
        match self.share {
            Share::Refreshes => &self.readers[0],
            Share::Lists => &self.readers[1],
            Share::Public => &self.readers[2],
        }
    }

    pub(in crate::store) fn writer(&self) -> &Pool {
        match self.share {
            Share::Refreshes => &self.writers[0],
            Share::Lists | Share::Public => &self.writers[1],
        }
    }

    pub(in crate::store) fn failing_writes(&self) -> Option<FailingWrites> {
        self.health.failing()
    }

    pub(in crate::store) fn connection_counts(&self) -> ConnectionCounts {
        let [readers, writers] = &self.connections;
        // PostgreSQL's readers and writers have the same connections.
        if Arc::ptr_eq(readers, writers) {
            return readers.counts();
        }
        let (readers, writers) = (readers.counts(), writers.counts());
        ConnectionCounts { used: readers.used + writers.used, idle: readers.idle + writers.idle }
    }

    pub(in crate::store) async fn close(&self) {
        for connections in &self.connections {
            connections.close().await;
        }
    }
}

/// A share of the connections: the callers of one kind cannot take all of them.
#[derive(Clone)]
pub(in crate::store) struct Pool {
    connections: Arc<Connections>,
    share: Arc<Semaphore>,
    /// Those who have a connection of the share, or wait for one.
    callers: Arc<Semaphore>,
    wait: Duration,
    /// `None` if its statements do not write.
    health: Option<Arc<WriteHealth>>,
}

impl Pool {
    fn new(
        connections: &Arc<Connections>,
        share: usize,
        callers: usize,
        wait: Duration,
        health: Option<&Arc<WriteHealth>>,
    ) -> Self {
        let [share, callers] = [share, callers].map(|permits| Arc::new(Semaphore::new(permits)));
        let (connections, health) = (Arc::clone(connections), health.cloned());
        Self { connections, share, callers, wait, health }
    }

    /// A connection.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the share is used up or too many wait for it, or the error of a
    /// server that does not answer.
    pub(in crate::store) async fn acquire(&self) -> Result<Checkout> {
        let acquired = self.try_acquire().await;
        if let Err(error) = &acquired {
            errors().increment(1);
            if let Some(health) = &self.health {
                health.failed(&error.to_string());
            }
        }
        acquired
    }

    async fn try_acquire(&self) -> Result<Checkout> {
        let caller = Arc::clone(&self.callers).try_acquire_owned();
        let caller = caller.map_err(|_| StoreError::Busy)?;
        let until = Instant::now() + self.wait;
        let share = permit(&self.share, until).await?;
        let permit = permit(&self.connections.permits, until).await?;
        let until = Instant::now() + CONNECT_TIME;
        match timeout_at(until, self.connections.connection()).await {
            Ok(idle) => {
                let health = self.health.clone();
                Ok(Checkout::new(idle?, &self.connections, [caller, share, permit], health))
            }
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }
}

async fn permit(permits: &Arc<Semaphore>, until: Instant) -> Result<OwnedSemaphorePermit> {
    match timeout_at(until, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(sqlx::Error::PoolClosed.into()),
        Err(_) => Err(StoreError::Busy),
    }
}
