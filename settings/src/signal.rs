//! The signals on which a program stops.

use tokio::signal::unix::{SignalKind, signal};

/// Installs the handlers; the future resolves at the first SIGTERM or SIGINT since then.
///
/// # Errors
/// If a handler cannot be installed.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
