//! The list of feeds as OPML 2.0, for import into feed readers.

use strum::VariantArray as _;

use super::text::escaped;
use super::{FeedFormat, FeedKind, FeedQuery};
use crate::model::topic::Topic;

/// The Atom feeds of these topics under the address of the service.
#[must_use]
pub fn opml(topics: &[Topic], base: &str) -> String {
    let outline = |query: &FeedQuery| {
        let title = escaped(&query.title());
        let address = escaped(&format!("{base}{}", query.path(FeedFormat::Atom)));
        format!("<outline type=\"rss\" text=\"{title}\" title=\"{title}\" xmlUrl=\"{address}\"/>\n")
    };
    let topics = topics.iter().map(|topic| {
        let query = |kind: &FeedKind| FeedQuery::all(topic.clone(), *kind);
        let feeds = FeedKind::VARIANTS.iter().map(|kind| outline(&query(kind)));
        format!("<outline text=\"{topic}\">\n{}</outline>\n", feeds.collect::<String>())
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n\
         <head><title>Feeds of a GitHub topic mirror</title></head>\n<body>\n{}</body>\n</opml>\n",
        topics.collect::<String>()
    )
}
