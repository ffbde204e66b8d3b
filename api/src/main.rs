//! The program: settings, logging, parts, listener, serve, stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::app::App;
use api::clock::SystemClock;
use api::config::Config;
use api::model::topic::Topic;
use api::{cli, server, telemetry};
use clap::ArgMatches;
use settings::{start_logging, stop_signal};
use tokio::net::{TcpListener, TcpSocket};

/// The size of a connection's send buffer in bytes, the largest that Linux grants by default
/// (net.core.wmem_max). It holds a whole list, so a list whose sending has begun arrives even if
/// this process is killed.
const SEND_BUFFER: u32 = 212_992;

/// The number of connections that wait to be accepted during a burst.
const BACKLOG: u32 = 1_024;

/// Libraries that log each statement, or each connection that they use again.
const NOISY: [&str; 5] = ["sqlx", "hyper", "hyper_util", "reqwest", "redis"];

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let (name, flags) = matches.subcommand().unwrap_or(("serve", &matches));
    let config = match Config::read(&settings::source(flags)) {
        Ok(config) => config,
        Err(invalid) => return invalid.report(),
    };
    start_logging(config.log_format, &NOISY);
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
        "export" | "import" => {
            let app = App::new(config, Arc::new(SystemClock)).await?;
            let folder = flags.get_one::<PathBuf>("folder").context("a folder is required")?;
            let outcome = match command {
                "export" => cli::export(&app, folder).await,
                _ => cli::import(&app, folder).await,
            };
            app.stop().await;
            outcome
        }
        "refresh" | "backfill" => {
            let app = App::new(config, Arc::new(SystemClock)).await?;
            let topic = flags.get_one::<Topic>("topic");
            let work = async {
                match topic.filter(|_| command == "backfill") {
                    Some(topic) => cli::backfill(&app, topic).await,
                    None => cli::refresh(&app, topic).await,
                }
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = stop_signal()? => {
                    Err(anyhow::anyhow!("stopped; the next {command} finishes the work"))
                }
            };
            app.stop().await;
            outcome
        }
        _ => serve(config).await,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    // The recorder is installed before the parts that count.
    let metrics = match config.metrics_addr {
        Some(address) => Some((bind(address, "METRICS_ADDR")?, telemetry::start_metrics()?)),
        None => None,
    };
    let listener = bind(config.listen_addr, "LISTEN_ADDR")?;
    let app = App::new(config, Arc::new(SystemClock)).await?;
    if let Some((listener, handle)) = metrics {
        tokio::spawn(server::serve_metrics(listener, Arc::clone(&app), handle));
    }
    server::serve(app, listener, stop).await.context("the listener failed")
}

fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    listen(address)
        .with_context(|| format!("cannot listen on {address}; set {setting} to another address"))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // After a restart, connections of the previous process may still be closing.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the size.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
