//! The proxy's configuration, on an nginx of the tests' own.

mod answers;
mod cache_keys;
mod failover;
mod freshness;
mod harness;
mod limits;
mod lists;
mod maintenance;
mod pages;
mod poisoning;
mod replica;
mod smuggling;

pub(crate) use harness::{Nginx, free_address};
