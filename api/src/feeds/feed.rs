//! Feeds as values.

use chrono::{DateTime, Utc};

/// The author of every feed.
pub(super) const AUTHOR: &str = "GitHub topic mirror";

/// A feed as a value. Every text has only characters that XML allows.
#[derive(Debug)]
pub struct Feed {
    pub id: String,
    pub title: String,
    /// The absolute address of what the feed is about.
    pub page: String,
    /// The feed's own absolute address.
    pub address: String,
    pub updated: DateTime<Utc>,
    pub entries: Vec<Entry>,
}

#[derive(Debug)]
pub struct Entry {
    pub id: String,
    pub at: DateTime<Utc>,
    pub title: String,
    pub url: Option<String>,
    pub html: String,
}
