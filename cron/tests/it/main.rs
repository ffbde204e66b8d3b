//! The scheduler as a process, against a stand-in for the service, over HTTP.

#![expect(clippy::expect_used, reason = "a test that cannot go on should stop where it is")]

mod health;
mod once;
mod process;
mod schedule;
mod secrets;
mod stand_in;
