//! A connection in use. It bounds each statement, and knows whether it may be used again.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, poll_fn};
use sqlx::{Either, Execute, Executor, SqlStr};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::connections::{Connections, Idle};
use super::dialect::{
    Database, QueryResult, RawConnection, Row, STATEMENT_TIME, Statement, TypeInfo,
};
use crate::store::health::{WriteHealth, errors};

/// A connection in use. When it is dropped, it can be used again, unless a statement or a
/// transaction failed or did not end: then it is closed.
pub(in crate::store) struct Checkout {
    /// `None` only while it is dropped.
    idle: Option<Idle>,
    connections: Arc<Connections>,
    /// `None` if its statements do not write.
    health: Option<Arc<WriteHealth>>,
    state: State,
    _permits: [OwnedSemaphorePermit; 3],
}

#[derive(Default)]
struct State {
    /// A statement has begun and not ended.
    is_busy: bool,
    is_in_transaction: bool,
    error: Option<String>,
}

impl State {
    fn end<T>(&mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        self.is_busy = false;
        if let Err(error) = &result {
            self.error = Some(error.to_string());
        }
        result
    }
}

impl Checkout {
    pub(super) fn new(
        idle: Idle,
        connections: &Arc<Connections>,
        permits: [OwnedSemaphorePermit; 3],
        health: Option<Arc<WriteHealth>>,
    ) -> Self {
        let connections = Arc::clone(connections);
        let state = State::default();
        Self { idle: Some(idle), connections, health, state, _permits: permits }
    }

    /// Begins a transaction with a statement, or with several that end in one that begins it.
    pub(in crate::store) async fn begin(&mut self, begin: &'static str) -> sqlx::Result<()> {
        self.state.is_in_transaction = true;
        sqlx::raw_sql(begin).execute(self).await.map(drop)
    }

    pub(in crate::store) async fn commit(mut self) -> sqlx::Result<()> {
        self.end_transaction("COMMIT").await
    }

    /// Ends a transaction that has changed nothing, so that the connection can be used again.
    pub(in crate::store) async fn rollback(mut self) -> sqlx::Result<()> {
        self.end_transaction("ROLLBACK").await?;
        self.health = None;
        Ok(())
    }

    /// Takes back what the transaction has written. The writes count as ones that succeeded.
    pub(in crate::store) async fn undo(mut self) -> sqlx::Result<()> {
        self.end_transaction("ROLLBACK").await
    }

    async fn end_transaction(&mut self, end: &'static str) -> sqlx::Result<()> {
        sqlx::raw_sql(end).execute(&mut *self).await?;
        self.state.is_in_transaction = false;
        Ok(())
    }

    /// The connection, for a statement that begins now.
    fn connection(&mut self) -> sqlx::Result<(&mut RawConnection, &mut State)> {
        let Self { idle: Some(Idle { raw, .. }), state, .. } = self else {
            return Err(sqlx::Error::PoolClosed);
        };
        state.is_busy = true;
        Ok((raw, state))
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Self { idle, connections, health, state, .. } = self;
        // mutant in store: a connection that did not end its work is not used again
        //     !state.is_busy && !state.is_in_transaction => true
        let has_ended = !state.is_busy && !state.is_in_transaction;
        if let Some(error) = &state.error {
            errors().increment(1);
            if let Some(health) = health {
                health.failed(error);
            }
        } else if has_ended {
            if let Some(health) = health {
                health.succeeded();
            }
            if let Some(idle) = idle.take() {
                connections.put_back(idle);
            }
        }
    }
}

impl fmt::Debug for Checkout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checkout").finish_non_exhaustive()
    }
}

fn timed_out() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// The result of a statement within its time. The drivers know no time-out, and a server can go
/// silent without closing the connection.
async fn in_time<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(STATEMENT_TIME, statement).await.unwrap_or_else(|_| Err(timed_out()))
}

impl<'c> Executor<'c> for &'c mut Checkout {
    type Database = Database;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<QueryResult, Row>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Database>,
    {
        let (raw, state) = match self.connection() {
            Ok(connection) => connection,
            Err(error) => return futures_util::stream::once(async { Err(error) }).boxed(),
        };
        let (mut rows, mut end) = (raw.fetch_many(query), Box::pin(sleep(STATEMENT_TIME)));
        poll_fn(move |context| {
            if state.error.is_some() {
                return Poll::Ready(None);
            }
            match rows.poll_next_unpin(context) {
                Poll::Ready(Some(row)) if row.is_ok() => Poll::Ready(Some(row)),
                Poll::Ready(Some(error)) => Poll::Ready(Some(state.end(error))),
                Poll::Ready(None) => {
                    state.is_busy = false;
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    let end = end.as_mut().poll(context);
                    end.map(|()| Some(state.end(Err(timed_out()))))
                }
            }
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<Row>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Database>,
    {
        Box::pin(async move {
            let (raw, state) = self.connection()?;
            state.end(in_time(raw.fetch_optional(query)).await)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [TypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<Statement>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let (raw, state) = self.connection()?;
            state.end(in_time(raw.prepare_with(sql, parameters)).await)
        })
    }
}
