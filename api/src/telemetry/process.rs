//! The usual `process_*` metrics, from Linux' `/proc`. Other systems have none of them.

use std::fs;

use super::families::{
    PROCESS_CPU, PROCESS_MOST_FILES, PROCESS_OPEN_FILES, PROCESS_RESIDENT, PROCESS_START,
    PROCESS_VIRTUAL,
};

/// The ticks of a second in `/proc`, the same on every architecture that Rust's Linux targets have.
const TICKS: u64 = 100;

/// The fields of `/proc/self/stat` by their place behind the program's name, which may have spaces.
/// Source: proc(5), whose numbers count from the process id as 1.
const USER_TIME: usize = 14 - 3;
const SYSTEM_TIME: usize = 15 - 3;
const START_TIME: usize = 22 - 3;

/// Sets the metrics of this process.
pub(crate) fn measure() {
    if let Some((cpu, start)) = times() {
        metrics::counter!(PROCESS_CPU).absolute(cpu);
        set(PROCESS_START, start);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (name, field) in [(PROCESS_VIRTUAL, "VmSize:"), (PROCESS_RESIDENT, "VmRSS:")] {
            if let Some(kilobytes) = field_of(&status, field) {
                set(name, kilobytes * 1024);
            }
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        set(PROCESS_OPEN_FILES, (files.count() as u64).saturating_sub(1));
    }
    if let Ok((most, _)) = rlimit::Resource::NOFILE.get() {
        set(PROCESS_MOST_FILES, most);
    }
}

/// Seconds of CPU time, and the start in seconds since 1970.
fn times() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let boot = field_of(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    let cpu = (ticks(USER_TIME)? + ticks(SYSTEM_TIME)?) / TICKS;
    Some((cpu, boot + ticks(START_TIME)? / TICKS))
}

/// The number behind a field's name at the beginning of a line.
fn field_of(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which no figure here reaches")]
fn set(name: &'static str, value: u64) {
    metrics::gauge!(name).set(value as f64);
}
