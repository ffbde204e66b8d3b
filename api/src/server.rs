//! Serving until told to stop, and stopping so that no request is cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use axum::serve::{Listener, ListenerExt};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Scheduler;
use crate::service::Service;
use crate::{http, scheduler};

/// How long answers only say `Connection: close` before idle connections are closed: a client that is just sending its
/// next request gets an answer to it.
const LINGER: Duration = Duration::from_millis(250);

/// How long requests in flight may take to end.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Serves on `listener` until `shutdown`, then stops: no new connections, requests in flight and running transactions
/// end, leases are given back.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    info!(address = %listener.local_addr()?, "serving");
    let scheduler = (service.config.scheduler == Scheduler::Internal).then(|| tokio::spawn(scheduler::run(Arc::clone(&service))));
    let (draining, drained) = (CancellationToken::new(), CancellationToken::new());
    let stop = {
        let (service, draining) = (Arc::clone(&service), draining.clone());
        async move {
            shutdown.await;
            info!("stopping");
            service.stopping.cancel();
            tokio::time::sleep(LINGER).await;
            draining.cancel();
        }
    };
    let stop = tokio::spawn(stop);
    let listener = Draining { listener, draining, drained: drained.clone() }.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY could not be set");
        }
    });
    let router = ServiceExt::<Request>::into_make_service(http::router(Arc::clone(&service)));
    let server = axum::serve(listener, router).with_graceful_shutdown(drained.clone().cancelled_owned());
    let in_time = async {
        drained.cancelled().await;
        tokio::time::sleep(DRAIN_TIME).await;
    };
    tokio::select! {
        served = server => served?,
        () = in_time => warn!(seconds = DRAIN_TIME.as_secs(), "requests still ran and were cut"),
    }
    stop.abort();
    service.stop().await;
    if let Some(scheduler) = scheduler {
        scheduler.abort();
    }
    info!("stopped");
    Ok(())
}

/// Accepts what is in the kernel's queue before it says that there is nothing more: closing a listener resets the
/// connections that wait there.
struct Draining {
    listener: TcpListener,
    draining: CancellationToken,
    drained: CancellationToken,
}

impl Listener for Draining {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        tokio::select! {
            biased;
            connection = Listener::accept(&mut self.listener) => connection,
            () = self.draining.cancelled() => {
                self.drained.cancel();
                std::future::pending().await
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves Prometheus' `/metrics` on a listener of its own, which is not for the public.
///
/// # Errors
/// When the listener fails.
pub async fn serve_metrics(listener: TcpListener, handle: PrometheusHandle) -> std::io::Result<()> {
    let metrics = axum::routing::get(async move || {
        handle.run_upkeep();
        ([("content-type", "text/plain; version=0.0.4")], handle.render())
    });
    axum::serve(listener, axum::Router::new().route("/metrics", metrics)).await
}
