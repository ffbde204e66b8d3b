//! The way of an export's bytes from their source to the client.

#![expect(clippy::expect_used, reason = "writing to memory cannot fail")]

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::lists::bundle::Encoding;

/// The plain bytes that make a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// From 0 to 9. Level 1 costs a third of the default's time, and counts of days shrink to a tenth
/// with it.
const GZIP_LEVEL: Compression = Compression::fast();

/// How long a client may take no chunk. The source may hold a transaction, which keeps the database
/// from cleaning up.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The bytes that a client has to take in each second that it makes the source wait for, besides
/// [`LONGEST_PAUSE`]. There are few exports at a time, which slow clients would keep from others.
const LEAST_RATE: u64 = 64 << 10;

/// How long an export may take in all, for the same reason.
const LONGEST_TIME: Duration = Duration::from_mins(15);

/// Compresses bytes, and sends them in chunks as fast as the client takes them. The same bytes in
/// the same portions give the same answer.
pub struct Outlet {
    plain: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    chunks: mpsc::Sender<Option<Bytes>>,
    until: Instant,
    /// How long the client may still make the source wait.
    allowance: Duration,
    is_broken_off: bool,
}

impl Outlet {
    /// An outlet with the encoding gzip or identity.
    pub(super) fn new(encoding: Encoding, chunks: mpsc::Sender<Option<Bytes>>) -> Self {
        let gzip = (encoding == Encoding::Gzip).then(|| GzEncoder::new(Vec::new(), GZIP_LEVEL));
        let until = Instant::now() + LONGEST_TIME;
        let allowance = LONGEST_PAUSE;
        Self { plain: Vec::new(), gzip, chunks, until, allowance, is_broken_off: false }
    }

    /// Takes bytes, and waits while the client has not taken those before. It breaks off if the
    /// client has left or is too slow.
    pub async fn write(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.plain.extend_from_slice(bytes);
        if self.plain.len() < CHUNK_BYTES {
            return ControlFlow::Continue(());
        }
        let chunk = self.chunk();
        self.send(Some(chunk)).await
    }

    /// Sends the last bytes, and that the export is whole, unless it was broken off.
    pub async fn finish(mut self) {
        let chunk = self.chunk();
        let rest = self.gzip.take().map(|gzip| gzip.finish().expect("memory"));
        for chunk in [chunk, rest.unwrap_or_default().into()] {
            if self.send(Some(chunk)).await.is_break() {
                return;
            }
        }
        let _ = self.send(None).await;
    }

    /// The bytes so far, compressed. The compressor may keep some back.
    fn chunk(&mut self) -> Bytes {
        let plain = std::mem::take(&mut self.plain);
        let Some(gzip) = &mut self.gzip else { return plain.into() };
        gzip.write_all(&plain).expect("memory");
        std::mem::take(gzip.get_mut()).into()
    }

    async fn send(&mut self, chunk: Option<Bytes>) -> ControlFlow<()> {
        if self.is_broken_off {
            return ControlFlow::Break(());
        }
        let size = chunk.as_ref().map_or(0, Bytes::len);
        if chunk.is_some() && size == 0 {
            return ControlFlow::Continue(());
        }
        let began = Instant::now();
        let until = self.until.min(began + self.allowance.min(LONGEST_PAUSE));
        match timeout_at(until, self.chunks.send(chunk)).await {
            Ok(Ok(())) => {
                let earned = Duration::from_micros(size as u64 * 1_000_000 / LEAST_RATE);
                self.allowance = self.allowance.saturating_sub(began.elapsed()) + earned;
                return ControlFlow::Continue(());
            }
            Ok(Err(_)) => debug!("the client of an export has left"),
            Err(_) => debug!("the client of an export was too slow"),
        }
        self.is_broken_off = true;
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::StreamExt;
    use tokio::task::JoinHandle;

    use super::super::{Chunks, chunks};
    use super::*;

    /// Starts a source of this many chunks, and returns their stream. The source's task returns how
    /// long it has taken.
    fn start(number: usize) -> (Chunks, JoinHandle<Duration>) {
        let (sender, receiver) = mpsc::channel(2);
        let mut outlet = Outlet::new(Encoding::Identity, sender);
        let source = tokio::spawn(async move {
            let (started, row) = (Instant::now(), vec![b'a'; CHUNK_BYTES]);
            for _ in 0..number {
                if outlet.write(&row).await.is_break() {
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
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        assert_eq!(length, 10 * CHUNK_BYTES);
        assert!(source.await.expect("no panic") < Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_less_than_64_kb_a_second_is_cut_off() {
        let (mut chunks, source) = start(100);
        let mut last = None;
        while let Some(chunk) = chunks.next().await {
            last = Some(chunk.is_ok());
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(last, Some(false));
        // 20 s, and one for each of the chunks in between.
        assert!((25..=30).contains(&source.await.expect("no panic").as_secs()));
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
        let (mut chunks, source) = start(2_000);
        let mut last = None;
        while let Some(chunk) = chunks.next().await {
            last = Some(chunk.is_ok());
            tokio::time::sleep(Duration::from_millis(900)).await;
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

    #[tokio::test]
    async fn compressed_chunks_are_one_gzip_stream_of_the_same_bytes() {
        let (sender, receiver) = mpsc::channel(2);
        let mut outlet = Outlet::new(Encoding::Gzip, sender);
        let plain: Vec<u8> =
            (0..100_000).flat_map(|row| format!("{row},\n").into_bytes()).collect();
        let portions = plain.clone();
        tokio::spawn(async move {
            for portion in portions.chunks(1_000) {
                assert!(outlet.write(portion).await.is_continue());
            }
            outlet.finish().await;
        });
        let chunks: Vec<Bytes> =
            chunks(receiver).map(|chunk| chunk.expect("whole")).collect().await;
        let gzip = chunks.concat();
        assert!(chunks.len() > 2 && gzip.len() < plain.len());
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&*gzip).read_to_end(&mut read).expect("gzip");
        assert!(read == plain);
    }
}
