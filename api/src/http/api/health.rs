//! The answers that touch no part of the service.

use axum::routing::get;

use crate::http::description::{Answer, Operation, Routes};

pub(super) fn routes() -> Routes {
    let text = || Answer::text("text/plain");
    Routes::default()
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

/// A fixed text for smoke tests.
async fn test() -> &'static str {
    "Oh, Hello World"
}

/// The process lives.
async fn health() -> &'static str {
    "ok"
}
