//! The part that `api` and `cron` share: the settings table with its flags, the reader, the
//! schedule, log set-up, the stop signal and the HTTP client's certificate authorities.
//!
//! A program adds a setting with one row of its table, and one field of its config that a
//! [`Reader`] fills.

mod authorities;
mod log;
mod reader;
mod schedule;
mod signal;
mod table;
mod values;
mod version;

pub use authorities::client_builder;
pub use log::{LOG_FORMAT, LogFormat, start_logging};
pub use reader::{InvalidSettings, Reader};
pub use schedule::{REFRESH_SCHEDULE, Schedule};
pub use signal::stop_signal;
pub use table::{Setting, Source, source, with_flags};
pub use values::{MAINTENANCE_TOKEN, header_token, http_url};
pub use version::{REVISION, version};
