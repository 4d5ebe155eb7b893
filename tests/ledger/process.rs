//! The SQLite ledger between processes: one is killed, one has no rights, one comes second.
//!
//! The other process is this test program again, told by [`PLACE`] and [`PART`] what to play in the test [`child`].

#![expect(
    clippy::disallowed_methods,
    reason = "the child is told its part by the environment"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use pipecron::domain::TickId;
use pipecron::ledger::{HistoryQuery, Ledger, LedgerError, SqliteLedger};
use pipecron::os::Clock;
use rusqlite::Connection;

use crate::sqlite::Place;
use crate::world::*;

/// Where the child's ledger is.
const PLACE: &str = "PIPECRON_TEST_PLACE";
/// What the child does.
const PART: &str = "PIPECRON_TEST_PART";

/// Not a test: what the other process does. In the run of the tests themselves it has no part and does nothing.
#[test]
fn child() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let part = std::env::var(PART).unwrap();
    match part.as_str() {
        "write" => write_for_ever(&path),
        "hold" => {
            let ledger = SqliteLedger::open(&path, Clock::system()).unwrap();
            say(ledger.id());
            // Until the parent hangs up, or kills us.
            std::io::stdin().lines().for_each(drop);
        }
        "open" => say(&told(SqliteLedger::open(&path, Clock::system()))),
        "read" => say(&told(SqliteLedger::open_read_only(&path))),
        other => panic!("no such part: {other}"),
    }
}

/// A line that the parent can tell from what the test harness says.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {line}").unwrap();
    out.flush().unwrap();
}

/// What became of opening it, in a line: how many rows there are, or the error.
fn told(ledger: Result<SqliteLedger, LedgerError>) -> String {
    let count = |ledger: SqliteLedger| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let rows = runtime
            .unwrap()
            .block_on(ledger.history(HistoryQuery::default()));
        rows.map(|rows| rows.len())
    };
    match ledger.and_then(count) {
        Ok(rows) => format!("{rows} rows"),
        Err(error) => format!("{:?}: {error}", error.fault()),
    }
}

/// Opens ticks from eight tasks at once and says each one's id when it is acknowledged.
fn write_for_ever(path: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let ledger = Arc::new(SqliteLedger::open(path, Clock::system()).unwrap());
    runtime.block_on(async {
        let writers = (0..8).map(|writer| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let name = format!("w{writer}");
                let taken = ledger.newest_due().await.unwrap();
                let first = taken.map_or(0, |due| (due - start()).num_seconds() + 1);
                for number in first.. {
                    let opened = tick(&name, second(number));
                    store(&*ledger, &name, plan([&opened])).await.unwrap();
                    say(opened.id.as_str());
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

/// The other process: killed when the test ends, by its id.
struct Other(Child);

impl Other {
    fn start(mut command: Command, place: &Path, part: &str) -> Self {
        command.args([
            "process::child",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(PLACE, place).env(PART, part);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn plays(part: &str, place: &Path) -> Self {
        Self::start(Command::new(std::env::current_exe().unwrap()), place, part)
    }

    /// The lines that it said and will say. The harness begins a line of its own, which the first may follow.
    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines.filter_map(|line| {
            line.unwrap()
                .split_once("> ")
                .map(|(_, said)| said.to_owned())
        })
    }

    fn line(&mut self) -> String {
        self.lines().next().unwrap()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_process_is_told_who_has_it_until_that_one_dies() {
    let place = Place::new();
    let mut holder = Other::plays("hold", &place.path());
    let id = holder.line();
    let held = SqliteLedger::open(&place.path(), Clock::system()).unwrap_err();
    let expected = LedgerError::Held {
        path: place.path().canonicalize().unwrap(),
        pid: holder.0.id().to_string(),
    };
    assert_eq!(held, expected);
    assert_eq!(
        SqliteLedger::open_read_only(&place.path()).unwrap().id(),
        id
    );
    holder.kill();
    assert_eq!(
        SqliteLedger::open(&place.path(), Clock::system())
            .unwrap()
            .id(),
        id
    );
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let place = Place::new();
    let mut acknowledged = BTreeSet::new();
    for round in 1..=6 {
        let mut writer = Other::plays("write", &place.path());
        let mut lines = writer.lines();
        // At another moment each time: in the middle of a batch, of a commit, of moving the log into the file.
        acknowledged.extend(lines.by_ref().take(97 * round));
        writer.kill();
        // What it had said before it died is still in the pipe. A last line may be torn.
        let rest: Vec<_> = lines.collect();
        acknowledged.extend(rest.into_iter().filter(|line| line.ends_with('Z')));
        if round % 2 == 0 {
            // Looked at before anybody repairs it.
            assert_there(
                &SqliteLedger::open_read_only(&place.path()).unwrap(),
                &acknowledged,
            );
        }
        let ledger = SqliteLedger::open(&place.path(), Clock::system()).unwrap();
        assert_there(&ledger, &acknowledged);
        drop(ledger);
        let conn = Connection::open(place.path()).unwrap();
        let verdict: String = conn
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(verdict, "ok");
    }
    assert!(acknowledged.len() > 97 * 20);
}

fn assert_there(ledger: &SqliteLedger, acknowledged: &BTreeSet<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let rows = runtime
        .block_on(ledger.history(HistoryQuery::default()))
        .unwrap();
    let rows: BTreeSet<_> = rows.iter().map(|row| row.id.clone()).collect();
    let lost = acknowledged
        .iter()
        .find(|id| !rows.contains(&TickId::from_text(id)));
    assert_eq!(
        lost,
        None,
        "of {} acknowledged, {} are there",
        acknowledged.len(),
        rows.len()
    );
    // At most one more of each of the eight writers: stored, but not yet said.
    assert!(rows.len() - acknowledged.len() <= 8 * 6);
}

/// The mode of a file, without its kind.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn whatever_the_umask_only_the_owner_may_read() {
    for umask in ["0", "0777", "0277", "022"] {
        let place = Place::new();
        let path = place.path().with_file_name("new").join("deep/ledger.db");
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]);
        shell.arg(std::env::current_exe().unwrap());
        let mut holder = Other::start(shell, &path, "hold");
        holder.line();
        let deep = path.parent().unwrap();
        for (path, expected) in [
            (path.clone(), 0o600),
            (deep.join("ledger.db.lock"), 0o600),
            (deep.join("ledger.db-wal"), 0o600),
            (deep.join("ledger.db-shm"), 0o600),
            (deep.to_owned(), 0o700),
            (deep.parent().unwrap().to_owned(), 0o700),
        ] {
            assert_eq!(
                mode(&path),
                expected,
                "{} under umask {umask}",
                path.display()
            );
        }
    }
}

/// Says, once for each reason, that something could not be tried. Not by a macro: the harness would keep it to itself.
fn skipped(why: &'static str) {
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(why) {
        let mut out = std::io::stderr().lock();
        writeln!(out, "SKIPPED: {why}").unwrap();
    }
}

/// The id of a user that owns nothing.
const NOBODY: u32 = 65_534;

/// Another user playing `part`: needs root. None, loudly, if we are not.
fn nobody_plays(part: &str, place: &Path) -> Option<String> {
    let program = place.parent().unwrap().join("test-program");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    }
    if fs::metadata(&program).unwrap().uid() != 0 {
        skipped(
            "only root can become another user; run the tests as root to see what one without rights gets",
        );
        return None;
    }
    let mut command = Command::new(&program);
    command.uid(NOBODY).gid(NOBODY);
    Some(Other::start(command, place, part).line())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[track_caller]
fn assert_said(said: Option<String>, words: &[&str]) {
    let Some(said) = said else { return };
    for word in words {
        assert!(said.contains(word), "{said:?} lacks {word:?}");
    }
}

#[test]
fn who_may_not_write_is_told_what_to_look_at() {
    let place = Place::new();
    let path = place.path();
    let directory = path.parent().unwrap();
    let ledger = SqliteLedger::open(&path, Clock::system()).unwrap();
    drop(ledger);
    // Neither enter nor look.
    for part in ["open", "read"] {
        set_mode(directory, 0o711);
        let said = nobody_plays(part, &path);
        assert_said(said, &["Some(Denied)", "ledger.db", "own"]);
    }
    // Read the file, in a directory where nothing can be made: at rest that is enough.
    set_mode(directory, 0o755);
    set_mode(&path, 0o644);
    assert_said(nobody_plays("read", &path), &["0 rows"]);
    assert_said(
        nobody_plays("open", &path),
        &["Some(Denied)", "ledger.db.lock"],
    );
    // The lock's file lets it in, the ledger does not let it write.
    set_mode(&path.with_file_name("ledger.db.lock"), 0o666);
    let words = ["Some(ReadOnly)", "owner and mode"];
    assert_said(nobody_plays("open", &path), &words);
    // It may write the file, but make nothing beside it.
    set_mode(&path, 0o666);
    let words = [
        "Some(ReadOnly)",
        "owner and the mode of the file and its directory",
    ];
    assert_said(nobody_plays("open", &path), &words);
    // Beside a running daemon, which leaves its shared memory to be read.
    set_mode(&path, 0o644);
    let mut holder = Other::plays("hold", &path);
    holder.line();
    assert_said(nobody_plays("read", &path), &["0 rows"]);
    // And beside the remains of a killed one.
    holder.kill();
    assert!(path.with_file_name("ledger.db-wal").exists());
    assert_said(nobody_plays("read", &path), &["0 rows"]);
}

#[test]
fn what_root_makes_in_somebodys_directory_is_that_somebodys() {
    let place = Place::new();
    let path = place.path();
    let directory = path.parent().unwrap();
    if std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY)).is_err() {
        skipped("only root can give a directory to another user");
        return;
    }
    // An operator runs a command by hand before the service ever started.
    let ledger = SqliteLedger::open(&path, Clock::system()).unwrap();
    for ending in ["", ".lock", "-wal", "-shm"] {
        let path = directory.join(format!("ledger.db{ending}"));
        assert_eq!(
            fs::metadata(&path).unwrap().uid(),
            NOBODY,
            "{}",
            path.display()
        );
    }
    drop(ledger);
    set_mode(directory, 0o755);
    assert_said(nobody_plays("open", &path), &["0 rows"]);
}

#[test]
fn a_write_that_the_system_refuses_in_the_middle_loses_nothing_acknowledged() {
    let place = Place::new();
    // The kernel lets no file of the child grow beyond this many blocks: each write past it fails, as on a broken disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 900; exec \"$@\"", "sh"]);
    shell.arg(std::env::current_exe().unwrap());
    let mut writer = Other::start(shell, &place.path(), "write");
    let acknowledged: BTreeSet<_> = writer.lines().collect();
    assert!(!writer.0.wait().unwrap().success(), "it could not go on");
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let ledger = SqliteLedger::open(&place.path(), Clock::system()).unwrap();
    assert_there(&ledger, &acknowledged);
}
