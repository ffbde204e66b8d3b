//! A TCP proxy between the service and a server, which a test can cut.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards a port of the loopback interface to a server's socket unless it is cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    is_up: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let is_up = Arc::new(watch::Sender::new(true));
        let state = Arc::clone(&is_up);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut state, socket) = (state.subscribe(), socket.clone());
                tokio::spawn(async move {
                    if *state.borrow_and_update()
                        && let Ok(mut server) = UnixStream::connect(&socket).await
                    {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                            _ = state.changed() => {}
                        }
                    }
                });
            }
        });
        Self { port, is_up, task }
    }

    /// Closes every connection, and new ones at once.
    pub(crate) fn cut(&self) {
        self.is_up.send_replace(false);
    }

    pub(crate) fn heal(&self) {
        self.is_up.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}
