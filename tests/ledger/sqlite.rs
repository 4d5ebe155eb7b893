//! What only the SQLite ledger has to show: its file, its lock, its threads, and what becomes of them.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pipecron::domain::{EntryState, Plan, Reason};
use pipecron::ledger::sqlite::Options;
use pipecron::ledger::{Fault, HistoryQuery, Ledger, LedgerError, PRUNE_ROWS_MAX, SqliteLedger};
use pipecron::os::Clock;
use rusqlite::{Connection, OpenFlags};

use crate::world::*;

/// A directory of its own, and in it the place of a ledger.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.directory.path().join(format!("ledger.db{ending}"))
    }

    fn open(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path(), clock()).unwrap()
    }

    /// One that waits for a lock only a moment.
    fn open_hasty(&self) -> SqliteLedger {
        let options = Options {
            busy_timeout: Duration::from_millis(5),
            ..Options::default()
        };
        SqliteLedger::open_with(&self.path(), clock(), options).unwrap()
    }

    fn open_read_only(&self) -> SqliteLedger {
        SqliteLedger::open_read_only(&self.path()).unwrap()
    }

    /// The file as another program sees it.
    fn shell(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(self.path(), flags).unwrap();
        conn.busy_timeout(Duration::from_secs(60)).unwrap();
        conn
    }

    /// The names in the directory.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = names
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[track_caller]
fn assert_fault<T: std::fmt::Debug>(result: Result<T, LedgerError>, fault: Fault, words: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.fault(), Some(fault), "{error}");
    assert_eq!(error.is_transient(), fault.is_transient());
    for word in words {
        assert!(error.to_string().contains(word), "{error} lacks {word:?}");
    }
}

async fn rows(ledger: &SqliteLedger) -> usize {
    let history = ledger.history(HistoryQuery::default()).await;
    history.unwrap().len()
}

// --- over its life ---

#[tokio::test(start_paused = true)]
async fn what_was_stored_is_there_after_it_was_dropped_and_after_it_was_closed() {
    let place = Place::new();
    let ledger = place.open();
    let id = ledger.id().to_owned();
    put(&ledger, &[tick("a", second(0))]).await;
    store(&ledger, "a", set_mark(second(0))).await.unwrap();
    let before = state(&ledger, "a").await;
    drop(ledger);
    for _ in 0..2 {
        assert_eq!(
            place.names(),
            ["ledger.db", "ledger.db.lock"],
            "one file holds it all"
        );
        let ledger = place.open();
        assert_eq!(ledger.id(), id);
        assert_eq!(state(&ledger, "a").await, before);
        ledger.close().await.unwrap();
        ledger.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_ledgers_have_one_id() {
    let (one, other) = (Place::new(), Place::new());
    assert_ne!(one.open().id(), other.open().id());
}

#[tokio::test(start_paused = true)]
async fn after_closing_every_call_fails_and_none_hangs() {
    let place = Place::new();
    let ledger = place.open();
    put(&ledger, &[tick("a", second(0))]).await;
    ledger.close().await.unwrap();
    let closed = Fault::Closed;
    assert_fault(
        store(&ledger, "a", plan([])).await,
        closed,
        &["written", "ledger.db"],
    );
    assert_fault(ledger.prune(second(0)).await, closed, &["written"]);
    assert_fault(
        ledger.keep_config(String::new(), Vec::new()).await,
        closed,
        &["written"],
    );
    assert_fault(
        ledger.history(HistoryQuery::default()).await,
        closed,
        &["read"],
    );
    assert_fault(ledger.newest_due().await, closed, &["read"]);
    // The lock is free although the closed one is still in hand.
    assert_eq!(rows(&place.open()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_closing_is_done_and_what_comes_later_is_told() {
    let place = Place::new();
    let ledger = place.open();
    let other = place.shell();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut before = pin!(store(&ledger, "a", plan([&tick("a", second(0))])));
    let mut closing = pin!(ledger.close());
    let mut after = pin!(store(&ledger, "b", plan([&tick("b", second(0))])));
    poll_once(before.as_mut());
    poll_once(closing.as_mut());
    // The reader goes first; a read that comes too late is answered when it has gone.
    assert_fault(ledger.open_entries().await, Fault::Closed, &["closed"]);
    poll_once(closing.as_mut());
    poll_once(after.as_mut());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    before.await.unwrap();
    closing.await.unwrap();
    assert_fault(after.await, Fault::Closed, &["closed"]);
    assert_eq!(rows(&place.open()).await, 1);
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "it is done already");
}

#[tokio::test(start_paused = true)]
async fn a_decision_may_be_the_last_owner_of_the_ledger() {
    let place = Place::new();
    let ledger = Arc::new(place.open());
    let other = place.shell();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (told, done) = tokio::sync::oneshot::channel();
    let last_words = LastWords(Some(told));
    {
        let mine = Arc::clone(&ledger);
        let mut decision = pin!(ledger.decide(vec![entry("a")], move |_, _, _| {
            let _ = (&mine, &last_words);
            Plan::default()
        }));
        poll_once(decision.as_mut());
    }
    drop(ledger);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    // Nobody waits for it, so it is dropped on the ledger's own thread, which must not wait for itself.
    done.await.unwrap();
}

/// Says when it is dropped.
struct LastWords(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test(start_paused = true)]
async fn the_remains_of_a_ledger_in_the_making_are_cleared_away() {
    let place = Place::new();
    for ending in [".new", ".new-journal", ".new-wal", ".new-shm"] {
        fs::write(place.beside(ending), "died here").unwrap();
    }
    let ledger = place.open();
    put(&ledger, &[tick("a", second(0))]).await;
    drop(ledger);
    assert_eq!(place.names(), ["ledger.db", "ledger.db.lock"]);
}

#[tokio::test(start_paused = true)]
async fn any_path_will_do() {
    use std::os::unix::ffi::OsStrExt;
    for name in [
        &b"a b"[..],
        b"100%41?mode=memory#x&y",
        "夜".as_bytes(),
        b"\xff\xfe",
        b"'\"",
        b"file:x",
    ] {
        let place = Place::new();
        let name = std::ffi::OsStr::from_bytes(name);
        let path = place.directory.path().join(name).join(name);
        let ledger = SqliteLedger::open(&path, clock()).unwrap();
        put(&ledger, &[tick("a", second(0))]).await;
        assert_eq!(
            rows(&SqliteLedger::open_read_only(&path).unwrap()).await,
            1,
            "{name:?}"
        );
        drop(ledger);
        assert_eq!(
            rows(&SqliteLedger::open_read_only(&path).unwrap()).await,
            1,
            "{name:?}"
        );
        assert!(path.is_file());
    }
}

// --- one process writes, others read ---

#[tokio::test(start_paused = true)]
async fn a_second_writer_is_told_who_has_it() {
    let place = Place::new();
    let ledger = place.open();
    let lock = fs::metadata(place.beside(".lock")).unwrap();
    let held = SqliteLedger::open(&place.path(), clock()).unwrap_err();
    let expected = LedgerError::Held {
        path: place.path().canonicalize().unwrap(),
        pid: std::process::id().to_string(),
    };
    assert_eq!(held, expected);
    assert!(!held.is_transient());
    let text = held.to_string();
    assert!(
        text.contains(&format!("in use by process {}", std::process::id())),
        "{text}"
    );
    // It did no harm to the first, whose lock file stays the same file for ever.
    put(&ledger, &[tick("a", second(0))]).await;
    drop(ledger);
    place.open();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        fs::metadata(place.beside(".lock")).unwrap().ino(),
        lock.ino()
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_in_place_of_the_lock_does_not_make_us_write_elsewhere() {
    let place = Place::new();
    let precious = place.directory.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, place.beside(".lock")).unwrap();
    let error = SqliteLedger::open(&place.path(), clock()).unwrap_err();
    assert!(error.to_string().contains("ledger.db.lock"), "{error}");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert!(!place.path().exists());
}

#[tokio::test(start_paused = true)]
async fn every_way_to_a_ledger_leads_to_one_lock() {
    let place = Place::new();
    let ledger = place.open();
    let link = place.directory.path().join("link.db");
    std::os::unix::fs::symlink("ledger.db", &link).unwrap();
    let inside = place.directory.path().join("sub");
    fs::create_dir(&inside).unwrap();
    for way in [link, inside.join("../ledger.db")] {
        let held = SqliteLedger::open(&way, clock()).unwrap_err();
        assert!(matches!(held, LedgerError::Held { .. }), "{held}");
    }
    drop(ledger);
    assert_eq!(
        place.names(),
        ["ledger.db", "ledger.db.lock", "link.db", "sub"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_beside_the_writer_sees_every_commit() {
    let place = Place::new();
    let ledger = place.open();
    let reader = place.open_read_only();
    assert_eq!(reader.id(), ledger.id());
    for number in 0..5 {
        put(&ledger, &[tick("a", second(number))]).await;
        assert_eq!(rows(&reader).await as i64, number + 1);
    }
    store(&ledger, "a", set_mark(second(0))).await.unwrap();
    ledger
        .keep_config("key".to_owned(), Vec::new())
        .await
        .unwrap();
    assert_eq!(reader.marked_entries().await.unwrap(), [entry("a")]);
    assert!(
        reader
            .last_config("key".to_owned())
            .await
            .unwrap()
            .is_some()
    );
    drop(ledger);
    assert_eq!(rows(&reader).await, 5);
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_only_decides_nothing() {
    let place = Place::new();
    drop(place.open());
    let reader = place.open_read_only();
    let only = Fault::ReadOnly;
    assert_fault(
        store(&reader, "a", plan([])).await,
        only,
        &["opened to be read only"],
    );
    assert_fault(
        reader.prune(second(0)).await,
        only,
        &["opened to be read only"],
    );
    assert_fault(
        reader.keep_config(String::new(), Vec::new()).await,
        only,
        &["read only"],
    );
    reader.close().await.unwrap();
    assert_fault(reader.open_entries().await, Fault::Closed, &["closed"]);
}

#[tokio::test(start_paused = true)]
async fn reading_at_rest_creates_nothing() {
    let place = Place::new();
    let ledger = place.open();
    put(&ledger, &[tick("a", second(0))]).await;
    drop(ledger);
    let before = (place.names(), digest(&place.path()));
    let reader = place.open_read_only();
    assert_eq!(rows(&reader).await, 1);
    assert_eq!((place.names(), digest(&place.path())), before);
    drop(reader);
    assert_eq!(place.names(), before.0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_at_rest_notices_that_a_daemon_starts_and_stops() {
    let place = Place::new();
    drop(place.open());
    let reader = place.open_read_only();
    assert_eq!(rows(&reader).await, 0);
    let ledger = place.open();
    put(&ledger, &[tick("a", second(0))]).await;
    assert_eq!(rows(&reader).await, 1);
    put(&ledger, &[tick("a", second(1))]).await;
    assert_eq!(rows(&reader).await, 2);
    drop(ledger);
    drop(reader);
    let reader = place.open_read_only();
    let ledger = place.open();
    put(&ledger, &[tick("a", second(2))]).await;
    ledger.close().await.unwrap();
    assert_eq!(rows(&reader).await, 3);
}

#[tokio::test(start_paused = true)]
async fn reading_what_is_not_there_is_an_error_and_creates_nothing() {
    let place = Place::new();
    let missing = SqliteLedger::open_read_only(&place.path());
    assert_fault(
        missing,
        Fault::Missing,
        &["ledger.db", "there is none", "--ledger"],
    );
    let missing = SqliteLedger::open_read_only(&place.directory.path().join("no/such/ledger.db"));
    assert_fault(missing, Fault::Missing, &["no/such/ledger.db"]);
    assert_eq!(place.names(), Vec::<String>::new());
}

// --- what is not a ledger ---

#[tokio::test(start_paused = true)]
async fn what_is_not_a_ledger_is_refused_and_left_as_it_is() {
    type Make = fn(&Path);
    let table: [(&str, Make, Fault, &[&str]); 8] = [
        (
            "a text",
            |path| fs::write(path, "x".repeat(5_000)).unwrap(),
            Fault::NotALedger,
            &["not a SQLite database"],
        ),
        (
            "a short text",
            |path| fs::write(path, "x").unwrap(),
            Fault::NotALedger,
            &["not a SQLite database"],
        ),
        (
            "an empty file",
            |path| fs::write(path, "").unwrap(),
            Fault::NotALedger,
            &["empty", "restore a backup"],
        ),
        (
            "a directory",
            |path| fs::create_dir(path).unwrap(),
            Fault::NotALedger,
            &["it is a directory", "name a file in it"],
        ),
        (
            "a link to nothing",
            |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
            Fault::Missing,
            &["symbolic link to nothing"],
        ),
        (
            "a device",
            |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
            Fault::NotALedger,
            &["not a regular file"],
        ),
        (
            "somebody's database",
            |path| somebodys(path, "delete"),
            Fault::NotALedger,
            &["not a ledger of pipecron"],
        ),
        (
            "somebody's log",
            |path| somebodys(path, "wal"),
            Fault::NotALedger,
            &["not a ledger of pipecron"],
        ),
    ];
    for (what, make, fault, words) in table {
        let place = Place::new();
        make(&place.path());
        let content = |place: &Place| {
            let files = place.names().into_iter();
            let files = files.map(|name| place.directory.path().join(name));
            let files = files.filter(|path| path.is_file());
            files.map(|path| digest(&path)).collect::<Vec<_>>()
        };
        let before = (place.names(), content(&place));
        for _ in 0..2 {
            let mut words = words.to_vec();
            words.extend((what != "a device").then_some("ledger.db"));
            assert_fault(SqliteLedger::open(&place.path(), clock()), fault, &words);
            assert_eq!((place.names(), content(&place)), before, "{what}");
            let read_only_words = if what.contains("text") {
                vec!["ledger.db"]
            } else {
                words
            };
            assert_fault(
                SqliteLedger::open_read_only(&place.path()),
                fault,
                &read_only_words,
            );
            assert_eq!((place.names(), content(&place)), before, "{what}");
        }
    }
}

/// Length and content of a file in few digits.
fn digest(path: &Path) -> (usize, u64) {
    digest_of(&fs::read(path).unwrap())
}

fn digest_of(content: &[u8]) -> (usize, u64) {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    (content.len(), hasher.finish())
}

/// A database of another program, left with a log that it has not moved into the file.
fn somebodys(path: &Path, mode: &str) {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "journal_mode", mode).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    if mode == "wal" {
        // As if it had been killed: the files are copied while it runs, then put back.
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let kept = (fs::read(path).unwrap(), fs::read(&log).unwrap());
        drop(conn);
        fs::write(path, kept.0).unwrap();
        fs::write(log, kept.1).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_in_place_of_a_directory_is_an_error() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    let path = place.path().join("ledger.db");
    let error = SqliteLedger::open(&path, clock()).unwrap_err();
    assert!(error.to_string().contains("ledger.db"), "{error}");
    let error = SqliteLedger::open_read_only(&path).unwrap_err();
    assert!(error.to_string().contains("ledger.db"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn tables_of_a_newer_version_are_refused_by_name() {
    let place = Place::new();
    drop(place.open());
    let known: i32 = place
        .shell()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    place
        .shell()
        .pragma_update(None, "user_version", known + 7)
        .unwrap();
    let before = digest(&place.path());
    let both = [format!("version {}", known + 7), format!("up to {known}")];
    let words = [both[0].as_str(), both[1].as_str()];
    assert_fault(
        SqliteLedger::open(&place.path(), clock()),
        Fault::Version,
        &words,
    );
    assert_fault(
        SqliteLedger::open_read_only(&place.path()),
        Fault::Version,
        &words,
    );
    assert_eq!(digest(&place.path()), before);
    place
        .shell()
        .pragma_update(None, "user_version", known)
        .unwrap();
    place.open();
}

#[tokio::test(start_paused = true)]
async fn tables_of_an_older_version_are_brought_up_to_date_by_the_writer_alone() {
    let place = Place::new();
    drop(place.open());
    place
        .shell()
        .pragma_update(None, "user_version", 0)
        .unwrap();
    let older = SqliteLedger::open_read_only(&place.path());
    let words = ["version 0", "start the daemon of this version once"];
    assert_fault(older, Fault::Version, &words);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_is_an_error_wherever_it_is_damaged() {
    let place = Place::new();
    let ledger = place.open();
    let ticks: Vec<_> = (0..200).map(|number| tick("a", second(number))).collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    drop(ledger);
    let whole = fs::read(place.path()).unwrap();
    let pages = whole.len() / 4_096;
    for page in 0..pages {
        let mut damaged = whole.clone();
        // Page 1 begins with the header, which is looked at before.
        let from = page * 4_096 + if page == 0 { 100 } else { 0 };
        damaged[from..(page + 1) * 4_096].fill(0xa5);
        fs::write(place.path(), &damaged).unwrap();
        let error = SqliteLedger::open(&place.path(), clock()).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Corrupt), "page {page}: {error}");
        assert!(error.to_string().contains("restore a backup"), "{error}");
        assert_eq!(
            digest(&place.path()),
            digest_of(&damaged),
            "it stays as it is"
        );
    }
    // Torn off at the end, as by a copy that ran out of room.
    fs::write(place.path(), &whole[..whole.len() / 2]).unwrap();
    let torn = SqliteLedger::open(&place.path(), clock());
    assert_fault(torn, Fault::Corrupt, &["restore a backup"]);
}

#[tokio::test(start_paused = true)]
async fn damage_under_a_running_ledger_is_an_error_not_a_panic() {
    let place = Place::new();
    let ledger = place.open();
    let ticks: Vec<_> = (0..5_000).map(|number| tick("a", second(number))).collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    drop(ledger);
    let ledger = place.open();
    let mut damaged = fs::read(place.path()).unwrap();
    damaged[8_192..].fill(0xa5);
    // In place: the ledger has this very file open.
    fs::write(place.path(), &damaged).unwrap();
    let words = ["damaged", "restore a backup"];
    assert_fault(
        ledger.history(HistoryQuery::default()).await,
        Fault::Corrupt,
        &words,
    );
    assert_fault(store(&ledger, "a", plan([])).await, Fault::Corrupt, &words);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_understood_is_an_error_that_names_it() {
    for damage in [
        "UPDATE ticks SET state = 'dancing'",
        "UPDATE ticks SET request = '{'",
        "UPDATE ticks SET policy = '[]'",
        "UPDATE ticks SET reason = 'bored', state = 'ended'",
    ] {
        let place = Place::new();
        let ledger = place.open();
        put(&ledger, &[tick("a", second(0))]).await;
        place.shell().execute_batch(damage).unwrap();
        let query = HistoryQuery::default();
        let words = ["a@2026-11-24T18:00:00Z", "restore a backup"];
        assert_fault(ledger.history(query).await, Fault::Corrupt, &words);
    }
}

// --- what happens to a disk ---

#[tokio::test(start_paused = true)]
async fn a_lock_of_another_program_passes() {
    let place = Place::new();
    let ledger = place.open_hasty();
    put(&ledger, &[tick("a", second(0))]).await;
    let other = place.shell();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for _ in 0..2 {
        let locked = store(&ledger, "a", plan([&tick("a", second(1))])).await;
        assert_fault(locked, Fault::Locked, &["written", "locked", "backup"]);
    }
    // Reading goes on.
    assert_eq!(rows(&ledger).await, 1);
    other.execute_batch("ROLLBACK").unwrap();
    put(&ledger, &[tick("a", second(1))]).await;
    assert_eq!(rows(&ledger).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_costs_what_is_asked_and_nothing_that_was_acknowledged() {
    let place = Place::new();
    drop(place.open());
    let options = Options {
        pages_max: Some(60),
        ..Options::default()
    };
    let ledger = SqliteLedger::open_with(&place.path(), clock(), options).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match store(&ledger, "a", plan([&tick("a", second(acknowledged))])).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 10);
    assert_fault::<()>(Err(error), Fault::Full, &["no room", "make some"]);
    assert_eq!(rows(&ledger).await as i64, acknowledged);
    // What needs no room still works: the state is read, a mark is moved, old rows are forgotten.
    assert_eq!(state(&ledger, "a").await.open.len() as i64, acknowledged);
    drop(ledger);
    let ledger = place.open();
    assert_eq!(rows(&ledger).await as i64, acknowledged);
    put(&ledger, &[tick("a", second(acknowledged))]).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_leaves_nobody_of_the_batch_in_the_dark() {
    let place = Place::new();
    drop(place.open());
    let options = Options {
        pages_max: Some(80),
        ..Options::default()
    };
    let ledger = SqliteLedger::open_with(&place.path(), clock(), options).unwrap();
    let other = place.shell();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let large: Vec<_> = (0..2_000)
        .map(|number| tick("large", second(number)))
        .collect();
    let mut first = pin!(store(&ledger, "first", plan([&tick("first", second(0))])));
    let mut before = pin!(store(&ledger, "before", plan([&tick("before", second(0))])));
    let mut middle = pin!(store(&ledger, "large", plan(&large)));
    let mut after = pin!(store(&ledger, "after", plan([&tick("after", second(0))])));
    poll_once(first.as_mut());
    poll_once(before.as_mut());
    poll_once(middle.as_mut());
    poll_once(after.as_mut());
    other.execute_batch("ROLLBACK").unwrap();
    assert_fault(middle.await, Fault::Full, &["no room"]);
    after.await.unwrap();
    // SQLite may have taken back those before it as well, but then they were told so.
    let mut expected = vec!["after"];
    expected.extend(before.await.is_ok().then_some("before"));
    expected.extend(first.await.is_ok().then_some("first"));
    let history = ledger.history(HistoryQuery::default()).await.unwrap();
    let names: Vec<_> = history.iter().map(|tick| tick.entry.as_str()).collect();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_moved_into_the_file_by_half_is_still_whole() {
    let place = Place::new();
    let ledger = place.open();
    let ticks: Vec<_> = (0..500).map(|number| tick("a", second(number))).collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    let (early, log) = (
        fs::read(place.path()).unwrap(),
        fs::read(place.beside("-wal")).unwrap(),
    );
    drop(ledger);
    // The disk was full after the first page, which tells of more pages than there are. The log is all there.
    let mut by_half = fs::read(place.path()).unwrap();
    by_half.truncate(4_096);
    by_half.extend_from_slice(&early[4_096..]);
    let leave_by_half = || {
        fs::write(place.path(), &by_half).unwrap();
        fs::write(place.beside("-wal"), &log).unwrap();
    };
    leave_by_half();
    assert_eq!(rows(&place.open_read_only()).await, 500);
    leave_by_half();
    assert_eq!(rows(&place.open()).await, 500);
}

// --- what happens to its files while they are open ---

/// A ledger with one row that its file has, and one that only its log has.
async fn in_use(place: &Place) -> SqliteLedger {
    let ledger = place.open();
    put(&ledger, &[tick("a", second(0))]).await;
    drop(ledger);
    let ledger = place.open();
    put(&ledger, &[tick("a", second(1))]).await;
    ledger
}

fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    fs::rename(from, to).unwrap();
}

/// Every commit is told, whatever it was to store; nothing of it is stored.
async fn assert_moved(ledger: &SqliteLedger, words: &[&str]) {
    let moved = Fault::Moved;
    let decided = store(ledger, "b", plan([&tick("b", second(0))])).await;
    assert_fault(decided, moved, words);
    assert_fault(store(ledger, "a", plan([])).await, moved, words);
    assert_fault(ledger.prune(second(-100)).await, moved, words);
    let kept = ledger.keep_config("key".to_owned(), Vec::new()).await;
    assert_fault(kept, moved, words);
    assert_fault(
        ledger.decide(Vec::new(), |_, _, _| Plan::default()).await,
        moved,
        words,
    );
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_lost_one_of_its_files_stores_nothing_more() {
    type Do = fn(&Place);
    let deleted = "was deleted or moved away while it was in use";
    let replaced = "was replaced by another file while it was in use";
    let table: [(&str, Do, &[&str]); 9] = [
        (
            "deleted",
            |place| fs::remove_file(place.path()).unwrap(),
            &["ledger.db was", deleted, "put it back"],
        ),
        (
            "moved",
            |place| rename(place.path(), place.beside(".moved")),
            &["ledger.db was", deleted],
        ),
        (
            "moved and linked to",
            |place| {
                rename(place.path(), place.beside(".moved"));
                std::os::unix::fs::symlink("ledger.db.moved", place.path()).unwrap();
            },
            &["ledger.db was", replaced],
        ),
        (
            "replaced",
            |place| {
                fs::copy(place.path(), place.beside(".copy")).unwrap();
                rename(place.beside(".copy"), place.path());
            },
            &["ledger.db was", replaced, "put it back"],
        ),
        (
            "its lock deleted",
            |place| fs::remove_file(place.beside(".lock")).unwrap(),
            &["ledger.db.lock was", deleted, "another process"],
        ),
        (
            "its lock replaced",
            |place| {
                fs::write(place.beside(".copy"), "").unwrap();
                rename(place.beside(".copy"), place.beside(".lock"));
            },
            &["ledger.db.lock was", replaced, "another process"],
        ),
        (
            "its log deleted",
            |place| fs::remove_file(place.beside("-wal")).unwrap(),
            &["ledger.db-wal was", deleted],
        ),
        (
            "its log's index deleted",
            |place| fs::remove_file(place.beside("-shm")).unwrap(),
            &["ledger.db-shm was", deleted],
        ),
        (
            "all deleted",
            |place| {
                for name in place.names() {
                    fs::remove_file(place.directory.path().join(name)).unwrap();
                }
            },
            &["ledger.db was", deleted],
        ),
    ];
    for (what, make, words) in table {
        let place = Place::new();
        let ledger = in_use(&place).await;
        make(&place);
        assert_moved(&ledger, words).await;
        // What it knows can still be looked at.
        assert_eq!(rows(&ledger).await, 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_whose_directory_was_moved_stores_nothing_more_and_is_whole_where_it_is() {
    let place = Place::new();
    let home = place.directory.path().join("home");
    let open = |home: &Path| SqliteLedger::open(&home.join("ledger.db"), clock()).unwrap();
    let ledger = open(&home);
    let id = ledger.id().to_owned();
    put(&ledger, &[tick("a", second(0))]).await;
    let away = place.directory.path().join("away");
    rename(&home, &away);
    assert_moved(&ledger, &["home/ledger.db was deleted or moved away"]).await;
    fs::write(&home, "a file").unwrap();
    assert_moved(&ledger, &["home/ledger.db was deleted or moved away"]).await;
    drop(ledger);
    let ledger = open(&away);
    assert_eq!((ledger.id(), rows(&ledger).await), (id.as_str(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_goes_while_it_is_decided_is_noticed_before_the_commit() {
    let place = Place::new();
    let ledger = in_use(&place).await;
    let (path, moved) = (place.path(), place.beside(".moved"));
    let decided = ledger.decide(vec![entry("b")], move |now, _, _| {
        rename(&path, &moved);
        plan([&tick("b", now)])
    });
    assert_fault(decided.await, Fault::Moved, &["ledger.db was deleted"]);
    assert_eq!(rows(&ledger).await, 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_ledger_disappeared_a_new_one_is_begun_and_the_old_can_be_put_back_whole() {
    let place = Place::new();
    let ledger = in_use(&place).await;
    let old_id = ledger.id().to_owned();
    rename(place.path(), place.beside(".moved"));
    assert_moved(&ledger, &["ledger.db was deleted or moved away"]).await;
    drop(ledger);
    // Its log would have been read into the new one.
    let left = ["ledger.db-wal.old", "ledger.db.lock", "ledger.db.moved"];
    let names = place.names();
    assert!(
        left.iter().all(|name| names.contains(&(*name).to_owned())),
        "{names:?}"
    );
    assert!(!names.contains(&"ledger.db-wal".to_owned()), "{names:?}");
    let ledger = place.open();
    assert_ne!(ledger.id(), old_id);
    assert_eq!(rows(&ledger).await, 0);
    put(&ledger, &[tick("c", second(0))]).await;
    drop(ledger);
    // As the message says.
    rename(place.beside(".moved"), place.path());
    rename(place.beside("-wal.old"), place.beside("-wal"));
    let ledger = place.open();
    assert_eq!((ledger.id(), rows(&ledger).await), (old_id.as_str(), 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_not_read_into_a_new_ledger() {
    for ending in ["-wal", "-journal"] {
        let place = Place::new();
        let ledger = in_use(&place).await;
        let old_id = ledger.id().to_owned();
        fs::copy(place.beside("-wal"), place.beside(".kept")).unwrap();
        drop(ledger);
        // It was killed, then somebody deleted the ledger and nothing else.
        fs::remove_file(place.path()).unwrap();
        rename(place.beside(".kept"), place.beside(ending));
        let left = digest(&place.beside(ending));
        let ledger = place.open();
        assert_ne!(ledger.id(), old_id);
        assert_eq!(rows(&ledger).await, 0);
        assert_eq!(digest(&place.beside(&format!("{ending}.old"))), left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_was_put_in_place_under_a_running_ledger_is_whole_at_the_next_start() {
    let place = Place::new();
    let ledger = place.open();
    let ticks: Vec<_> = (0..500).map(|number| tick("a", second(number))).collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    drop(ledger);
    fs::copy(place.path(), place.beside(".backup")).unwrap();
    let ledger = place.open();
    // Other pages than those of the backup, in a log that does not belong to it.
    assert_eq!(ledger.prune(second(1_000)).await.unwrap(), 0);
    let ticks: Vec<_> = (0..300).map(|number| tick("z", second(number))).collect();
    store(&ledger, "z", plan(&ticks)).await.unwrap();
    rename(place.beside(".backup"), place.path());
    assert_moved(&ledger, &["ledger.db was replaced by another file"]).await;
    drop(ledger);
    let ledger = place.open();
    assert_eq!(rows(&ledger).await, 500);
    assert_eq!(state(&ledger, "z").await, EntryState::default());
    put(&ledger, &[tick("z", second(0))]).await;
}

#[tokio::test(start_paused = true)]
async fn a_backup_beside_the_log_of_a_killed_process_is_refused_and_not_harmed() {
    let place = Place::new();
    let ticks = |name, count| -> Vec<_> { (0..count).map(|due| tick(name, second(due))).collect() };
    let ledger = place.open();
    store(&ledger, "a", plan(&ticks("a", 500))).await.unwrap();
    drop(ledger);
    let backup = fs::read(place.path()).unwrap();
    let ledger = place.open();
    store(&ledger, "b", plan(&ticks("b", 60))).await.unwrap();
    drop(ledger);
    let ledger = place.open();
    store(&ledger, "c", plan(&ticks("c", 20))).await.unwrap();
    let log = fs::read(place.beside("-wal")).unwrap();
    drop(ledger);
    fs::write(place.path(), &backup).unwrap();
    fs::write(place.beside("-wal"), &log).unwrap();
    for _ in 0..2 {
        let words = [
            "damaged",
            "ledger.db-wal does not belong to it: move that away",
        ];
        assert_fault(
            SqliteLedger::open(&place.path(), clock()),
            Fault::Corrupt,
            &words,
        );
        assert_eq!(digest(&place.path()), digest_of(&backup));
        assert_eq!(digest(&place.beside("-wal")), digest_of(&log));
    }
    // As the message says.
    rename(place.beside("-wal"), place.beside(".log"));
    let ledger = place.open();
    assert_eq!(rows(&ledger).await, 500);
    drop(ledger);
    assert!(!place.beside("-wal").exists(), "it is one file again");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_was_moved_and_linked_to_loses_nothing() {
    let place = Place::new();
    let ledger = in_use(&place).await;
    let id = ledger.id().to_owned();
    let data = place.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    rename(place.path(), data.join("ledger.db"));
    std::os::unix::fs::symlink(data.join("ledger.db"), place.path()).unwrap();
    assert_moved(&ledger, &["ledger.db was replaced"]).await;
    drop(ledger);
    let ledger = place.open();
    assert_eq!((ledger.id(), rows(&ledger).await), (id.as_str(), 2));
}

#[tokio::test(start_paused = true)]
async fn who_lost_its_lock_or_its_log_lets_the_next_one_have_everything() {
    for ending in [".lock", "-wal", "-shm"] {
        let place = Place::new();
        let ledger = in_use(&place).await;
        fs::remove_file(place.beside(ending)).unwrap();
        assert_moved(&ledger, &[ending]).await;
        drop(ledger);
        let ledger = place.open();
        assert_eq!(rows(&ledger).await, 2, "{ending}");
        put(&ledger, &[tick("b", second(0))]).await;
    }
    // Two at once: the second has the lock, and the first is told at its next commit.
    let place = Place::new();
    let first = in_use(&place).await;
    fs::remove_file(place.beside(".lock")).unwrap();
    let second_one = place.open();
    put(&second_one, &[tick("b", second(7))]).await;
    assert_moved(&first, &[".lock", "another process"]).await;
    drop(first);
    put(&second_one, &[tick("b", second(8))]).await;
    assert_eq!(rows(&second_one).await, 4);
}

#[tokio::test(start_paused = true)]
async fn the_lock_names_the_process_and_the_ledger() {
    let place = Place::new();
    let said = || fs::read_to_string(place.beside(".lock")).unwrap();
    // As a version wrote it that named the process alone, and a longer one.
    fs::write(place.beside(".lock"), "123456789\n").unwrap();
    let ledger = place.open();
    let expected = format!("{}\n{}\n", std::process::id(), ledger.id());
    assert_eq!(said(), expected);
    drop(ledger);
    drop(place.open());
    assert_eq!(said(), expected);
    fs::remove_file(place.path()).unwrap();
    let new = place.open();
    assert_eq!(said(), format!("{}\n{}\n", std::process::id(), new.id()));
}

// --- group commit ---

/// How many commits the write-ahead log holds.
fn commits(place: &Place) -> usize {
    let log = fs::read(place.beside("-wal")).unwrap();
    let frames = log.get(32..).unwrap_or_default().chunks_exact(24 + 4_096);
    // A frame that ends a commit says how many pages the file has then.
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test(start_paused = true)]
async fn those_who_queue_share_a_commit_but_not_their_mistakes() {
    let place = Place::new();
    let ledger = Arc::new(place.open());
    let before = commits(&place);
    let other = place.shell();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let deciders: Vec<_> = (0..100)
        .map(|number| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let names = vec![entry(&format!("e{number}")), entry(&format!("f{number}"))];
                let decided = ledger.decide(names, move |now, entry, _| {
                    let is_second = entry.as_str().starts_with('f');
                    match number {
                        33 if is_second => panic!("a planted mistake"),
                        66 if is_second => plan([&tick("somebody-else", now)]),
                        _ => plan([&tick(entry.as_str(), now)]),
                    }
                });
                (number, decided.await.is_ok())
            })
        })
        .collect();
    // Let all of them queue; the ledger waits for the lock meanwhile.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    for decider in deciders {
        let (number, is_stored) = decider.await.unwrap();
        assert_eq!(is_stored, number != 33 && number != 66, "{number}");
    }
    assert_eq!(rows(&ledger).await, 2 * 98);
    // The first may have been alone.
    let commits = commits(&place) - before;
    assert!((1..=2).contains(&commits), "{commits} commits");
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_changes_nothing_writes_nothing() {
    let place = Place::new();
    let ledger = place.open();
    put(&ledger, &[tick("a", second(0))]).await;
    let log = || {
        let log = fs::metadata(place.beside("-wal")).unwrap();
        (log.len(), log.modified().unwrap(), commits(&place))
    };
    let file = || fs::metadata(place.path()).unwrap().modified().unwrap();
    let before = (log(), file());
    for _ in 0..100 {
        let names = ["a", "b", "c"].map(entry).to_vec();
        let plans = ledger.decide(names, |now, _, _| Plan {
            wake_at: Some(now),
            wants_room: true,
            ..Plan::default()
        });
        plans.await.unwrap();
    }
    assert_eq!(ledger.prune(second(0)).await.unwrap(), 0);
    assert_eq!((log(), file()), before);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_decided() {
    let place = Place::new();
    let ledger = place.open();
    let other = place.shell();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let decided = Arc::new(AtomicU32::new(0));
    let mut first = pin!(store(&ledger, "a", plan([])));
    poll_once(first.as_mut());
    for _ in 0..3 {
        let decided = Arc::clone(&decided);
        let mut gone = pin!(ledger.decide(vec![entry("b")], move |now, _, _| {
            decided.fetch_add(1, Ordering::Relaxed);
            plan([&tick("b", now)])
        }));
        poll_once(gone.as_mut());
    }
    other.execute_batch("ROLLBACK").unwrap();
    first.await.unwrap();
    assert_eq!(state(&ledger, "b").await, EntryState::default());
    assert_eq!(decided.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_a_decision_drops_does_not_end_the_thread() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("a planted mistake");
        }
    }
    let place = Place::new();
    let ledger = place.open();
    let grenade = Mutex::new(Some(Grenade));
    let decided = ledger.decide(vec![entry("a")], move |now, _, _| {
        let _ = &grenade;
        plan([&tick("a", now)])
    });
    assert_fault(decided.await, Fault::Panicked, &["a planted mistake"]);
    assert_eq!(rows(&ledger).await, 0);
    put(&ledger, &[tick("a", second(0))]).await;
}

// --- its size ---

#[tokio::test(start_paused = true)]
async fn the_write_ahead_log_is_bounded_and_the_file_shrinks_after_pruning() {
    let place = Place::new();
    let ledger = place.open();
    for batch in 0..40 {
        let first = batch * 200;
        let ticks: Vec<_> = (first..first + 200)
            .map(|number| ended(&tick("a", second(number)), Reason::Started, second(number)))
            .collect();
        store(&ledger, "a", plan(&ticks)).await.unwrap();
    }
    let log = fs::metadata(place.beside("-wal")).unwrap().len();
    // One commit may be larger than the rest of the log may be.
    assert!(log < 12 << 20, "{log} bytes");
    let full = place
        .shell()
        .pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))
        .unwrap();
    assert_eq!(ledger.prune(second(1_000_000)).await.unwrap(), 8_000);
    let left = place
        .shell()
        .pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))
        .unwrap();
    assert!(left <= full / 2 && left <= 400, "{left} of {full} pages");
    put(&ledger, &[tick("a", second(0))]).await;
    drop(ledger);
    let size = fs::metadata(place.path()).unwrap().len() as i64;
    assert!(size <= 401 * 4_096, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_was_rebuilt_by_hand_is_pruned_as_well() {
    let place = Place::new();
    drop(place.open());
    let shell = place.shell();
    shell
        .execute_batch("PRAGMA journal_mode = delete; PRAGMA auto_vacuum = none; VACUUM")
        .unwrap();
    drop(shell);
    let ledger = place.open();
    let ticks: Vec<_> = (0..3_000)
        .map(|number| ended(&tick("a", second(number)), Reason::Started, second(number)))
        .collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    assert_eq!(ledger.prune(second(1_000_000)).await.unwrap(), 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_long_pruning_is_made_of_small_commits_so_that_decisions_can_go_between() {
    let place = Place::new();
    let ledger = place.open();
    let count = i64::from(PRUNE_ROWS_MAX) * 2 + 1;
    let ticks: Vec<_> = (0..count)
        .map(|number| ended(&tick("a", second(number)), Reason::Started, second(number)))
        .collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    // From an empty log, so that all of its commits are still in it at the end.
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    place.shell().query_row(checkpoint, [], |_| Ok(())).unwrap();
    assert_eq!(commits(&place), 0);
    assert_eq!(ledger.prune(second(count)).await.unwrap(), count as u64);
    let commits = commits(&place);
    assert!((3..=4).contains(&commits), "{commits} commits");
}

// --- whoever asks from where ---

/// A runtime with threads, a real clock: the race that cannot be played on one thread.
#[test]
fn sixteen_deciders_on_as_many_threads_open_a_tick_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(16)
        .build()
        .unwrap();
    let place = Place::new();
    let ledger = SqliteLedger::open(&place.path(), Clock::system()).unwrap();
    runtime.block_on(crate::suite::sixteen_deciders_open_a_tick_once(ledger));
}
