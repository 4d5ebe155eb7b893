//! The built binary and time: stopped for a while, told twice to stop, and started on a ledger from yesterday.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use pipecron::os::Clock;

use super::*;

type Timestamp = DateTime<Utc>;

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Waits until the machine's clock shows `until`: there is no other way to let ticks pass by a program that is stopped.
fn pass_until(until: Timestamp) {
    let clock = Clock::system();
    while clock.now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How often each second from the first due time of `entry` to its last was decided, by a tick or by a row of missed ones.
fn decided(rows: &[Value], entry: &str) -> BTreeMap<Timestamp, usize> {
    let mut seconds = BTreeMap::new();
    for row in rows.iter().filter(|row| row["entry"] == entry) {
        let (mut second, to) = if row["missed"].is_null() {
            (instant(&row["due"]), instant(&row["due"]))
        } else {
            (
                instant(&row["missed"]["from"]),
                instant(&row["missed"]["to"]),
            )
        };
        while second <= to {
            *seconds.entry(second).or_default() += 1;
            second += TimeDelta::seconds(1);
        }
    }
    seconds
}

#[test]
fn stopped_for_a_while_it_decides_what_came_due_meanwhile_once_and_by_the_rules() {
    let place = Place::new();
    let (_sandbox, url) = beside_a_sandbox(&place, &[]);
    let rules = ["all", "latest", "none", "all"];
    let yaml = std::fs::read_to_string(place.path("pipecron.yaml")).unwrap();
    let mut with_rules = String::new();
    for (part, rule) in yaml.split("catch_up: all").zip(rules.iter().chain([&""])) {
        with_rules.push_str(part);
        if !rule.is_empty() {
            with_rules.push_str(&format!("catch_up: {rule}"));
        }
    }
    place.write(&with_rules);
    let mut daemon = place.daemon(&[]);
    for _ in 0..6 {
        daemon.says(&["run_id="]);
    }
    daemon.signal(Signal::STOP);
    let stopped = Clock::system().now();
    pass_until(stopped + TimeDelta::seconds(5));
    daemon.signal(Signal::CONT);
    let went_on = Clock::system().now();
    // Until each has run again.
    let mut waits: BTreeSet<String> = (0..rules.len())
        .map(|number| format!("e{number}"))
        .collect();
    while !waits.is_empty() {
        let line = daemon.says(&["run_id=", " started"]);
        let (entry, due) = field(&line, "tick").split_once('@').unwrap();
        if due.parse::<Timestamp>().unwrap() > went_on {
            waits.remove(entry);
        }
    }
    one_run_each(&place, &url, &mut daemon);
    let rows = place.history();
    for (number, rule) in rules.iter().enumerate() {
        let entry = format!("e{number}");
        let seconds = decided(&rows, &entry);
        assert!(
            seconds.values().all(|count| *count == 1),
            "{entry}: {seconds:?}"
        );
        let (first, last) = (
            seconds.keys().next().unwrap(),
            seconds.keys().last().unwrap(),
        );
        let all = (*last - *first).num_seconds() + 1;
        assert_eq!(
            seconds.len(),
            usize::try_from(all).unwrap(),
            "{entry}: no second is left out"
        );
        assert!(*first < stopped && *last > went_on);
        let missed = |row: &&Value| row["entry"] == entry.as_str() && !row["missed"].is_null();
        let missed = rows.iter().filter(missed).count();
        assert_eq!(missed > 0, *rule != "all", "{entry} catches up {rule}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_start_finds_what_was_under_way() {
    let place = Place::new();
    let slow = "slow=1h,on=run,skip=1,next=4";
    let (_sandbox, url) = beside_a_sandbox(&place, &["--fault", slow]);
    let mut daemon = place.daemon(&["--grace", "1h"]);
    // An account that was never accepted is asked one thing at a time.
    daemon.says(&["run_id="]);
    for _ in 0..4 {
        daemon.says(&["sending: "]);
    }
    // What is said to be sent may still be on its way, and whoever it is that meets the fault has to be of this life.
    let start = Instant::now();
    while runs::runs(&url).len() < 5 {
        assert!(start.elapsed() < PATIENCE, "they do not arrive");
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.signal(Signal::TERM);
    daemon.says(&["stopping, asked by SIGTERM from process"]);
    daemon.says(&["waiting up to 3600 s", "requests under way"]);
    // Signals that come together are one; so it is told again until it ends.
    let start = Instant::now();
    while daemon.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "it does not end");
        daemon.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, log) = daemon.ends();
    assert_eq!(status.code(), Some(130), "{log}");
    assert!(
        log.contains("ended at once by a second signal, SIGINT from process"),
        "{log}"
    );
    let sent = |row: &&Value| row["state"] == "sent";
    assert!(place.history().iter().filter(sent).count() >= 4);

    let mut daemon = place.daemon(&[]);
    for _ in 0..4 {
        daemon.says(&["found by its marker"]);
    }
    one_run_each(&place, &url, &mut daemon);
}

#[test]
fn two_signals_that_come_together_are_one_wish_to_stop_in_good_order() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["run_id="]);
    // What is sent to a stopped program reaches it at one moment.
    daemon.signal(Signal::STOP);
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::INT);
    daemon.signal(Signal::CONT);
    let (status, log) = daemon.ends();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.ends_with("stopped"), "{log}");
}

/// The files of the ledger, copied from one directory to the other, where there are none afterwards but these.
fn copy_ledger(from: &Path, to: &Path) {
    let files = |directory: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(directory)
            .unwrap()
            .map(|item| item.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("ledger.db")
            })
            .collect()
    };
    std::fs::create_dir_all(to).unwrap();
    for file in files(to) {
        std::fs::remove_file(file).unwrap();
    }
    let copied = files(from);
    assert!(!copied.is_empty());
    for file in copied {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_ledger_restored_from_a_backup_starts_nothing_twice() {
    let place = Place::new();
    // Some have to wait, so that ticks in every state are in the backup and go on in the life that is lost.
    let busy = "code=DEVPIPE.00011104,on=run,chance=0.3";
    let (_sandbox, url) = beside_a_sandbox(&place, &["--fault", busy]);
    let mut daemon = place.daemon(&[]);
    for _ in 0..6 {
        daemon.says(&["run_id=", " started"]);
    }
    daemon.says(&["waiting: "]);
    assert!(daemon.stop().0.success());
    let backup = place.path("backup");
    copy_ledger(place.0.path(), &backup);
    let in_backup = place.history().len();

    let mut daemon = place.daemon(&[]);
    for _ in 0..12 {
        daemon.says(&["run_id=", " started"]);
    }
    assert!(daemon.stop().0.success());
    assert!(place.history().len() > in_backup + 4);

    copy_ledger(&backup, place.0.path());
    assert_eq!(place.history().len(), in_backup);
    let mut daemon = place.daemon(&[]);
    daemon.says(&["found by its marker"]);
    daemon.says(&["run_id=", " started"]);
    one_run_each(&place, &url, &mut daemon);
}
