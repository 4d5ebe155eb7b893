//! People and the daemon that runs: one story with the built binary.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

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
    assert_eq!(acts, ["resume", "pause", "reload", "reload", "trigger"]);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert!(!place.path("c.sock").exists());
}

#[test]
fn without_a_daemon_what_can_be_done_is_done_in_the_ledger() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["run_id="]);
    daemon.stop();
    let (code, _, err) = said(&place.run(&["reload"]));
    assert!(
        code == Some(1) && err.contains("no daemon answers on"),
        "{err}"
    );
    for reading in [&["history"][..], &["why", "tick"]] {
        let (code, out, err) = said(&place.run(reading));
        assert!(code == Some(0) && out.contains("tick@"), "{out}{err}");
        assert!(err.contains("this is what the ledger knows"), "{err}");
    }
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

#[test]
fn a_due_time_that_has_passed_is_run_again_after_it_was_listed() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["run_id="]);
    assert!(place.run(&["pause", "--all"]).status.success());
    daemon.says(&["reason=\"paused\""]);
    // What was paused is run after all: listed first, started one after another.
    let paused = place
        .history()
        .into_iter()
        .find(|row| row["reason"] == "paused")
        .unwrap();
    let due = paused["due"].as_str().unwrap();
    let backfill = ["backfill", "tick", "--from", due, "--to", due];
    let (code, _, err) = said(&place.run(&backfill));
    assert!(
        code == Some(1) && err.contains(due) && err.contains("--yes"),
        "{err}"
    );
    let (code, out, err) = said(&place.run(&[&backfill[..], &["--yes"]].concat()));
    let id = format!("tick@{due}+");
    assert!(code == Some(0) && out.starts_with(&id), "{out}{err}");
    let id = out.split_whitespace().next().unwrap();
    let (code, _, err) = said(&place.run(&["replay", id]));
    assert!(
        code == Some(1) && err.contains("replay is for ticks"),
        "{err}"
    );
    // The second time there is a run already, and another one only if somebody says so.
    let (code, out, err) = said(&place.run(&[&backfill[..], &["--yes"]].concat()));
    assert!(code == Some(0) && out.is_empty(), "{out}{err}");
    let there = format!("left out: {id} is ");
    assert!(
        err.contains(&there) && err.contains("nothing to start"),
        "{err}"
    );
    let again = [&backfill[..], &["--yes", "--again"]].concat();
    let (code, out, err) = said(&place.run(&again));
    assert!(
        code == Some(0) && out.starts_with(&format!("tick@{due}+")),
        "{out}{err}"
    );
    assert!(!out.starts_with(id), "{out}");
}

#[test]
fn why_tells_the_story_of_an_entry_and_of_a_time() {
    let place = Place::new();
    let nightly = "  nightly:
    cron: '0 2 * * 1-5'
    timezone: Asia/Shanghai
    project_id: 54f90b75fc1447b1b65e8d3a9f77923d
    pipeline_id: e5460d1d403146a1935c2d4b68ef506d
";
    place.write(&format!("{}{nightly}", schedules("tick", "first")));
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["run_id="]);
    let why = |arguments: &[&str]| {
        let (code, out, err) = said(&place.run(&[&["why"], arguments].concat()));
        assert_eq!(code, Some(0), "{err}");
        out
    };
    // A Saturday, and a Monday of which nobody knows.
    let out = why(&["nightly", "2026-01-03"]);
    assert!(out.starts_with("nightly: 0 2 * * 1-5, Asia/Shanghai\nnothing is due then by its pattern: 2026-01-01T18:00:00Z before (Fri"), "{out}");
    assert!(out.contains("2026-01-04T18:00:00Z after (Mon"), "{out}");
    let out = why(&["nightly", "2026-01-05T02:00"]);
    assert!(
        out.contains("the ledger has no tick of this entry"),
        "{out}"
    );
    // Of many the same is said once.
    let out = why(&["tick", "2026-01-05"]);
    let many =
        "2026-01-05T00:00:00Z to 2026-01-05T00:00:49Z (50 times)\n  due by the configuration";
    assert!(out.contains(many), "{out}");
    // What is to come, and what is not.
    let skipped = said(&place.run(&["skip", "nightly", "--next", "--json"])).1;
    let skipped: Value = serde_json::from_str(&skipped).unwrap();
    let due = skipped["due"].as_str().unwrap();
    let out = why(&["nightly", due]);
    assert!(
        out.contains("will not run: excluded: skip asked by "),
        "{out}"
    );
    let out = why(&["nightly"]);
    assert!(
        out.contains("has no tick of this entry yet") && out.contains("next: "),
        "{out}"
    );
    // What was decided.
    assert!(
        place
            .run(&["pause", "tick", "--reason", "audit"])
            .status
            .success()
    );
    daemon.says(&["reason=\"paused\""]);
    let paused = place.history();
    let paused = paused.iter().find(|row| row["reason"] == "paused").unwrap();
    let due = paused["due"].as_str().unwrap();
    let out = why(&["tick", due]);
    assert!(
        out.contains(&format!("tick@{due}: due {due}: paused\n")),
        "{out}"
    );
    assert!(out.contains("paused: pause of entry tick by "), "{out}");
    let json: Value = serde_json::from_str(&why(&["tick", due, "--json"])).unwrap();
    assert_eq!(json["ticks"][0]["reason"], "paused");
    assert_eq!(json["without_row"], Value::Array(Vec::new()));
    assert!(
        place
            .run(&["trigger", "by-hand", "--reason", "hotfix"])
            .status
            .success()
    );
    let out = why(&["by-hand"]);
    assert!(out.starts_with("by-hand: starts by hand alone"), "{out}");
    assert!(
        out.contains("triggered by hand by ") && out.contains("(hotfix)"),
        "{out}"
    );
    let (code, _, err) = said(&place.run(&["why", "nigthly"]));
    assert!(
        code == Some(1) && err.contains("did you mean \"nightly\"?"),
        "{err}"
    );
}

/// What one client says on a socket, up to the end of its body.
fn request_on(listener: &UnixListener) -> (std::os::unix::net::UnixStream, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return (stream, text);
            }
        }
        let count = stream.read(&mut bytes).unwrap();
        heard.extend(&bytes[..count]);
    }
}

#[test]
fn a_trigger_whose_answer_is_lost_is_asked_for_again_under_the_same_key() {
    let place = Place::new();
    let listener = UnixListener::bind(place.path("c.sock")).unwrap();
    let answers = std::thread::spawn(move || {
        // The first time the answer is lost.
        let (stream, first) = request_on(&listener);
        drop(stream);
        let (mut stream, second) = request_on(&listener);
        let answer = |body: &str| {
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        let opened = r#"{"tick":"by-hand@x+aaaa","repeated":true,"beside":[]}"#;
        stream.write_all(answer(opened).as_bytes()).unwrap();
        let (mut stream, _) = request_on(&listener);
        let tick = r#"{"state":"running","run_id":"run-1","story":[]}"#;
        stream.write_all(answer(tick).as_bytes()).unwrap();
        (first, second)
    });
    let (code, out, err) = said(&place.run(&["trigger", "by-hand"]));
    assert_eq!((code, &*out), (Some(0), "run-1\n"), "{err}");
    let (first, second) = answers.join().unwrap();
    assert!(first.contains("\"key\":\""), "{first}");
    assert_eq!(first, second);
}

#[test]
fn what_was_refused_is_replayed_after_it_was_listed_and_once() {
    let place = Place::new();
    let fault = ["--fault", "status=400,on=run,next=1"];
    let (_sandbox, _) = beside_a_sandbox(&place, &fault);
    let yaml = std::fs::read_to_string(place.path("pipecron.yaml")).unwrap();
    let accounts = yaml.split("schedules:").next().unwrap();
    place.write(&format!(
        "{accounts}schedules:
  by-hand:
    cron: '@manually'
    project_id: 54f90b75fc1447b1b65e8d3a9f77923d
    pipeline_id: e5460d1d403146a1935c2d4b68ef506d
"
    ));
    let mut daemon = place.daemon(&[]);
    daemon.says(&["commands are taken on"]);
    let (code, _, err) = said(&place.run(&["trigger", "by-hand"]));
    assert_eq!(code, Some(1), "{err}");
    let refused = place.history()[0].clone();
    assert_eq!(refused["reason"], "refused", "{refused}");
    let replay = ["replay", "--since", "1h", "--entry", "by-hand"];
    let (code, out, err) = said(&place.run(&replay));
    let due = format!("by-hand  due {}", refused["due"].as_str().unwrap());
    assert!(
        code == Some(1) && out.is_empty() && err.contains(&due),
        "{out}{err}"
    );
    let replay = [&replay[..], &["--yes"]].concat();
    let (code, out, err) = said(&place.run(&replay));
    assert!(code == Some(0) && out.starts_with("by-hand@"), "{out}{err}");
    assert!(
        err.contains("[1/1]") && err.contains("1 run: 1 went well, 0 did not"),
        "{err}"
    );
    // It ran now, so there is nothing left.
    let (code, out, err) = said(&place.run(&replay));
    assert!(code == Some(0) && out.is_empty(), "{out}{err}");
    assert!(
        err.contains("left out: ") && err.contains("nothing to start"),
        "{err}"
    );
    daemon.stop();
}

#[test]
fn whom_the_file_of_the_ledger_does_not_let_in_reads_through_the_socket() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox", "--control-mode", "0666"]);
    daemon.says(&["commands are taken on"]);
    let mode = std::fs::metadata(place.path("c.sock"))
        .unwrap()
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o666
    );
    let pause = ["pause", "by-hand", "--reason", "audit"];
    assert!(place.run(&pause).status.success());
    assert!(place.run(&["trigger", "by-hand"]).status.success());
    // It is running, or over already.
    let afar = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        said(
            &command
                .env_remove("PIPECRON_LEDGER")
                .env("STATE_DIRECTORY", place.path("none"))
                .output()
                .unwrap(),
        )
    };
    let (code, out, err) = afar(&["history", "by-hand", "-n", "1"]);
    assert!(code == Some(0) && out.starts_with("by-hand@"), "{out}{err}");
    let id = out.split_whitespace().next().unwrap();
    let (code, shown, err) = afar(&["show", id]);
    assert!(
        code == Some(0) && shown.contains("triggered by hand by "),
        "{shown}{err}"
    );
    let (code, _, err) = afar(&["show", &id[..id.len() - 1]]);
    assert!(
        code == Some(1) && err.contains(&format!("did you mean {id}?")),
        "{err}"
    );
    let (code, out, err) = afar(&["history", "--acts"]);
    assert!(
        code == Some(0) && out.contains("pause entry by-hand (audit)"),
        "{out}{err}"
    );
    daemon.stop();
}
