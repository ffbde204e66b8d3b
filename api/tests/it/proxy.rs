//! A TCP proxy between the service and a server, which a test can cut or make swallow all bytes.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
    /// Each connection goes silent, for ever, at its next statement: the server gets it, and the
    /// client no answer.
    SilentAtStatement,
}

/// A test of an idle connection, as sqlx's driver for PostgreSQL writes it; no statement.
const PING: &[u8] = b"SQLx ping";

/// Forwards a port of the loopback interface to a server's socket unless it is cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    network: Arc<watch::Sender<Network>>,
    /// The number of connections that went silent at a statement.
    silenced: Arc<watch::Sender<usize>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let network = Arc::new(watch::Sender::new(Network::Up));
        let silenced = Arc::new(watch::Sender::new(0));
        let (state, count) = (Arc::clone(&network), Arc::clone(&silenced));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(forward(client, socket.clone(), state.subscribe(), count));
            }
        });
        Self { port, network, silenced, task }
    }

    /// Closes every connection, and new ones at once.
    pub(crate) fn cut(&self) {
        self.network.send_replace(Network::Cut);
    }

    /// Swallows all bytes, and keeps every connection open without a sign.
    pub(crate) fn silence(&self) {
        self.network.send_replace(Network::Silent);
    }

    /// Swallows the answer to the next statement of each connection, and all bytes after it.
    pub(crate) fn silence_at_statements(&self) {
        self.network.send_replace(Network::SilentAtStatement);
    }

    /// Waits until that many connections went silent in the middle of a statement.
    pub(crate) async fn silenced(&self, connections: usize) {
        let mut silenced = self.silenced.subscribe();
        silenced.wait_for(|count| *count >= connections).await.expect("the proxy runs");
    }

    pub(crate) fn heal(&self) {
        self.network.send_replace(Network::Up);
    }
}

async fn forward(
    mut client: TcpStream,
    socket: PathBuf,
    mut state: watch::Receiver<Network>,
    silenced: Arc<watch::Sender<usize>>,
) {
    let first = *state.borrow_and_update();
    let mut is_silent = first == Network::Silent;
    if matches!(first, Network::Up | Network::SilentAtStatement)
        && let Ok(mut server) = UnixStream::connect(&socket).await
    {
        let network = state.clone();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let silent_or_cut = |network: &Network| matches!(network, Network::Cut | Network::Silent);
        tokio::select! {
            is_at_statement = requests(&mut from_client, &mut to_server, &network) => {
                is_silent = is_at_statement;
                silenced.send_modify(|count| *count += usize::from(is_silent));
            }
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            ended = state.wait_for(silent_or_cut) => {
                is_silent = ended.is_ok_and(|network| *network == Network::Silent);
            }
        }
        // The server does not see the end of a silent connection either.
        if is_silent {
            std::future::pending::<()>().await;
        }
    }
    if is_silent {
        std::future::pending::<()>().await;
    }
}

/// Forwards what the client sends until one side ends, or until the connection goes silent at a
/// statement; true then.
async fn requests(
    client: &mut (impl AsyncRead + Unpin),
    server: &mut (impl AsyncWrite + Unpin),
    network: &watch::Receiver<Network>,
) -> bool {
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let bytes = &buffer[..read];
        let is_statement = !bytes.windows(PING.len()).any(|part| part == PING);
        if server.write_all(bytes).await.is_err() {
            return false;
        }
        if is_statement && *network.borrow() == Network::SilentAtStatement {
            return true;
        }
    }
    false
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}
