//! The ledger's disk is full for a while.
//!
//! The disk is a small file system in memory, mounted where nobody else sees it: the test runs itself again in a mount
//! namespace of its own, which takes root or a system that lets everybody have such a namespace.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::runs::{assert_all_recorded, one_run_each_and_in_the_log};
use super::{Daemon, Place, beside_a_sandbox, text};

/// Set in the namespace.
const INSIDE: &str = "TEST_WITH_OWN_MOUNTS";

/// Starts a command in a mount namespace of its own, as root in it.
fn alone(program: &str) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", program]);
    command
}

/// Runs `body` where it may mount what it likes; `test` is the path of the test that calls this.
#[expect(
    clippy::disallowed_methods,
    reason = "which of the two runs it is stands in the environment"
)]
fn with_own_mounts(test: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let place = tempfile::tempdir().unwrap();
    let mut mount = alone("mount");
    mount.args(["-t", "tmpfs", "tmpfs"]).arg(place.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        // Not by a macro: the harness would keep it to itself.
        let line = format!(
            "SKIPPED: {test}: it needs root, or a user namespace, to mount a small file system and fill it\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut again = alone(program.to_str().unwrap());
    again
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1");
    let output = again.output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "it did not run: {said}");
}

/// A small disk.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
        assert!(mount.arg(directory.path()).status().unwrap().success());
        Self(directory)
    }

    fn place(&self) -> Place {
        Place::of(tempfile::tempdir_in(self.0.path()).unwrap())
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// To the last block.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [64 << 10, 4 << 10, 1] {
            let block = vec![0xa5; size];
            while filler.write_all(&block).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At the latest it goes with the namespace.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The instant at which a line was said.
fn instant(line: &str) -> &str {
    line.split_whitespace().next().unwrap()
}

/// Goes on until nothing can be recorded any more, and a while longer. Gives the first instant of that.
fn runs_into_the_full_disk(place: &Place, url: &str, daemon: &mut Daemon) -> String {
    let words = [
        "ERROR",
        "nothing is sent until the ledger works again",
        "no room",
    ];
    let since = daemon.says(&words);
    assert_all_recorded(place, url);
    // Seconds later, with ticks that came due meanwhile.
    daemon.says(&words);
    assert_all_recorded(place, url);
    instant(&since).to_owned()
}

/// Ticks that were due between the two instants and were sent.
fn sent_of(rows: &[Value], from: &str, to: &str) -> usize {
    let due = |row: &&Value| {
        let due = row["due"].as_str().unwrap();
        due > from && due < to && row["attempts"] != 0
    };
    rows.iter().filter(due).count()
}

#[test]
fn while_the_disk_is_full_nothing_is_sent_and_afterwards_everything_once() {
    with_own_mounts(
        "disk::while_the_disk_is_full_nothing_is_sent_and_afterwards_everything_once",
        || {
            let disk = Disk::new();
            let place = disk.place();
            let (_sandbox, url) = beside_a_sandbox(&place, &["--fault", "lost=reset,chance=0.3"]);
            let mut daemon = place.daemon(&[]);
            for _ in 0..8 {
                daemon.says(&["run_id="]);
            }
            disk.fill();
            let since = runs_into_the_full_disk(&place, &url, &mut daemon);
            disk.make_room();
            let again = daemon.says(&["sending"]);
            for _ in 0..8 {
                daemon.says(&["run_id="]);
            }
            one_run_each_and_in_the_log(&place, &url, daemon, "");
            let late = sent_of(&place.history(), &since, instant(&again));
            assert!(late >= 4, "{late} ticks came due while the disk was full");
        },
    );
}

#[test]
fn killed_while_the_disk_is_full_it_goes_on_when_there_is_room() {
    with_own_mounts(
        "disk::killed_while_the_disk_is_full_it_goes_on_when_there_is_room",
        || {
            let disk = Disk::new();
            let place = disk.place();
            let (_sandbox, url) = beside_a_sandbox(&place, &["--fault", "lost=reset,chance=0.3"]);
            let mut daemon = place.daemon(&[]);
            for _ in 0..8 {
                daemon.says(&["run_id="]);
            }
            disk.fill();
            runs_into_the_full_disk(&place, &url, &mut daemon);
            daemon.signal(Signal::KILL);
            let (_, mut log) = daemon.ends();
            // With no room it cannot start, and says why; the service manager tries again.
            let (status, said) = place.daemon(&[]).ends();
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains("no room"), "{said}");
            assert_all_recorded(&place, &url);
            log.push_str(&said);
            disk.make_room();
            let mut daemon = place.daemon(&[]);
            for _ in 0..8 {
                daemon.says(&["run_id="]);
            }
            one_run_each_and_in_the_log(&place, &url, daemon, &log);
        },
    );
}
