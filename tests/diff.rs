//! `diff`: two configurations beside each other, through the built binary.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::process::{Command, Output};

use serde_json::Value;

const OLD: &str = r#"
accounts:
  main: { region: cn-north-4, credentials: { ak: AK1, sk: { env: SK1 } }, max_running: 5 }
  gone: { region: cn-north-4 }
defaults: { account: main, project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
schedules:
  web: { cron: "0 2 * * *", timezone: Asia/Shanghai, variables: { MODE: full, KEY: { env: OLD_KEY } } }
  same: { cron: "0 3 * * *" }
  retired: { cron: "0 4 * * 1" }
  weekly: { cron: "0 5 * * 1" }
"#;

const NEW: &str = r#"
accounts:
  main: { region: cn-north-4, credentials: { ak: AK1, sk: { env: SK2 } } }
defaults: { account: main, project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
schedules:
  web: { cron: "30 3 * * *", timezone: Asia/Shanghai, variables: { MODE: quick, KEY: { env: NEW_KEY } }, retry: { max_attempts: 3 } }
  same: { cron: "0 3 * * *" }
  weekly: { cron: "0 5 * * 1", enabled: false }
  added: { cron: "0 6 1 * *" }
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("old.yaml", OLD);
        place.write("new.yaml", NEW);
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipecron"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PIPECRON_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("PIPECRON_CONFIG", "old.yaml")
            .env("PIPECRON_LEDGER", "sqlite://ledger.db")
            .env("PIPECRON_LISTEN", "off");
        command
    }

    fn diff(&self, arguments: &[&str]) -> Said {
        let at = ["diff", "--at", "2026-11-24T12:00:00Z"];
        Said::from(self.command(&[&at, arguments].concat()).output().unwrap())
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    fn all(&self) -> String {
        format!("exit {}\n{}{}", self.code, self.out, self.err)
    }

    #[track_caller]
    fn ends(&self, code: i32, words: &[&str]) {
        let all = self.all();
        assert!(
            self.code == code && words.iter().all(|word| all.contains(word)),
            "{all}\nnot {code} {words:?}"
        );
    }
}

#[test]
fn what_changed_is_told_by_entry_key_and_start() {
    let place = Place::new();
    let said = place.diff(&["old.yaml", "new.yaml", "--limit", "3"]);
    assert!(said.code == 0 && said.err.is_empty(), "{}", said.all());
    insta::assert_snapshot!("diff", said.out);
}

#[test]
fn a_script_gets_every_start_and_a_summary() {
    let place = Place::new();
    let said = place.diff(&[
        "old.yaml", "new.yaml", "--json", "--days", "7", "--limit", "1",
    ]);
    let rows: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = &rows.last().unwrap()["summary"];
    assert_eq!(summary["starts"]["moved"], 7, "{summary}");
    assert_eq!(summary["same"], false);
    let moved = rows.iter().find(|row| row["start"] == "moved").unwrap();
    assert_eq!(moved["old"]["at"], "2026-11-24T18:00:00Z");
    assert_eq!(moved["new"]["local"], "2026-11-25T03:30:00+08:00");
    let web = rows
        .iter()
        .find(|row| row["entry"] == "web" && row["change"] == "changed")
        .unwrap();
    let keys = web["keys"].as_array().unwrap();
    let key = keys
        .iter()
        .find(|key| key["key"] == "variables.KEY")
        .unwrap();
    assert_eq!(key["old"], serde_json::json!({ "env": "OLD_KEY" }));
    let starts = rows.iter().filter(|row| row["start"].is_string()).count();
    assert_eq!(starts, 10, "{}", said.all());
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let place = Place::new();
    place
        .diff(&["old.yaml", "old.yaml"])
        .ends(0, &["no difference"]);
    place
        .diff(&["old.yaml", "old.yaml", "--exit-code"])
        .ends(0, &["no difference"]);
    place
        .diff(&["old.yaml", "new.yaml", "--exit-code", "--days", "0"])
        .ends(1, &["1 added, 1 removed, 2 changed"]);
    place.write("broken.yaml", "schedules: { x: { corn: 1 } }\n");
    for (arguments, what) in [
        (["broken.yaml", "new.yaml"], "broken.yaml"),
        (["old.yaml", "broken.yaml"], "broken.yaml"),
    ] {
        place
            .diff(&arguments)
            .ends(1, &[what, "has problems; nothing was compared", "corn"]);
        place
            .diff(&[&arguments[..], &["--exit-code"]].concat())
            .ends(2, &["has problems"]);
    }
    place.diff(&["old.yaml"]).ends(2, &["name two"]);
    place
        .diff(&["old.yaml", "missing.yaml"])
        .ends(1, &["missing.yaml"]);
    place
        .diff(&["old.yaml", "new.yaml", "--running"])
        .ends(2, &["there is one PATH"]);
    place
        .diff(&["old.yaml", "new.yaml", "--days", "400"])
        .ends(2, &["400"]);
    // Comments and spelling are no difference.
    place.write(
        "spelt.yaml",
        &format!("# a comment\n{}", OLD.replace("MODE: full", "MODE: 'full'")),
    );
    place
        .diff(&["old.yaml", "spelt.yaml", "--exit-code"])
        .ends(0, &["no difference"]);
    // Several files make one configuration.
    std::fs::create_dir(place.0.path().join("d")).unwrap();
    place.write("d/a.yaml", OLD);
    place
        .diff(&["old.yaml", "d", "--exit-code"])
        .ends(0, &["no difference"]);
}

#[test]
fn what_the_daemon_runs_is_compared_while_it_runs() {
    let place = Place::new();
    place.diff(&["--running", "new.yaml"]).ends(1, &["ledger"]);
    // A pattern of years: the daemon starts nothing.
    let mut daemon = place.command(&["daemon", "--sandbox"]);
    let mut daemon = daemon.stderr(std::process::Stdio::null()).spawn().unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let said = loop {
        let said = place.diff(&["--running", "new.yaml"]);
        if said.code == 0 || std::time::Instant::now() > end {
            break said;
        }
        std::thread::yield_now();
    };
    // The file is edited, and not loaded yet.
    place.write("old.yaml", NEW);
    let edited = place.diff(&["--running", "--exit-code"]);
    place.write("old.yaml", "broken: {");
    let broken = place.diff(&["--running", "new.yaml", "--exit-code"]);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    said.ends(
        0,
        &[
            "entry web changed",
            "entry added added",
            "account gone removed",
        ],
    );
    edited.ends(1, &["entry web changed"]);
    broken.ends(1, &["entry web changed"]);
}

#[test]
fn many_starts_are_counted_without_being_shown() {
    let place = Place::new();
    let often = |seconds: &str| {
        format!(
            "accounts: {{ main: {{ region: cn-north-4 }} }}\nschedules:\n  x: {{ cron: \"{seconds} * * * * *\", allow_subminute: true, \
             project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }}\n"
        )
    };
    place.write("a.yaml", &often("*/2"));
    place.write("b.yaml", &often("*"));
    place.diff(&["a.yaml", "b.yaml", "--days", "1"]).ends(
        0,
        &[
            "... and 43190 more",
            "43200 starts: 43200 added, 0 removed, 0 moved",
        ],
    );
}

#[test]
fn days_that_a_calendar_gained_are_told_beside_other_changes() {
    let place = Place::new();
    let file = |calendars: &str, entry: &str| {
        format!(
            "accounts: {{ main: {{ region: cn-north-4 }} }}\ncalendars:\n{calendars}\nfreezes:\n  - {{ from: 2026-12-01, until: \
             2026-12-02, reason: audit }}\nschedules:\n  web: {{ cron: \"0 2 * * *\", project_id: \
             54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c, {entry} }}\n"
        )
    };
    let old = "  off: { holidays: [2026-12-24] }\n  more: { holidays: [2026-12-25] }";
    let new = "  off: { holidays: [2026-12-10, 2026-12-24] }\n  more: { holidays: [2026-12-25] }";
    place.write("a.yaml", &file(old, "skip_on: off"));
    place.write("b.yaml", &file(new, "skip_on: off, priority: 3"));
    let removed = "removed  Thu 2026-12-10 02:00:00 UTC  2026-12-10T02:00:00Z";
    place.diff(&["a.yaml", "b.yaml"]).ends(
        0,
        &[
            "  priority: 0 -> 3\n  calendar off: its days changed\n",
            removed,
        ],
    );
    place
        .diff(&["a.yaml", "b.yaml", "--json"])
        .ends(0, &[r#"{"how":"its days changed","key":"calendar off"}"#]);
    // Also where the list of calendars is another one, and one of them has the name that it had.
    place.write("b.yaml", &file(new, "skip_on: [off, more]"));
    place.diff(&["a.yaml", "b.yaml"]).ends(
        0,
        &["  skip_on: [\"off\"] -> [\"off\",\"more\"]\n  calendar off: its days changed\n"],
    );
    // The days of a freeze are read in the zone of the entry.
    place.write(
        "b.yaml",
        &file(old, "skip_on: off, timezone: Asia/Shanghai"),
    );
    place.diff(&["a.yaml", "b.yaml"]).ends(
        0,
        &["  timezone: \"UTC\" -> \"Asia/Shanghai\"\n  freezes: the same words, at other instants\n"],
    );
}

#[test]
fn whom_to_tell_is_compared_and_no_address_is_shown() {
    let place = Place::new();
    let with = |ping: &str, events: &str, more: &str| {
        format!(
            "{OLD}  told: {{ cron: \"0 7 * * *\", ping: \"https://hc.example.com/{ping}\", alarm: {{ no_success_for: 26h }} }}\n\
             notices:\n  team: {{ kind: slack, url: {{ env: HOOK }}, events: [{events}] }}\n{more}"
        )
    };
    let json = "  own: { kind: json, url: \"https://example.com/verysecret\" }\n";
    place.write("old.yaml", &with("verysecret1", "failed", ""));
    place.write("new.yaml", &with("verysecret2", "failed, missed", json));
    let said = place.diff(&["old.yaml", "new.yaml"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    assert!(!said.out.contains("verysecret"), "{}", said.out);
    for line in [
        "channel own added",
        "channel team changed",
        "entry told changed",
        "https://hc.example.com/...",
        "2 channels: 1 added, 0 removed, 1 changed",
    ] {
        assert!(said.out.contains(line), "{line}\n{}", said.out);
    }
}
