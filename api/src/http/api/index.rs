//! The index for people with a terminal, and the answers that touch no part of the service.

use std::fmt::Write;

use crate::model::ranking::Listing;

/// The routes that people start with, as plain text.
pub(super) async fn index() -> String {
    let mut text =
        "GitHub topic mirror: ranked lists of a GitHub topic's repositories, 500 in each, as JSON."
            .to_owned();
    text.push_str("\n\n");
    let lists = Listing::ALL.map(|listing| (format!("/api{}", listing.path()), listing.summary()));
    let others = [
        ("/charts/{owner}/{repo}.svg", "a picture of a repository's stars over days"),
        ("/badges/{topic}/{owner}/{repo}.svg", "a badge of its place in a topic"),
        ("/topics", "the tracked topics: how fresh and how complete each is"),
        ("/topics/{topic}/events", "what happened to a topic's repositories, newest first"),
        ("/feeds.opml", "feeds of each topic, for feed readers"),
        ("/refreshes", "the latest refreshes"),
        ("/ready", "whether the database and the caches can answer"),
    ];
    let others = others.map(|(path, summary)| (path.to_owned(), summary));
    for (path, summary) in lists.into_iter().chain(others) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {path:<35} {summary}");
    }
    text.push_str(
        "\nTry: curl --compressed http://localhost:8081/api/popularity/kubernetes    \
         (with this server's address)\n\
         If a topic is not tracked, the first read of it starts to fetch it from GitHub. Until the \
         list is\nready, the answer is 503 and says how far the fetch is.\n",
    );
    text
}

/// The smoke test of the Flask service that this one ports.
pub(super) async fn test() -> &'static str {
    "Oh, Hello World"
}

/// The process lives.
pub(super) async fn health() -> &'static str {
    "ok"
}
