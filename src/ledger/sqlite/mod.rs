//! The ledger in a SQLite file: for one daemon, which holds it for as long as it runs.
//!
//! One thread writes (`writer`), another reads (`reader`); callers wait without blocking. The write-ahead log with
//! `synchronous=FULL` makes a commit safe from a power cut. What it refuses: a second writer, a file that is not a
//! ledger of ours (which it leaves as it is), tables of a newer version.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle, MAIN_DB, OpenFlags, params};
use tokio::sync::{mpsc, oneshot};

use crate::config::SourceFile;
use crate::domain::{
    Act, EntryName, EntryState, LastSuccess, Pause, Plan, Scope, Skip, Tick, TickId, Timestamp,
};
use crate::os::Clock;

use super::{
    Changed, Fault, Glance, GoodConfig, HistoryQuery, Ledger, LedgerError, PRUNE_ROWS_MAX, Story,
};
use fault::{RowError, cannot_open, on_io, on_open};
use file::{Found, Lock, Standing};
use reader::Reader;
use writer::{Task, Writer};

mod fault;
mod file;
mod marks;
mod reader;
mod rows;
mod schema;
mod writer;

/// Most calls that queue for a thread; the next ones wait before they may queue.
const QUEUE_MAX: usize = 1_024;
/// The write-ahead log is moved into the file when it has this many pages, and cut to their size after a larger burst.
const LOG_PAGES_MAX: i64 = 1_000;
/// Bytes of a page.
const PAGE_BYTES: i64 = 4_096;
/// Free pages that are given back to the file system in one commit.
const VACUUM_PAGES_MAX: i64 = 500;
/// Free pages that are kept for new rows, at least; and of all pages one in `FREE_PAGES_SHARE`.
const FREE_PAGES_MIN: i64 = 256;
const FREE_PAGES_SHARE: i64 = 4;

/// The largest file that is looked through at the start: 256 MiB, which takes about a second.
const CHECKED_PAGES_MAX: i64 = (256 << 20) / PAGE_BYTES;

/// What can be chosen when a ledger is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long a call waits for somebody else's lock before it fails.
    pub busy_timeout: Duration,
    /// How large the file may grow, in pages of 4 KiB; beyond it writing fails as on a full disk.
    pub pages_max: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            pages_max: None,
        }
    }
}

/// The ledger in a SQLite file.
pub struct SqliteLedger {
    id: String,
    path: PathBuf,
    // Dropped in this order: SQLite puts everything into the one file when the last connection is closed, and that
    // has to be the one that may write.
    reader: Worker<reader::Message>,
    /// None for one that only reads.
    writer: Option<Worker<writer::Message>>,
    interrupt: InterruptHandle,
}

impl SqliteLedger {
    /// Opens the ledger at `path` for the one process that writes; makes it, and its directory, when there is none.
    /// Blocks while it does.
    ///
    /// # Errors
    /// When another process has it, when what is there is no ledger or a newer one, and when the system refuses.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, LedgerError> {
        Self::open_with(path, clock, Options::default())
    }

    /// Like [`SqliteLedger::open`], with other than the usual options.
    ///
    /// # Errors
    /// The same.
    pub fn open_with(path: &Path, clock: Clock, options: Options) -> Result<Self, LedgerError> {
        let path =
            std::path::absolute(path).map_err(|error| on_io(path, "looking for it", &error))?;
        file::make_directory(&path)?;
        let path = file::resolve(&path)?;
        if file::is_there(&path)? && !file::has_lock_file(&path) {
            // Nobody has it. If it is not ours, not even a lock is left beside it.
            file::look(&path)?;
        }
        let mut lock = Lock::take(&path)?;
        let found = file::look(&path)?;
        let is_new = matches!(found, Found::Nothing);
        let header = match found {
            Found::Ledger(header) => header,
            Found::Nothing => {
                tell_of_the_last(&path, &lock)?;
                make(&path, &clock)?;
                match file::look(&path)? {
                    Found::Ledger(header) => header,
                    Found::Nothing => return Err(cannot_open(&path, Fault::Moved, JUST_MADE)),
                }
            }
        };
        let conn = connect(&path, options)?;
        let id = ledger_id(&conn).map_err(|error| on_open(&path, &error))?;
        // The log is there from here on, so that the reader finds it.
        let reader = Reader::open(&path, options.busy_timeout)?;
        let standing = Standing::of(&path, &header, &lock)?;
        // That one has disappeared is said already.
        if let Some(last) = lock.last_ledger().filter(|last| *last != id && !is_new) {
            tracing::warn!(
                "the ledger {} is another one than last time: {id}, and that was {last}",
                path.display()
            );
        }
        lock.name(&id);
        let interrupt = reader.interrupt_handle();
        let writer = Writer {
            conn,
            path: path.clone(),
            clock,
            header,
            lock,
            standing,
        };
        let writer = Worker::start("ledger-writer", |queue| writer.serve(queue));
        let reader = Worker::start("ledger-reader", |queue| reader.serve(queue));
        let failed = |error| on_io(&path, "starting its threads", &error);
        Ok(Self {
            id,
            writer: Some(writer.map_err(failed)?),
            reader: reader.map_err(failed)?,
            interrupt,
            path,
        })
    }

    /// Opens the ledger at `path` to look at it, beside a running daemon or without one. Creates nothing and takes no
    /// lock; to decide, prune or keep a configuration fails. Blocks while it opens.
    ///
    /// # Errors
    /// When there is none, when it has the tables of another version, and when the system refuses.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        let path = file::resolve(path)?;
        if !file::is_there(&path)? {
            return Err(cannot_open(
                &path,
                Fault::Missing,
                "there is none; it is made when the daemon first starts. Is --ledger right?",
            ));
        }
        let mut reader = Reader::open(&path, Options::default().busy_timeout)?;
        let id = reader.read(|conn| Ok(ledger_id(conn)?))?;
        let interrupt = reader.interrupt_handle();
        let reader = Worker::start("ledger-reader", |queue| reader.serve(queue));
        Ok(Self {
            id,
            writer: None,
            reader: reader.map_err(|error| on_io(&path, "starting its thread", &error))?,
            interrupt,
            path,
        })
    }

    /// Where it is: absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it go once all that was asked before is done: the write-ahead log is moved into the file, the lock is free
    /// when this returns. What is asked later fails. Dropping does the same, but blocks and cannot tell of an error.
    ///
    /// # Errors
    /// When the file cannot be closed.
    pub async fn close(&self) -> Result<(), LedgerError> {
        let (reply, closed) = oneshot::channel();
        if self
            .reader
            .tell(reader::Message::Close(reply))
            .await
            .is_ok()
        {
            // It says nothing, it hangs up when it is done.
            let _ = closed.await;
        }
        let Some(writer) = &self.writer else {
            return Ok(());
        };
        let (reply, closed) = oneshot::channel();
        if writer.tell(writer::Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        closed.await.unwrap_or(Ok(()))
    }

    /// Has the writer do `work` in a commit that it shares with others, and waits until that is durable.
    async fn write<T, F>(
        &self,
        message: fn(Box<dyn writer::Job>) -> writer::Message,
        work: F,
    ) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, Timestamp) -> Result<T, RowError> + Send + 'static,
    {
        let Some(writer) = &self.writer else {
            let why = "it was opened to be read only; another process decides";
            return Err(self.failed("written", Fault::ReadOnly, why));
        };
        let gone = || self.failed("written", Fault::Closed, GONE);
        let (job, answer) = Task::of(work);
        writer.tell(message(job)).await.map_err(|Gone| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Has the reader ask `query`.
    async fn read<T, F>(&self, query: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, RowError> + Send + 'static,
    {
        let gone = || self.failed("read", Fault::Closed, GONE);
        let (read, answer) = reader::read(query);
        let read = reader::Message::Read(read);
        self.reader.tell(read).await.map_err(|Gone| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn failed(&self, verb: &'static str, fault: Fault, why: &str) -> LedgerError {
        LedgerError::Failed {
            path: self.path.clone(),
            verb,
            fault,
            why: why.to_owned(),
        }
    }
}

const GONE: &str = "it was closed, or the thread that serves it died; start again";

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqliteLedger")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        // Nobody waits for what is still being read: a read borrows the ledger.
        self.interrupt.interrupt();
    }
}

impl Ledger for SqliteLedger {
    fn id(&self) -> &str {
        &self.id
    }

    async fn decide<D>(
        &self,
        entries: Vec<EntryName>,
        mut decide: D,
    ) -> Result<Vec<Plan>, LedgerError>
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan + Send + 'static,
    {
        self.write(writer::Message::Decision, move |conn, now| {
            rows::decide_all(conn, now, &entries, &mut decide)
        })
        .await
    }

    async fn open_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        self.read(rows::open_entries).await
    }

    async fn marked_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        self.read(rows::marked_entries).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Tick>, LedgerError> {
        self.read(move |conn| rows::history(conn, &query)).await
    }

    async fn glances(
        &self,
        entries: Vec<EntryName>,
        count: u32,
    ) -> Result<Vec<Glance>, LedgerError> {
        self.read(move |conn| rows::glances(conn, &entries, count))
            .await
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<Changed>, LedgerError> {
        self.read(move |conn| rows::changes(conn, after, limit))
            .await
    }

    async fn newest_change(&self) -> Result<u64, LedgerError> {
        self.read(rows::newest_change).await
    }

    async fn put_memo(&self, key: String, text: String) -> Result<(), LedgerError> {
        self.write(writer::Message::Chore, move |conn, _| {
            marks::put_memo(conn, &key, &text)
        })
        .await
    }

    async fn memo(&self, key: String) -> Result<Option<String>, LedgerError> {
        self.read(move |conn| marks::memo(conn, &key)).await
    }

    async fn story(&self, tick: TickId) -> Result<Option<Story>, LedgerError> {
        self.read(move |conn| rows::story(conn, &tick)).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let mut forgotten = 0;
        // Decisions that come meanwhile go between two of these.
        loop {
            let some = self
                .write(writer::Message::Chore, move |conn, _| {
                    rows::prune(conn, before, PRUNE_ROWS_MAX)
                })
                .await?;
            forgotten += some;
            if some < u64::from(PRUNE_ROWS_MAX) {
                break;
            }
        }
        while self
            .write(writer::Message::Chore, |conn, _| give_back_pages(conn))
            .await?
        {}
        Ok(forgotten)
    }

    async fn keep_config(&self, key: String, files: Vec<SourceFile>) -> Result<(), LedgerError> {
        self.write(writer::Message::Chore, move |conn, now| {
            rows::keep_config(conn, now, &key, &files)
        })
        .await
    }

    async fn forget_configs(
        &self,
        before: Timestamp,
        keep: Vec<String>,
    ) -> Result<u64, LedgerError> {
        self.write(writer::Message::Chore, move |conn, _| {
            rows::forget_configs(conn, before, &keep)
        })
        .await
    }

    async fn last_config(&self, key: String) -> Result<Option<GoodConfig>, LedgerError> {
        self.read(move |conn| rows::last_config(conn, &key)).await
    }

    async fn last_success(&self, entry: EntryName) -> Result<Option<LastSuccess>, LedgerError> {
        self.read(move |conn| rows::last_success(conn, &entry))
            .await
    }

    async fn put_skips(&self, entry: EntryName, skips: Vec<Skip>) -> Result<(), LedgerError> {
        self.write(writer::Message::Chore, move |conn, _| {
            rows::put_skips(conn, &entry, &skips)
        })
        .await
    }

    async fn drop_skips(&self, entry: EntryName, dues: Vec<Timestamp>) -> Result<u64, LedgerError> {
        self.write(writer::Message::Chore, move |conn, _| {
            rows::drop_skips(conn, &entry, &dues)
        })
        .await
    }

    async fn skips(&self, after: Timestamp) -> Result<Vec<(EntryName, Skip)>, LedgerError> {
        self.read(move |conn| rows::coming_skips(conn, None, rows::nanos(after)))
            .await
    }

    async fn put_pause(&self, pause: Pause) -> Result<Option<Pause>, LedgerError> {
        self.write(writer::Message::Chore, move |conn, _| {
            marks::put_pause(conn, &pause)
        })
        .await
    }

    async fn lift_pause(
        &self,
        scope: Scope,
        at: Timestamp,
        by: String,
    ) -> Result<Option<Pause>, LedgerError> {
        self.write(writer::Message::Chore, move |conn, _| {
            marks::lift(conn, &scope, at, &by)
        })
        .await
    }

    async fn pauses(&self, at: Timestamp) -> Result<Vec<Pause>, LedgerError> {
        self.read(move |conn| marks::pauses(conn, rows::nanos(at)))
            .await
    }

    async fn put_act(&self, mut act: Act) -> Result<(), LedgerError> {
        super::rule::cut_act(&mut act);
        self.write(writer::Message::Chore, move |conn, _| {
            marks::put_act(conn, &act)
        })
        .await
    }

    async fn acts(&self, limit: u32) -> Result<Vec<Act>, LedgerError> {
        self.read(move |conn| marks::acts(conn, limit)).await
    }

    async fn newest_due(&self) -> Result<Option<Timestamp>, LedgerError> {
        self.read(rows::newest_due).await
    }
}

/// A thread and the queue in front of it.
struct Worker<M> {
    queue: Option<mpsc::Sender<M>>,
    thread: Option<JoinHandle<()>>,
}

/// The thread is not there any more.
struct Gone;

impl<M: Send + 'static> Worker<M> {
    fn start(
        name: &str,
        serve: impl FnOnce(mpsc::Receiver<M>) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(messages))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    async fn tell(&self, message: M) -> Result<(), Gone> {
        match &self.queue {
            Some(queue) => queue.send(message).await.map_err(|_| Gone),
            None => Err(Gone),
        }
    }
}

impl<M> Drop for Worker<M> {
    /// Waits until the thread has let the ledger go.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            // The last owner of the ledger may have been a decision, which is dropped by the very thread.
            && thread.thread().id() != thread::current().id()
        {
            // If it died it said so itself.
            let _ = thread.join();
        }
    }
}

const JUST_MADE: &str = "it was removed as soon as it was made; find out by whom, and start again";

/// Says that a ledger which was here has disappeared, before a new one is made. What the old one knew is lost, but
/// nothing is started twice for that: a new one begins from now. To refuse instead would end all nightlies to come.
fn tell_of_the_last(path: &Path, lock: &Lock) -> Result<(), LedgerError> {
    let fail = |error| on_io(path, "moving aside what the last ledger left", &error);
    let aside = file::set_remains_aside(path).map_err(fail)?;
    if aside.is_empty() && lock.last_ledger().is_none() {
        return Ok(());
    }
    let left = match aside.as_slice() {
        [] => String::new(),
        files => {
            let files: Vec<String> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            format!("; its last commits are in {}", files.join(" and "))
        }
    };
    tracing::error!(
        "the ledger {path} has disappeared{left}. A new one is made, and begins from now: it sends nothing a second time, \
         but what waited, was in doubt or under way is not gone on with (the log tells of it). To go on with the old one, \
         stop pipecron, put it back with all its files, and start again",
        path = path.display()
    );
    Ok(())
}

/// Makes a new ledger beside its place and moves it there when it is complete: dying in between leaves none.
fn make(path: &Path, clock: &Clock) -> Result<(), LedgerError> {
    let new = file::beside(path, ".new");
    let failed = |error| on_io(path, "making it", &error);
    let id = draw_id().map_err(|error| {
        let why = format!("there is no randomness to draw its id from: {error}");
        cannot_open(path, Fault::Io, why)
    })?;
    file::make_new(&new).map_err(failed)?;
    (|| {
        let mut conn = Connection::open_with_flags(&new, WRITE_FLAGS)?;
        // This has to come before the first table.
        conn.pragma_update(None, "auto_vacuum", "incremental")?;
        conn.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
        schema::migrate(&mut conn)?;
        conn.execute(
            "INSERT INTO meta (one, ledger, created_at) VALUES (1, ?1, ?2)",
            params![id, rows::nanos(clock.now())],
        )?;
        conn.close().map_err(|(_, error)| error)
    })()
    .map_err(|error| on_open(path, &error))?;
    file::move_into_place(&new, path).map_err(failed)
}

const WRITE_FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Eight letters: enough that no two ledgers of a company share an id, short enough for every run's description.
fn draw_id() -> Result<String, getrandom::Error> {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut drawn = getrandom::u64()?;
    let letters = (0..8).map(|_| {
        let letter = LETTERS[(drawn % 52) as usize];
        drawn /= 52;
        char::from(letter)
    });
    Ok(letters.collect())
}

/// Opens the ledger to write.
fn connect(path: &Path, options: Options) -> Result<Connection, LedgerError> {
    let failed = |error: rusqlite::Error| on_open(path, &error);
    let has_log = file::has_log(path);
    let mut conn = Connection::open_with_flags(path, WRITE_FLAGS).map_err(failed)?;
    // Else SQLite moves a log that does not belong to it into what we refuse, and destroys the backup that it may be.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    conn.set_db_config(keep_log, true).map_err(failed)?;
    conn.busy_timeout(options.busy_timeout).map_err(failed)?;
    // SQLite opens for reading what it may not write, without a word.
    if conn.is_readonly(MAIN_DB).map_err(failed)? {
        let why = "it can be read but not written: look at its owner and mode, and whether its file system is mounted read-only";
        return Err(cannot_open(path, Fault::ReadOnly, why));
    }
    let identity = schema::identity(&conn).map_err(failed)?;
    identity.refuse_others(path)?;
    identity.refuse_newer(path)?;
    if let Some(damage) = damage(&conn).map_err(failed)? {
        let advice = if has_log {
            format!(
                "if it is a backup that you have put here, {}-wal does not belong to it: move that away and start again; \
                 else move both away and restore a backup",
                path.display()
            )
        } else {
            "move it away and restore a backup".to_owned()
        };
        let why = format!("it is damaged ({damage}): {advice}");
        return Err(cannot_open(path, Fault::Corrupt, why));
    }
    if set_up(&conn, options).map_err(failed)? != "wal" {
        let why = "its file system cannot do what a write-ahead log needs; choose a place on a local disk with --ledger";
        return Err(cannot_open(path, Fault::Io, why));
    }
    schema::migrate(&mut conn).map_err(failed)?;
    conn.set_db_config(keep_log, false).map_err(failed)?;
    Ok(conn)
}

/// What is wrong with the file, before anything is written to it: better known at a start, when somebody looks, than at
/// two in the morning. A file larger than a second's reading is not looked through.
fn damage(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages > CHECKED_PAGES_MAX {
        return Ok(None);
    }
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

/// Gives the journal mode, which SQLite may refuse to change.
fn set_up(conn: &Connection, options: Options) -> rusqlite::Result<String> {
    let mode = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    // Every commit waits for the disk: what is acknowledged is there after a power cut (P3, P8).
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX)?;
    conn.pragma_update(None, "journal_size_limit", LOG_PAGES_MAX * PAGE_BYTES)?;
    if let Some(pages_max) = options.pages_max {
        conn.pragma_update(None, "max_page_count", pages_max)?;
    }
    keep_statements(conn)?;
    Ok(mode)
}

/// Prepared statements that are kept; there are fewer.
const STATEMENTS_MAX: usize = 64;

/// Prepares every statement once. Without the second line SQLite prepares most of them again at each call, to look for
/// a better plan for the values of the moment: measured, that was a third of the time of a decision.
fn keep_statements(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn ledger_id(conn: &Connection) -> rusqlite::Result<String> {
    conn.query_row("SELECT ledger FROM meta", [], |row| row.get(0))
}

/// Gives some free pages back to the file system, if there are more than new rows will soon need. True if it is worth
/// calling again.
fn give_back_pages(conn: &Connection) -> Result<bool, RowError> {
    let count = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let free = count("freelist_count")?;
    let kept = FREE_PAGES_MIN.max(count("page_count")? / FREE_PAGES_SHARE);
    if free <= kept {
        return Ok(false);
    }
    let pages = (free - kept).min(VACUUM_PAGES_MAX);
    let mut vacuum = conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    // One page a step.
    let mut steps = vacuum.query([])?;
    while steps.next()?.is_some() {}
    let left = count("freelist_count")?;
    // A file that somebody rebuilt by hand may have lost the ability; then it keeps its size, and rows reuse the pages.
    Ok(left < free && left > kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_talks_to_a_thread_that_died_is_told_and_does_not_wait() {
        let thread = |mut queue: mpsc::Receiver<oneshot::Sender<()>>| {
            let _first = queue.blocking_recv();
            panic!("a planted mistake");
        };
        let worker = Worker::start("dying", thread).unwrap();
        let (reply, answer) = oneshot::channel();
        // Taken, never answered.
        assert!(worker.tell(reply).await.is_ok());
        assert!(answer.await.is_err());
        // Queued at best, then dropped with the queue.
        let (reply, answer) = oneshot::channel();
        let _ = worker.tell(reply).await;
        assert!(answer.await.is_err());
        drop(worker);
    }

    #[test]
    fn an_id_is_eight_letters_and_every_letter_comes_up() {
        let mut letters = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let id = draw_id().unwrap();
            assert_eq!(id.len(), 8);
            letters.extend(id.bytes());
        }
        assert_eq!(letters.len(), 52);
    }

    /// A killed process loses nothing either way: only a power cut would tell, and nobody pulls the plug in a test.
    #[test]
    fn every_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        make(&path, &Clock::system()).unwrap();
        let conn = connect(&path, Options::default()).unwrap();
        for (pragma, expected) in [
            ("synchronous", "2"),
            ("journal_mode", "wal"),
            ("foreign_keys", "1"),
            ("auto_vacuum", "2"),
            ("page_size", "4096"),
            ("application_id", "1885565550"),
        ] {
            let sql = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
            let found: String = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{pragma}");
        }
    }

    #[test]
    fn what_was_read_while_a_daemon_began_to_write_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        make(&path, &Clock::system()).unwrap();
        drop(connect(&path, Options::default()).unwrap());
        let mut reader = Reader::open(&path, Duration::ZERO).unwrap();
        let mut daemon = None;
        let marks = reader.read(|conn| {
            let seen = rows::marked_entries(conn)?;
            if daemon.is_none() {
                let conn = connect(&path, Options::default()).unwrap();
                conn.execute(
                    "INSERT INTO marks (entry, until, schedule) VALUES ('a', 0, '')",
                    [],
                )?;
                daemon = Some(conn);
            }
            Ok(seen)
        });
        assert_eq!(marks.unwrap(), [EntryName::parse("a").unwrap()]);
    }

    #[test]
    fn every_version_leads_to_the_newest_and_the_newest_stays() {
        let tables = |conn: &Connection| -> Vec<String> {
            let mut names = conn
                .prepare("SELECT sql FROM sqlite_schema ORDER BY name")
                .unwrap();
            let names = names
                .query_map([], |row| row.get::<_, Option<String>>(0))
                .unwrap();
            names.filter_map(Result::unwrap).collect()
        };
        let mut conn = Connection::open_in_memory().unwrap();
        schema::migrate(&mut conn).unwrap();
        let newest = tables(&conn);
        assert!(
            newest
                .iter()
                .any(|table| table.contains("CREATE TABLE runs"))
        );
        schema::migrate(&mut conn).unwrap();
        assert_eq!(tables(&conn), newest);
        let version: i32 = conn
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, schema::VERSION);
    }
}
