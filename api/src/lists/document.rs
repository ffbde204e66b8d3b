//! A document: any other answer than a list, as bytes with their headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::bundle::{Encoding, Speed, compress, digest, etag};

/// Compression does not make shorter documents smaller by a packet.
const LEAST_COMPRESSED: usize = 1_024;

/// An answer, as bytes that were not compressed.
#[derive(Debug)]
pub struct Document {
    /// Headers beside those of the encoding: the content type, Cache-Control, facts.
    pub head: HeaderMap,
    pub bytes: Bytes,
    /// The hexadecimal digits of the ETag.
    pub digest: String,
    /// For If-Modified-Since; `None` if the ETag alone tells whether a copy is current.
    pub modified_at: Option<DateTime<Utc>>,
    /// To be made again after a minute: it tells ages, or was made of other data than those of the
    /// version asked for, because a refresh is changing them or the database does not answer.
    pub is_provisional: bool,
}

impl Document {
    #[must_use]
    pub fn new(content_type: &'static str, cache_control: HeaderValue, bytes: Vec<u8>) -> Self {
        let mut head = HeaderMap::new();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        head.insert(header::CACHE_CONTROL, cache_control);
        let digest = digest(&bytes);
        Self { head, bytes: bytes.into(), digest, modified_at: None, is_provisional: false }
    }

    /// The document with a header more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.head.insert(name, value);
        self
    }

    /// The encoding in which the document is sent to a client that likes `wanted` best.
    #[must_use]
    pub fn encoding(&self, wanted: Encoding) -> Encoding {
        if self.bytes.len() < LEAST_COMPRESSED { Encoding::Identity } else { wanted }
    }

    /// The strong ETag of the document in an encoding. The compression of the same bytes is the
    /// same on every replica.
    #[must_use]
    pub fn etag(&self, encoding: Encoding) -> HeaderValue {
        etag(&self.digest, encoding)
    }

    /// The bytes in an encoding.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding) -> Bytes {
        compress(&self.bytes, encoding, Speed::OnRequest)
            .map_or_else(|| self.bytes.clone(), Into::into)
    }

    /// The memory that the bytes take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}
