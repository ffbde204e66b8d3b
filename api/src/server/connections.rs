//! The connections of clients: a bound on their number, and on the time for which a client lets the
//! service wait.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a client may let the service wait.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// For the first or the next request.
    idle: Duration,
    /// For the rest of a request.
    head: Duration,
    /// To take a byte of an answer.
    write: Duration,
}

/// nginx closes its idle connections after 60 s. It has to do so first, or it would send a request
/// on a connection that is just being closed.
pub(super) const LIMITS: Limits = Limits {
    idle: Duration::from_secs(75),
    head: Duration::from_secs(10),
    write: Duration::from_secs(20),
};

/// The state of a connection: what it waits for.
const IDLE: u8 = 0;
const HEAD: u8 = 1;
const WRITE: u8 = 2;
/// A request is being answered, so the client waits for the service.
const ANSWERING: u8 = 3;

/// The connections that are open.
pub(super) struct Connections {
    most: usize,
    limits: Limits,
    started: Instant,
    open: Mutex<Open>,
    closed: Notify,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

/// The client's side of a connection.
struct Client {
    started: Instant,
    state: AtomicU8,
    /// Milliseconds from `started` to the begin of the state.
    since: AtomicU64,
    /// Notified when the connection has to make room for another.
    evicted: Notify,
}

impl Connections {
    /// At most `most` connections.
    pub(super) fn new(most: usize, limits: Limits) -> Arc<Self> {
        let (open, closed) = (Mutex::default(), Notify::new());
        Arc::new(Self { most, limits, started: Instant::now(), open, closed })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another connection is allowed. If there are too many, the one that has waited
    /// longest for its client is closed, so that silent clients keep nobody out.
    pub(super) async fn make_room(&self) {
        loop {
            let closed = self.closed.notified();
            {
                let open = self.open();
                if open.clients.len() < self.most {
                    return;
                }
                let waiting = open.clients.values().filter(|client| client.waits());
                if let Some(longest) = waiting.min_by_key(|client| client.since()) {
                    longest.evicted.notify_one();
                }
            }
            closed.await;
        }
    }

    /// Counts a connection as open until the returned value is dropped.
    pub(super) fn register(self: &Arc<Self>) -> Connection {
        let client = Client {
            started: self.started,
            state: AtomicU8::new(IDLE),
            since: AtomicU64::default(),
            evicted: Notify::new(),
        };
        client.enter(IDLE);
        let client = Arc::new(client);
        let mut open = self.open();
        open.last_id += 1;
        let id = open.last_id;
        open.clients.insert(id, Arc::clone(&client));
        Connection { id, client, connections: Arc::clone(self) }
    }

    /// Waits until every connection is closed.
    pub(super) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open().clients.is_empty() {
                return;
            }
            closed.await;
        }
    }
}

impl Client {
    fn enter(&self, state: u8) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        self.state.store(state, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Whether the connection waits for the client.
    fn waits(&self) -> bool {
        self.state() != ANSWERING
    }

    /// Returns when the client has let the service wait for too long, or the connection has to make
    /// room.
    async fn given_up(&self, limits: &Limits) {
        tokio::select! {
            () = self.overdue(limits) => {}
            () = self.evicted.notified() => {}
        }
    }

    async fn overdue(&self, limits: &Limits) {
        let shortest = limits.idle.min(limits.head).min(limits.write);
        loop {
            let limit = match self.state() {
                HEAD => limits.head,
                WRITE => limits.write,
                _ => limits.idle,
            };
            let until = self.started + Duration::from_millis(self.since()) + limit;
            let now = Instant::now();
            if self.waits() && until <= now {
                return;
            }
            // The state may change in between, to one with a shorter limit. And a request may take
            // longer than the limit.
            sleep_until(until.clamp(now + shortest / 10, now + shortest)).await;
        }
    }
}

/// A connection that counts as open.
pub(super) struct Connection {
    id: u64,
    client: Arc<Client>,
    connections: Arc<Connections>,
}

impl Connection {
    /// Serves requests until the client or `closing` ends the connection.
    pub(super) async fn serve<I, S>(self, stream: I, service: S, closing: CancellationToken)
    where
        I: AsyncRead + AsyncWrite + Unpin,
        S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    {
        let client = &self.client;
        let answer = service_fn(|request| {
            client.state.store(ANSWERING, Ordering::Relaxed);
            let answer = service.call(request);
            async move {
                let answer = answer.await;
                client.enter(IDLE);
                answer
            }
        });
        let stream = TokioIo::new(Watched { stream, client: Arc::clone(client) });
        let mut http = pin!(http1::Builder::new().serve_connection(stream, answer));
        let mut given_up = pin!(client.given_up(&self.connections.limits));
        let mut closing = pin!(closing.cancelled_owned());
        let mut is_closing = false;
        loop {
            tokio::select! {
                biased;
                _ = http.as_mut() => return,
                () = given_up.as_mut() => return,
                () = closing.as_mut(), if !is_closing => {
                    is_closing = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.open().clients.remove(&self.id);
        self.connections.closed.notify_one();
    }
}

/// A stream that notes what its connection waits for.
struct Watched<I> {
    stream: I,
    client: Arc<Client>,
}

impl<I: Unpin> Watched<I> {
    fn written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let state = self.client.state();
        match &written {
            Poll::Ready(_) if state != ANSWERING => self.client.enter(IDLE),
            Poll::Pending if state == IDLE => self.client.enter(WRITE),
            _ => {}
        }
        written
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() && self.client.state() == IDLE {
            self.client.enter(HEAD);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    const NEVER: Limits = Limits {
        idle: Duration::from_hours(1),
        head: Duration::from_hours(1),
        write: Duration::from_hours(1),
    };
    const SHORT: Duration = Duration::from_millis(20);

    /// A client of a service that answers after `takes` with 10,000 bytes, of which the connection
    /// holds 1,000.
    fn connect(
        connections: &Arc<Connections>,
        takes: Duration,
    ) -> (DuplexStream, JoinHandle<()>, CancellationToken) {
        let (client, stream) = duplex(1_000);
        let service = service_fn(move |_: Request<Incoming>| async move {
            tokio::time::sleep(takes).await;
            Ok(Response::new(Body::from(vec![b'a'; 10_000])))
        });
        let closing = CancellationToken::new();
        let connection = connections.register();
        let served = tokio::spawn(connection.serve(stream, service, closing.clone()));
        (client, served, closing)
    }

    /// Whether the connection was closed in the middle of a request or an answer.
    async fn is_cut(mut client: DuplexStream) -> bool {
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer).await;
        read.is_err() || answer.len() < 10_000
    }

    #[tokio::test]
    async fn connection_is_closed_when_its_client_lets_it_wait() {
        let idle = Connections::new(9, Limits { idle: SHORT, ..NEVER });
        let (client, ..) = connect(&idle, Duration::ZERO);
        assert!(is_cut(client).await, "no request");
        let head = Connections::new(9, Limits { head: SHORT, ..NEVER });
        let (mut client, ..) = connect(&head, Duration::ZERO);
        client.write_all(&REQUEST[..20]).await.expect("sent");
        assert!(is_cut(client).await, "half a request");
        let write = Connections::new(9, Limits { write: SHORT, head: SHORT, ..NEVER });
        let (mut client, served, _) = connect(&write, Duration::ZERO);
        client.write_all(REQUEST).await.expect("sent");
        served.await.expect("no panic");
        assert!(is_cut(client).await, "an answer that nobody reads");
        for connections in [idle, head, write] {
            connections.all_closed().await;
        }
    }

    #[tokio::test]
    async fn connection_is_kept_while_the_service_works() {
        let limits = Limits { idle: SHORT, head: SHORT, write: SHORT };
        let connections = Connections::new(1, limits);
        let (mut client, ..) = connect(&connections, 10 * SHORT);
        client.write_all(REQUEST).await.expect("sent");
        assert!(!is_cut(client).await);
    }

    #[tokio::test]
    async fn connection_that_waits_longest_makes_room() {
        let connections = Connections::new(2, NEVER);
        let (mut working, ..) = connect(&connections, Duration::from_hours(1));
        working.write_all(REQUEST).await.expect("sent");
        let (silent, ..) = connect(&connections, Duration::ZERO);
        while connections.open().clients.values().all(|client| client.waits()) {
            tokio::task::yield_now().await;
        }
        connections.make_room().await;
        assert!(is_cut(silent).await);
        let (mut newest, _, closing) = connect(&connections, Duration::ZERO);
        newest.write_all(REQUEST).await.expect("sent");
        let mut answer = [0; 15];
        newest.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        closing.cancel();
        assert!(!is_cut(newest).await, "a stop lets answers end");
    }
}
