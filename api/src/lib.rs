//! A mirror of GitHub's repository search, one topic at a time: ranked lists, complete, fresh and
//! fast.
//!
//! Each part imports only parts before it in this order: [`model`], [`lists`], [`feeds`] and
//! [`pictures`], [`store`] and [`cache`], [`github`], [`archive`] and [`purge`], [`refresh`],
//! [`read`], [`app`], [`http`] and [`cli`].

pub mod app;
#[cfg(test)]
mod arbitrary;
pub mod archive;
pub mod backfill;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod feeds;
pub mod github;
pub mod http;
pub mod lists;
pub mod model;
pub mod pictures;
pub mod purge;
pub mod read;
pub mod refresh;
pub mod scheduler;
pub mod server;
mod single_flight;
pub mod store;
mod task;
pub mod telemetry;
