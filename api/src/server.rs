//! Serving until told to stop, and stopping without cutting a request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use axum::serve::{Listener, ListenerExt};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::{App, STOP_TIME};
use crate::config::Scheduler;
use crate::{http, scheduler};

/// How long answers say `Connection: close` before idle connections are closed. A client that has
/// just connected, or is just sending its next request, gets an answer.
const LINGER: Duration = Duration::from_millis(250);

/// How often recorded durations are put into the buckets of their histogram.
const METRICS_UPKEEP: Duration = Duration::from_secs(1);

/// A runtime with a thread for every second core. The other cores serve the database, nginx and
/// another replica. On two cores a list costs a tenth less than with a second thread, which steals
/// work.
///
/// # Errors
/// When the system has no threads to give.
pub fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism()?.get();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()
}

/// Serves on `listener` until `shutdown`. Then it accepts no new connections, and returns when the
/// requests in flight and the running transactions have ended and the leases are given back.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    info!(%address, "serving");
    let scheduler = (app.config.scheduler == Scheduler::Internal)
        .then(|| tokio::spawn(scheduler::run(Arc::clone(&app))));
    let stopping = app.stopping.clone();
    let stop = tokio::spawn(async move {
        shutdown.await;
        info!("stopping");
        stopping.cancel();
    });
    let served = async {
        listen(&app, listener, address).await?;
        app.stop().await;
        std::io::Result::Ok(())
    };
    let deadline = async {
        app.stopping.cancelled().await;
        tokio::time::sleep(STOP_TIME).await;
    };
    tokio::select! {
        served = served => served?,
        () = deadline => {
            let seconds = STOP_TIME.as_secs();
            warn!(seconds, "running work was cut off; the next start finishes it");
        }
    }
    stop.abort();
    if let Some(scheduler) = scheduler {
        scheduler.abort();
    }
    info!("stopped");
    Ok(())
}

/// Answers requests until the service stops and all connections are drained.
async fn listen(app: &Arc<App>, listener: TcpListener, address: SocketAddr) -> std::io::Result<()> {
    let drained = CancellationToken::new();
    let listener = DrainingListener {
        address,
        listener: Some(listener),
        backlog: VecDeque::new(),
        stopping: app.stopping.clone(),
        drained: drained.clone(),
    };
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY could not be set");
        }
    });
    let router = ServiceExt::<Request>::into_make_service(http::router(Arc::clone(app)));
    axum::serve(listener, router).with_graceful_shutdown(drained.cancelled_owned()).await
}

/// A listener that, once the service stops, accepts the connections in the kernel's queue before it
/// closes: closing resets the connections that wait there.
struct DrainingListener {
    address: SocketAddr,
    /// `None` once it is closed.
    listener: Option<TcpListener>,
    backlog: VecDeque<(TcpStream, SocketAddr)>,
    stopping: CancellationToken,
    /// Cancelled when every accepted connection had time for its request.
    drained: CancellationToken,
}

impl DrainingListener {
    /// Closes the listener and keeps the connections that wait in its queue.
    fn close(&mut self, listener: TcpListener) -> std::io::Result<()> {
        // Tokio asks the kernel only once it has heard of a new connection, so this does not use
        // tokio.
        let listener = listener.into_std()?;
        while let Ok((stream, address)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.backlog.push_back((TcpStream::from_std(stream)?, address));
        }
        Ok(())
    }
}

impl Listener for DrainingListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                connection = Listener::accept(listener) => return connection,
                () = self.stopping.cancelled() => {}
            }
        }
        if let Some(listener) = self.listener.take()
            && let Err(error) = self.close(listener)
        {
            warn!(%error, "connections in the queue could not be accepted");
        }
        if let Some(connection) = self.backlog.pop_front() {
            return connection;
        }
        tokio::time::sleep(LINGER).await;
        self.drained.cancel();
        std::future::pending().await
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Serves Prometheus' `/metrics` on a listener of its own, which is not for the public.
///
/// # Errors
/// When the listener fails.
pub async fn serve_metrics(listener: TcpListener, handle: PrometheusHandle) -> std::io::Result<()> {
    let upkeep = handle.clone();
    // The exporter keeps durations one by one until this moves them into buckets; at the rate of
    // reads they would be megabytes a minute.
    let upkeep = async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            upkeep.run_upkeep();
        }
    };
    let content_type = [("content-type", "text/plain; version=0.0.4")];
    let metrics = axum::routing::get(async move || (content_type, handle.render()));
    let router = axum::Router::new().route("/metrics", metrics);
    tokio::select! {
        served = axum::serve(listener, router) => served,
        never = upkeep => never,
    }
}
