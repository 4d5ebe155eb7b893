//! People and the daemon that runs: one story with the built binary.

use super::*;

fn said(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn people_ask_the_daemon_that_runs() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["commands are taken on", "c.sock"]);
    // A start by hand, with its run's ID; and one that waits for the outcome, with a name that is almost right before.
    let arguments = [
        "trigger",
        "by-hand",
        "--reason",
        "hotfix",
        "-v",
        "MODE=full",
    ];
    let (code, out, err) = said(&place.run(&arguments));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("triggered by hand by "), "{err}");
    let row = |run: &str| {
        let mut rows = place.history().into_iter();
        rows.find(|row| row["run_id"] == run).unwrap()
    };
    assert_eq!(row(out.trim())["origin"], "manual");
    let (code, _, err) = said(&place.run(&["trigger", "by-hnd"]));
    assert!(
        code == Some(1) && err.contains("did you mean \"by-hand\"?"),
        "{err}"
    );
    // A bad edit is refused and told, and the status says so; a good one is in use.
    place.write("schedules: [");
    let (code, out, err) = said(&place.run(&["reload"]));
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    assert!(
        err.contains("pipecron.yaml") && err.contains("loaded before stays"),
        "{err}"
    );
    let (code, out, _) = said(&place.run(&["status"]));
    assert_eq!(code, Some(4), "{out}");
    assert!(out.contains("was refused; the one before stays"), "{out}");
    place.write(&schedules("tick", "second"));
    let (code, out, err) = said(&place.run(&["reload"]));
    assert_eq!(
        (code, &*out),
        (Some(0), "reloaded: 2 entries, 1 changed\n"),
        "{err}"
    );
    // Everything is held still.
    let (code, out, err) =
        said(&place.run(&["pause", "--all", "--until", "1h", "--reason", "audit"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with("pause of all entries by ") && out.ends_with(": audit\n"),
        "{out}"
    );
    daemon.says(&["tick", "reason=\"paused\""]);
    let (code, out, _) = said(&place.run(&["status", "--json"]));
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["running"]), (Some(0), &Value::Bool(true)));
    assert_eq!(status["pid"], daemon.child.id());
    assert_eq!(status["pauses"][0]["reason"], "audit");
    let (code, out, err) = said(&place.run(&["next", "tick", "-n", "3"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("paused: pause of all entries by"), "{out}");
    let (code, out, err) = said(&place.run(&["resume", "--all"]));
    assert!(
        code == Some(0) && out.contains(", lifted by "),
        "{out}{err}"
    );
    let (code, _, err) = said(&place.run(&["resume", "--all"]));
    assert!(
        code == Some(1) && err.contains("nothing is paused"),
        "{err}"
    );
    // Who did what.
    let (_, out, _) = said(&place.run(&["history", "--acts", "--json"]));
    let acts = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let acts: Vec<_> = acts
        .map(|act| act["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(acts, ["resume", "pause", "trigger"]);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert!(!place.path("c.sock").exists());
    // Without a daemon: what can be done is done in the ledger, and the rest says what it lacks.
    let (code, _, err) = said(&place.run(&["reload"]));
    assert!(
        code == Some(1) && err.contains("no daemon answers on"),
        "{err}"
    );
    let (code, out, err) = said(&place.run(&["status", "--sandbox"]));
    assert_eq!(code, Some(3), "{err}");
    assert!(
        err.contains("this is what the ledger knows") && out.contains("open ticks:"),
        "{out}"
    );
    let (code, out, err) = said(&place.run(&["pause", "tick", "--sandbox"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with("pause of entry tick") && err.contains("written into the ledger"),
        "{err}"
    );
    let (code, _, err) = said(&place.run(&["trigger", "by-hand", "--wait", "--sandbox"]));
    assert!(
        code == Some(1) && err.contains("only a daemon follows a run"),
        "{err}"
    );
}
