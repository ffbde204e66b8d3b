//! A server in GitHub's place that sends any bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::answers::{Case, Reply, good_page, page_answer};

/// The server. A topic's case decides the answers to its searches, any other topic has a good one.
pub(super) struct HostileGitHub {
    pub(super) url: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    /// By topic: the reply, and the number of requests that still get it.
    replies: Mutex<HashMap<&'static str, (Arc<Reply>, usize)>>,
    requests: AtomicUsize,
}

impl HostileGitHub {
    pub(super) async fn start(cases: &[Case]) -> Self {
        let replies = cases.iter().map(|case| (case.topic, (Arc::clone(&case.reply), case.times)));
        let state = Arc::new(State {
            replies: Mutex::new(replies.collect()),
            requests: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).answer(stream));
            }
        });
        Self { url, state, task }
    }

    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl Drop for HostileGitHub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Answers one request, and closes the connection.
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let head = String::from_utf8(head).expect("text");
        let target = head.split(' ').nth(1).expect("a target");
        let reply = self.reply(&topic_of(target));
        // The client may close the connection at any byte.
        let _ = send(&mut stream, &reply).await;
    }

    fn reply(&self, topic: &str) -> Arc<Reply> {
        let mut replies = self.replies.lock().expect("no panic");
        match replies.get_mut(topic) {
            Some((reply, times)) if *times > 0 => {
                *times -= 1;
                Arc::clone(reply)
            }
            _ => Arc::new(Reply::Bytes(page_answer(&good_page(topic)))),
        }
    }
}

/// The topic of a search.
fn topic_of(target: &str) -> String {
    let url = Url::parse("http://github").expect("a URL").join(target).expect("a target");
    let query = url.query_pairs().find(|(name, _)| name == "q").map(|(_, query)| query);
    let query = query.unwrap_or_default().into_owned();
    let topic = query.split_whitespace().find_map(|word| word.strip_prefix("topic:"));
    topic.unwrap_or_default().to_owned()
}

async fn send(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    match reply {
        Reply::Bytes(bytes) => stream.write_all(bytes).await?,
        Reply::Endless { head, repeated } => {
            stream.write_all(head).await?;
            loop {
                stream.write_all(repeated).await?;
            }
        }
    }
    stream.shutdown().await
}
