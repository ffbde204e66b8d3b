//! Feeds as Atom (RFC 4287).

use atom_syndication::{Content, Entry, Feed, Link, Person, Text};

use super::feed::{self, AUTHOR};

pub(super) fn write(feed: &feed::Feed) -> anyhow::Result<Vec<u8>> {
    let link = |relation: &str, href: &str, mime_type: Option<&str>| Link {
        href: href.to_owned(),
        rel: relation.to_owned(),
        mime_type: mime_type.map(str::to_owned),
        ..Link::default()
    };
    let entry = |entry: &feed::Entry| Entry {
        id: entry.id.clone(),
        title: Text::plain(entry.title.clone()),
        updated: entry.at.fixed_offset(),
        published: Some(entry.at.fixed_offset()),
        links: entry.url.iter().map(|url| link("alternate", url, None)).collect(),
        content: Some(Content {
            content_type: Some("html".to_owned()),
            value: Some(entry.html.clone()),
            ..Content::default()
        }),
        ..Entry::default()
    };
    let atom = Feed {
        id: feed.id.clone(),
        title: Text::plain(feed.title.clone()),
        updated: feed.updated.fixed_offset(),
        authors: vec![Person { name: AUTHOR.to_owned(), ..Person::default() }],
        links: vec![
            link("self", &feed.address, Some("application/atom+xml")),
            link("alternate", &feed.page, Some("application/json")),
        ],
        entries: feed.entries.iter().map(entry).collect(),
        ..Feed::default()
    };
    Ok(atom.write_to(Vec::new())?)
}
