//! The service against a GitHub stub and real databases, over real HTTP.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it is"
)]

mod archive;
mod backfill;
mod browser;
mod cache;
mod cdn;
mod client;
mod clocks;
mod coverage;
mod databases;
mod events;
mod exports;
mod failover;
mod feeds;
mod growth;
mod history;
mod hostile;
mod lists;
mod maintenance;
mod nginx;
mod on_demand;
mod openapi;
mod overload;
mod pictures;
mod postgres;
mod postgres_server;
mod process;
mod property;
mod proxy;
mod python;
mod queries;
mod reads;
mod real_data;
mod recordings;
mod redis;
mod refreshes;
mod repositories;
mod repository_pages;
mod restored;
mod retries;
mod routes;
mod simulation;
mod stack;
mod standby;
mod store;
mod support;
mod ten_replicas;
mod two_replicas;
