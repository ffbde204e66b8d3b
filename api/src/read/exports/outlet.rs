//! The way of rows from their source to the client.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::rows::{Form, RowWriter};

/// How long a client may take no chunk. The source may hold a transaction, which keeps the database
/// from cleaning up.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How long an export may take in all, for the same reason.
const LONGEST_TIME: Duration = Duration::from_mins(15);

/// Writes rows, and sends them in chunks as fast as the client takes them.
pub struct Outlet {
    writer: RowWriter,
    chunks: mpsc::Sender<Option<Bytes>>,
    until: Instant,
    is_broken_off: bool,
}

impl Outlet {
    pub(super) fn new(
        form: Form,
        columns: &[&str],
        chunks: mpsc::Sender<Option<Bytes>>,
    ) -> io::Result<Self> {
        let writer = RowWriter::new(form, columns)?;
        Ok(Self { writer, chunks, until: Instant::now() + LONGEST_TIME, is_broken_off: false })
    }

    /// Writes rows. It breaks off if the client has left or is too slow.
    pub async fn write<R: Serialize>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> ControlFlow<()> {
        let chunk = self.writer.write(rows).and_then(|()| self.writer.full_chunk());
        match chunk {
            Ok(Some(chunk)) => self.send(Some(chunk)).await,
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => self.fail(&error),
        }
    }

    /// Sends the last rows, and that the export is whole, unless it was broken off.
    pub async fn finish(mut self) {
        let sent = match self.writer.last_chunk() {
            Ok(chunk) => self.send(Some(chunk)).await,
            Err(error) => self.fail(&error),
        };
        if sent.is_continue() {
            let _ = self.send(None).await;
        }
    }

    async fn send(&mut self, chunk: Option<Bytes>) -> ControlFlow<()> {
        if self.is_broken_off {
            return ControlFlow::Break(());
        }
        if chunk.as_ref().is_some_and(Bytes::is_empty) {
            return ControlFlow::Continue(());
        }
        let until = self.until.min(Instant::now() + LONGEST_PAUSE);
        match timeout_at(until, self.chunks.send(chunk)).await {
            Ok(Ok(())) => return ControlFlow::Continue(()),
            Ok(Err(_)) => debug!("the client of an export has left"),
            Err(_) => debug!("the client of an export was too slow"),
        }
        self.is_broken_off = true;
        ControlFlow::Break(())
    }

    fn fail(&mut self, error: &io::Error) -> ControlFlow<()> {
        tracing::error!(%error, "a row of an export cannot be written");
        self.is_broken_off = true;
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::super::chunks;
    use super::*;
    use crate::lists::bundle::Encoding;
    use crate::read::ExportFormat;

    const FORM: Form = Form { format: ExportFormat::Ndjson, encoding: Encoding::Identity };

    /// Starts a source of this many chunks, and returns their stream. The source's task returns how
    /// long it has taken.
    fn start(number: usize) -> (super::super::Chunks, tokio::task::JoinHandle<Duration>) {
        let (sender, receiver) = mpsc::channel(2);
        let mut outlet = Outlet::new(FORM, &[], sender).expect("an outlet");
        let source = tokio::spawn(async move {
            let (started, row) = (Instant::now(), "a".repeat(100_000));
            for _ in 0..number {
                if outlet.write([&row]).await.is_break() {
                    break;
                }
            }
            outlet.finish().await;
            started.elapsed()
        });
        (chunks(receiver), source)
    }

    #[tokio::test(start_paused = true)]
    async fn export_that_is_read_in_time_ends_whole() {
        let (mut chunks, source) = start(10);
        let mut length = 0;
        while let Some(chunk) = chunks.next().await {
            length += chunk.expect("a chunk").len();
            tokio::time::sleep(Duration::from_secs(19)).await;
        }
        assert_eq!(length, 10 * 100_003);
        assert!(source.await.expect("no panic") < Duration::from_secs(200));
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_nothing_for_20_seconds_is_cut_off() {
        let (mut chunks, source) = start(10);
        assert!(chunks.next().await.expect("a chunk").is_ok());
        assert_eq!(source.await.expect("no panic").as_secs(), 20);
        let rest: Vec<_> = chunks.map(|chunk| chunk.is_ok()).collect().await;
        assert_eq!(rest, [true, true, false], "never an end as if whole");
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_longer_than_15_minutes_is_cut_off() {
        let (mut chunks, source) = start(100);
        let mut last = None;
        while let Some(chunk) = chunks.next().await {
            last = Some(chunk.is_ok());
            tokio::time::sleep(Duration::from_secs(19)).await;
        }
        assert_eq!(last, Some(false));
        assert_eq!(source.await.expect("no panic").as_secs(), LONGEST_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn source_ends_when_its_client_leaves() {
        let (chunks, source) = start(10);
        drop(chunks);
        assert_eq!(source.await.expect("no panic"), Duration::ZERO);
    }
}
