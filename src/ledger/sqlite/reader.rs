//! The thread that reads, on a connection of its own: a long history delays no decision.
//!
//! Beside a running daemon it reads through the write-ahead log like everybody. When there is none (the daemon was
//! stopped cleanly) SQLite would create one, which a reader has no business doing and often no right to. So it then
//! reads the file as one that nobody writes, and looks afterwards whether that was true.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::super::{Fault, LedgerError};
use super::fault::{RowError, cannot_open, on_open};
use super::{file, schema};

/// How often a read is repeated because a daemon began to write under it.
const READS_MAX: u32 = 5;

/// What has no special meaning in the path of a `file:` URI.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Something to be read.
pub(super) type Read = Box<dyn FnOnce(&mut Reader) + Send>;

/// What the thread is told.
pub(super) enum Message {
    /// Read this.
    Read(Read),
    /// Let the ledger go and end; the sender is dropped when that is done.
    Close(oneshot::Sender<()>),
}

/// The ledger's file as it was when it was opened as one that nobody writes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Still {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A connection to read with.
pub(super) struct Reader {
    conn: Connection,
    path: PathBuf,
    busy_timeout: Duration,
    still: Option<Still>,
}

impl Reader {
    /// Opens the ledger at `path`, which is resolved and is there.
    pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Self, LedgerError> {
        let failed = |error: rusqlite::Error| on_open(path, &error);
        let still = still(path);
        let mut conn = open_as_still(path).map_err(failed)?;
        let (application_id, mut version) = schema::identity(&conn).map_err(failed)?;
        // Only now, so that nothing is created beside a file that is not ours.
        if application_id != schema::APPLICATION_ID {
            let fault = Fault::NotALedger;
            return Err(cannot_open(path, fault, file::ANOTHER_DATABASE));
        }
        if still.is_none() {
            conn = Connection::open_with_flags(path, FLAGS).map_err(failed)?;
            conn.busy_timeout(busy_timeout).map_err(failed)?;
            (_, version) = schema::identity(&conn).map_err(failed)?;
        }
        schema::refuse_older(path, version)?;
        schema::refuse_newer(path, version)?;
        conn.pragma_update(None, "temp_store", "memory")
            .and_then(|()| super::keep_statements(&conn))
            .map_err(failed)?;
        Ok(Self {
            conn,
            path: path.to_owned(),
            busy_timeout,
            still,
        })
    }

    /// Reads in one transaction, so that all of it is of one moment.
    pub(super) fn read<T>(
        &mut self,
        mut query: impl FnMut(&Connection) -> Result<T, RowError>,
    ) -> Result<T, LedgerError> {
        for _ in 0..READS_MAX {
            if self.has_moved() {
                *self = Self::open(&self.path, self.busy_timeout)?;
            }
            let read = self.conn.unchecked_transaction().map_err(RowError::from);
            let result = read.and_then(|_transaction| query(&self.conn));
            // If a daemon started meanwhile, what we read may be half old and half new, whatever it looks like.
            if !self.has_moved() {
                return result.map_err(|error| error.on(&self.path, "read"));
            }
        }
        Err(LedgerError::Failed {
            path: self.path.clone(),
            verb: "read",
            fault: Fault::Locked,
            why: "a daemon starts and stops all the time; try again when it runs or rests"
                .to_owned(),
        })
    }

    /// Whether somebody wrote to a file that nobody was to write to.
    fn has_moved(&self) -> bool {
        self.still.is_some() && self.still != still(&self.path)
    }

    /// Serves until it is told to stop, or nobody is left who could ask.
    pub(super) fn serve(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.blocking_recv() {
            match message {
                Message::Read(read) => read(&mut self),
                Message::Close(reply) => {
                    drop(self);
                    drop(reply);
                    return;
                }
            }
        }
    }

    /// How a read is stopped in its middle.
    pub(super) fn interrupt_handle(&self) -> InterruptHandle {
        self.conn.get_interrupt_handle()
    }
}

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the file alone, as one that nobody writes: SQLite then looks at nothing beside it, and creates nothing.
fn open_as_still(path: &Path) -> rusqlite::Result<Connection> {
    let path = percent_encode(path.as_os_str().as_encoded_bytes(), &PLAIN);
    let uri = format!("file://{path}?immutable=1");
    Connection::open_with_flags(uri, FLAGS | OpenFlags::SQLITE_OPEN_URI)
}

/// The file as it stands, if nobody has it open for writing: whoever does has a write-ahead log beside it.
fn still(path: &Path) -> Option<Still> {
    // An error that is not "it is not there" is no proof that nobody writes.
    if fs::symlink_metadata(file::beside(path, "-wal"))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        let metadata = fs::metadata(path).ok()?;
        return Some(Still {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        });
    }
    None
}

/// A read, and where its answer arrives.
pub(super) fn read<T: Send + 'static>(
    query: impl FnMut(&Connection) -> Result<T, RowError> + Send + 'static,
) -> (Read, oneshot::Receiver<Result<T, LedgerError>>) {
    let (reply, answer) = oneshot::channel();
    let read = move |reader: &mut Reader| {
        if !reply.is_closed() {
            // Nobody may be waiting any more.
            let _ = reply.send(reader.read(query));
        }
    };
    (Box::new(read), answer)
}
