//! What is measured: every name and every help text, once.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process on.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something took how long.
    Histogram,
}

impl Kind {
    /// What Prometheus calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name in queries; a histogram's without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $id: Family = Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// All of them, in the order in which they are handed out.
        pub const FAMILIES: &[Family] = &[$($id),*];
    };
}

families! {
    BUILD: Gauge "pipecron_build_info" ["version", "tzdata"]
        "Always 1; the version of pipecron, and of the zone data that a reload would use.";
    TICKS_OPENED: Counter "pipecron_ticks_opened_total" ["origin"]
        "Ticks that were opened: scheduled, manual, or a row that stands for missed ones.";
    TICKS_ENDED: Counter "pipecron_ticks_ended_total" ["reason"]
        "Ticks that ended, by the reason that stands in the history.";
    TICKS_OPEN: Gauge "pipecron_ticks_open" ["state"]
        "Ticks that have not ended.";
    LATENESS: Histogram "pipecron_start_lateness_seconds" []
        "From the instant at which a scheduled tick is to start (its spread included) to the moment its first request leaves.";
    ATTEMPTS: Counter "pipecron_attempts_total" ["account", "class"]
        "Requests for a run, by what their answer means.";
    REQUESTS: Histogram "pipecron_api_request_duration_seconds" ["account", "call"]
        "From the moment a request is handed to its connection until its answer is read or lost.";
    RUNNING: Gauge "pipecron_runs_under_way" ["account"]
        "Runs that hold one of the account's places, or may.";
    MAX_RUNNING: Gauge "pipecron_account_max_running" ["account"]
        "The account's max_running; absent where it has none.";
    BREAKER: Gauge "pipecron_account_breaker_open" ["account"]
        "1 while the service counts as not working for anyone: nothing is started until a look at it succeeds.";
    RESTING: Gauge "pipecron_account_resting" ["account"]
        "1 while no request of the account leaves, after throttling, refused credentials or an outage.";
    REFUSED: Gauge "pipecron_account_credentials_refused" ["account"]
        "1 while the account's credentials are refused.";
    THROTTLED: Counter "pipecron_account_throttled_total" ["account"]
        "Requests of any kind that the service answered with: too many.";
    TOKEN: Gauge "pipecron_account_token_expiry_timestamp_seconds" ["account"]
        "When the token or the temporary key at hand ends; absent where that is not known. It is renewed before, when it is used.";
    SKEW: Gauge "pipecron_account_clock_skew_seconds" ["account"]
        "How far this machine's clock is ahead of the service's, by its last answer; signatures are refused from 900 s on.";
    LAST_SUCCESS: Gauge "pipecron_entry_last_success_due_timestamp_seconds" ["entry"]
        "When the entry's newest tick was due whose run succeeded; absent before the first, and where runs are not followed.";
    LAST_END: Gauge "pipecron_entry_last_end_success" ["entry"]
        "1 if the tick that ended last went well (succeeded or, where runs are not followed, started), 0 if it did not; what was left out on purpose does not count.";
    NEXT_DUE: Gauge "pipecron_entry_next_due_timestamp_seconds" ["entry"]
        "When the entry is due next, without its spread; absent while it is disabled, paused without an end, or never due again.";
    ENTRIES: Gauge "pipecron_entries" ["state"]
        "Entries of the configuration.";
    LEFT_OUT: Gauge "pipecron_entries_left_out" []
        "Entries that have no series of their own, because there are more than 5000; the first ones by name have.";
    RELOADS: Counter "pipecron_reloads_total" ["result"]
        "Reloads, taken or refused.";
    LAST_RELOAD: Gauge "pipecron_config_last_reload_successful" []
        "0 if the files, when they were read last, had errors; what was loaded before is still used.";
    LOADED_AT: Gauge "pipecron_config_last_reload_success_timestamp_seconds" []
        "When the configuration in use was loaded by this process.";
    FROM_LEDGER: Gauge "pipecron_config_from_ledger" []
        "1 while the last good configuration, kept in the ledger, is used because the files had errors at the start.";
    CONFIG: Gauge "pipecron_config_info" ["hash"]
        "Always 1; the beginning of the SHA-256 of the texts of the configuration in use. Secrets are not among them.";
    COMMITS: Histogram "pipecron_ledger_commit_duration_seconds" []
        "From handing decisions to the ledger until they are durable.";
    LEDGER_ERRORS: Counter "pipecron_ledger_errors_total" []
        "Decisions that the ledger could not store; nothing is sent for them.";
    LINES_LOST: Counter "pipecron_log_lines_lost_total" []
        "Log lines that were lost because a disk or terminal did not take them.";
    WAKES: Counter "pipecron_wakes_total" []
        "Turns of the loop.";
    PROGRESS: Gauge "pipecron_loop_last_progress_timestamp_seconds" []
        "When the loop last took a turn; it does so every minute at least.";
    STARTED: Gauge "process_start_time_seconds" []
        "When the process started.";
    CPU: Counter "process_cpu_seconds_total" []
        "CPU time of the process, in user and system mode.";
    MEMORY: Gauge "process_resident_memory_bytes" []
        "Memory that the process has in RAM.";
    FDS: Gauge "process_open_fds" []
        "Files and sockets that the process has open.";
    FDS_MAX: Gauge "process_max_fds" []
        "How many it may have open.";
}
