//! A mirror of GitHub's repository search, one topic at a time: ranked lists, complete, fresh and
//! fast.
//!
//! A read goes [`http`] → [`read`] → [`cache`] → [`store`] → [`refresh`]; a refresh goes
//! [`scheduler`] or [`http`] → [`refresh`] → [`github`] → [`store`] → [`lists`] → [`cache`].

pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod github;
pub mod http;
pub mod lists;
pub mod model;
pub mod read;
pub mod refresh;
pub mod schedule;
pub mod scheduler;
pub mod server;
pub mod service;
mod single_flight;
pub mod store;
mod task;
pub mod telemetry;
