//! Serving until told to stop, and stopping so that no request is cut.

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

/// How long answers only say `Connection: close` before idle connections are closed: a client that
/// has just connected, or is just sending its next request, gets an answer.
const LINGER: Duration = Duration::from_millis(250);

const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Threads for half of the machine's cores: the others are for those who work for this process, a
/// database, nginx, another replica. On two, a list costs a tenth less than with a second thread
/// that steals work.
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

/// Serves on `listener` until `shutdown`, then stops: no new connections, requests in flight and
/// running transactions end, leases are given back.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    service: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    info!(address = %listener.local_addr()?, "serving");
    let scheduler = (service.config.scheduler == Scheduler::Internal)
        .then(|| tokio::spawn(scheduler::run(Arc::clone(&service))));
    let drained = CancellationToken::new();
    let stop = {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            shutdown.await;
            info!("stopping");
            service.stopping.cancel();
        })
    };
    let address = listener.local_addr()?;
    let listener = Draining {
        address,
        listener: Some(listener),
        backlog: VecDeque::new(),
        stopping: service.stopping.clone(),
        drained: drained.clone(),
    };
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY could not be set");
        }
    });
    let router = ServiceExt::<Request>::into_make_service(http::router(Arc::clone(&service)));
    let server =
        axum::serve(listener, router).with_graceful_shutdown(drained.clone().cancelled_owned());
    let served = async {
        server.await?;
        service.stop().await;
        std::io::Result::Ok(())
    };
    let in_time = async {
        service.stopping.cancelled().await;
        tokio::time::sleep(STOP_TIME).await;
    };
    tokio::select! {
        served = served => served?,
        () = in_time => warn!(seconds = STOP_TIME.as_secs(), "what still ran was cut; the next start finishes it"),
    }
    stop.abort();
    if let Some(scheduler) = scheduler {
        scheduler.abort();
    }
    info!("stopped");
    Ok(())
}

/// A listener that, once the service stops, hands out what waits in the kernel's queue before it
/// closes: closing resets the connections that wait there.
struct Draining {
    address: SocketAddr,
    /// `None` once it is closed.
    listener: Option<TcpListener>,
    backlog: VecDeque<(TcpStream, SocketAddr)>,
    stopping: CancellationToken,
    /// Cancelled when everything that was accepted had time for its request.
    drained: CancellationToken,
}

impl Draining {
    /// Closes the listener and keeps what waits in its queue.
    fn close(&mut self, listener: TcpListener) -> std::io::Result<()> {
        // Tokio would ask the kernel only once it has heard of a new connection.
        let listener = listener.into_std()?;
        while let Ok((stream, address)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.backlog.push_back((TcpStream::from_std(stream)?, address));
        }
        Ok(())
    }
}

impl Listener for Draining {
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
    // Durations are kept one by one until they are put into their buckets: at the rate of reads,
    // megabytes a minute.
    let upkeep = async move {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    };
    let metrics = axum::routing::get(async move || {
        ([("content-type", "text/plain; version=0.0.4")], handle.render())
    });
    tokio::select! {
        served = axum::serve(listener, axum::Router::new().route("/metrics", metrics)) => served,
        never = upkeep => never,
    }
}
