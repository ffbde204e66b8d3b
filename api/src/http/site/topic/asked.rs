//! A page that is asked for: its address, its frame, and the tabs that lead to the other lists.

use axum::http::Uri;

use super::super::layout::{Layout, Section, Site, Tab};
use super::super::links::Link;
use crate::http::list_parameters::page_parameters;
use crate::model::ranking::{Listing, Ranking, Trend};
use crate::model::topic::Topic;

/// The lists as tabs, the first of which is the page of the topic itself.
pub(super) const TABS: [(Listing, &str); 6] = [
    (Listing::Trend(Trend::Trending), "Trending"),
    (Listing::Ranked(Ranking::Popularity), "Popular"),
    (Listing::Ranked(Ranking::Activity), "Active"),
    (Listing::Newest, "Newest"),
    (Listing::Trend(Trend::Falling), "Falling"),
    (Listing::Ranked(Ranking::BestMatch), "Best match"),
];

/// A page that is asked for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) listing: Listing,
    pub(super) topic: Topic,
    pub(super) site: Site,
    pub(super) uri: Uri,
}

impl Asked {
    pub(super) fn path(&self, listing: Listing) -> String {
        format!("{}{}", self.site.root, path(self.topic.as_str(), listing))
    }

    pub(super) fn link(&self) -> Link {
        Link::like(self.path(self.listing), &self.uri)
    }

    pub(super) fn layout(&self, link: &Link) -> Layout {
        let name = TABS.into_iter().find(|(listing, _)| *listing == self.listing);
        let list = name.map_or("", |(_, name)| name).to_lowercase();
        let title = format!("{}: {list} repositories", self.topic);
        let at = link.at(path(self.topic.as_str(), self.listing)).to_string();
        let mut layout = Layout::new(&self.site, Section::Topics, title, &at);
        layout.topic = self.topic.to_string();
        layout
    }

    /// The links to the other lists, with the parameters that they take as well.
    pub(super) fn tabs(&self, link: &Link) -> Vec<Tab> {
        let tab = |(listing, name)| {
            let taken = page_parameters(listing);
            let link = link.at(self.path(listing)).first_page();
            let link = link.keeping(|name, _| taken.iter().any(|taken| taken.name == name));
            let is_current = listing == self.listing;
            Tab { name, href: link.to_string(), is_current, is_apart: false }
        };
        TABS.into_iter().map(tab).collect()
    }
}

/// The path of a list's page, without a slash before it.
pub(super) fn path(topic: &str, listing: Listing) -> String {
    match listing {
        Listing::Trend(Trend::Trending) => format!("t/{topic}"),
        _ => format!("t/{topic}/{}", listing.name()),
    }
}
