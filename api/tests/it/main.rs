//! The service against a GitHub stand-in and real databases, over real HTTP.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

mod client;
mod databases;
mod lists;
mod maintenance;
mod on_demand;
mod process;
mod real_data;
mod refreshes;
mod routes;
mod store;
mod support;
