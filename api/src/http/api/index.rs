//! The index for people with a terminal, and the answers that touch no part of the service.

use std::fmt::Write;

use axum::routing::get;

use crate::http::description::{Answer, Operation, Routes};
use crate::model::ranking::Listing;

pub(super) fn routes() -> Routes {
    let text = || Answer::text("text/plain");
    Routes::default()
        .routes(
            Operation::get("index", "A short guide as plain text")
                .answers(200, text())
                .at("/", get(index)),
        )
        .routes(
            Operation::get("health", "Whether the process lives; touches nothing else")
                .answers(200, text())
                .at("/health", get(health)),
        )
        .routes(
            Operation::get("test", "A greeting, for smoke tests")
                .answers(200, text())
                .at("/test", get(test)),
        )
}

/// The routes that people start with, as plain text.
async fn index() -> String {
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
        ("/docs", "every route with its parameters, for people"),
        ("/openapi.json", "the same for programs (OpenAPI 3.1)"),
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
async fn test() -> &'static str {
    "Oh, Hello World"
}

/// The process lives.
async fn health() -> &'static str {
    "ok"
}
