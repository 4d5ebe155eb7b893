//! SQLite's errors as ours: what went wrong, and what to do.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rusqlite::ErrorCode;

use crate::domain::EntryName;

use super::super::rule::panic_text;
use super::super::{Fault, LedgerError};

/// What can go wrong inside of a transaction, before it is known which ledger and what was tried.
#[derive(Debug)]
pub(super) enum RowError {
    /// SQLite says so.
    Sql(rusqlite::Error),
    /// A row is there that we cannot understand.
    Unreadable(String),
    /// Something cannot be put into a row.
    Unwritable(String),
    /// What was to be done panicked.
    Panicked(String),
    /// The caller wants something that may not be.
    Refused(EntryName, String),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl RowError {
    /// The same, if it came up while storing what was decided about `entry`.
    pub(super) fn of(self, entry: &EntryName) -> Self {
        match self {
            Self::Unwritable(why) => Self::Refused(entry.clone(), why),
            Self::Sql(_) | Self::Unreadable(_) | Self::Panicked(_) | Self::Refused(..) => self,
        }
    }

    /// The error for a caller who wanted `path` to be `verb` (`read`, `written`).
    pub(super) fn on(self, path: &Path, verb: &'static str) -> LedgerError {
        let (fault, why) = match self {
            Self::Refused(entry, why) => return LedgerError::Refused { entry, why },
            Self::Sql(error) => explain(&error),
            Self::Unwritable(why) => (
                Fault::NotALedger,
                format!("this cannot be written down: {why}"),
            ),
            Self::Panicked(text) => (Fault::Panicked, format!("a panic: {text}; report this")),
            Self::Unreadable(what) => (
                Fault::Corrupt,
                format!("{what}; it is damaged, or another program wrote to it: restore a backup"),
            ),
        };
        LedgerError::Failed {
            path: path.to_owned(),
            verb,
            fault,
            why,
        }
    }
}

/// Does `work`; a panic in it is an error. The thread serves everybody, so one mistake must not end it.
pub(super) fn catch<T>(work: impl FnOnce() -> Result<T, RowError>) -> Result<T, RowError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(RowError::Panicked(panic_text(&*payload).to_owned())))
}

/// SQLite's error on opening or making the ledger.
pub(super) fn on_open(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let (fault, why) = explain(error);
    cannot_open(path, fault, why)
}

/// The system's error on opening or making the ledger, while doing `what`.
pub(super) fn on_io(path: &Path, what: &str, error: &io::Error) -> LedgerError {
    let (fault, why) = advise(what, error);
    cannot_open(path, fault, why)
}

/// What the system's error means that came up while doing `what`, and what to do.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the system's errors are many; these are the ones we know advice for"
)]
pub(super) fn advise(what: &str, error: &io::Error) -> (Fault, String) {
    let (fault, advice) = match error.kind() {
        io::ErrorKind::NotFound => (Fault::Missing, "is --ledger right?"),
        io::ErrorKind::PermissionDenied => (
            Fault::Denied,
            "the user that runs this needs to own the ledger and its directory",
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            Fault::ReadOnly,
            "its file system is mounted read-only; choose another place with --ledger or mount it for writing",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (Fault::Full, "make room on its file system")
        }
        _ => (
            Fault::Io,
            "look for trouble with its disk in the system's log",
        ),
    };
    (fault, format!("{what}: {error}; {advice}"))
}

pub(super) fn cannot_open(path: &Path, fault: Fault, why: impl Into<String>) -> LedgerError {
    LedgerError::Open {
        path: path.to_owned(),
        fault,
        why: why.into(),
    }
}

/// What an error means, and what to do.
fn explain(error: &rusqlite::Error) -> (Fault, String) {
    let Some(code) = error.sqlite_error_code() else {
        return (
            Fault::Corrupt,
            format!(
                "a row cannot be understood ({error}); it is damaged, or another program wrote to it: restore a backup"
            ),
        );
    };
    let (fault, advice) = advice(code);
    if code == ErrorCode::CannotOpen {
        // All that SQLite adds is the path, in a form that nobody wrote.
        return (fault, advice.to_owned());
    }
    (fault, format!("{advice} (SQLite: {error})"))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is left are mistakes of ours, or tables that somebody altered"
)]
fn advice(code: ErrorCode) -> (Fault, &'static str) {
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => (
            Fault::Locked,
            "another program holds it locked, such as a backup or an sqlite3 shell: let it end",
        ),
        ErrorCode::DiskFull => (
            Fault::Full,
            "there is no room left: make some on its file system",
        ),
        ErrorCode::ReadOnly => (
            Fault::ReadOnly,
            "it can be read but not written: look at the owner and the mode of the file and its directory, and whether the file system is mounted read-only",
        ),
        ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied
        | ErrorCode::CannotOpen => (
            Fault::Denied,
            "the system does not let us open it: look at the owner and the mode of the file and its directory",
        ),
        ErrorCode::DatabaseCorrupt => (
            Fault::Corrupt,
            "it is damaged: move it away and restore a backup",
        ),
        ErrorCode::NotADatabase => (
            Fault::NotALedger,
            "it is not a SQLite database, or damaged: move it away or restore a backup",
        ),
        ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::NoLargeFileSupport => (
            Fault::Io,
            "reading or writing failed: look for trouble with its disk in the system's log",
        ),
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => {
            (Fault::Closed, "it was closed in the middle of this")
        }
        _ => (
            Fault::Corrupt,
            "its tables are not as they should be: restore a backup, or report this",
        ),
    }
}
