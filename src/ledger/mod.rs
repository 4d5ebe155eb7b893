//! The durable record of ticks, attempts, runs and high-water marks.
//!
//! Every decision is made inside a transaction and stored before anything is done about it (P3): if we die right
//! after the commit, the next start finds the attempt and does not send it again. The row (entry, due) is unique
//! for scheduled ticks (P1).
//!
//! What a ledger refuses, whoever asks, is in `rule`: it is the last line of defence, and the same for every
//! implementation. A ledger never holds a secret, only where one is to be found.

use std::future::Future;
use std::path::PathBuf;

use crate::config::SourceFile;
use crate::domain::{
    Act, Attempt, EntryName, EntryState, LastSuccess, Pause, Plan, Reason, Scope, Skip, Tick,
    TickId, Timestamp,
};

mod glance;
pub mod memory;
mod rule;
pub mod sqlite;
mod url;

pub use glance::{Changed, Glance};
pub use memory::MemoryLedger;
pub use sqlite::SqliteLedger;
pub use url::{UrlError, parse_url};

/// Longest note that is kept, in characters; a longer one is cut.
pub const NOTE_CHARS_MAX: usize = 1_000;
/// Longest message of an answer that is kept, in characters; a longer one is cut.
pub const MESSAGE_CHARS_MAX: usize = 4_000;
/// Most ticks that are forgotten in one commit.
pub const PRUNE_ROWS_MAX: u32 = 500;

/// What stands between us and the ledger, for a caller that has to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Somebody else holds it locked.
    Locked,
    /// The disk, the quota or the ledger's own limit is full.
    Full,
    /// It can be read but not written.
    ReadOnly,
    /// The system does not let us at it.
    Denied,
    /// Reading or writing failed below us.
    Io,
    /// There is none.
    Missing,
    /// It is open, but one of its files was deleted, replaced or moved away under us.
    Moved,
    /// What is there is something else.
    NotALedger,
    /// It has another version's tables.
    Version,
    /// It is damaged.
    Corrupt,
    /// It was closed, or the thread that serves it is gone.
    Closed,
    /// What it was asked to do panicked: a mistake in the program.
    Panicked,
}

impl Fault {
    /// Whether it may pass while the ledger stays open, by itself or by somebody's mending, so that the same call is
    /// worth another try. What may not has to be opened anew.
    pub fn is_transient(self) -> bool {
        match self {
            // The other program ends; somebody makes room, or mounts the file system for writing again.
            Self::Locked | Self::Full | Self::ReadOnly => true,
            // A path to a disk comes back. What was not acknowledged is written anew by the next try, so that a failed
            // wait for the disk cannot be forgotten.
            Self::Io => true,
            // A right that was taken away is given back, file handles become free. Opening it anew needs more of both.
            Self::Denied => true,
            // Our file has no name any more: whatever comes to that place is another ledger.
            Self::Missing | Self::Moved => false,
            // What is damaged does not heal, and to write to it makes it worse. The next start looks through it.
            Self::NotALedger | Self::Version | Self::Corrupt => false,
            // The thread does not come back. After a panic nobody knows what we hold in memory.
            Self::Closed | Self::Panicked => false,
        }
    }
}

/// What can go wrong with a ledger. Each says what was tried, on what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has it.
    #[error(
        "the ledger {} is in use by process {pid}; one daemon per ledger: stop that one, or give this one another --ledger",
        path.display()
    )]
    Held {
        /// The ledger's file.
        path: PathBuf,
        /// The other process, `?` if it did not say.
        pid: String,
    },
    /// It cannot be opened or made.
    #[error("cannot open the ledger {}: {why}", path.display())]
    Open {
        /// The ledger's file.
        path: PathBuf,
        /// What kind of trouble it is.
        fault: Fault,
        /// What went wrong and what to do.
        why: String,
    },
    /// It is open, but something failed. What was to be written counts as not written: do nothing about it. (After a
    /// failing disk it may be found all the same at the next start; an attempt that nobody sent then ends in doubt,
    /// which is the safe side.)
    #[error("the ledger {} could not be {verb}: {why}", path.display())]
    Failed {
        /// The ledger's file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// What kind of trouble it is.
        fault: Fault,
        /// What went wrong and what to do.
        why: String,
    },
    /// What was decided about an entry cannot be stored, whatever the state of the disk: a mistake in the program.
    #[error("the ledger refused what was decided about {entry}: {why}")]
    Refused {
        /// Whose decision it was.
        entry: EntryName,
        /// What is wrong with it.
        why: String,
    },
}

impl LedgerError {
    /// What kind of trouble it is; none if it is not the ledger's.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Open { fault, .. } | Self::Failed { fault, .. } => Some(*fault),
            Self::Held { .. } | Self::Refused { .. } => None,
        }
    }

    /// Whether the same call is worth another try.
    pub fn is_transient(&self) -> bool {
        self.fault().is_some_and(Fault::is_transient)
    }
}

/// Which rows of the history are wanted. Newest due first, then by id.
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
    /// Only rows that come later than this one in the history's order: how a long history is read page by page.
    pub after: Option<(Timestamp, TickId)>,
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

    /// Whether other daemons may work with it at the same time. If not, whoever opens it knows that all others are gone,
    /// and what was under way is nobody's.
    fn is_shared(&self) -> bool {
        false
    }

    /// Runs `decide` on the state of each entry in turn, in one transaction, stores the plans in one durable commit,
    /// and gives them back in the order of `entries`. The time passed to `decide` is the ledger's. If anything fails,
    /// nothing is stored and there are no plans. A change that opens a scheduled tick whose (entry, due) is there
    /// already is an error of the caller and fails the whole call; so is a `decide` that panics.
    ///
    /// A tick is opened by a change whose id is not there yet; one whose id is there has to have the same entry, due
    /// time, origin and `opened_at`, or it is taken for a second opening. What ended stays ended (P5), an attempt
    /// that is there can only get its answer (P4). Notes and messages are cut to their limits.
    ///
    /// When the future is dropped, the plans may be stored or not; nobody does what they ask then.
    fn decide<D>(
        &self,
        entries: Vec<EntryName>,
        decide: D,
    ) -> impl Future<Output = Result<Vec<Plan>, LedgerError>> + Send
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan + Send + 'static;

    /// The entries that have ticks which have not ended, or whose runs are watched.
    fn open_entries(&self) -> impl Future<Output = Result<Vec<EntryName>, LedgerError>> + Send;

    /// The entries that have a high-water mark.
    fn marked_entries(&self) -> impl Future<Output = Result<Vec<EntryName>, LedgerError>> + Send;

    /// Rows of the history, newest due first, then by id.
    fn history(
        &self,
        query: HistoryQuery,
    ) -> impl Future<Output = Result<Vec<Tick>, LedgerError>> + Send;

    /// The newest `count` ticks of each of these entries in short, in the order of the history: entry by entry, newest due
    /// first, then by id.
    fn glances(
        &self,
        entries: Vec<EntryName>,
        count: u32,
    ) -> impl Future<Output = Result<Vec<Glance>, LedgerError>> + Send {
        async move {
            let mut all = Vec::new();
            for entry in entries {
                let query = HistoryQuery {
                    entries: vec![entry],
                    limit: Some(count),
                    ..HistoryQuery::default()
                };
                all.extend(self.history(query).await?.into_iter().map(Glance::from));
            }
            Ok(all)
        }
    }

    /// The ticks that changed after the change of that number, in the order of their last changes, at most `limit`. Each
    /// is told once, as it stands now: what lay between is not.
    fn changes(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Changed>, LedgerError>> + Send;

    /// The number of the newest change; 0 if there was none.
    fn newest_change(&self) -> impl Future<Output = Result<u64, LedgerError>> + Send;

    /// Keeps a text under `key`, in place of what was there.
    fn put_memo(
        &self,
        key: String,
        text: String,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// The text under `key`.
    fn memo(&self, key: String)
    -> impl Future<Output = Result<Option<String>, LedgerError>> + Send;

    /// Everything about one tick.
    fn story(
        &self,
        tick: TickId,
    ) -> impl Future<Output = Result<Option<Story>, LedgerError>> + Send;

    /// Forgets ticks that were due and ended before `before`, with their attempts and notes, and marks for skips, pauses
    /// and acts before it;
    /// gives how many ticks. Open ticks stay, and so does what is remembered of the last success of an entry that has a mark
    /// or a tick. Works in small commits, so that no decision waits long. When it fails midway, what was forgotten is gone.
    fn prune(&self, before: Timestamp) -> impl Future<Output = Result<u64, LedgerError>> + Send;

    /// Keeps the files of a configuration that was loaded without a problem, in place of the last under `key`.
    fn keep_config(
        &self,
        key: String,
        files: Vec<SourceFile>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Forgets configurations that were kept before `before`; gives how many. The newest stays, whatever its key, and so
    /// do those under `keep`: what a daemon runs with may have been loaded long ago.
    fn forget_configs(
        &self,
        before: Timestamp,
        keep: Vec<String>,
    ) -> impl Future<Output = Result<u64, LedgerError>> + Send;

    /// The last good configuration under `key`.
    fn last_config(
        &self,
        key: String,
    ) -> impl Future<Output = Result<Option<GoodConfig>, LedgerError>> + Send;

    /// The entry's newest tick whose run ended well, by due time.
    fn last_success(
        &self,
        entry: EntryName,
    ) -> impl Future<Output = Result<Option<LastSuccess>, LedgerError>> + Send;

    /// Marks instants of an entry to be skipped, in place of what is marked for the same ones.
    fn put_skips(
        &self,
        entry: EntryName,
        skips: Vec<Skip>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Takes such marks back; gives how many were there.
    fn drop_skips(
        &self,
        entry: EntryName,
        dues: Vec<Timestamp>,
    ) -> impl Future<Output = Result<u64, LedgerError>> + Send;

    /// The marks of all entries for instants later than `after`, by entry and instant.
    fn skips(
        &self,
        after: Timestamp,
    ) -> impl Future<Output = Result<Vec<(EntryName, Skip)>, LedgerError>> + Send;

    /// Keeps a pause. One of the same scope that holds is lifted by it; gives that one. Of those that are over only the
    /// last [`PAUSES_KEPT_MAX`](crate::domain::pause::PAUSES_KEPT_MAX) stay.
    fn put_pause(
        &self,
        pause: Pause,
    ) -> impl Future<Output = Result<Option<Pause>, LedgerError>> + Send;

    /// Lifts the pause of this scope that holds at `at`; gives it as it then is, or none if there is none.
    fn lift_pause(
        &self,
        scope: Scope,
        at: Timestamp,
        by: String,
    ) -> impl Future<Output = Result<Option<Pause>, LedgerError>> + Send;

    /// The pauses that are not over at `at`, by when they began and by scope.
    fn pauses(&self, at: Timestamp)
    -> impl Future<Output = Result<Vec<Pause>, LedgerError>> + Send;

    /// Writes down what somebody did. Only the last [`ACTS_MAX`](crate::domain::pause::ACTS_MAX) stay.
    fn put_act(&self, act: Act) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// The last `limit` acts, newest first.
    fn acts(&self, limit: u32) -> impl Future<Output = Result<Vec<Act>, LedgerError>> + Send;

    /// The due time of the newest scheduled row, to tell a clock that stands before it.
    fn newest_due(&self) -> impl Future<Output = Result<Option<Timestamp>, LedgerError>> + Send;
}
