//! The program: settings, logging, parts, listener, serve, stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::app::App;
use api::clock::SystemClock;
use api::config::Config;
use api::topic::Topic;
use api::{cli, server, telemetry};
use clap::ArgMatches;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// As for every program that was called wrongly.
const INVALID_CONFIG: u8 = 2;

/// In bytes, as much as Linux grants by default (net.core.wmem_max): a whole list is handed over in
/// one call, so that it arrives whole even if this process is killed meanwhile.
const SEND_BUFFER: u32 = 212_992;

/// Connections that may wait to be accepted, in a burst.
const BACKLOG: u32 = 1_024;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let (name, flags) = matches.subcommand().unwrap_or(("serve", &matches));
    let config = match Config::read(&cli::source(flags)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(INVALID_CONFIG);
        }
    };
    telemetry::start_logging(config.log_format);
    let ran = server::runtime()
        .context("cannot start the threads")
        .and_then(|runtime| runtime.block_on(run(name, flags, config)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &str, flags: &ArgMatches, config: Config) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("TLS was set up twice");
    }
    match command {
        "healthcheck" => cli::healthcheck(config.listen_addr).await,
        "bootstrap" => cli::bootstrap(&*App::new(config, Arc::new(SystemClock)).await?).await,
        "refresh" => {
            let service = App::new(config, Arc::new(SystemClock)).await?;
            let refresh = cli::refresh(&service, flags.get_one::<Topic>("topic"));
            let outcome = tokio::select! {
                outcome = refresh => outcome,
                () = stop_signal()? => Err(anyhow::anyhow!("stopped; the next refresh goes on")),
            };
            service.stop().await;
            outcome
        }
        _ => serve(config).await,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    if let Some(address) = config.metrics_addr {
        let handle = telemetry::start_metrics()?;
        let listener = bind(address, "METRICS_ADDR")?;
        tokio::spawn(server::serve_metrics(listener, handle));
    }
    let listener = bind(config.listen_addr, "LISTEN_ADDR")?;
    let service = App::new(config, Arc::new(SystemClock)).await?;
    server::serve(service, listener, stop).await.context("the listener failed")
}

fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    listen(address)
        .with_context(|| format!("cannot listen on {address}; set {setting} to another address"))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As a restart wants it: connections of the process before may still be closing.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
