//! The types that every part of the service speaks of. Nothing here imports another part.

pub mod counts;
pub mod event;
pub mod filter;
pub mod growth;
pub mod list;
pub mod on_demand;
#[cfg(test)]
mod properties;
pub mod quota;
pub mod ranking;
pub mod repository;
pub mod run;
pub mod slice;
pub mod time;
pub mod topic;
pub mod topic_day;
