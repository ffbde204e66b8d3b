//! Lists: all of a topic's repositories, the rows that a ranking asks for, and bodies ready to send.

pub mod bundle;
pub mod catalogue;
pub mod json;
pub mod query;
pub mod writer;
