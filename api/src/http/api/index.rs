//! The index for people with a terminal, and the answers that touch no part of the service.

pub(super) async fn index() -> &'static str {
    include_str!("index.txt")
}

/// The smoke test of the Flask service that this one ports.
pub(super) async fn test() -> &'static str {
    "Oh, Hello World"
}

/// The process lives.
pub(super) async fn health() -> &'static str {
    "ok"
}
