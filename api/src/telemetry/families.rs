//! The families of metrics on `/metrics`. `docs/operations.md` has the same table.

/// Prometheus' types of metrics that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A name, and the labels that each of its samples has.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Makes a constant of each name, and a list of all families.
macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $constant: &str = $name;)*

        pub const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

families! {
    HTTP_REQUESTS = Counter "http_requests_total" ["route", "method", "status"]
        "Answers to clients.";
    HTTP_DURATION = Histogram "http_request_duration_seconds" ["route"]
        "Time from a request's arrival to its answer.";
    LIST_READS = Counter "mirror_list_reads_total" ["tier"]
        "Reads of lists, by the tier that had the list: memory, redis or database.";
    TOPIC_AGE = Gauge "mirror_topic_age_seconds" ["topic"]
        "Time since the topic's last complete refresh.";
    TOPIC_COMPLETE = Gauge "mirror_topic_complete" ["topic"]
        "1 if the topic's last refresh was complete, else 0.";
    TOPIC_REPOSITORIES = Gauge "mirror_topic_repositories" ["topic"]
        "Repositories that are stored for the topic.";
    REFRESHES = Counter "mirror_refreshes_total" ["outcome"]
        "Runs of topics that this replica ended: complete, partial or failed.";
    REFRESH_DURATION = Histogram "mirror_refresh_duration_seconds" []
        "Time from the beginning of a topic's run to its end.";
    REFRESH_PERIOD = Gauge "mirror_refresh_period_seconds" []
        "Time between the next two times of REFRESH_SCHEDULE.";
    GITHUB_REQUESTS = Counter "mirror_github_requests_total" ["resource", "outcome"]
        "Requests to GitHub, by its rate limit and by how it answered.";
    GITHUB_REMAINING = Gauge "mirror_github_quota_remaining" ["resource"]
        "Requests that GitHub allows until its window ends, as far as known.";
    GITHUB_LIMIT = Gauge "mirror_github_quota_limit" ["resource"]
        "Requests that GitHub allows in a window, as far as known.";
    GITHUB_PAUSED = Gauge "mirror_github_paused_seconds" []
        "Time until the wait that GitHub asked for ends; 0 without one.";
    DATABASE_CONNECTIONS = Gauge "mirror_database_connections" ["state"]
        "Connections to the database: used or idle.";
    DATABASE_ERRORS = Counter "mirror_database_errors_total" []
        "Failures of the database, of reads and writes.";
    DATABASE_WRITES_FAILING = Gauge "mirror_database_writes_failing" []
        "1 if the last write to the database failed, else 0.";
    DATABASE_READ_LAG = Gauge "mirror_database_read_lag_seconds" []
        "Time by which the standby of DATABASE_READ_URL is behind; 0 without one.";
    CACHE_ERRORS = Counter "mirror_cache_errors_total" ["tier"]
        "Calls to the cache that failed or took too long, checks included.";
    CACHE_UP = Gauge "mirror_cache_up" ["tier"]
        "1 if the cache can be used, else 0.";
    MEMORY_LISTS = Gauge "mirror_memory_lists_bytes" []
        "Lists in the memory of this process.";
    PURGES = Counter "mirror_purges_total" ["outcome"]
        "Requests to the CDN to purge answers: good or failed.";
    BUILD_INFO = Gauge "mirror_build_info" ["version", "revision"]
        "1, with the release and the commit that this program was built from.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "CPU time of this process, in whole seconds.";
    PROCESS_OPEN_FILES = Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MOST_FILES = Gauge "process_max_fds" []
        "The most file descriptors that may be open.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Virtual memory.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Resident memory.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "Start of this process, in seconds since 1970.";
}
