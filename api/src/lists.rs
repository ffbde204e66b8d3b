//! Lists: all of a topic's repositories, what is asked of them, and bodies ready to send.

pub mod bundle;
pub mod catalogue;
pub mod document;
pub mod facets;
pub mod field;
mod filter;
mod names;
pub mod order;
pub mod query;
mod search;
pub mod table;
