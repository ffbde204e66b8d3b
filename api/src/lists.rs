//! A topic's three lists as bodies ready to send: made once per refresh, never per request.

#![expect(clippy::expect_used, reason = "writing to memory and serializing plain data cannot fail")]

use std::io::Write;
use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::topic::Topic;
use crate::store::Rows;
use crate::task::end_of;

/// From 0 to 9. Measured on 500 repositories: 7 is 1.5 to 5 % smaller than 6, the default, for a
/// third more of its time.
const GZIP_LEVEL: Compression = Compression::new(7);

/// From 0 to 11. Measured on 500 repositories: 5 is within 6 % of 9's size at a third of its time.
const BROTLI_QUALITY: i32 = 5;

/// The binary logarithm of 256 KB, into which a list fits: the default is 4 MB, which would be
/// allocated and cleared each time.
const BROTLI_WINDOW: i32 = 18;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
    /// Brotli, RFC 7932.
    Brotli,
}

impl Encoding {
    /// The value of Content-Encoding; none for identity.
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
    /// The bytes on the wire.
    pub bytes: Bytes,
    /// Quoted: the first 128 bits of the bytes' SHA-256, and the encoding's name, by which the
    /// proxy knows whose ETag it is.
    pub etag: HeaderValue,
    /// The headers that go with them, once they were sent.
    pub(crate) head: OnceLock<HeaderMap>,
}

impl Body {
    /// Takes the bytes and computes their ETag.
    #[must_use]
    pub fn new(bytes: Bytes, encoding: Encoding) -> Self {
        use std::fmt::Write;
        let mut etag = String::with_capacity(39);
        etag.push('"');
        for byte in &Sha256::digest(&bytes)[..16] {
            write!(etag, "{byte:02x}").expect("writing to a string cannot fail");
        }
        if let Some(name) = encoding.name() {
            write!(etag, "-{name}").expect("writing to a string cannot fail");
        }
        etag.push('"');
        Self::with_etag(bytes, HeaderValue::try_from(etag).expect("ASCII"))
    }

    /// Bytes whose ETag is known.
    #[must_use]
    pub fn with_etag(bytes: Bytes, etag: HeaderValue) -> Self {
        Self { bytes, etag, head: OnceLock::new() }
    }
}

/// One list in its three encodings.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// The JSON itself.
    pub identity: Body,
    /// Compressed with gzip.
    pub gzip: Body,
    /// Compressed with Brotli.
    pub brotli: Body,
}

impl List {
    fn new(json: Vec<u8>) -> Self {
        let mut gzip = GzEncoder::new(Vec::with_capacity(json.len() / 4), GZIP_LEVEL);
        gzip.write_all(&json).expect("writing to memory cannot fail");
        let gzip = gzip.finish().expect("writing to memory cannot fail");
        let mut brotli = Vec::with_capacity(json.len() / 4);
        let parameters = brotli::enc::BrotliEncoderParams {
            quality: BROTLI_QUALITY,
            lgwin: BROTLI_WINDOW,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut json.as_slice(), &mut brotli, &parameters)
            .expect("writing to memory cannot fail");
        let body =
            |bytes: Vec<u8>, encoding| Body::new(Bytes::from(bytes.into_boxed_slice()), encoding);
        Self {
            identity: body(json, Encoding::Identity),
            gzip: body(gzip, Encoding::Gzip),
            brotli: body(brotli, Encoding::Brotli),
        }
    }

    /// The body in that encoding.
    #[must_use]
    pub fn body(&self, encoding: Encoding) -> &Body {
        match encoding {
            Encoding::Identity => &self.identity,
            Encoding::Gzip => &self.gzip,
            Encoding::Brotli => &self.brotli,
        }
    }

    /// Every encoding's body.
    pub fn bodies(&self) -> impl Iterator<Item = &Body> + Clone {
        [&self.identity, &self.gzip, &self.brotli].into_iter()
    }
}

/// Everything that is served of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Lists {
    /// Whose lists these are.
    pub topic: Topic,
    /// What their headers say.
    pub standing: ListMeta,
    /// A topic that GitHub knows nothing of is asked for again at this time.
    pub valid_until: Option<DateTime<Utc>>,
    /// In the order of [`Ranking::ALL`].
    pub lists: [List; 3],
}

impl Lists {
    /// Builds and compresses the lists of all three rankings; some 13 ms of CPU, each on a thread
    /// for such work.
    pub async fn build(rows: Rows) -> Arc<Self> {
        let lists =
            rows.lists.into_iter().map(|json| tokio::task::spawn_blocking(move || List::new(json)));
        let lists =
            join_all(lists.map(end_of)).await.try_into().expect("the rows are of every ranking");
        Arc::new(Self {
            topic: rows.topic,
            standing: rows.standing,
            valid_until: rows.valid_until,
            lists,
        })
    }

    /// Whether it is time to ask GitHub again for a topic that it knew nothing of.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// The list in that order.
    #[must_use]
    pub fn list(&self, ranking: Ranking) -> &List {
        &self.lists[ranking as usize]
    }

    /// What they take in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lists.iter().flat_map(List::bodies).map(|body| body.bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_encoding_is_the_same_list_under_an_etag_of_its_own() {
        let list = List::new(br#"{"id":20580498,"name":"kubernetes"},"#.repeat(500));
        let mut gunzipped = Vec::new();
        flate2::read::GzDecoder::new(&*list.gzip.bytes).read_to_end(&mut gunzipped).expect("gzip");
        let mut unbrotlied = Vec::new();
        brotli::Decompressor::new(&*list.brotli.bytes, 4096)
            .read_to_end(&mut unbrotlied)
            .expect("brotli");
        assert_eq!(gunzipped, list.identity.bytes);
        assert_eq!(unbrotlied, list.identity.bytes);
        let etag = |encoding| list.body(encoding).etag.to_str().expect("ASCII");
        assert_eq!(etag(Encoding::Identity).len(), 34);
        assert!(
            etag(Encoding::Gzip).ends_with("-gzip\"") && etag(Encoding::Brotli).ends_with("-br\"")
        );
    }
}
