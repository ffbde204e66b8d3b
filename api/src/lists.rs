//! Lists: all of a topic's repositories, the first rows of a ranking, and bodies ready to send.

pub mod bundle;
pub mod catalogue;
pub mod document;
pub mod json;
pub mod query;
pub mod writer;
