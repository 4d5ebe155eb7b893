//! The tables, and how they came to be.
//!
//! A step that has been released is never changed: a ledger made by any older version walks through the rest of them
//! at its next start. There is no way back: an older version refuses a newer ledger.
//!
//! Instants are INTEGER nanoseconds since 1970 (`datetime(due / 1000000000, 'unixepoch')` in a shell): they sort, and
//! come back exactly as they went in. They reach from 1677 to 2262; what lies beyond is held at the end.
//!
//! The tables are not STRICT: the sqlite3 shell of RHEL 8 and 9 could not open them at night. What has the wrong type is
//! refused when it is read.
//!
//! States, origins and reasons have no CHECK that lists them: SQLite cannot alter one, and a new state would mean a
//! copy of the table. What a version does not know it refuses when it reads.

use std::path::Path;

use rusqlite::Connection;

use super::super::{Fault, LedgerError};
use super::fault::cannot_open;

/// What marks a SQLite database as a ledger of ours: "pcrn" in its header.
pub(super) const APPLICATION_ID: i32 = 0x7063_726e;

/// How it is said that a database is another program's.
pub(super) const ANOTHER_DATABASE: &str =
    "it is a SQLite database, but not a ledger of pipecron: choose another place with --ledger";

/// The version of the tables that this program knows.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// Step n brings version n to n + 1.
const STEPS: [&str; 3] = [VERSION_1, VERSION_2, VERSION_3];

const VERSION_1: &str = "
CREATE TABLE meta (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    ledger     TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE marks (
    entry    TEXT PRIMARY KEY,
    until    INTEGER NOT NULL,
    schedule TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE ticks (
    seq        INTEGER PRIMARY KEY,     -- what the other tables refer to; an id is long
    id         TEXT NOT NULL UNIQUE,
    entry      TEXT NOT NULL,
    due        INTEGER NOT NULL,
    origin     TEXT NOT NULL,
    opened_at  INTEGER NOT NULL,
    account    TEXT NOT NULL,
    request    TEXT NOT NULL,           -- JSON; never a secret, only where it is found
    policy     TEXT NOT NULL,           -- JSON
    deadline   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    state_at   INTEGER NOT NULL,        -- waiting: not before; doubtful: the next look; else when that was decided
    reason     TEXT,
    attempts   INTEGER NOT NULL,
    refusals   INTEGER NOT NULL,
    holds      INTEGER NOT NULL,
    doubt      TEXT,                    -- JSON, of a tick whose run is looked for
    missed     TEXT,                    -- JSON, of a row that stands for dropped ticks
    note       TEXT NOT NULL,
    CHECK ((state = 'ended') = (reason IS NOT NULL))
);
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
) WITHOUT ROWID;

-- A run's id is the service's word: if it gave one twice we still write down what it said (P10).
CREATE TABLE runs (
    tick       INTEGER PRIMARY KEY REFERENCES ticks (seq) ON DELETE CASCADE,
    run_id     TEXT NOT NULL,
    queue_id   TEXT,
    started_at INTEGER NOT NULL,
    number     INTEGER,
    outcome    TEXT,
    ended_at   INTEGER,
    failed_stage TEXT,
    overdue    INTEGER NOT NULL
);

CREATE TABLE notes (
    tick   INTEGER NOT NULL REFERENCES ticks (seq) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tick, number)
) WITHOUT ROWID;

CREATE TABLE configs (
    key       TEXT PRIMARY KEY,
    loaded_at INTEGER NOT NULL,
    files     TEXT NOT NULL             -- JSON
) WITHOUT ROWID;
";

/// What a decision has to know of other entries: who is at the same pipeline, and who takes a place of the account.
const VERSION_2: &str = "
ALTER TABLE runs ADD COLUMN watched INTEGER NOT NULL DEFAULT 0;

ALTER TABLE ticks ADD COLUMN project_id TEXT NOT NULL DEFAULT '';
ALTER TABLE ticks ADD COLUMN pipeline_id TEXT NOT NULL DEFAULT '';
-- Not ended, or its run is watched.
ALTER TABLE ticks ADD COLUMN alive INTEGER NOT NULL DEFAULT 0;
-- It takes one of its account's places.
ALTER TABLE ticks ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
UPDATE ticks SET
    project_id = coalesce(json_extract(request, '$.project_id'), ''),
    pipeline_id = coalesce(json_extract(request, '$.pipeline_id'), ''),
    alive = state <> 'ended',
    place = state IN ('sent', 'doubtful', 'running');

DROP INDEX ticks_open;
CREATE INDEX ticks_alive ON ticks (entry, due) WHERE alive = 1;
CREATE INDEX ticks_alive_at ON ticks (pipeline_id) WHERE alive = 1;
CREATE INDEX ticks_placed ON ticks (account) WHERE place = 1;
CREATE INDEX ticks_at_pipeline ON ticks (pipeline_id, due);
";

/// Calendars: what was moved from a day off, and what somebody wants skipped. And what templates may say of an entry,
/// longer than the history is kept.
const VERSION_3: &str = "
-- JSON, a list of instants; none if nothing was moved.
ALTER TABLE ticks ADD COLUMN moved_from TEXT;
-- JSON, a list of instants that were moved across the mark; none if there are none.
ALTER TABLE marks ADD COLUMN crossed TEXT;

CREATE TABLE skips (
    entry    TEXT NOT NULL,
    due      INTEGER NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    PRIMARY KEY (entry, due)
) WITHOUT ROWID;

-- What somebody held still, also after it was over.
CREATE TABLE pauses (
    scope     TEXT NOT NULL,            -- entry:NAME, label:WORD, all
    since     INTEGER NOT NULL,
    until     INTEGER,
    asked_by  TEXT NOT NULL,
    reason    TEXT NOT NULL,
    lifted_at INTEGER,
    lifted_by TEXT,
    ends_at   INTEGER NOT NULL,         -- the earlier of both; the end of time if there is none
    PRIMARY KEY (scope, since)
) WITHOUT ROWID;
CREATE INDEX pauses_by_end ON pauses (ends_at);

-- Who wants to know what changed since they last looked asks for the ticks with a higher number.
ALTER TABLE meta ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticks ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticks_by_change ON ticks (changed);

-- What parts of the daemon other than the loop remember across a restart.
CREATE TABLE memos (
    key  TEXT PRIMARY KEY,
    text TEXT NOT NULL
) WITHOUT ROWID;

-- What somebody did by hand.
CREATE TABLE acts (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    done_by TEXT NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason  TEXT NOT NULL,
    outcome TEXT NOT NULL
);

-- The newest tick of an entry whose run ended well.
CREATE TABLE successes (
    entry  TEXT PRIMARY KEY,
    due    INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    number INTEGER
) WITHOUT ROWID;
INSERT INTO successes (entry, due, run_id, number)
    SELECT t.entry, max(t.due), coalesce(r.run_id, ''), r.number
    FROM ticks t LEFT JOIN runs r ON r.tick = t.seq WHERE t.reason = 'succeeded' GROUP BY t.entry;
";

/// Whose database it is, and the version of its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    application_id: i32,
    version: i32,
}

pub(super) fn identity(conn: &Connection) -> rusqlite::Result<Identity> {
    Ok(Identity {
        application_id: conn.pragma_query_value(None, "application_id", |row| row.get(0))?,
        version: version(conn)?,
    })
}

fn version(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

impl Identity {
    /// Refuses a database of another program.
    pub(super) fn refuse_others(self, path: &Path) -> Result<(), LedgerError> {
        if self.application_id == APPLICATION_ID {
            return Ok(());
        }
        Err(cannot_open(path, Fault::NotALedger, ANOTHER_DATABASE))
    }

    /// Refuses tables that were not brought up to date: only who may write can do that.
    pub(super) fn refuse_older(self, path: &Path) -> Result<(), LedgerError> {
        let version = self.version;
        if version >= VERSION {
            return Ok(());
        }
        let why = format!(
            "its tables have version {version}, this program reads {VERSION}: start the daemon of this version once, which brings them up to date"
        );
        Err(cannot_open(path, Fault::Version, why))
    }

    /// Refuses tables that a newer program made: what it means by them is not known here.
    pub(super) fn refuse_newer(self, path: &Path) -> Result<(), LedgerError> {
        let version = self.version;
        if version <= VERSION {
            return Ok(());
        }
        let why = format!(
            "its tables have version {version}, this program knows them up to {VERSION}: use the version that wrote it, or a backup from before"
        );
        Err(cannot_open(path, Fault::Version, why))
    }
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
