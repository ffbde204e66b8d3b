//! Feeds as JSON Feed 1.1 (<https://www.jsonfeed.org/version/1.1/>).

use serde_json::{Value, json};

use super::feed::{AUTHOR, Entry, Feed};
use crate::model::time::rfc3339;

pub(super) fn write(feed: &Feed) -> anyhow::Result<Vec<u8>> {
    let item = |entry: &Entry| -> Value {
        let mut item = json!({
            "id": entry.id,
            "title": entry.title,
            "content_html": entry.html,
            "date_published": rfc3339(entry.at),
        });
        if let Some(url) = &entry.url {
            item["url"] = json!(url);
        }
        item
    };
    let feed = json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": feed.page,
        "feed_url": feed.address,
        "authors": [{ "name": AUTHOR }],
        "items": feed.entries.iter().map(item).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_vec(&feed)?)
}
