//! Reads: the caches, then the database, then, if the topic is new, GitHub.

mod catalogues;
mod documents;
mod exports;
mod feeds;
mod loader;
mod on_demand;
mod reader;
mod slots;

pub(crate) use catalogues::is_of;
pub use documents::{Documents, Served};
pub use exports::{Chunks, Exports, Outlet};
pub use feeds::FeedReader;
pub(crate) use loader::FROM_DATABASE;
pub use loader::Loader;
pub use on_demand::OnDemand;
pub use reader::Reader;
