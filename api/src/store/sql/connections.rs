//! The open connections to a database.
//!
//! A connection is used again only if its last statement or transaction ended well. sqlx's own pool
//! takes back connections that failed, that were left in mid-statement, or whose server is silent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Connection as _;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::context::RuntimeExt;

use super::dialect::{ConnectOptions, RawConnection, connect, is_full, test};
use crate::store::health::ConnectionCounts;
use crate::task::input;

/// The longest time to test a connection: its server may be silent.
const PING_TIME: Duration = Duration::from_millis(250);

/// How soon a new connection is tried again where the server has too many. A connection that comes
/// back is taken at once.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// How long a caller waits where the server has too many. It is shorter than the limits of reads,
/// which would take the server for one that does not answer.
const FULL_TIME: Duration = Duration::from_millis(500);

/// The age at which a connection is closed: a server's process grows with time.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long a stop waits for connections that are in use.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The connections to a database with the same options.
pub(in crate::store) struct Connections {
    options: ConnectOptions,
    most: usize,
    pub(super) permits: Arc<Semaphore>,
    /// The last one was used last.
    idle: Mutex<Vec<Idle>>,
    returned: Notify,
}

/// A connection and when it was opened.
pub(super) struct Idle {
    pub(super) raw: RawConnection,
    pub(super) opened: Instant,
}

impl Connections {
    /// At most `most` connections, which are opened when they are needed.
    pub(in crate::store) fn new(options: ConnectOptions, most: usize) -> Arc<Self> {
        Arc::new(Self {
            options,
            most,
            permits: Arc::new(Semaphore::new(most)),
            idle: Mutex::default(),
            returned: Notify::new(),
        })
    }

    /// Closes every connection, after those that are in use.
    pub(in crate::store) async fn close(&self) {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        let all = timeout(CLOSE_TIME, self.permits.acquire_many(most)).await;
        self.permits.close();
        drop(all);
        while let Some(Idle { raw, .. }) = self.pop() {
            let _ = timeout(CLOSE_TIME, raw.close()).await;
        }
    }

    pub(super) fn counts(&self) -> ConnectionCounts {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        ConnectionCounts { used: self.most - self.permits.available_permits(), idle }
    }

    pub(super) fn put_back(&self, connection: Idle) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        self.returned.notify_one();
    }

    fn pop(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// An idle connection that answers.
    async fn tested(&self) -> Option<Idle> {
        while let Some(mut idle) = self.pop() {
            if idle.opened.elapsed() < LIFETIME
                && matches!(
                    timeout(PING_TIME, test(&mut idle.raw, &self.options)).await,
                    Ok(Ok(()))
                )
            {
                return Some(idle);
            }
        }
        None
    }

    /// An idle connection or a new one. While the server refuses new ones, because all clients
    /// together have too many, this waits for an idle one, but not for long.
    pub(super) async fn connection(&self) -> sqlx::Result<Idle> {
        let until = Instant::now() + FULL_TIME;
        loop {
            if let Some(idle) = self.tested().await {
                return Ok(idle);
            }
            let returned = self.returned.notified();
            match input().wrap(connect(&self.options)).await {
                Ok(raw) => return Ok(Idle { raw, opened: Instant::now() }),
                Err(error) if is_full(&error) && Instant::now() < until => {
                    tokio::select! {
                        () = returned => {}
                        () = sleep(FULL_PAUSE) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}
