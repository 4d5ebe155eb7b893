//! What becomes of the ledger's file while the daemon runs on it: deleted, replaced, locked by somebody else.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

use super::runs::{assert_all_recorded, assert_no_tick_twice, one_run_each_and_in_the_log, runs};
use super::{Daemon, Place, beside_a_sandbox, text};

/// Waits for so many lines that tell of a run.
fn hears_of_runs(daemon: &mut Daemon, count: u32) {
    for _ in 0..count {
        daemon.says(&["run_id="]);
    }
}

/// It ends by itself, because of its ledger.
fn ends_for_its_ledger(daemon: Daemon, why: &str) -> String {
    let (status, log) = daemon.ends();
    assert_eq!(status.code(), Some(1), "{log}");
    for words in [
        "nothing more is sent, and pipecron ends",
        "ended, and not as asked",
        why,
    ] {
        assert!(log.contains(words), "{words:?} is missing in:\n{log}");
    }
    log
}

#[test]
fn a_ledger_that_is_deleted_under_load_ends_the_daemon_and_a_new_one_doubles_nothing() {
    let place = Place::new();
    // Requests are under way when it goes; their answers come all the same.
    let (_sandbox, url) = beside_a_sandbox(&place, &["--fault", "slow=500ms"]);
    let mut daemon = place.daemon(&[]);
    hears_of_runs(&mut daemon, 8);
    fs::remove_file(place.path("ledger.db")).unwrap();
    let log = ends_for_its_ledger(
        daemon,
        "ledger.db was deleted or moved away while it was in use",
    );
    let before = runs(&url);
    for run in &before {
        assert!(
            log.contains(&run.id),
            "run {} is not in the log:\n{log}",
            run.id
        );
    }

    assert!(
        log.contains("are in") && log.contains("ledger.db-wal.old"),
        "{log}"
    );

    let mut daemon = place.daemon(&[]);
    let line = daemon.says(&["ERROR", "ledger.db has disappeared"]);
    assert!(line.contains("begins from now"), "{line}");
    hears_of_runs(&mut daemon, 8);
    let (status, said) = daemon.stop();
    assert!(status.success());
    assert!(!said.contains("another one than last time"), "{said}");
    let all = runs(&url);
    assert_no_tick_twice(&all);
    // The new one has what it started, and nothing of before.
    let of_new = all.iter().filter(|run| run.ledger != before[0].ledger);
    let mut of_new: Vec<&str> = of_new.map(|run| run.id.as_str()).collect();
    let rows = place.history();
    let mut known: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["run_id"].as_str())
        .collect();
    of_new.sort_unstable();
    known.sort_unstable();
    assert_eq!(of_new, known);
    assert!(of_new.len() >= 8);
}

#[test]
fn a_backup_put_in_place_of_a_ledger_in_use_ends_the_daemon_and_is_whole_at_the_next_start() {
    let place = Place::new();
    let (_sandbox, url) = beside_a_sandbox(&place, &[]);
    let mut daemon = place.daemon(&[]);
    hears_of_runs(&mut daemon, 8);
    daemon.stop();
    fs::copy(place.path("ledger.db"), place.path("backup.db")).unwrap();
    let in_backup = place.history();
    let mut daemon = place.daemon(&[]);
    hears_of_runs(&mut daemon, 16);
    fs::rename(place.path("backup.db"), place.path("ledger.db")).unwrap();
    let why = "ledger.db was replaced by another file while it was in use";
    ends_for_its_ledger(daemon, why);
    assert_eq!(place.history(), in_backup);
    let mut daemon = place.daemon(&[]);
    hears_of_runs(&mut daemon, 8);
    daemon.stop();
    // It is the same ledger in an earlier state, and goes on from there.
    assert!(
        runs(&url)
            .iter()
            .all(|run| run.ledger == runs(&url)[0].ledger)
    );
    let rows = place.history();
    for row in in_backup {
        assert!(rows.iter().any(|now| now["tick"] == row["tick"]), "{row}");
    }
}

#[test]
fn another_ledger_in_its_place_is_told_of_at_the_start() {
    let (place, other) = (Place::new(), Place::new());
    let trigger = ["trigger", "by-hand", "--sandbox"];
    assert!(place.run(&trigger).status.success());
    assert!(other.run(&trigger).status.success());
    let said = || text(&place.run(&trigger).stderr);
    let words = "is another one than last time";
    assert!(!said().contains(words));
    fs::rename(other.path("ledger.db"), place.path("ledger.db")).unwrap();
    let first = said();
    assert!(first.contains(words), "{first}");
    assert!(!said().contains(words));
}

#[test]
fn a_lock_of_another_program_is_waited_for_and_nothing_is_sent_meanwhile() {
    let place = Place::new();
    let (_sandbox, url) = beside_a_sandbox(&place, &["--fault", "lost=reset,chance=0.2"]);
    let mut daemon = place.daemon(&[]);
    hears_of_runs(&mut daemon, 8);
    let other = Connection::open(place.path("ledger.db")).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let sent = runs(&url).len();
    let line = daemon.says(&["ERROR", "nothing is sent until the ledger works again"]);
    assert!(line.contains("another program holds it locked"), "{line}");
    assert_all_recorded(&place, &url);
    // What was on its way when the lock was taken had left before.
    let meanwhile = runs(&url).len() - sent;
    assert!(
        meanwhile <= 4,
        "{meanwhile} runs were started while the ledger was locked"
    );
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    hears_of_runs(&mut daemon, 8);
    let (ticks, _) = one_run_each_and_in_the_log(&place, &url, daemon, "");
    // Five seconds and more passed, and each tick of that time is there.
    assert!(ticks >= 4 * 5, "{ticks}");
}
