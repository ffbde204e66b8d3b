//! A document: any other answer than a list, as bodies ready to send with their headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use chrono::{DateTime, Utc};

use super::bundle::List;

/// An answer in every encoding.
#[derive(Debug)]
pub struct Document {
    /// Headers beside those of the encoding: the content type, Cache-Control, facts.
    pub head: HeaderMap,
    pub bodies: List,
    /// For If-Modified-Since; `None` if the ETag alone tells whether a copy is current.
    pub modified_at: Option<DateTime<Utc>>,
    /// Made of other data than those of the version asked for: a refresh is changing them, or the
    /// database does not answer.
    pub is_provisional: bool,
}

impl Document {
    /// Compresses the bytes, which takes some milliseconds for 100 KB.
    #[must_use]
    pub fn new(content_type: &'static str, cache_control: HeaderValue, bytes: Vec<u8>) -> Self {
        let mut head = HeaderMap::new();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        head.insert(header::CACHE_CONTROL, cache_control);
        Self { head, bodies: List::new(bytes), modified_at: None, is_provisional: false }
    }

    /// The document with a header more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.head.insert(name, value);
        self
    }

    /// The memory that the bodies take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bodies.bodies().iter().map(|body| body.bytes.len()).sum()
    }
}
