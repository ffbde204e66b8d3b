//! Serving until told to stop, and stopping without cutting a request.

mod connections;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::connections::{Connections, LIMITS};
use crate::app::{App, STOP_TIME};
use crate::{http, scheduler};

/// How long answers say `Connection: close` before idle connections are closed. A client that has
/// just connected, or is just sending its next request, gets an answer.
const LINGER: Duration = Duration::from_millis(250);

/// The most connections at a time. Behind each there may be some 300 KB of an answer in the kernel.
const MOST_CONNECTIONS: u64 = 4_096;

/// Open files besides the connections of clients.
const RESERVED_FILES: u64 = 128;

/// A pause after a connection could not be accepted, mostly because the system has no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A thread takes every second task from the queue where other threads put the tasks that they
/// wake: requests whose data have come, or whose answer is written. So they end before many others
/// begin.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

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
        .global_queue_interval(GLOBAL_QUEUE_INTERVAL)
        .enable_all()
        .build()
}

/// Serves on `listener` until `shutdown`. Then it accepts no new connections, and returns when the
/// requests in flight and the running transactions have ended and the leases are given back.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    info!(%address, "serving");
    let scheduler = tokio::spawn(scheduler::run(Arc::clone(&app)));
    app.refresher.spawn_retries();
    app.refresher.spawn_purger();
    app.spawn_trial_writes();
    app.spawn_measures_of_standby();
    let stopping = app.stopping.clone();
    let stop = tokio::spawn(async move {
        shutdown.await;
        info!("stopping");
        stopping.cancel();
    });
    let served = async {
        listen(&app, listener).await;
        app.stop().await;
    };
    let deadline = async {
        app.stopping.cancelled().await;
        tokio::time::sleep(STOP_TIME).await;
    };
    tokio::select! {
        () = served => {}
        () = deadline => {
            let seconds = STOP_TIME.as_secs();
            warn!(seconds, "running work was cut off; the next start finishes it");
        }
    }
    stop.abort();
    scheduler.abort();
    info!("stopped");
    Ok(())
}

/// Answers requests until the service stops and all connections are drained.
async fn listen(app: &Arc<App>, listener: TcpListener) {
    let connections = Connections::new(most_connections(), LIMITS);
    let service = TowerToHyperService::new(http::router(Arc::clone(app)));
    let closing = CancellationToken::new();
    let serve = |stream: TcpStream| {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY could not be set");
        }
        let (service, closing) = (service.clone(), closing.clone());
        tokio::spawn(connections.register().serve(stream, service, closing));
    };
    while let Some(stream) = app.stopping.run_until_cancelled(accept(&listener)).await {
        app.stopping.run_until_cancelled(connections.make_room()).await;
        serve(stream);
    }
    match waiting(listener) {
        Ok(streams) => streams.into_iter().for_each(serve),
        Err(error) => warn!(%error, "connections in the queue could not be accepted"),
    }
    tokio::time::sleep(LINGER).await;
    closing.cancel();
    connections.all_closed().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client has left already.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Closes the listener and returns the connections that wait in the kernel's queue: closing alone
/// would reset them.
fn waiting(listener: TcpListener) -> std::io::Result<Vec<TcpStream>> {
    // Tokio asks the kernel only once it has heard of a new connection, so this does not use tokio.
    let listener = listener.into_std()?;
    let mut streams = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        streams.push(TcpStream::from_std(stream)?);
    }
    Ok(streams)
}

/// The most connections at a time. Raises the limit of open files as far as that is allowed, and
/// leaves files to the databases, GitHub and the log.
fn most_connections() -> usize {
    let files = rlimit::increase_nofile_limit(MOST_CONNECTIONS + RESERVED_FILES);
    let files = files.unwrap_or(RESERVED_FILES);
    let most = files.saturating_sub(RESERVED_FILES).max(files / 2).min(MOST_CONNECTIONS);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Serves Prometheus' `/metrics` on a listener of its own, which is not for the public.
///
/// # Errors
/// When the listener fails.
pub async fn serve_metrics(
    listener: TcpListener,
    app: Arc<App>,
    handle: PrometheusHandle,
) -> std::io::Result<()> {
    let upkeep = handle.clone();
    // The exporter keeps durations one by one until this moves them into buckets; at the rate of
    // reads they would be megabytes a minute.
    let upkeep = async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            upkeep.run_upkeep();
        }
    };
    tokio::select! {
        served = axum::serve(listener, http::scrape::router(app, handle)) => served,
        never = upkeep => never,
    }
}
