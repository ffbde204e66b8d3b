//! A TCP proxy between the service and a server, which a test can cut or make swallow all bytes.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The state of the network between the service and the server.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    Up,
    /// Connections are closed, new ones at once.
    Cut,
    /// Nothing arrives any more. A connection that was open then stays silent for ever.
    Silent,
}

/// Forwards a port of the loopback interface to a server's socket unless it is cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    network: Arc<watch::Sender<Network>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let network = Arc::new(watch::Sender::new(Network::Up));
        let state = Arc::clone(&network);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, socket.clone(), state.subscribe()));
            }
        });
        Self { port, network, task }
    }

    /// Closes every connection, and new ones at once.
    pub(crate) fn cut(&self) {
        self.network.send_replace(Network::Cut);
    }

    /// Swallows all bytes, and keeps every connection open without a sign.
    pub(crate) fn silence(&self) {
        self.network.send_replace(Network::Silent);
    }

    pub(crate) fn heal(&self) {
        self.network.send_replace(Network::Up);
    }
}

async fn forward(mut client: TcpStream, socket: PathBuf, mut state: watch::Receiver<Network>) {
    if *state.borrow_and_update() == Network::Up
        && let Ok(mut server) = UnixStream::connect(&socket).await
    {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            _ = state.changed() => {}
        }
        // The server does not see the end of a silent connection either.
        if *state.borrow() == Network::Silent {
            std::future::pending::<()>().await;
        }
    } else if *state.borrow() == Network::Silent {
        std::future::pending::<()>().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}
