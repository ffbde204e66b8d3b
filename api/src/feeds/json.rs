//! Feeds as JSON Feed 1.1 (<https://www.jsonfeed.org/version/1.1/>).

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::feed::{AUTHOR, Entry, Feed};
use crate::model::time::seconds;

#[derive(Serialize, ToSchema)]
pub struct JsonFeed<'a> {
    version: &'static str,
    title: &'a str,
    home_page_url: &'a str,
    feed_url: &'a str,
    authors: [FeedAuthor; 1],
    items: Vec<FeedItem<'a>>,
}

#[derive(Serialize, ToSchema)]
struct FeedAuthor {
    name: &'static str,
}

#[derive(Serialize, ToSchema)]
struct FeedItem<'a> {
    id: &'a str,
    title: &'a str,
    content_html: &'a str,
    #[serde(serialize_with = "seconds")]
    date_published: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    url: Option<&'a str>,
}

impl<'a> From<&'a Entry> for FeedItem<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            id: &entry.id,
            title: &entry.title,
            content_html: &entry.html,
            date_published: entry.at,
            url: entry.url.as_deref(),
        }
    }
}

pub(super) fn write(feed: &Feed) -> anyhow::Result<Vec<u8>> {
    let feed = JsonFeed {
        version: "https://jsonfeed.org/version/1.1",
        title: &feed.title,
        home_page_url: &feed.page,
        feed_url: &feed.address,
        authors: [FeedAuthor { name: AUTHOR }],
        items: feed.entries.iter().map(FeedItem::from).collect(),
    };
    Ok(serde_json::to_vec(&feed)?)
}
