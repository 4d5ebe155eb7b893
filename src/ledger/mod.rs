//! The durable record of ticks, attempts, runs and high-water marks.
//!
//! Every decision is made inside a transaction and stored before anything is done about it (P3): if we die right
//! after the commit, the next start finds the attempt and does not send it again. The row (entry, due) is unique
//! for scheduled ticks (P1).

use std::future::Future;
use std::path::PathBuf;

use crate::config::SourceFile;
use crate::domain::{Attempt, EntryName, EntryState, Plan, Reason, Tick, TickId, Timestamp};

/// What can go wrong with a ledger. Each says what was tried, on what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has it.
    #[error(
        "the ledger {path} is in use by process {pid}; one daemon per ledger: stop that one, or give this one another --ledger"
    )]
    Held {
        /// The ledger's file.
        path: PathBuf,
        /// The other process, `?` if it did not say.
        pid: String,
    },
    /// It cannot be opened or made.
    #[error("cannot open the ledger {path}: {why}")]
    Open {
        /// The ledger's file.
        path: PathBuf,
        /// What went wrong and what to do.
        why: String,
    },
    /// It is there, but something failed; trying again may help (locked, full, read-only).
    #[error("the ledger {path} could not be {verb}: {why}")]
    Failed {
        /// The ledger's file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// What went wrong and what to do.
        why: String,
    },
}

/// Which rows of the history are wanted. Newest due first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only these entries; none: all.
    pub entries: Vec<EntryName>,
    /// Only ticks in this state (`waiting`, `sent`, `ended`).
    pub state: Option<String>,
    /// Only ticks that ended for this reason.
    pub reason: Option<Reason>,
    /// Only ticks due at or after this.
    pub since: Option<Timestamp>,
    /// Only ticks due before this.
    pub until: Option<Timestamp>,
    /// At most this many.
    pub limit: Option<u32>,
}

/// Everything that is known of one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The tick as it stands.
    pub tick: Tick,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// What was decided about it, oldest first.
    pub notes: Vec<(Timestamp, String)>,
}

/// A configuration that was loaded without a problem, kept for a start with broken files (P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodConfig {
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// Its files.
    pub files: Vec<SourceFile>,
}

/// The durable record. One suite of tests holds for every implementation.
pub trait Ledger: Send + Sync + 'static {
    /// The ledger's id: eight letters drawn once, so that two ledgers never take each other's runs for theirs.
    fn id(&self) -> &str;

    /// Runs `decide` on the state of each entry in turn, in one transaction, stores the plans in one durable commit,
    /// and gives them back in the order of `entries`. The time passed to `decide` is the ledger's. If anything fails,
    /// nothing is stored and there are no plans. A change that opens a scheduled tick whose (entry, due) is there
    /// already is an error of the caller and fails the whole call.
    fn decide<D>(
        &self,
        entries: Vec<EntryName>,
        decide: D,
    ) -> impl Future<Output = Result<Vec<Plan>, LedgerError>> + Send
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan + Send + 'static;

    /// The entries that have ticks which have not ended.
    fn open_entries(&self) -> impl Future<Output = Result<Vec<EntryName>, LedgerError>> + Send;

    /// The entries that have a high-water mark.
    fn marked_entries(&self) -> impl Future<Output = Result<Vec<EntryName>, LedgerError>> + Send;

    /// Rows of the history, newest due first.
    fn history(
        &self,
        query: HistoryQuery,
    ) -> impl Future<Output = Result<Vec<Tick>, LedgerError>> + Send;

    /// Everything about one tick.
    fn story(
        &self,
        tick: TickId,
    ) -> impl Future<Output = Result<Option<Story>, LedgerError>> + Send;

    /// Forgets ticks that ended before `before`, with their attempts and notes; gives how many. Open ticks stay. Works in
    /// small commits, so that no decision waits long.
    fn prune(&self, before: Timestamp) -> impl Future<Output = Result<u64, LedgerError>> + Send;

    /// Keeps the files of a configuration that was loaded without a problem, in place of the last under `key`.
    fn keep_config(
        &self,
        key: String,
        files: Vec<SourceFile>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// The last good configuration under `key`.
    fn last_config(
        &self,
        key: String,
    ) -> impl Future<Output = Result<Option<GoodConfig>, LedgerError>> + Send;

    /// The due time of the newest scheduled row, to tell a clock that stands before it.
    fn newest_due(&self) -> impl Future<Output = Result<Option<Timestamp>, LedgerError>> + Send;
}
