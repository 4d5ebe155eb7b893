//! The tables, and how they came to be.
//!
//! A step that has been released is never changed: a ledger made by any older version walks through the rest of them
//! at its next start. There is no way back: an older version refuses a newer ledger.
//!
//! Instants are INTEGER nanoseconds since 1970 (`datetime(due / 1000000000, 'unixepoch')` in a shell): they sort, and
//! come back exactly as they went in. They reach from 1677 to 2262; what lies beyond is held at the end.
//!
//! States, origins and reasons have no CHECK that lists them: SQLite cannot alter one, and a new state would mean a
//! copy of the table. What a version does not know it refuses when it reads.

use std::path::Path;

use rusqlite::Connection;

use super::super::{Fault, LedgerError};
use super::fault::cannot_open;

/// What marks a SQLite database as a ledger of ours: "pcrn" in its header.
pub(super) const APPLICATION_ID: i32 = 0x7063_726e;

/// The version of the tables that this program knows.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// Step n brings version n to n + 1.
const STEPS: [&str; 1] = [VERSION_1];

const VERSION_1: &str = "
CREATE TABLE meta (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    ledger     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE marks (
    entry    TEXT PRIMARY KEY,
    until    INTEGER NOT NULL,
    schedule TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ticks (
    seq        INTEGER PRIMARY KEY,     -- what the other tables refer to; an id is long
    id         TEXT NOT NULL UNIQUE,
    entry      TEXT NOT NULL,
    due        INTEGER NOT NULL,
    origin     TEXT NOT NULL,
    opened_at  INTEGER NOT NULL,
    account    TEXT NOT NULL,
    request    TEXT NOT NULL,           -- JSON; never a secret, only where it is found
    retry      TEXT NOT NULL,           -- JSON
    deadline   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    state_at   INTEGER NOT NULL,        -- waiting: not before; sent and ended: when that was decided
    reason     TEXT,
    attempts   INTEGER NOT NULL,
    refusals   INTEGER NOT NULL,
    holds      INTEGER NOT NULL,
    missed     TEXT,                    -- JSON, of a row that stands for dropped ticks
    note       TEXT NOT NULL,
    CHECK ((state = 'ended') = (reason IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX ticks_opened_once ON ticks (entry, due) WHERE origin = 'scheduled';
CREATE INDEX ticks_open ON ticks (entry, due) WHERE state <> 'ended';
CREATE INDEX ticks_by_due ON ticks (due);
CREATE INDEX ticks_by_entry ON ticks (entry, due);
CREATE INDEX ticks_by_end ON ticks (state_at) WHERE state = 'ended';

CREATE TABLE attempts (
    tick        INTEGER NOT NULL REFERENCES ticks (seq) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    sent_at     INTEGER NOT NULL,
    answered_at INTEGER,
    answer      TEXT,                   -- JSON
    PRIMARY KEY (tick, number)
) STRICT, WITHOUT ROWID;

-- A run's id is the service's word: if it gave one twice we still write down what it said (P10).
CREATE TABLE runs (
    tick       INTEGER PRIMARY KEY REFERENCES ticks (seq) ON DELETE CASCADE,
    run_id     TEXT NOT NULL,
    queue_id   TEXT,
    started_at INTEGER NOT NULL,
    outcome    TEXT
) STRICT;

CREATE TABLE notes (
    tick   INTEGER NOT NULL REFERENCES ticks (seq) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tick, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE configs (
    key       TEXT PRIMARY KEY,
    loaded_at INTEGER NOT NULL,
    files     TEXT NOT NULL             -- JSON
) STRICT, WITHOUT ROWID;
";

/// Whose database it is, and the version of its tables.
pub(super) fn identity(conn: &Connection) -> rusqlite::Result<(i32, i32)> {
    let application_id = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((application_id, version(conn)?))
}

fn version(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses tables that were not brought up to date: only who may write can do that.
pub(super) fn refuse_older(path: &Path, version: i32) -> Result<(), LedgerError> {
    if version >= VERSION {
        return Ok(());
    }
    let why = format!(
        "its tables have version {version}, this program reads {VERSION}: start the daemon of this version once, which brings them up to date"
    );
    Err(cannot_open(path, Fault::Version, why))
}

/// Refuses tables that a newer program made: what it means by them is not known here.
pub(super) fn refuse_newer(path: &Path, version: i32) -> Result<(), LedgerError> {
    if version <= VERSION {
        return Ok(());
    }
    let why = format!(
        "its tables have version {version}, this program knows them up to {VERSION}: use the version that wrote it, or a backup from before"
    );
    Err(cannot_open(path, Fault::Version, why))
}

/// Takes the steps that are missing, each in a transaction of its own: dying between two leaves a ledger of an older
/// version, dying within one leaves it as it was.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<()> {
    let from = usize::try_from(version(conn)?).unwrap_or(0);
    for (step, version) in STEPS.iter().zip(1..).skip(from) {
        let transaction = conn.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
