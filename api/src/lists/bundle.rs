//! A topic's lists as bodies ready to send: made once a refresh, never for a request.

#![expect(clippy::expect_used, reason = "writing to memory cannot fail, and ETags are ASCII")]

use std::io::Write;
use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, HeaderValue};
use brotli::BrotliCompress;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use super::catalogue::Catalogue;
use super::query::{Query, answer};
use crate::model::list::ListMeta;
use crate::model::ranking::{Listing, Ranking};
use crate::model::topic::Topic;
use crate::task::join;

/// The binary logarithm of 256 KB, into which a list fits. The default is 4 MB, which would be
/// allocated and cleared for each list.
const BROTLI_WINDOW: i32 = 18;

/// How much time compression may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speed {
    /// Of lists that are made once a refresh. With 500 repositories, gzip's 7 is 1.5 to 5 % smaller
    /// than 6, the default, for a third more of its time, and brotli's 5 is within 6 % of the size
    /// of 9 in a third of its time.
    Ready,
    /// While a client waits.
    OnRequest,
}

impl Speed {
    /// gzip's level, from 0 to 9, and brotli's quality, from 0 to 11.
    fn levels(self) -> (u32, i32) {
        match self {
            Self::Ready => (7, 5),
            Self::OnRequest => (3, 2),
        }
    }
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

impl Encoding {
    /// Every encoding, in the order in which a list keeps its bodies.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Brotli];

    /// The value of Content-Encoding; `None` for identity.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// Bytes to send and their strong ETag.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    pub bytes: Bytes,
    /// Quoted: the first 128 bits of the bytes' SHA-256, and behind a dot the encoding's name, by
    /// which nginx knows the encoding of an ETag. Suffixes that proxies add begin with a hyphen.
    pub etag: HeaderValue,
    /// The headers that go with the bytes, made when they are first sent.
    pub(crate) head: OnceLock<HeaderMap>,
}

impl Body {
    #[must_use]
    pub fn new(bytes: Bytes, encoding: Encoding) -> Self {
        let etag = etag(&digest(&bytes), encoding);
        Self::with_etag(bytes, etag)
    }

    /// A body whose ETag is known.
    #[must_use]
    pub fn with_etag(bytes: Bytes, etag: HeaderValue) -> Self {
        Self { bytes, etag, head: OnceLock::new() }
    }
}

/// A list in every encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// In the order of [`Encoding::ALL`].
    pub(crate) bodies: [Body; 3],
}

impl List {
    /// Compresses the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let body = |encoding| {
            let compressed = compress(&bytes, encoding, Speed::Ready);
            let bytes = compressed.unwrap_or_else(|| bytes.clone());
            Body::new(bytes.into_boxed_slice().into(), encoding)
        };
        Self { bodies: Encoding::ALL.map(body) }
    }

    #[must_use]
    pub fn body(&self, encoding: Encoding) -> &Body {
        &self.bodies[encoding as usize]
    }

    /// The body in every encoding.
    #[must_use]
    pub fn bodies(&self) -> &[Body; 3] {
        &self.bodies
    }
}

/// 32 hexadecimal digits that tell bytes from others.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut digest = String::with_capacity(32);
    for byte in &Sha256::digest(bytes)[..16] {
        write!(digest, "{byte:02x}").expect("writing to a string cannot fail");
    }
    digest
}

/// The ETag of bytes with this digest in an encoding.
#[must_use]
pub fn etag(digest: &str, encoding: Encoding) -> HeaderValue {
    let etag = match encoding.name() {
        Some(name) => format!("\"{digest}.{name}\""),
        None => format!("\"{digest}\""),
    };
    HeaderValue::try_from(etag).expect("ASCII")
}

/// The bytes in an encoding; `None` if that is identity.
pub(super) fn compress(mut bytes: &[u8], encoding: Encoding, speed: Speed) -> Option<Vec<u8>> {
    let room = Vec::with_capacity(bytes.len() / 4);
    let (level, quality) = speed.levels();
    match encoding {
        Encoding::Identity => None,
        Encoding::Gzip => {
            let mut gzip = GzEncoder::new(room, Compression::new(level));
            gzip.write_all(bytes).expect("writing to memory cannot fail");
            Some(gzip.finish().expect("writing to memory cannot fail"))
        }
        Encoding::Brotli => {
            let mut brotli = room;
            let parameters =
                BrotliEncoderParams { quality, lgwin: BROTLI_WINDOW, ..Default::default() };
            BrotliCompress(&mut bytes, &mut brotli, &parameters)
                .expect("writing to memory cannot fail");
            Some(brotli)
        }
    }
}

/// Every list without parameters of a topic, at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub topic: Topic,
    pub meta: ListMeta,
    /// In the order of [`Listing::ALL`].
    pub(crate) lists: Vec<List>,
}

impl Bundle {
    /// Ranks, writes and compresses the lists. Each takes some 5 ms of CPU, on a thread for
    /// blocking work.
    pub async fn build(catalogue: Catalogue) -> Arc<Self> {
        let catalogue = Arc::new(catalogue);
        let lists = Listing::ALL.into_iter().map(|listing| {
            let catalogue = Arc::clone(&catalogue);
            join(tokio::task::spawn_blocking(move || build_list(&catalogue, listing)))
        });
        let lists = join_all(lists).await;
        let (topic, meta) = (catalogue.topic().clone(), catalogue.meta().clone());
        Arc::new(Self { topic, meta, lists })
    }

    #[must_use]
    pub fn list(&self, listing: impl Into<Listing>) -> &List {
        let place = match listing.into() {
            Listing::Ranked(ranking) => ranking as usize,
            Listing::Newest => Ranking::ALL.len(),
            Listing::Trend(trend) => Ranking::ALL.len() + 1 + trend as usize,
        };
        &self.lists[place]
    }

    /// Whether it is time to ask GitHub again about a topic that it knew nothing of.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.meta.has_expired(now)
    }

    /// The memory that the bodies take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lists.iter().flat_map(List::bodies).map(|body| body.bytes.len()).sum()
    }
}

fn build_list(catalogue: &Catalogue, listing: Listing) -> List {
    List::new(answer(catalogue, &Query::ready(listing)).bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn list_has_the_same_json_in_each_encoding_under_different_etags() {
        let list = List::new(br#"{"id":20580498,"name":"kubernetes"},"#.repeat(500));
        let bytes = |encoding| &*list.body(encoding).bytes;
        let mut gunzipped = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(bytes(Encoding::Gzip));
        gzip.read_to_end(&mut gunzipped).expect("gzip");
        let mut unbrotlied = Vec::new();
        let mut brotli = brotli::Decompressor::new(bytes(Encoding::Brotli), 4096);
        brotli.read_to_end(&mut unbrotlied).expect("brotli");
        assert_eq!(gunzipped, bytes(Encoding::Identity));
        assert_eq!(unbrotlied, bytes(Encoding::Identity));
        let etag = |encoding| list.body(encoding).etag.to_str().expect("ASCII");
        assert_eq!(etag(Encoding::Identity).len(), 34);
        assert!(etag(Encoding::Gzip).ends_with(".gzip\""));
        assert!(etag(Encoding::Brotli).ends_with(".br\""));
    }
}
