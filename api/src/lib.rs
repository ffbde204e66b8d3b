//! A mirror of GitHub's repository search, one topic at a time.

pub mod cache;
pub mod clock;
pub mod config;
mod flights;
pub mod github;
pub mod lists;
pub mod quota;
pub mod refresh;
pub mod repository;
pub mod schedule;
pub mod store;
pub mod topic;
